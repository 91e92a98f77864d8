"""`neurocore runs watch`: follow a run that another process drives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from neurocore.cli import errors
from neurocore.cli.drive import ended_well, report
from neurocore.cli.live import View, view
from neurocore.cli.output import complain, say
from neurocore.cli.project import Project, pass_project
from neurocore.cli.text import line
from neurocore.cli.types import json_option, run_argument, server_option
from neurocore.errors import RunNotFound

if TYPE_CHECKING:
    from neurocore.persistence.records import Event, RunRecord, StepRecord


@click.command()
@run_argument
@click.option("--follow", is_flag=True, help="Continue watching while the run waits for somebody, until it ends.")
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
@server_option
@json_option
@pass_project
def watch(project: Project, run_id: str, follow: bool, quiet: bool, as_json: bool) -> int:
    """Follow a run until it ends or waits for somebody; with --follow, until it ends.

    Exits with 0 when the run is completed, waits or is held, 1 when it failed or is lost. Ctrl-C stops watching,
    not the run.
    """
    whole = project.run_id(run_id)
    try:
        with view(quiet=quiet) as shown:
            lost = follow_run(project, whole, shown, to_end=follow)
    except KeyboardInterrupt as error:
        raise errors.Interrupted("Stopped watching; the run continues.") from error
    run = report(project, whole, as_json=as_json)
    if lost:
        complain(f"The process that drove run {whole} died; `neurocore runs resume {whole}` continues it.")
        return errors.FAILED
    return ended_well(run)


def follow_run(
    project: Project,
    run_id: str,
    shown: View,
    *,
    to_end: bool = False,
    is_continued: bool = False,
    told: Mapping[int, str] | None = None,
) -> bool:
    """Show what happens until there is nothing to wait for; return whether the run's process died.

    With `to_end`, a run that waits for somebody is watched too. With `is_continued`, somebody drives a run that is
    pending, so its former end does not count. `told` are the steps that are not shown again, with their status.
    """
    seen = _Seen(run_id, shown, told)
    version, waited, now = -1, False, ""
    while True:
        run = project.store.load_summary(run_id)
        if run is None:
            raise RunNotFound(f"Run {run_id} was deleted while it was watched.", run_id=run_id)
        if run.version != version:
            version = run.version
            seen.look(run, project.store.step_summaries(run_id, after=seen.settled))
            seen.hear(project.store.load_events(run_id))
        now, before = project.state(run), now
        if now == "cannot_tell" != before:
            say("NeuroCore cannot tell whether the process that drives the run is alive; still watching.")
        if run.status.ended and not (is_continued and run.owed is not None):
            return now == "lost"
        if now in ("lost", "held"):
            return now == "lost"
        if run.status.value == "suspended" and now == "idle":
            if not to_end:
                return False
            if not waited:
                say(f"The run waits at {line(run.suspended_at_node)}; still watching.")
            waited = True
        else:
            waited = False
        project.pause(run_id)


class _Seen:
    """Turns new records into the events that the driving process would have sent."""

    def __init__(self, run_id: str, shown: View, told: Mapping[int, str] | None = None) -> None:
        self.run_id = run_id
        self.shown = shown
        self.told = dict(told or {})
        self.started: set[tuple[str, int, int]] = set()
        self.settled = -1
        self.heard = 0

    def look(self, run: RunRecord, steps: list[StepRecord]) -> None:
        """Send events for steps that ended or began to wait, and for running steps."""
        for step in steps:
            self.started.add((step.node_id, step.visit, step.attempt))  # it may have ended since the run was read
            if self.told.get(step.step_index) != step.status.value:
                self.told[step.step_index] = step.status.value
                self._tell("step_finished", step.started_at, step.node_id, step.visit, step.attempt, step)
        while self.told.get(self.settled + 1) not in (None, "suspended"):
            self.settled += 1
        for node in run.working_nodes if run.status.value == "running" else ():
            key = (node.node_id, node.visit, node.attempt)
            if key not in self.started:
                self.started.add(key)
                self._tell("step_started", node.started_at, *key, None)

    def hear(self, events: list[Event]) -> None:
        """Send events for new warnings in the activity."""
        from neurocore.run_events import RunEvent

        for event in events[self.heard :]:
            if event.kind == "warning":
                sentence = str(event.data.get("message", ""))
                self.shown(RunEvent(kind="warning", run_id=self.run_id, at=event.at, error=sentence))
        self.heard = len(events)

    def _tell(self, kind: str, at: str, node: str, visit: int, attempt: int, step: StepRecord | None) -> None:
        from neurocore.run_events import RunEvent

        self.shown(
            RunEvent(
                kind=kind, run_id=self.run_id, at=at, node_id=node, visit=visit, attempt=attempt,
                status=step.status.value if step else None,
                duration_ms=step.duration_ms if step else None, error=(step.error or step.reason) if step else None,
            )
        )  # fmt: skip
