"""`neurocore runs resume`: continue a run."""

from __future__ import annotations

import click

from neurocore.cli.drive import drive, ended_well, report
from neurocore.cli.live import View
from neurocore.cli.project import Project, pass_project
from neurocore.cli.types import by_option, data_option, json_option, run_argument, server_option
from neurocore.errors import UsageError


@click.command()
@run_argument
@data_option
@click.option(
    "--latest",
    is_flag=True,
    help="Use the current file of the blueprint, not the definition that the run started with.",
)
@click.option("--take-over", is_flag=True, help="Take the run from a process that is alive but frozen.")
@click.option("--gate", metavar="NODE", help="The waiting step that receives --data, if several wait.")
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
@by_option
@server_option
@json_option
@pass_project
def resume(
    project: Project, run_id: str, pairs: tuple[str, ...], latest: bool, take_over: bool, gate: str | None, quiet: bool,
    by: str | None, as_json: bool,
) -> int:  # fmt: skip
    """Continue a suspended, failed or lost run. Completed steps are not executed again.

    --data provides the input that a waiting step asks for; failed steps see it when they are tried again. To decide
    at a gate, use `neurocore runs approve`. Exits with 0 when the run is completed or waits again, 1 when it
    failed, 4 when it cannot be resumed.
    """
    from neurocore.blueprint.inputs import data_texts, read_data_option
    from neurocore.runs.resume import resume_blueprint

    if (there := project.elsewhere) is not None:
        if take_over:
            raise UsageError("--take-over works only where the history is, because it needs to know its processes.")
        texts, whole = data_texts(pairs), project.run_id(run_id)
        told = {step.step_index: step.status for step in there.store.step_summaries(whole)}
        there.follow(
            lambda: there.resume(whole, texts, latest=latest, gate=gate, by=by),
            quiet=quiet, is_continued=True, told=told,
        )  # fmt: skip
        return ended_well(report(project, whole, as_json=as_json))
    data = read_data_option(pairs) if pairs else None
    whole = project.run_id(run_id)

    def go_on(shown: View) -> object:
        return resume_blueprint(
            whole, project.registry, project.config, resume_data=data, run_store=project.store, latest=latest,
            take_over=take_over, gate=gate, actor=project.actor(by), on_event=shown,
        )  # fmt: skip

    return ended_well(report(project, drive(project, go_on, run_id=whole, quiet=quiet), as_json=as_json))
