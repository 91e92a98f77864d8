"""`neurocore runs withdraw`: take one's own answer at a gate back."""

from __future__ import annotations

import click

from neurocore.cli.output import columns, emit, out
from neurocore.cli.project import Project, pass_project
from neurocore.cli.sign_in import refuse_unless_open
from neurocore.cli.text import wrapped
from neurocore.cli.types import by_option, json_option, run_argument, server_option
from neurocore.options import Whole


@click.command()
@run_argument
@by_option
@click.option("--gate", metavar="NODE", help="The gate, if several are open.")
@click.option("--visit", type=Whole(min=1), help="The visit of the gate.")
@click.option("--digest", metavar="DIGEST", help="The digest that you saw; refused if the gate has another digest now.")
@server_option
@json_option
@pass_project
def withdraw(
    project: Project, run_id: str, by: str | None, gate: str | None, visit: int | None, digest: str | None,
    as_json: bool,
) -> None:  # fmt: skip
    """Take your own answer at a gate back.

    That is possible while the gate is undecided, and, if your answer decided it, for the time that its `undo` gives.
    Exits with 4 when it is too late.
    """
    from neurocore.cli import story
    from neurocore.cli.answers import withdrawn
    from neurocore.gates.answer import choose
    from neurocore.runs.find import load_run
    from neurocore.runs.withdraw import withdraw_answer

    whole = project.run_id(run_id)
    if project.elsewhere is not None:
        node = project.elsewhere.withdraw(whole, gate=gate, visit=visit, digest=digest, by=by)
    else:
        actor = project.actor(by)
        refuse_unless_open(project, whole, "withdraw an answer")
        before = load_run(whole, project.store)
        meant = choose(before, before.gates, gate, visit)
        withdraw_answer(whole, actor=actor, run_store=project.store, gate=gate, visit=visit, digest=digest)
        node = meant.node_id if meant is not None else str(gate)
    run = load_run(whole, project.store)
    if as_json:
        emit(project.outcome(run))
        return
    told = wrapped(withdrawn(node, run, project), columns(), "", "  ")
    out("\n".join([*told, *story.ending(run, project)]))
