"""`make demo`: run a few months of payments, leave one batch at its gate, and start the dashboard.

Kill it at any point and start it again: what is done is not repeated, and the rest continues.
"""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from neurocore.access.actor import this_user
from neurocore.access.roles import Grant, Role
from neurocore.accounts.people import add_person
from neurocore.config import NeuroCoreConfig, load_config
from neurocore.drivers.dispatch import InlineDispatcher
from neurocore.drivers.sweep import sweep_once
from neurocore.errors import ExecutionError
from neurocore.persistence import RunRecord, RunStatus, RunStore, build_run_store
from neurocore.run_events import RunEvent
from neurocore.runtime.blueprint import load_blueprint
from neurocore.runtime.executor import decide_gate, execute_blueprint_tracked
from neurocore.skills.loader import discover_skills

PROJECT = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Batch:
    """One batch of the inbox and the answer of its reviewer; without an answer it waits."""

    name: str
    started_by: str
    approved: bool | None = None
    by: str = ""
    note: str | None = None


HISTORY = [
    Batch("2026-08", "jonas", approved=True, by="ann", note="Row 19 goes back to Petersen: two digits swapped."),
    Batch("2026-09", "jonas", approved=True, by="ann"),
    Batch("2026-10-refunds", "mira"),  # a file from another system, without the currency: it fails
    Batch(
        "2026-10", "jonas", approved=False, by="carla",
        note="Row 43: 68,900 for tubes is twelve times the usual. A typing error, ask Elbe Stahlrohr.",
    ),
    Batch("2026-11", "jonas"),
]  # fmt: skip


#: The batch of `make demo-team`, which finance and then the board release.
FOUR_EYES = Batch("2026-12", "bea")


@dataclass(frozen=True)
class Member:
    """Somebody of `make demo-team`: roles, the group that gates ask, and what they can do."""

    roles: tuple[str, ...]
    what: str
    group: str = ""


TEAM = {
    "ann": Member(("approver",), "releases payment files, of four eyes the first stage", "finance"),
    "bea": Member(("approver", "operator"), "the same, but not 2026-12: she started it; she can reject it", "finance"),
    "ingrid": Member(("approver",), "releases the second stage, after ann; then has 10 s to withdraw", "board"),
    "jonas": Member(("operator",), "starts and cancels runs"),
    "carla": Member(("viewer",), "looks at runs, and comments"),
    "root": Member(("admin",), "manages accounts, and releases nothing without breaking the glass"),
}
PASSWORD = "thirteen bicycles on the harbour"  # noqa: S105 - of a demo on this machine


