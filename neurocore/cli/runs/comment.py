"""`neurocore runs comment`: say something about a gate that waits."""

from __future__ import annotations

import click

from neurocore.cli.output import emit, out
from neurocore.cli.project import Project, pass_project
from neurocore.cli.sign_in import refuse_unless_open
from neurocore.cli.text import line
from neurocore.cli.types import by_option, json_option, run_argument, server_option


@click.command()
@run_argument
@click.argument("text")
@by_option
@click.option("--gate", metavar="NODE", help="The gate, if several are open.")
@server_option
@json_option
@pass_project
def comment(project: Project, run_id: str, text: str, by: str | None, gate: str | None, as_json: bool) -> None:
    """Say something about a gate that waits. It decides nothing, and everybody who looks at the gate reads it.

    Exits with 4 when no gate is open.
    """
    from neurocore.runs import withdraw
    from neurocore.runs.find import load_run

    whole = project.run_id(run_id)
    if project.elsewhere is not None:
        project.elsewhere.comment(whole, text, gate=gate, by=by)
    else:
        actor = project.actor(by)
        refuse_unless_open(project, whole, "comment on a gate")
        withdraw.comment(whole, text, actor=actor, run_store=project.store, gate=gate)
    if as_json:
        emit(project.outcome(load_run(whole, project.store)))
        return
    out(f"Your comment on run {line(whole)} is recorded.")
