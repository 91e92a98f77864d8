"""The history of a server as a store that is only read: what prints runs from a store prints these too."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection
from typing import Any, NoReturn, TypeVar
from urllib.parse import quote

from msgspec import Struct

from neurocore.documents.gates import GateDocument
from neurocore.documents.runs import (
    EventDocument,
    InspectDocument,
    LogsDocument,
    OutcomeDocument,
    StepDocument,
)
from neurocore.errors import NotFoundError, RunAmbiguous, RunNotFound, StoreError, UsageError
from neurocore.persistence.base import RunStore
from neurocore.persistence.records import Event, GateRecord, RunRecord, RunStatus, StepRecord
from neurocore.remote import errors, records
from neurocore.remote.client import Answer, Client

_ID = re.compile(r"=?[A-Za-z0-9_-]{1,200}")
#: Seconds that the server may wait for a change.
WAIT = 20
#: Seconds before the next look if the server cannot let a request wait.
PAUSE = 2.0
#: A page of steps.
STEPS = 200

_Made = TypeVar("_Made")


class StepsDocument(Struct, kw_only=True):
    """A page of steps."""

    run_id: str
    steps: list[StepDocument]
    more: int | None


class EventsDocument(Struct, kw_only=True):
    """The activity of a run."""

    run_id: str
    events: list[EventDocument]


class _Known(Struct):
    """What the last request said of the state of a run."""

    document: OutcomeDocument
    etag: str | None
    version: int


class RemoteHistory(RunStore):
    """The runs of a server, each as it was when it was read last: `load_run` and `load_summary` read it again."""

    multi_process = True

    def __init__(self, client: Client) -> None:
        self.client = client
        self._known: dict[str, _Known] = {}
        self._inspected: dict[str, InspectDocument] = {}
        self._in_full: dict[str, InspectDocument] = {}

    # ---------------------------------------------------------------- documents

    def outcome(self, run_id: str) -> OutcomeDocument:
        """Return the state of a run with its context."""
        return self.client.document(path_of(run_id), OutcomeDocument)

    def inspection(self, run_id: str, *, full: bool = False) -> InspectDocument:
        """Return everything about a run; what was read before is not read again, until the run is loaded again."""
        kept = self._in_full if full else self._inspected
        if run_id not in kept:
            query = {"full": "true"} if full else {}
            kept[run_id] = self.client.document(f"{path_of(run_id)}/inspection", InspectDocument, query)
        return kept[run_id]

    def logs(self, run_id: str) -> LogsDocument:
        """Return what the steps of a run logged."""
        return self.client.document(f"{path_of(run_id)}/logs", LogsDocument)

    def state(self, run: RunRecord) -> str:
        """Return who continues a run, as `neurocore.documents.run_state` says it."""
        if run.run_id in self._inspected:
            return self._inspected[run.run_id].run.state
        return self._known[run.run_id].document.state

    def forget(self, run_id: str) -> None:
        """Read everything about the run again when it is asked for next."""
        self._inspected.pop(run_id, None)
        self._in_full.pop(run_id, None)

    def look(self, run_id: str, *, wait: bool = False) -> None:
        """Read the state of a run. With `wait`, return when it has changed, or after some time."""
        self.forget(run_id)
        before = self._known.get(run_id)
        etag = before.etag if before is not None else None
        found = self._waited(run_id, etag) if wait and etag is not None else None
        if found is None:
            found = self.client.get(path_of(run_id), {"context": "false"}, etag=etag)
        if found.data is None and before is not None:
            return
        document = self.client.convert(found.data, OutcomeDocument)
        self._known[run_id] = _Known(document, found.etag, before.version + 1 if before is not None else 0)

    def _waited(self, run_id: str, etag: str) -> Answer | None:
        """Return the state of a run after a change; None if the server cannot let this request wait."""
        query = {"context": "false", "wait": WAIT, "change": "true"}
        try:
            return self.client.get(path_of(run_id), query, etag=etag, wait=WAIT)
        except (errors.RemoteError, StoreError):  # too many wait, or the connection broke in the long silence
            time.sleep(PAUSE)
            return None

    # ---------------------------------------------------------------- as a store

    def find_runs(self, prefix: str, *, limit: int = 10, blueprints: Collection[str] | None = None) -> list[str]:
        """Return at most `limit` ids that begin with `prefix`; the server knows which blueprints are visible."""
        try:
            return [self.whole_id(prefix)]
        except RunAmbiguous as error:
            return error.candidates[:limit]
        except NotFoundError:
            return []

    def whole_id(self, prefix: str) -> str:
        """Return the whole id of a run. Raises RunNotFound or RunAmbiguous."""
        found = self.client.document(path_of(prefix), OutcomeDocument, {"context": "false"})
        return found.run_id

    def load_run(self, run_id: str) -> RunRecord | None:
        """Return the whole run."""
        self.forget(run_id)
        return self.made(records.whole_run_of, self.inspection(run_id))

    def load_summary(self, run_id: str) -> RunRecord | None:
        """Return the run without its data; None if it was deleted."""
        try:
            if run_id not in self._known:
                self.look(run_id)
        except RunNotFound:
            return None
        known = self._known[run_id]
        run = self.made(records.run_of, known.document)
        run.version = known.version
        return run

    def load_steps(self, run_id: str) -> list[StepRecord]:
        """Return every step with its configuration, traceback and log."""
        return [self._step(run_id, one) for one in self.inspection(run_id, full=True).steps]

    def load_step(self, run_id: str, step_index: int) -> StepRecord | None:
        """Return one step; its log if it failed or was cancelled."""
        steps = self.inspection(run_id).steps
        return next((self._step(run_id, one) for one in steps if one.step_index == step_index), None)

    def step_summaries(self, run_id: str, *, after: int = -1, limit: int | None = None) -> list[StepRecord]:
        """Return the steps after index `after`."""
        if run_id in self._inspected:
            found = [one for one in self._inspected[run_id].steps if one.step_index > after]
        else:
            found = self._pages(run_id, after)
        return [self._step(run_id, one) for one in found[:limit]]

    def _pages(self, run_id: str, after: int) -> list[StepDocument]:
        found: list[StepDocument] = []
        more: int | None = after
        while more is not None:
            query = {"after": more, "limit": STEPS}
            page = self.client.document(f"{path_of(run_id)}/steps", StepsDocument, query)
            found += page.steps
            if page.more is not None and page.more <= more:
                raise errors.RemoteError(f"{self.client.address.url} sends the same steps again and again.")
            more = page.more
        return found

    def load_events(self, run_id: str) -> list[Event]:
        """Return the run's activity, oldest first."""
        if run_id in self._inspected:
            events = self._inspected[run_id].events
        else:
            events = self.client.document(f"{path_of(run_id)}/events", EventsDocument).events
        return [records.event_of(one) for one in events]

    def load_gates(self, run_id: str, *, narrow: bool = False) -> list[GateRecord]:
        """Return every gate occurrence of a run with its answers."""
        return [self.made(lambda one: records.gate_of(run_id, one), one) for one in self.inspection(run_id).gates]

    def load_inputs(self, run_id: str) -> dict[str, bytes]:
        """Return a run's inputs."""
        return records.encoded(self.inspection(run_id).run.initial_data)

    def load_context(self, run_id: str) -> dict[str, bytes]:
        """Return the committed context."""
        return records.encoded(self.inspection(run_id).run.context)

    def _step(self, run_id: str, document: StepDocument) -> StepRecord:
        return self.made(lambda one: records.step_of(run_id, one), document)

    def made(self, make: Callable[[Any], _Made], document: object) -> _Made:
        """Return what `make` makes of a document. Raises RemoteError for a value that this version does not know."""
        try:
            return make(document)
        except ValueError as error:
            raise self.misunderstood(str(error)) from error

    def misunderstood(self, why: str) -> errors.RemoteError:
        """Return the error for an answer that makes no sense here."""
        url = self.client.address.url
        return errors.RemoteError(f"{url} answered in a way that this version does not understand: {why[:200]}.")

    def gate(self, record: GateRecord) -> GateDocument:
        """Return the document of a gate occurrence."""
        found = self.inspection(record.run_id).gates
        return next(one for one in found if (one.node, one.visit) == (record.node_id, record.visit))

    # ---------------------------------------------------------------- what a server's history does not take

    def save_run(self, run: RunRecord) -> str:
        """Refuse: only the server writes."""
        self._refuse()

    def save_step(self, step: StepRecord) -> None:
        """Refuse: only the server writes."""
        self._refuse()

    def delete_run(self, run_id: str) -> None:
        """Refuse: only the server writes."""
        self._refuse()

    def list_runs(
        self, *, status: RunStatus | None = None, blueprint: str | None = None, limit: int = 50
    ) -> list[RunRecord]:
        """Refuse: pages of runs are read as documents."""
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise UsageError(f"This works only where the history is: on the machine of {self.client.address.url}.")


def path_of(run_id: str) -> str:
    """Return the path of a run. Raises RunNotFound for what cannot be an id, and would be another address."""
    if not _ID.fullmatch(run_id):
        raise RunNotFound(
            f"No run's id begins with {run_id[:80]!r}; `neurocore runs list` lists the runs.", run_id=run_id
        )
    return f"/runs/{quote(run_id, safe='')}"
