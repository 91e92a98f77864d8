"""The rows of the timeline as HTML. The row of a recorded step is rendered once; only its bars change."""

from __future__ import annotations

from collections.abc import Iterable

from flask import current_app
from markupsafe import Markup

from neurocore.persistence.records import RunRecord
from webapp.html.helpers import run_url
from webapp.runs.timeline import Bar, Row
from webapp.services import Services, identity

_HERE = Markup("\x00")


def rows_html(run: RunRecord, rows: Iterable[Row], services: Services) -> Markup:
    """Return a list item for each row."""
    base = run_url(run.run_id, "steps")
    return Markup("".join([_row(run, row, base, services) for row in rows]))  # noqa: S704 - templates of ours, escaped


def _row(run: RunRecord, row: Row, base: str, services: Services) -> str:
    if row.step is None or row.waiting:
        before, after = _rendered(row, base)
    else:
        gate = row.gate.status.value if row.gate else ""
        whose = f"{identity(run)}/{row.key}"
        tells = (row.step.commit_index, row.step.visit, gate, f"{row.waited_ms or 0:.0f}")
        kept = services.kept_row(whose, base, tells)
        if kept is None:
            kept = _rendered(row, base)
            services.keep_row(whose, base, tells, kept)
        before, after = kept
    return f"{before}{''.join([_bar(bar) for bar in row.bars])}{after}"


def _rendered(row: Row, base: str) -> tuple[str, str]:
    template = current_app.jinja_env.get_template("runs/_step.html")
    before, _, after = template.render(row=row, base=base, bars=_HERE).partition("\x00")
    return before, after


def _bar(bar: Bar) -> str:
    fill = ' fill="url(#hatch)"' if bar.kind == "waiting" else ""
    breaks = "".join(f'<path class="break" d="M{x - 3} 11L{x + 1} -1M{x + 3} 11L{x + 7} -1"/>' for x in bar.breaks)
    return f'<rect class="{bar.kind}" x="{bar.x}" width="{bar.width}" height="10"{fill}/>{breaks}'
