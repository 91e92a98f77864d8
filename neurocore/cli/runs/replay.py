"""`neurocore runs replay`: start a new run from the same inputs."""

from __future__ import annotations

import click

from neurocore.cli.drive import drive, ended_well, report
from neurocore.cli.live import View
from neurocore.cli.project import Project, pass_project
from neurocore.cli.types import by_option, json_option, run_argument, server_option


@click.command()
@run_argument
@click.option(
    "--latest",
    is_flag=True,
    help="Use the current file of the blueprint, not the definition that the other run started with.",
)
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="A tag to find the new run by. Repeatable.")
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
@by_option
@server_option
@json_option
@pass_project
def replay(
    project: Project, run_id: str, latest: bool, tags: tuple[str, ...], quiet: bool, by: str | None, as_json: bool
) -> int:
    """Start a new run with the inputs of another run. Answers are not copied: each gate asks again.

    Exits with 0 when the new run is completed or waits for somebody, 1 when it failed.
    """
    from neurocore.runs.replay import replay_run

    whole = project.run_id(run_id)
    if (there := project.elsewhere) is not None:
        new_id = there.follow(lambda: there.replay(whole, latest=latest, tags=tags, by=by), quiet=quiet)
        return ended_well(report(project, new_id, as_json=as_json))

    def again(shown: View) -> object:
        return replay_run(
            whole, project.registry, project.config, run_store=project.store, latest=latest, tags=tags,
            actor=project.actor(by), on_event=shown,
        )  # fmt: skip

    return ended_well(report(project, drive(project, again, quiet=quiet), as_json=as_json))
