"""`neurocore runs inspect`: show a run as text for people, or all of it as JSON."""

from __future__ import annotations

import click

from neurocore.cli.output import emit, out
from neurocore.cli.project import Project, pass_project
from neurocore.cli.types import json_option, run_argument, server_option


@click.command()
@run_argument
@click.option(
    "--full", is_flag=True, help="Show everything: complete values, configuration, tracebacks, logs, activity, YAML."
)
@server_option
@json_option
@pass_project
def inspect(project: Project, run_id: str, full: bool, as_json: bool) -> None:
    """Show the purpose of a run, what happened, its state, and which commands can follow."""
    from neurocore.cli import story

    project.know_classes()
    run = project.load(run_id)
    if as_json:
        emit(project.inspection(run, full=full))
    else:
        out("\n".join(story.story(run, project, full=full)))
