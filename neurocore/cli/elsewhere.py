"""A server in place of the project: what the commands for runs ask of a project, answered over the API."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from msgspec import Struct

from neurocore.cli import errors
from neurocore.cli.served import Served
from neurocore.errors import UsageError

if TYPE_CHECKING:
    from neurocore.documents.runs import DecisionDocument, StandingDocument
    from neurocore.persistence.records import GateRecord, RunRecord


class Me(Struct, kw_only=True):
    """Who sends the requests, as far as commands need it (`GET /me`)."""

    mode: str
    username: str | None
    roles: list[str]
    scopes: list[str] | None


class Elsewhere(Served):
    """The runs of a server, and what can be done with them.

    `is_given` says that the command line names it, and not the environment.
    """

    def __init__(self, url: str, *, is_given: bool) -> None:
        super().__init__(url, is_given=is_given)
        self.elsewhere = self

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

    def withdraw(
        self, run_id: str, *, gate: str | None, visit: int | None, digest: str | None, by: str | None
    ) -> str:  # fmt: skip
        """Take one's own answer back at a gate, on the given digest or else the present one; return the node."""
        who, meant = self._by(by), self._meant(self._whole(run_id), gate, visit)
        body = {**who, **_occurrence(meant, gate, visit, digest)}
        self._standing(f"/runs/{quote(run_id, safe='')}/withdrawal", body)
        return meant.node_id if meant is not None else str(gate)

    def comment(self, run_id: str, text: str, *, gate: str | None, by: str | None) -> None:
        """Say something about a gate that waits."""
        body = {**self._by(by), "text": text} | ({"gate": gate} if gate is not None else {})
        self._standing(f"/runs/{quote(run_id, safe='')}/comments", body)

    def _whole(self, run_id: str) -> RunRecord:
        from neurocore.runs.find import load_run

        return load_run(run_id, self.history)

    def decide(
        self, run_id: str, *, approved: bool, note: str | None, gate: str | None, visit: int | None,
        digest: str | None, by: str | None, quiet: bool,
    ) -> DecisionDocument:  # fmt: skip
        """Answer at a gate on its digest: the given one, else the one that the server shows now.

        Then follow the run, unless another process than the server drives it.
        """
        who, meant = self._by(by), self._meant(self._whole(run_id), gate, visit)
        body: dict[str, Any] = {**who, "approved": approved, **_occurrence(meant, gate, visit, digest)}
        body |= {"note": note} if note is not None else {}
        given = self._standing(f"/runs/{quote(run_id, safe='')}/decision", body).decision
        if given is None:
            raise self.history.misunderstood("there is no decision in the answer to a decision")
        if given.driven_by is None and given.effect != "recorded":
            told = {step.step_index: step.status for step in self.history.step_summaries(run_id)}
            self.follow(lambda: run_id, quiet=quiet, told=told)
        return given

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
                f"  {self.called} runs watch {short_id(run_id)}{self.suffix}"
            ) from error
        return run_id


def _occurrence(meant: GateRecord | None, gate: str | None, visit: int | None, digest: str | None) -> dict[str, Any]:
    """Return how a request names an occurrence: by the given digest, else by the one that the server shows now."""
    shown = meant.digest if meant is not None else "none"
    place = (meant.node_id, meant.visit) if meant is not None else (gate, visit)
    return {"digest": digest or shown, "gate": place[0], "visit": place[1]}
