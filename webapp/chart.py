"""Home's chart: runs by the day they started, stacked by status. SVG with classes; the same figures as a table beside it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta

from markupsafe import Markup
from msgspec import Struct

from neurocore.persistence.base import DayCount, RunStatus

DAYS = 14
#: From the bottom of a column to its top.
ORDER = (RunStatus.COMPLETED, RunStatus.CANCELLED, RunStatus.SUSPENDED, RunStatus.RUNNING, RunStatus.FAILED)
HEIGHT = 96
COLUMN = 40
BAR = 26


class Day(Struct, frozen=True):
    """One column."""

    day: str
    counts: dict[RunStatus, int]

    @property
    def total(self) -> int:
        """All runs of the day."""
        return sum(self.counts.values())


def first_day(today: date | None = None) -> str:
    """The day the chart begins with."""
    return ((today or datetime.now(UTC).date()) - timedelta(days=DAYS - 1)).isoformat()


def days(counts: Iterable[DayCount], today: date | None = None) -> list[Day]:
    """A column for each of the last days, those without runs too."""
    by_day: dict[str, dict[RunStatus, int]] = {}
    for one in counts:
        by_day.setdefault(one.day, {})[one.status] = one.count
    first = date.fromisoformat(first_day(today))
    names = [(first + timedelta(days=offset)).isoformat() for offset in range(DAYS)]
    return [Day(name, {s: n for s in ORDER if (n := by_day.get(name, {}).get(s, 0)) > 0}) for name in names]


def draw(columns: list[Day], runs_url: str) -> Markup:
    """The chart; each column is a link to the runs of its day."""
    most = max((day.total for day in columns), default=0) or 1
    parts = []
    for place, day in enumerate(columns):
        x = place * COLUMN + (COLUMN - BAR) // 2
        parts.append(_column(day, x, most, runs_url))
        when = date.fromisoformat(day.day)
        if place % 2 == (DAYS - 1) % 2:
            parts.append(
                Markup('<text x="{}" y="{}">{}</text>').format(x + BAR // 2, HEIGHT + 30, f"{when:%b} {when.day}")
            )
    return Markup('<svg class="chart" width="{0}" height="{1}" viewBox="0 0 {0} {1}" role="group" aria-label="{2}">{3}</svg>').format(
        DAYS * COLUMN, HEIGHT + 36, f"Runs by day, the last {DAYS} days", Markup("").join(parts)
    )


def _column(day: Day, x: int, most: int, runs_url: str) -> Markup:
    told = ", ".join(f"{count:,} {status.value}" for status, count in day.counts.items()) or "no runs"
    bars, y = [], float(HEIGHT + 14)
    for status, count in day.counts.items():
        height = max(2.0, HEIGHT * count / most)
        y -= height
        bars.append(Markup('<rect class="{}" x="{}" y="{:.1f}" width="{}" height="{:.1f}"/>').format(status.value, x, y, BAR, height))
    bars.append(Markup('<rect class="base" x="{}" y="{}" width="{}" height="1"/>').format(x, HEIGHT + 14, BAR))
    if day.total:
        bars.append(Markup('<text class="total" x="{}" y="{:.1f}">{}</text>').format(x + BAR // 2, max(10.0, y - 4), f"{day.total:,}"))
    title = Markup("<title>{}: {}</title>").format(day.day, told)
    if not day.total:
        return Markup("<g>{}{}</g>").format(title, Markup("").join(bars))
    return Markup('<a href="{}?since={}&until={}" aria-label="{}: {}">{}{}</a>').format(
        runs_url, day.day, day.day, day.day, told, title, Markup("").join(bars)
    )
