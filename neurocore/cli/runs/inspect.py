"""`neurocore runs inspect`: a run told like a story, or whole as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from neurocore.cli.output import emit, out
from neurocore.cli.project import Project, pass_project
from neurocore.cli.types import json_option, run_argument

if TYPE_CHECKING:
    from neurocore.cli.documents import InspectDocument
    from neurocore.persistence.base import RunRecord
from neurocore.runtime.definition import definition


@click.command()
@run_argument
@click.option("--full", is_flag=True, help="Everything: values whole, configuration, tracebacks, logs, activity, YAML.")
@json_option
@pass_project
def inspect(project: Project, run_id: str, full: bool, as_json: bool) -> None:
    """Tell what a run was for, what happened, where it stands, and what can be typed next."""
    from neurocore.cli import story

    run = project.load(run_id)
    if as_json:
        emit(_document(run, project, full))
    else:
        out("\n".join(story.story(run, project, full=full)))


def _document(run: RunRecord, project: Project, full: bool) -> InspectDocument:
    from neurocore.cli import story, views
    from neurocore.cli.brief import state
    from neurocore.cli.documents import InspectDocument
    from neurocore.runtime.actions import actions

    store, config = project.store, project.config
    gates = store.load_gates(run.run_id)
    waiting = {(gate.node_id, gate.visit) for gate in views.open_gates(gates, run) if gate.kind == "gate"}

    def schema(skill: str) -> Any:
        return story.schema_of(skill, project)

    return InspectDocument(
        run=views.details(run, store, config),
        steps=[
            views.step(step, full=full, schema=schema(step.skill_type or "") if full else None)
            for step in store.load_steps(run.run_id)
        ],
        gates=[
            views.gate(gate, story.outlooks(run, gate, project), story.last_approved(run, gate, project))
            if (gate.node_id, gate.visit) in waiting
            else views.gate(gate)
            for gate in gates
        ],
        events=[views.event(event) for event in store.load_events(run.run_id)],
        next=views.next_commands(run, gates, state(run, config, store), run.run_id, project.called),
        refused={verb: reason for verb, reason in actions(run, config, store).items() if reason is not None},
        blueprint_source=definition(run.blueprint_snapshot, schema)[0] if full else None,
    )
