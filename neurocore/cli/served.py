"""The runs of a server as the commands that print runs see them: what they ask of a project, read over the API.

What needs the files of a project (`config`, `registry`) belongs to the folder around the current one, and is not asked.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from msgspec import structs

from neurocore.cli.project import Listed, Project

if TYPE_CHECKING:
    from neurocore.documents.gates import GateDocument, LastApprovedDocument, PreviewDocument
    from neurocore.documents.runs import (
        DecisionDocument,
        InspectDocument,
        LogDocument,
        OutcomeDocument,
        RunsDocument,
        RunSummary,
    )
    from neurocore.persistence.base import RunStore
    from neurocore.persistence.records import GateRecord, RunFilter, RunRecord
    from neurocore.remote.client import Client
    from neurocore.remote.history import RemoteHistory

#: The most runs that the API lists at once.
PAGE = 200


class Served(Project):
    """The runs of a server. `is_given` says that the command line names it, and not the environment."""

    def __init__(self, url: str, *, is_given: bool) -> None:
        super().__init__()
        self.url = url
        self.is_given = is_given
        self._summaries: dict[str, RunSummary] = {}

    @cached_property
    def client(self) -> Client:
        """Return the connection. Raises UsageError for an address or a token that cannot be used."""
        from neurocore.remote.address import read_address
        from neurocore.remote.client import Client
        from neurocore.remote.tokens import find_token

        address = read_address(self.url)
        return Client(address, find_token(address))

    @cached_property
    def history(self) -> RemoteHistory:
        """Return the history of the server."""
        from neurocore.remote.history import RemoteHistory

        return RemoteHistory(self.client)

    @property
    def store(self) -> RunStore:
        """Return the history of the server."""
        return self.history

    @property
    def has_history(self) -> bool:
        """Return False: completion does not ask servers."""
        return False

    def blueprint_names(self) -> list[str]:
        """Return nothing: completion does not ask servers."""
        return []

    def know_classes(self) -> None:
        """Do nothing: the server has already made plain data of the values."""

    def close(self) -> None:
        """Close the connection."""
        client = self.__dict__.pop("client", None)
        if client is not None:
            client.close()

    # ---------------------------------------------------------------- what a run looks like

    def run_id(self, prefix: str) -> str:
        """Return the whole id of a run. Raises RunNotFound or RunAmbiguous."""
        return self.history.whole_id(prefix)

    def state(self, run: RunRecord) -> str:
        """Return who continues a run, as the server says it."""
        found = self._summaries.get(run.run_id)
        return found.state if found is not None else self.history.state(run)

    def pause(self, run_id: str) -> None:
        """Wait until the run has changed, or for some time."""
        self.history.look(run_id, wait=True)

    def named(self, run: RunRecord) -> str:
        """Return the name of a run for the next commands, with the server if it was named on this command line."""
        return f"{super().named(run)}{self.suffix}"

    @property
    def suffix(self) -> str:
        """Return the option that names the server in the next commands, if it was named on this command line."""
        return f" --server {shlex.quote(self.client.address.url)}" if self.is_given else ""

    def next_commands(self, run: RunRecord, gates: Sequence[GateRecord], state: str) -> list[str]:
        """Return the commands that can be typed now, without those that work only where the history is."""
        return self._next(run, gates, state, self.named(run))

    def _next(self, run: RunRecord, gates: Sequence[GateRecord], state: str, name: str) -> list[str]:
        from neurocore.documents import make

        held = {
            (one.node_id, one.visit)
            for one in gates
            if one.status.value == "open" and self.history.gate(one).held_until is not None
        }
        commands = make.next_commands(run, gates, state, name, self.called, held=held)
        return [one for one in commands if " db adopt " not in one and not one.endswith(" --take-over")]

    def page_runs(self, wanted: RunFilter, *, before: str | None, limit: int) -> Listed:
        """Return a page of runs; the server reads the times of the filter, in its own zone."""
        from neurocore.persistence.records import RunPage
        from neurocore.remote.records import run_of

        first = page = self._page(wanted, before, min(limit, PAGE))
        found = list(page.runs)
        while page.older is not None and page.runs and len(found) < limit:
            page = self._page(wanted, page.older, min(limit - len(found), PAGE))
            found += page.runs
        self._summaries = {one.run_id: one for one in found}
        runs = [self.history.made(run_of, one) for one in found]
        found_page = RunPage(runs=runs, older=page.older, newer=first.newer)
        return Listed(found_page, first.since, first.until, first.timezone, self.history.made(_period, first))

    def _page(self, wanted: RunFilter, before: str | None, limit: int) -> RunsDocument:
        from neurocore.documents.runs import RunsDocument

        query = {
            "status": [one.value for one in wanted.status], "blueprint": wanted.blueprint, "q": wanted.text,
            "since": wanted.since, "until": wanted.until, "tag": wanted.tag, "by": wanted.started_by,
            "waiting": "true" if wanted.waiting else None, "before": before, "limit": limit,
        }  # fmt: skip
        given = {name: value for name, value in query.items() if value not in (None, [])}
        return self.client.document("/runs", RunsDocument, given)

    def summary(self, run: RunRecord) -> RunSummary:
        """Return a run of a list for `--json`, as the server wrote it."""
        return self._summaries[run.run_id]

    def outcome(self, run: RunRecord, decision: DecisionDocument | None = None) -> OutcomeDocument:
        """Return the `--json` document of a command that changed a run."""
        found = self.history.outcome(run.run_id)
        commands = self._next(run, run.gates, found.state, f"{run.run_id}{self.suffix}")
        return structs.replace(found, next=commands, decision=decision)

    def inspection(self, run: RunRecord, *, full: bool) -> InspectDocument:
        """Return the `--json` document of a whole run."""
        found = self.history.inspection(run.run_id, full=full)
        commands = self._next(run, run.gates, found.run.state, f"{run.run_id}{self.suffix}")
        return structs.replace(found, next=commands)

    def schema_of(self, skill: str) -> Any:
        """Return None: the server has already masked what is secret."""
        return None

    def definition(self, run: RunRecord) -> tuple[str | None, dict[str, Any]]:
        """Return the YAML of a run's blueprint (None if it was not stored), and the definition."""
        found = self.history.inspection(run.run_id, full=True)
        return found.blueprint_source, found.blueprint_definition or {}

    def gate_document(self, run: RunRecord, gate: GateRecord) -> GateDocument:
        """Return what the rules of a gate give, as the server says it."""
        return self.history.gate(gate)

    def preview(self, run: RunRecord, gate: GateRecord) -> PreviewDocument | None:
        """Return what each answer leads to, as the server says it."""
        return self.history.gate(gate).preview

    def last_approved(self, run: RunRecord, gate: GateRecord) -> LastApprovedDocument | None:
        """Return the last approved occurrence of this gate in another run, as the server says it."""
        return self.history.gate(gate).last_approved

    def driver(self, run: RunRecord) -> str:
        """Return which process drives a run."""
        return self.history.inspection(run.run_id).run.driven_by or "another process"

    def why_unknown(self, run: RunRecord) -> str:
        """Return why it is unknown whether a run's process is alive."""
        why = self.history.inspection(run.run_id).refused.get("resume", "NeuroCore cannot tell who drives it")
        return f"Run {run.run_id} is left alone: {why.rstrip('.')}."

    def logs(self, run_id: str) -> tuple[list[LogDocument], Callable[[], set[str]]]:
        """Return the log of a run, and how to get the names of its nodes."""
        return self.history.logs(run_id).lines, lambda: {
            step.node_id or step.component for step in self.history.step_summaries(run_id)
        }


def _period(page: RunsDocument) -> str:
    """Return the times of a list for people: in the zone of the server, or of this machine if that has no name."""
    from neurocore.moments import Clock

    if not page.since and not page.until:
        return ""
    try:
        return Clock(page.timezone).range(page.since, page.until)
    except (LookupError, ValueError, OSError):  # of ZoneInfo
        return Clock().range(page.since, page.until)