def main() -> None:
    """Make the missing part of the history, then serve the dashboard."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--port", type=int, default=8321)
    options.add_argument("--no-serve", action="store_true", help="make the history only")
    options.add_argument("--team", action="store_true", help="let people sign in, with six accounts")
    given = options.parse_args()
    config = load_config(PROJECT)
    store = build_run_store(config)
    if store is None:
        sys.exit("The demo needs to store its runs, but persistence is disabled; set persistence.enabled: true.")
    waiting = Demo(config, store).make_history()
    if given.team:
        add_team(store)
        waiting = Demo(config, store, "payouts-four-eyes").start_once(FOUR_EYES) or waiting
    store.close()
    if given.no_serve:
        return
    if waiting is not None:
        say(f"\nIt waits for you: http://127.0.0.1:{given.port}/runs/{waiting.run_id}\n")
    if given.team:
        os.environ["NEUROCORE_AUTH__MODE"] = "local"
        say(who_can_do_what())
        say(f"Sign in as one of them; the password of each is: {PASSWORD}\n")
    command = [sys.executable, "-m", "neurocore", "-C", str(PROJECT), "serve", "--port", str(given.port)]
    os.execv(sys.executable, command)  # noqa: S606 - this process becomes the server


def add_team(store: RunStore) -> None:
    """Add the people who are not there yet."""
    there = {one.username for one in store.list_people()}
    for username, member in TEAM.items():
        if username not in there:
            add_person(
                username, store=store, actor=this_user(), grants=[Grant(Role(one)) for one in member.roles],
                groups=[member.group] if member.group else [], password=PASSWORD, label=username.capitalize(),
            )  # fmt: skip


def who_can_do_what() -> str:
    """Return a line for each person."""
    return "\n".join(
        f"  {username:7}{' and '.join(member.roles):23}{member.group:9}{member.what}"
        for username, member in TEAM.items()
    )


class Demo:
    """A blueprint of the payouts project with its store; it prints what the runs do."""

    def __init__(self, config: NeuroCoreConfig, store: RunStore, blueprint: str = "payouts") -> None:
        self.store = store
        self.config = config
        self.registry = discover_skills(config)
        self.path = config.blueprints_dir / f"{blueprint}.yaml"
        self.blueprint = load_blueprint(self.path)
        self.dispatch = InlineDispatcher(self.registry, config, store, on_event=tell)

    def make_history(self) -> RunRecord | None:
        """Run every batch that has no run yet; return the run that waits."""
        report = sweep_once(self.config, run_store=self.store, dispatch=self.dispatch)
        for run_id in report.lost:
            say(f"run {run_id[:8]} was interrupted, and continued where it was")
        there = self._runs()
        for batch in HISTORY:
            run = there.get(_title(batch))
            if run is None:
                self._start(batch)
            if batch.approved is not None and (run is None or run.status is RunStatus.SUSPENDED):
                self._answer(batch, approved=batch.approved)
        return next((run for run in self._runs().values() if run.status is RunStatus.SUSPENDED), None)

    def start_once(self, batch: Batch) -> RunRecord | None:
        """Run a batch to its gate if it has no run yet; return its run if it waits."""
        runs = self.store.list_runs(blueprint=self.blueprint.name, limit=1)
        if not runs:
            self._start(batch)
            runs = self.store.list_runs(blueprint=self.blueprint.name, limit=1)
        return next((run for run in runs if run.status is RunStatus.SUSPENDED), None)

    def _runs(self) -> dict[str, RunRecord]:
        return {run.title: run for run in reversed(self.store.list_runs(blueprint=self.blueprint.name, limit=1000))}

    def _start(self, batch: Batch) -> None:
        say(f"\n{_title(batch)}, started by {batch.started_by}: inbox/{batch.name}.csv")
        try:
            context = execute_blueprint_tracked(
                self.blueprint, self.registry, self.config, run_store=self.store, on_event=tell,
                initial_data={"batch": batch.name}, blueprint_path=self.path,
                started_by=batch.started_by, tags=["demo"],
            )  # fmt: skip
        except ExecutionError as error:
            say(f"  {error}")
            return
        gate = self.store.load_gates(context.metadata.run_id)[-1]
        say(f"  {gate.message}")

    def _answer(self, batch: Batch, *, approved: bool) -> None:
        run = self._runs()[_title(batch)]
        say(f"  {batch.by} {'approves' if approved else 'rejects'}{f': {batch.note}' if batch.note else ''}")
        try:
            decide_gate(
                run.run_id, approved=approved, by=batch.by, note=batch.note, run_store=self.store,
                dispatch=self.dispatch,
            )  # fmt: skip
        except ExecutionError as error:
            say(f"  {error}")
            return
        if self.dispatch.context is not None:
            say(f"  → examples/payouts/{self.dispatch.context.get('bank_file')}")


def tell(event: RunEvent) -> None:
    """Print one line for each step that ends."""
    if event.kind == "step_finished" and event.status == "completed" and event.duration_ms is not None:
        say(f"  ✓ {event.node_id:<11}{event.duration_ms:7.1f} ms")
    elif event.kind == "step_finished" and event.status == "failed":
        say(f"  ✗ {event.node_id}")
    elif event.kind == "gate_opened":
        say(f"  ◌ {event.node_id} waits for a person")


def say(text: str) -> None:
    print(text, flush=True)


def _title(batch: Batch) -> str:
    return f"Payments of {batch.name}"


if __name__ == "__main__":
    main()
