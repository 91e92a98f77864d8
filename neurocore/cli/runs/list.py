"""`neurocore runs list`. It starts fast: it imports the runtime only if a run is active."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from neurocore.cli.brief import short_id
from neurocore.cli.output import MARKS, Cell, Column, emit, is_terminal, out, say, table
from neurocore.cli.project import Project, pass_project
from neurocore.cli.text import ago, line
from neurocore.cli.types import BLUEPRINT, SINCE, STATUSES, UNTIL, ParamType, json_option, server_option
from neurocore.errors import UsageError
from neurocore.options import Whole
from neurocore.persistence.records import RunFilter, RunStatus
from neurocore.readable import took

if TYPE_CHECKING:
    from neurocore.persistence.records import RunRecord


class _Statuses(ParamType):
    """One status, or several separated by commas."""

    name = "status"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[RunStatus, ...]:
        words = [word.strip().lower() for word in str(value).split(",") if word.strip()]
        wrong = next((word for word in words if word not in STATUSES), None)
        if wrong is not None or not words:
            self.fail(
                f"{str(wrong or value)[:40]!r} is not a status; the statuses are {', '.join(STATUSES)}.", param, ctx
            )
        return tuple(map(RunStatus, words))

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[click.shell_completion.CompletionItem]:
        return [click.shell_completion.CompletionItem(one) for one in STATUSES if one.startswith(incomplete)]


@click.command("list")
@click.option(
    "-s",
    "--status",
    "statuses",
    type=_Statuses(),
    multiple=True,
    help="Only runs with these statuses (a,b or repeated).",
)
@click.option("-b", "--blueprint", type=BLUEPRINT, help="Only runs of this blueprint.")
@click.option("-n", "--limit", type=Whole(1, 1000), default=20, show_default=True, help="The maximum number of runs.")
@click.option(
    "--waiting", is_flag=True, help="Only runs with an open gate or input, including runs that are still running."
)
@click.option(
    "--since", type=SINCE, help="Started at this time or later: 2026-03-31, 2026-03-31T14:00, today, 10m, 2h, 7d."
)
@click.option("--until", type=UNTIL, help="Started before this time; for a day, before the end of the day.")
@click.option("--tag", help="Only runs with this tag.")
@click.option("--by", "started_by", metavar="NAME", help="Only runs started by NAME.")
@click.option("--search", metavar="TEXT", help="Only runs whose title or id begins with this.")
@click.option("--before", metavar="CURSOR", help="The next page: the value that the last line of a page shows.")
@server_option
@json_option
@pass_project
def list_(
    project: Project, statuses: tuple[tuple[RunStatus, ...], ...], blueprint: str | None, limit: int, waiting: bool,
    since: str | None, until: str | None, tag: str | None, started_by: str | None, search: str | None,
    before: str | None, as_json: bool,
) -> None:  # fmt: skip
    """List runs, newest first."""
    if search is not None and not search.strip():
        raise UsageError("--search is empty; give the beginning of a title or id.")
    wanted = RunFilter(
        status=tuple(dict.fromkeys(one for group in statuses for one in group)), blueprint=blueprint, text=search,
        since=since, until=until, tag=tag, started_by=started_by, waiting=waiting,
    )  # fmt: skip
    found = project.page_runs(wanted, before=before, limit=limit)
    page = found.page
    if found.period and not as_json:
        say(f"Started {line(found.period)}.")
    if as_json:
        from neurocore.documents.runs import RunsDocument

        emit(
            RunsDocument(
                runs=[project.summary(run) for run in page.runs], older=page.older, newer=page.newer,
                since=found.since, until=found.until, timezone=found.timezone,
            )
        )  # fmt: skip
    elif not page.runs:
        anything = wanted != RunFilter() or before is not None
        say("No run matches." if anything else "No runs yet; `neurocore run BLUEPRINT` makes the first.")
    else:
        _print(project, page.runs)
        if page.older is not None and is_terminal():
            say(f"For older runs, repeat the command with --before '{line(page.older)}'")


#: The words of the table that differ from the name of the state.
WORDS = {"owed": "pending", "cannot_tell": "cannot tell"}


def _print(project: Project, runs: list[RunRecord]) -> None:
    signs = is_terminal()
    rows: list[list[str | Cell]] = []
    for run in runs:
        now = project.state(run)
        moves = now in ("lost", "owed", "cannot_tell") and not run.status.ended
        word = WORDS.get(now, now) if moves else run.status.value
        word = f"{word} (held)" if run.held is not None else word
        sign, colour = MARKS.get("held" if run.held is not None else word, ("·", ""))
        done = f"{run.nodes_done}/{run.nodes_total}" if run.nodes_total else ""
        rows.append(
            [
                short_id(run.run_id),
                Cell(f"{sign} {word}" if signs else word, colour),
                line(run.blueprint_name),
                line(run.title),
                ago(run.created_at),
                took(run.duration_ms) if run.duration_ms is not None else "",
                done,
                line(run.started_by or ""),
            ]
        )
    heads = [
        Column("run", least=16), Column("status"), Column("blueprint", least=10), Column("about", least=12),
        Column("started"), Column("worked", right=True, goes="last"), Column("steps", right=True, goes="last"),
        Column("by", least=6, goes="first"),
    ]  # fmt: skip
    if not any(run.title for run in runs):
        del heads[3]
        for row in rows:
            del row[3]
    out(table(heads, rows))
