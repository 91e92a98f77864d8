"""`neurocore runs logs`: print the log of the steps of a run."""

from __future__ import annotations

import click

from neurocore.cli.output import Cell, emit, out, paint, say
from neurocore.cli.project import Project, pass_project
from neurocore.cli.text import line, when
from neurocore.cli.types import json_option, run_argument, server_option
from neurocore.errors import NotFoundError

LEVELS = ("debug", "info", "warning", "error", "critical")
_COLOURS = {"warning": "yellow", "error": "red", "critical": "red", "debug": "dim"}


@click.command()
@run_argument
@click.option("--node", metavar="NODE", help="Only the log of this node.")
@click.option("--level", type=click.Choice(LEVELS), default="debug", help="Only this level and above.")
@server_option
@json_option
@pass_project
def logs(project: Project, run_id: str, node: str | None, level: str, as_json: bool) -> None:
    """Print the log of the steps of a run, in order."""
    whole = project.run_id(run_id)
    found, nodes = project.logs(whole)
    if node is not None and not any(one.node == node for one in found) and node not in (names := nodes()):
        from neurocore.yamlfile import nearest

        raise NotFoundError(f"Run {whole} has no step of node {node[:80]!r}{nearest(node, sorted(names))}")
    wanted = LEVELS[LEVELS.index(level) :]
    lines = [
        one
        for one in found
        if node in (None, one.node) and (one.level.lower() in wanted or one.level.lower() not in LEVELS)
    ]
    if as_json:
        from neurocore.documents.runs import LogsDocument

        emit(LogsDocument(run_id=whole, lines=lines))
        return
    if not lines:
        has_logs = project.elsewhere is not None or project.store.abilities().get("create_run")
        say("There are no log lines." if has_logs else "This store keeps no logs.")
    for one in lines:
        level_cell = Cell(line(one.level.lower()).ljust(8), _COLOURS.get(one.level.lower(), ""))
        place = f"{one.node} (visit {one.visit})" if one.visit > 1 else one.node
        out(f"{paint(when(one.at), 'dim')}  {paint(*level_cell)} {line(place)}: {line(one.message)}")
