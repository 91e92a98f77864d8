"""`neurocore runs inspect`: show a run as text for people, or all of it as JSON."""

from __future__ import annotations

import click

from neurocore.cli.output import emit, out
from neurocore.cli.project import Project, pass_project
from neurocore.cli.types import json_option, run_argument


@click.command()
@run_argument
@click.option(
    "--full", is_flag=True, help="Show everything: complete values, configuration, tracebacks, logs, activity, YAML."
)
@json_option
@pass_project
def inspect(project: Project, run_id: str, full: bool, as_json: bool) -> None:
    """Show the purpose of a run, what happened, its state, and which commands can follow."""
    from neurocore.cli import story

    project.know_classes()
    run = project.load(run_id)
    if as_json:
        from neurocore.documents.inspect import inspect as inspected

        emit(
            inspected(
                run, project.store, project.config, lambda skill: story.schema_of(skill, project), project.called,
                full=full,
            )
        )  # fmt: skip
    else:
        out("\n".join(story.story(run, project, full=full)))
