"""The clock and the source of ids, which a store carries so that whoever works on it shares them.

Times are recorded as ISO 8601 in UTC with microseconds, so that text sorts as time does. Waiting and measuring go by
the monotonic time, which no change of the computer's clock moves.
"""

from __future__ import annotations

import time
import uuid
from datetime import UTC, datetime, timedelta
from functools import lru_cache


def iso(value: int) -> str:
    """The ISO time of microseconds since 1970."""
    second, rest = divmod(value, 1_000_000)
    return f"{_to_the_second(second)}.{rest:06d}+00:00"


@lru_cache(maxsize=4096)  # to write a date costs more than to read the row it stands in
def _to_the_second(value: int) -> str:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=value)).isoformat()[:19]


class Clock:
    """The computer's clock. A test gives a store another one."""

    def micros(self) -> int:
        """The current time in microseconds since 1970."""
        return time.time_ns() // 1000

    def monotonic(self) -> float:
        """Seconds that only ever grow, from an arbitrary beginning."""
        return time.perf_counter()

    def now(self) -> str:
        """The current time as it is recorded."""
        return iso(self.micros())

    def after(self, seconds: float) -> str:
        """The time in so many seconds (negative: ago), as it is recorded."""
        return iso(self.micros() + int(seconds * 1_000_000))

    def seconds_until(self, moment: str) -> float:
        """How long until a recorded time, in seconds; 0 for one that is over."""
        due = datetime.fromisoformat(moment)
        return max(0.0, due.timestamp() - self.micros() / 1_000_000)


class Ids:
    """Random ids of 32 hexadecimal digits."""

    def new(self) -> str:
        """An id that nothing else has."""
        return uuid.uuid4().hex


SYSTEM_CLOCK = Clock()
RANDOM_IDS = Ids()


def utcnow_iso() -> str:
    """The current time by the computer's clock, as it is recorded."""
    return SYSTEM_CLOCK.now()
