"""`neurocore run`: start a run of a blueprint and drive it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import click

from neurocore.cli.drive import drive, ended_well, report
from neurocore.cli.errors import SUSPENDED
from neurocore.cli.live import View, view
from neurocore.cli.output import columns, complain, emit, mark, out
from neurocore.cli.project import Project, pass_project
from neurocore.cli.text import line
from neurocore.cli.types import BLUEPRINT, by_option, data_option, json_option, server_option
from neurocore.cli.values import named
from neurocore.errors import ExecutionError

if TYPE_CHECKING:
    from neurocore.persistence.records import RunRecord
    from neurocore.runs.start import NewRun


@click.command()
@click.argument("blueprint", type=BLUEPRINT)
@data_option
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="A tag to find the run by. Repeatable.")
@click.option("--run-id", metavar="ID", help="The id of the new run. Default: a generated one.")
@click.option("--exit-code", is_flag=True, help="Exit with 5 when the run waits for somebody.")
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
@by_option
@server_option
@json_option
@pass_project
def run(
    project: Project, blueprint: str, pairs: tuple[str, ...], tags: tuple[str, ...], run_id: str | None,
    exit_code: bool, quiet: bool, by: str | None, as_json: bool,
) -> int:  # fmt: skip
    """Run a blueprint: a file, or a name in the blueprints folder (with --server, of the server).

    Exits with 0 when the run is completed or waits for somebody (5 with --exit-code), 1 when it failed.
    """
    from neurocore.blueprint.inputs import data_texts, read_data_option
    from neurocore.runs.start import NewRun, run_here

    if (there := project.elsewhere) is not None:
        texts = data_texts(pairs)
        new_id = there.follow(lambda: there.start(blueprint, texts, tags=tags, run_id=run_id, by=by), quiet=quiet)
        return _exit_code(report(project, new_id, as_json=as_json), exit_code)
    definition, path = project.load_blueprint(blueprint)
    data = read_data_option(pairs, definition, project.config.environ)
    new = NewRun(
        blueprint=definition, actor=project.actor(by), initial_data=data, run_id=run_id, blueprint_path=path.resolve(),
        tags=tags,
    )  # fmt: skip

    def start(shown: View) -> object:
        return run_here(new, project.registry, project.config, run_store=project.make_store(), on_event=shown)

    persistence = project.config.persistence
    if persistence.enabled and persistence.backend != "memory":
        ended = report(project, drive(project, start, quiet=quiet), as_json=as_json)
    else:
        ended = _untracked(project, new, quiet=quiet, as_json=as_json)
    return _exit_code(ended, exit_code)


def _exit_code(ended: RunRecord, tells_suspended: bool) -> int:
    return SUSPENDED if tells_suspended and ended.status.value == "suspended" else ended_well(ended)


def _untracked(project: Project, new: NewRun, *, quiet: bool, as_json: bool) -> RunRecord:
    """Drive a run that is not stored: only its result can be shown, and no command can follow."""
    from msgspec import structs

    from neurocore.cli import story
    from neurocore.documents import make
    from neurocore.persistence.memory import InMemoryRunStore
    from neurocore.runs.start import execute_untracked

    store = InMemoryRunStore()
    with view(quiet=quiet) as shown, contextlib.suppress(ExecutionError):  # its record says how it failed
        execute_untracked(new, project.registry, project.config, run_store=store, on_event=shown)
    (ended,) = store.list_runs()
    if ended.status.value == "failed":
        complain(ended.error or "The run failed.")
    if as_json:
        emit(structs.replace(make.outcome(ended, store, project.config, project.called), next=[]))
        return ended
    sign, words = story.standing(ended, "idle")
    why = "persistence.backend is memory" if project.config.persistence.enabled else "persistence is disabled"
    out(f"{mark(sign)} {words} · {line(new.blueprint.name)} · not stored, because {why}")
    out("\n".join(named(make.context_of(ended, store), indent="  ", room=columns(), most=4)))
    return ended
