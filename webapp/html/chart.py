"""The chart of the first page: runs by the day of their start, stacked by status. SVG with classes, without styles."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta

from markupsafe import Markup
from msgspec import Struct

from neurocore.persistence.records import DayCount, RunStatus
from webapp.html.text import html

DAYS = 14
#: From the bottom of a column to its top.
ORDER = (RunStatus.COMPLETED, RunStatus.CANCELLED, RunStatus.SUSPENDED, RunStatus.RUNNING, RunStatus.FAILED)
HEIGHT = 96
#: The least number of runs that a full column means, so that a single run does not look like a peak.
LOWEST = 5


class Day(Struct, frozen=True):
    """One column."""

    day: str
    counts: dict[RunStatus, int]

    @property
    def total(self) -> int:
        """Return the number of runs of the day."""
        return sum(self.counts.values())


def first_day(today: date | None = None) -> str:
    """Return the first day of the chart."""
    return ((today or datetime.now(UTC).date()) - timedelta(days=DAYS - 1)).isoformat()


def days(counts: Iterable[DayCount], today: date | None = None) -> list[Day]:
    """Return a column for each of the last days, including days without runs."""
    by_day: dict[str, dict[RunStatus, int]] = {}
    for one in counts:
        by_day.setdefault(one.day, {})[one.status] = one.count
    first = date.fromisoformat(first_day(today))
    names = [(first + timedelta(days=offset)).isoformat() for offset in range(DAYS)]
    return [Day(name, {s: n for s in ORDER if (n := by_day.get(name, {}).get(s, 0)) > 0}) for name in names]


def draw(columns: list[Day], runs_url: str) -> Markup:
    """Draw the chart. Each column links to the runs of its day."""
    most = max([LOWEST, *(day.total for day in columns)])
    return html(
        '<ol class="chart" aria-label="Runs by day (UTC), the last {} days">{}</ol>',
        len(columns),
        Markup("").join(_column(day, most, runs_url) for day in columns),
    )


def _column(day: Day, most: int, runs_url: str) -> Markup:
    when = date.fromisoformat(day.day)
    heights = {status: max(2.0, HEIGHT * count / most) for status, count in day.counts.items()}
    whole = round(min(float(HEIGHT), sum(heights.values())), 1)
    bars, y = [], whole
    for status, height in heights.items():
        y = max(0.0, y - height)
        bars.append(html('<rect class="{}" x="0" y="{:.1f}" width="10" height="{:.1f}"/>', status.value, y, height))
    picture = html(
        '<svg viewBox="0 0 10 {0}" height="{0}" preserveAspectRatio="none" aria-hidden="true">{1}</svg>',
        whole,
        Markup("").join(bars),
    )
    inner = html(
        '<span class="total">{}</span>{}<span class="label">{}</span>',
        f"{day.total:,}" if day.total else Markup("&nbsp;"),
        picture,
        f"{when:%b} {when.day}",
    )
    if not day.total:
        return html('<li><div class="day">{}</div></li>', inner)
    told = ", ".join(f"{count:,} {status.value}" for status, count in day.counts.items())
    return html(
        '<li><a href="{}?since={}&amp;until={}" title="{}" aria-label="{}: {}">{}</a></li>',
        runs_url,
        f"{day.day}T00:00Z",
        f"{when + timedelta(days=1)}T00:00Z",  # days are counted in UTC, whatever the zone of the filter is
        told,
        day.day,
        told,
        inner,
    )
