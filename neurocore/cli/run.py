"""`neurocore run`: start a run of a blueprint and drive it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from neurocore.cli.drive import drive, ended_well, report
from neurocore.cli.errors import DONE, SUSPENDED
from neurocore.cli.live import View, view
from neurocore.cli.output import emit, out
from neurocore.cli.project import Project, pass_project
from neurocore.cli.types import BLUEPRINT, by_option, data_option, json_option

if TYPE_CHECKING:
    from neurocore.blueprint.model import Blueprint
    from neurocore.documents.runs import OutcomeDocument


@click.command()
@click.argument("blueprint", type=BLUEPRINT)
@data_option
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="A word to find the run by. Repeatable.")
@click.option("--run-id", metavar="ID", help="The new run's id; made up if left out.")
@click.option("--exit-code", is_flag=True, help="End 5 when the run waits for somebody.")
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
@by_option
@json_option
@pass_project
def run(
    project: Project, blueprint: str, pairs: tuple[str, ...], tags: tuple[str, ...], run_id: str | None,
    exit_code: bool, quiet: bool, by: str | None, as_json: bool,
) -> int:  # fmt: skip
    """Run a blueprint: a file, or a name in the blueprints folder.

    Ends 0 when the run is completed or waits for somebody (5 with --exit-code), 1 when it failed.
    """
    from neurocore.blueprint.inputs import read_data_option
    from neurocore.runtime.executor import execute_blueprint_tracked

    definition, path = project.load_blueprint(blueprint)
    data = read_data_option(pairs, definition)
    if not project.config.persistence.enabled:
        return _untracked(project, definition, data, quiet=quiet, as_json=as_json)

    def start(shown: View) -> object:
        return execute_blueprint_tracked(
            definition, project.registry, project.config, initial_data=data, run_store=project.store, run_id=run_id,
            blueprint_path=Path(path).resolve(), tags=tags, started_by=by, on_event=shown,
        )  # fmt: skip

    ended = report(project, drive(project, start, quiet=quiet), as_json=as_json)
    return SUSPENDED if exit_code and ended.status.value == "suspended" else ended_well(ended)


def _untracked(project: Project, blueprint: Blueprint, data: dict[str, Any], *, quiet: bool, as_json: bool) -> int:
    """A run that nothing is kept of: its context is all there is to show."""
    from neurocore.cli.output import columns, mark
    from neurocore.cli.text import line
    from neurocore.cli.values import named
    from neurocore.runtime.definition import shown as shown_values
    from neurocore.runtime.executor import execute_blueprint

    with view(quiet=quiet) as shown:
        context = execute_blueprint(blueprint, project.registry, project.config, initial_data=data, on_event=shown)
    status = context.metadata.status or "completed"
    values = shown_values(context.data.to_dict())
    if as_json:
        emit(_outcome(blueprint, context.metadata.run_id, status, data, values, shown))
        return DONE
    out(f"{mark(status)} {status} · {line(blueprint.name)} · not kept, as persistence is disabled")
    out("\n".join(named(values, indent="  ", room=columns(), most=4)))
    return DONE


def _outcome(
    blueprint: Blueprint, run_id: str, status: str, data: dict[str, Any], values: dict[str, Any], shown: View
) -> OutcomeDocument:
    from neurocore.blueprint.inputs import render_title
    from neurocore.documents.runs import OutcomeDocument
    from neurocore.persistence.base import utcnow_iso

    now = utcnow_iso()
    return OutcomeDocument(
        run_id=run_id, title=render_title(blueprint, data), blueprint=blueprint.name,
        blueprint_version=blueprint.version, status=status, state="idle", created_at=shown.began or now, updated_at=now,
        finished_at=now, duration_ms=shown.duration_ms, nodes_done=0, nodes_total=len(blueprint.node_ids),
        running_nodes=[], suspended_at_node=None, suspension_reason=None, error=None, failure=None, started_by=None,
        replay_of=None, tags=[], data=values, waits=[], next=[],
    )  # fmt: skip
