"""`neurocore runs cancel`: stop a run."""

from __future__ import annotations

import click

from neurocore.cli.output import emit, out, say
from neurocore.cli.project import Project, pass_project
from neurocore.cli.text import line
from neurocore.cli.types import by_option, json_option, run_argument, server_option


@click.command()
@run_argument
@click.option("--note", metavar="TEXT", help="Why.")
@by_option
@server_option
@json_option
@pass_project
def cancel(project: Project, run_id: str, note: str | None, by: str | None, as_json: bool) -> None:
    """Cancel a run: immediately if no process drives it, otherwise with or after the current step.

    A `command`, an `http` request or another async skill is stopped immediately, and its step is recorded as cancelled.
    Other skills finish their step first.

    Completed steps are kept. A run that has ended is refused. A cancelled run can be replayed, but not resumed.
    """
    from neurocore.cli import story
    from neurocore.runs.actions import STOPS
    from neurocore.runs.cancel import cancel_run

    whole = project.run_id(run_id)
    if project.elsewhere is not None:
        run = project.elsewhere.cancel(whole, note=note, by=by)
    else:
        run = cancel_run(whole, run_store=project.store, actor=project.actor(by), config=project.config, note=note)
    if as_json:
        emit(project.outcome(run))
        return
    if not run.status.ended:
        who = line(project.driver(run))
        if project.state(run) == "cannot_tell":
            say(
                f"Asked {who} to stop, but NeuroCore cannot tell whether it is alive; if it has ended, "
                f"`{project.called} runs resume {line(run.run_id)} --take-over` ends the run."
            )
        else:
            say(f"Asked {who} to stop. {STOPS}")
    out("\n".join(story.ending(run, project)))
