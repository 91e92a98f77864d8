"""Points in time as people write them in filters: one text means one time on every face.

`2026-03-31` (the whole day), `today`, `yesterday`, `2026-03-31T14:00` (with or without a zone), or an age: `10m`, `2h`,
`7d`. A time without a zone is read on the project's clock. If a time occurs twice because clocks go back, the first
counts; if it does not exist because they go forward, it is as much later (02:30 is 03:30 then).
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

#: What a filter of times accepts, for the sentence that refuses something else.
TAKEN = "a date (2026-03-31), a time (2026-03-31T14:00), today, yesterday, or an age (10m, 2h, 7d)"

_AGE = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)\s*(s|m|min|h|d|w)")
_SECONDS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


class Clock(Struct, frozen=True):
    """The clock on which a project reads times: that of the zone (such as `Europe/Berlin`), or of this machine."""

    zone: str | None = None

    @property
    def name(self) -> str:
        """Return the zone's name; if the machine has none, its current distance to UTC."""
        return self.zone or _local_name()

    def read(self, text: str, *, now: datetime | None = None, end: bool = False) -> str:
        """Return the time that the text means, in UTC as in records; with `end`, the end of a day.

        Raises ValueError when the text is not a time.
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
            raise ValueError(f"{text[:50]!r} is not a time; give {TAKEN}.") from error

    def written(self, at: str) -> str:
        """Return a recorded time on this clock, to the minute if it is a whole one."""
        there = datetime.fromisoformat(at).astimezone(self._zoneinfo)
        return f"{there:%Y-%m-%d %H:%M:%S}".removesuffix(":00")

    def range(self, since: str | None, until: str | None) -> str:
        """Return the time between two recorded ones, either of which may be None, with the zone."""
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
        # In a URL a + is a space, and people paste times with offsets into URLs.
        at = datetime.fromisoformat(re.sub(r" ([0-9]{2}:?[0-9]{2})$", r"+\1", text))
        return at if at.tzinfo else self._on_clock(at)

    def _on_clock(self, naive: datetime) -> datetime:
        zone = self._zoneinfo
        if zone:
            return naive.replace(tzinfo=zone)
        at = naive.astimezone()
        if at.astimezone(UTC).astimezone().replace(tzinfo=None) == naive:
            return at
        return max(at, naive.replace(fold=1).astimezone())  # the clock skips it: one of the two is as much later


def age(text: str) -> timedelta | None:
    """Parse `10m`, `90 min`, `2h`, `7d`, `2w`, `45s`; return None for other text. Raises OverflowError if too long."""
    match = _AGE.fullmatch(text.strip().lower())
    return timedelta(seconds=float(match.group(1)) * _SECONDS[match.group(2)]) if match else None


def zone_problem(name: object) -> str | None:
    """Return why a name is not a time zone here, or None."""
    from zoneinfo import ZoneInfo

    if not isinstance(name, str) or not name:
        return None
    try:
        ZoneInfo(name)
    except (LookupError, ValueError, OSError):  # missing, an invalid name, a folder
        return (
            f"{name[:80]!r} is not a time zone on this machine; give one such as Europe/Berlin or UTC (if none is "
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
