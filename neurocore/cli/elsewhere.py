"""A server in place of the project: what the commands for runs ask of a project, answered over the API.

What needs the files of a project (`config`, `registry`) belongs to the folder around the current one, and is not asked.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from msgspec import Struct, structs

from neurocore.cli import errors
from neurocore.cli.project import Listed, Project
from neurocore.errors import UsageError

if TYPE_CHECKING:
    from neurocore.documents.runs import (
        DecisionDocument,
        InspectDocument,
        LastApprovedDocument,
        LogDocument,
        OutcomeDocument,
        PreviewDocument,
        RunsDocument,
        RunSummary,
        StandingDocument,
    )
    from neurocore.persistence.base import RunStore
    from neurocore.persistence.records import GateRecord, RunFilter, RunRecord
    from neurocore.remote.client import Client
    from neurocore.remote.history import RemoteHistory
    from neurocore.runs.decide import Decision

#: The most runs that the API lists at once.
PAGE = 200


class Me(Struct, kw_only=True):
    """Who sends the requests, as far as commands need it (`GET /me`)."""

    mode: str
    username: str | None
    roles: list[str]
    scopes: list[str] | None


class Elsewhere(Project):
    """The runs of a server. `is_given` says that the command line names it, and not the environment."""

    def __init__(self, url: str, *, is_given: bool) -> None:
        super().__init__()
        self.url = url
        self.is_given = is_given
        self.elsewhere = self
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
        return f"{super().named(run)}{self._suffix}"

    @property
    def _suffix(self) -> str:
        return f" --server {shlex.quote(self.client.address.url)}" if self.is_given else ""

    def next_commands(self, run: RunRecord, gates: Sequence[GateRecord], state: str) -> list[str]:
        """Return the commands that can be typed now, without those that work only where the history is."""
        return self._next(run, gates, state, self.named(run))

    def _next(self, run: RunRecord, gates: Sequence[GateRecord], state: str, name: str) -> list[str]:
        from neurocore.documents import make

        commands = make.next_commands(run, gates, state, name, self.called)
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

    def outcome(self, run: RunRecord, decision: Decision | None = None) -> OutcomeDocument:
        """Return the `--json` document of a command that changed a run."""
        from neurocore.documents import make

        found = self.history.outcome(run.run_id)
        commands = self._next(run, run.gates, found.state, f"{run.run_id}{self._suffix}")
        told = make.decided(decision) if decision is not None else None
        return structs.replace(found, next=commands, decision=told)

    def inspection(self, run: RunRecord, *, full: bool) -> InspectDocument:
        """Return the `--json` document of a whole run."""
        found = self.history.inspection(run.run_id, full=full)
        commands = self._next(run, run.gates, found.run.state, f"{run.run_id}{self._suffix}")
        return structs.replace(found, next=commands)

    def schema_of(self, skill: str) -> Any:
        """Return None: the server has already masked what is secret."""
        return None

    def definition(self, run: RunRecord) -> tuple[str | None, dict[str, Any]]:
        """Return the YAML of a run's blueprint (None if it was not stored), and the definition."""
        found = self.history.inspection(run.run_id, full=True)
        return found.blueprint_source, found.blueprint_definition or {}

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

    # ---------------------------------------------------------------- verbs

    def start(
        self, blueprint: str, texts: Mapping[str, str], *, tags: Sequence[str], run_id: str | None, by: str | None
    ) -> str:
        """Start a run of a blueprint of the server; return its id. The server reads and checks the inputs."""
        if not blueprint.strip("/") or any(part in (".", "..") for part in blueprint.split("/")):
            raise UsageError(f"{blueprint[:200]!r} is a file; with --server, give the name of a blueprint there.")
        body = {**self._by(by), "text": dict(texts), "tags": list(tags)}
        body |= {"run_id": run_id} if run_id is not None else {}
        return self._standing(f"/blueprints/{quote(blueprint)}/runs", body).run_id

    def replay(self, run_id: str, *, latest: bool, tags: Sequence[str], by: str | None) -> str:
        """Start a new run with the inputs of another; return its id."""
        body = {**self._by(by), "latest": latest, "tags": list(tags)}
        return self._standing(f"/runs/{quote(run_id, safe='')}/replay", body).run_id

    def resume(
        self, run_id: str, texts: Mapping[str, str], *, latest: bool, gate: str | None, by: str | None
    ) -> str:  # fmt: skip
        """Let the server continue a run; return its id."""
        body = {**self._by(by), "text": dict(texts), "latest": latest}
        body |= {"gate": gate} if gate is not None else {}
        return self._standing(f"/runs/{quote(run_id, safe='')}/resumption", body).run_id

    def cancel(self, run_id: str, *, note: str | None, by: str | None) -> RunRecord:
        """Cancel a run, and return it as it is then."""
        body = {**self._by(by)} | ({"note": note} if note is not None else {})
        self._standing(f"/runs/{quote(run_id, safe='')}/cancellation", body)
        return self._whole(run_id)

    def _whole(self, run_id: str) -> RunRecord:
        from neurocore.runs.find import load_run

        return load_run(run_id, self.history)

    def decide(
        self, run_id: str, *, approved: bool, note: str | None, gate: str | None, visit: int | None,
        digest: str | None, by: str | None, quiet: bool,
    ) -> Decision:  # fmt: skip
        """Answer at a gate on its digest: the given one, else the one that the server shows now.

        Then follow the run, unless another process than the server drives it.
        """
        who = self._by(by)
        run = self._whole(run_id)
        meant = self._meant(run, gate, visit)
        body: dict[str, Any] = {
            **who, "approved": approved, "digest": digest or (meant.digest if meant is not None else "none"),
            "gate": meant.node_id if meant is not None else gate,
            "visit": meant.visit if meant is not None else visit,
        }  # fmt: skip
        body |= {"note": note} if note is not None else {}
        given = self._standing(f"/runs/{quote(run_id, safe='')}/decision", body).decision
        if given is None:
            raise self.history.misunderstood("there is no decision in the answer to a decision")
        if given.driven_by is None:
            told = {step.step_index: step.status for step in self.history.step_summaries(run_id)}
            self.follow(lambda: run_id, quiet=quiet, told=told)
        return _decision(given, meant, self._whole(run_id))

    def _meant(self, run: RunRecord, gate: str | None, visit: int | None) -> GateRecord | None:
        """Return the open occurrence that an answer means; else the one that was closed last: the server says why not.

        Raises GateAmbiguous.
        """
        from neurocore.gates.answer import choose

        found = choose(run, run.gates, gate, visit)
        if found is not None:
            return found
        closed = [one for one in run.gates if gate in (None, one.node_id, one.name) and visit in (None, one.visit)]
        return max(closed, key=lambda one: one.closed_at or "", default=None)

    def _standing(self, path: str, body: dict[str, Any]) -> StandingDocument:
        from neurocore.documents.runs import StandingDocument

        return self.client.convert(self.client.post(path, body).data, StandingDocument)

    def _by(self, by: str | None) -> dict[str, str]:
        """Return `by` for a request, where nobody signs in. Raises UsageError for `--by` where people do."""
        from neurocore.access.actor import system_user

        mode = self.me().mode
        if mode == "open":
            return {"by": by if by is not None else system_user()}
        if by is not None:
            raise UsageError(f"--by is for auth.mode: open; {self.client.address.url} knows you by your token.")
        return {}

    def me(self) -> Me:
        """Return who sends the requests, as the server sees it. Raises SignInAgain."""
        return self.client.document("/me", Me)

    def follow(
        self, verb: Callable[[], str], *, quiet: bool, is_continued: bool = False, told: Mapping[int, str] | None = None
    ) -> str:
        """Call a verb and show what the run does until it ends or waits; return the run's id.

        `is_continued` and `told` are as in `follow_run`.
        """
        from neurocore.cli.brief import short_id
        from neurocore.cli.live import view
        from neurocore.cli.runs.watch import follow_run

        run_id = None
        try:
            with view(quiet=quiet) as shown:
                run_id = verb()
                self.history.look(run_id)
                follow_run(self, run_id, shown, is_continued=is_continued, told=told)
        except KeyboardInterrupt as error:
            if run_id is None:
                raise errors.Interrupted("Stopped before the server answered; it may do this or not.") from error
            raise errors.Interrupted(
                f"Stopped watching; the run continues on {self.client.address.url}. To watch it again:\n"
                f"  {self.called} runs watch {short_id(run_id)}{self._suffix}"
            ) from error
        return run_id


def _period(page: RunsDocument) -> str:
    """Return the times of a list for people: in the zone of the server, or of this machine if that has no name."""
    from neurocore.moments import Clock

    if not page.since and not page.until:
        return ""
    try:
        return Clock(page.timezone).range(page.since, page.until)
    except (LookupError, ValueError, OSError):  # of ZoneInfo
        return Clock().range(page.since, page.until)


def _decision(given: DecisionDocument, gate: GateRecord | None, run: RunRecord) -> Decision:
    """Return what the server recorded as a decision here."""
    from neurocore.persistence.records import Answer, GateRecord
    from neurocore.runs.decide import Decision

    answer = Answer(
        node_id=given.node, visit=given.visit, approved=given.approved, by=given.by, known_by="", at=given.at,
        note=given.note,
    )  # fmt: skip
    place = gate or GateRecord(run_id=run.run_id, node_id=given.node, visit=given.visit)
    return Decision(answer=answer, gate=place, effect=given.effect, driven_by=given.driven_by)
