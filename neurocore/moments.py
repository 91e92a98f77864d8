"""Points in time as people write them in filters: one text means one time on every face.

`2026-03-31` (the whole day), `today`, `yesterday`, `2026-03-31T14:00` (with or without a zone), or an age: `10m`, `2h`,
`7d`. What has no zone of its own is read on the project's clock. A time that comes twice when clocks go back is the
first; one that is left out when they go forward is as much later (02:30 is 03:30 then).
"""

from __future__ import annotations

import os
import re
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

#: What a filter of times takes, for the sentence that refuses something else.
TAKEN = "a date (2026-03-31), a time (2026-03-31T14:00), today, yesterday, or an age (10m, 2h, 7d)"

_AGE = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)\s*(s|m|min|h|d|w)")
_SECONDS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


class Clock(Struct, frozen=True):
    """The clock that a project reads times on: that of the zone (as `Europe/Berlin`), or of this machine."""

    zone: str | None = None

    @property
    def name(self) -> str:
        """The zone's name; of a machine that does not say, its distance to UTC now."""
        return self.zone or _local_name()

    def read(self, text: str, *, now: datetime | None = None, end: bool = False) -> str:
        """The time that the text means, in UTC as records have it; with `end`, of a day where it ends.

        Raises ValueError when the text is no time.
        """
        now = now or datetime.now(UTC)
        text = " ".join(text.split())
        try:
            past = age(text)
            if past is not None:
                at = now - past
            else:
                day = self._day(text.lower(), now)
                at = self._moment(text) if day is None else self._begin(day + timedelta(days=end))
            return at.astimezone(UTC).isoformat(timespec="microseconds")
        except (ValueError, OverflowError, OSError) as error:
            raise ValueError(f"{text[:50]!r} is no time; give {TAKEN}.") from error

    def written(self, at: str) -> str:
        """A recorded time on this clock, to the minute where it is a whole one."""
        there = datetime.fromisoformat(at).astimezone(self._zoneinfo)
        return f"{there:%Y-%m-%d %H:%M:%S}".removesuffix(":00")

    def range(self, since: str | None, until: str | None) -> str:
        """The time between two recorded ones, either of which may be None, with the zone."""
        words = ("from", since), ("until", until)
        return f"{' '.join(f'{word} {self.written(at)}' for word, at in words if at)} ({self.name})"

    @property
    def _zoneinfo(self) -> ZoneInfo | None:
        from zoneinfo import ZoneInfo

        return ZoneInfo(self.zone) if self.zone else None

    def _day(self, text: str, now: datetime) -> date | None:
        if text in ("today", "yesterday"):
            return now.astimezone(self._zoneinfo).date() - timedelta(days=text == "yesterday")
        try:
            return date.fromisoformat(text.upper())
        except ValueError:
            return None

    def _begin(self, day: date) -> datetime:
        return self._on_clock(datetime.combine(day, time()))

    def _moment(self, text: str) -> datetime:
        # In an address a + is a space, and people paste times with offsets into addresses.
        at = datetime.fromisoformat(re.sub(r" ([0-9]{2}:?[0-9]{2})$", r"+\1", text))
        return at if at.tzinfo else self._on_clock(at)

    def _on_clock(self, naive: datetime) -> datetime:
        zone = self._zoneinfo
        if zone:
            return naive.replace(tzinfo=zone)
        at = naive.astimezone()
        if at.astimezone(UTC).astimezone().replace(tzinfo=None) == naive:
            return at
        return max(at, naive.replace(fold=1).astimezone())  # the clock leaves it out: one of the two is as much later


def age(text: str) -> timedelta | None:
    """`10m`, `90 min`, `2h`, `7d`, `2w`, `45s`; None for anything else. Raises OverflowError for one without end."""
    match = _AGE.fullmatch(text.strip().lower())
    return timedelta(seconds=float(match.group(1)) * _SECONDS[match.group(2)]) if match else None


def zone_problem(name: object) -> str | None:
    """Why a name is no time zone here, or None."""
    from zoneinfo import ZoneInfo

    if not isinstance(name, str) or not name:
        return None
    try:
        ZoneInfo(name)
    except (LookupError, ValueError, OSError):  # not there, no name at all, a folder
        return (
            f"{name[:80]!r} is no time zone on this machine; give one such as Europe/Berlin or UTC (where none is "
            "known, install the package tzdata)."
        )
    return None


def _local_name() -> str:
    found = os.environ.get("TZ", "").removeprefix(":")
    if not found:
        try:
            found = str(Path("/etc/localtime").resolve(strict=True))
        except (OSError, RuntimeError):
            found = ""
    name = found.rpartition("zoneinfo/")[2]
    if name and not name.startswith("/") and zone_problem(name) is None:
        return "UTC" if name == "Etc/UTC" else name
    offset = datetime.now().astimezone().strftime("%z")
    return f"UTC{offset[:3]}:{offset[3:]}"
