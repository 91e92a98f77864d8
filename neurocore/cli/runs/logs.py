"""`neurocore runs logs`: print the log of the steps of a run."""

from __future__ import annotations

import click

from neurocore.cli.output import Cell, emit, out, paint, say
from neurocore.cli.project import Project, pass_project
from neurocore.cli.text import line, when
from neurocore.cli.types import json_option, run_argument
from neurocore.errors import NotFoundError

LEVELS = ("debug", "info", "warning", "error", "critical")
_COLOURS = {"warning": "yellow", "error": "red", "critical": "red", "debug": "dim"}


@click.command()
@run_argument
@click.option("--node", metavar="NODE", help="Only the log of this node.")
@click.option("--level", type=click.Choice(LEVELS), default="debug", help="Only this level and above.")
@json_option
@pass_project
def logs(project: Project, run_id: str, node: str | None, level: str, as_json: bool) -> None:
    """Print the log of the steps of a run, in order."""
    from neurocore.documents import make

    whole = project.run_id(run_id)
    steps = project.store.load_steps(whole)
    names = {step.node_id or step.component for step in steps}
    if node is not None and node not in names:
        from neurocore.yamlfile import nearest

        raise NotFoundError(f"Run {whole} has no step of node {node[:80]!r}{nearest(node, sorted(names))}")
    wanted = LEVELS[LEVELS.index(level) :]
    lines = [
        one
        for step in steps
        if node in (None, step.node_id or step.component)
        for one in make.logs(step)
        if one.level.lower() in wanted or one.level.lower() not in LEVELS
    ]
    if as_json:
        from neurocore.documents.runs import LogsDocument

        emit(LogsDocument(run_id=whole, lines=lines))
        return
    if not lines:
        say("There are no log lines." if project.store.abilities().get("create_run") else "This store keeps no logs.")
    for one in lines:
        level_cell = Cell(line(one.level.lower()).ljust(8), _COLOURS.get(one.level.lower(), ""))
        place = f"{one.node} (visit {one.visit})" if one.visit > 1 else one.node
        out(f"{paint(when(one.at), 'dim')}  {paint(*level_cell)} {line(place)}: {line(one.message)}")
