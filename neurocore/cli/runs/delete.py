"""`neurocore runs delete`: delete ended runs; a tombstone says who did it."""

from __future__ import annotations

import sys

import click

from neurocore.cli.output import columns, emit, is_terminal, out, say
from neurocore.cli.project import Project, pass_project
from neurocore.cli.text import ago, line, wrapped
from neurocore.cli.types import RUN_ID, by_option, json_option
from neurocore.errors import RefusedError, UsageError
from neurocore.readable import counted


@click.command()
@click.argument("run_ids", metavar="RUN_ID...", nargs=-1, required=True, type=RUN_ID)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@by_option
@json_option
@pass_project
def delete(project: Project, run_ids: tuple[str, ...], yes: bool, by: str | None, as_json: bool) -> None:
    """Delete ended runs with their steps, answers and logs. A tombstone records which run, by whom, and when.

    Asks for confirmation; without a terminal, --yes is required. If one of the runs has not ended, the command is
    refused and nothing is deleted.
    """
    from neurocore.documents import make
    from neurocore.runs.delete import delete_run

    who = project.actor(by)
    runs = [project.load(prefix) for prefix in dict.fromkeys(map(project.run_id, run_ids))]
    for run in runs:
        if not run.status.ended:
            raise RefusedError(
                f"Run {run.run_id} is {run.status.value}; only ended runs can be deleted, so cancel it first."
            )
    if not yes:
        if not is_terminal(sys.stdin):
            raise UsageError(
                "There is no terminal for the question, so nothing was deleted; give --yes to delete without asking."
            )
        for run in runs:
            about = line(run.title or run.blueprint_name)
            say(f"  {line(run.run_id)}  {run.status.value}  {about}  {ago(run.created_at)}")
        if not click.confirm(f"Delete {'it' if len(runs) == 1 else counted(len(runs), 'run')} permanently?", err=True):
            say("Nothing was deleted.")
            return
    buried = [delete_run(run.run_id, run_store=project.store, actor=who) for run in runs]
    if as_json:
        emit([make.deleted(one) for one in buried])
        return
    for one in buried:
        said = wrapped(f"Deleted run {line(one.run_id)} of {line(one.blueprint_name)}.", columns(), "", "  ")
        out("\n".join(said))
