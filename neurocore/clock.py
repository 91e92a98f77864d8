"""The clock and the source of ids. A store carries them, so that everything that uses the store shares them.

Times are recorded as ISO 8601 in UTC with microseconds, so that text sorts like time. Waiting and measuring use the
monotonic time, which changes of the computer's clock do not affect.
"""

from __future__ import annotations

import time
import uuid
from datetime import UTC, datetime, timedelta
from functools import lru_cache


def iso(value: int) -> str:
    """Return the ISO time of microseconds since 1970."""
    second, rest = divmod(value, 1_000_000)
    return f"{_to_the_second(second)}.{rest:06d}+00:00"


@lru_cache(maxsize=4096)  # writing a date costs more than reading its row
def _to_the_second(value: int) -> str:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=value)).isoformat()[:19]


class Clock:
    """The computer's clock. A test gives a store another one."""

    def micros(self) -> int:
        """Return the current time in microseconds since 1970."""
        return time.time_ns() // 1000

    def monotonic(self) -> float:
        """Return seconds that only increase, from an arbitrary start."""
        return time.perf_counter()

    def now(self) -> str:
        """Return the current time as it is recorded."""
        return iso(self.micros())

    def after(self, seconds: float) -> str:
        """Return the time in this many seconds (negative: ago), as it is recorded."""
        return iso(self.micros() + int(seconds * 1_000_000))

    def seconds_until(self, moment: str) -> float:
        """Return how long it is until a recorded time, in seconds; 0 if it is over."""
        due = datetime.fromisoformat(moment)
        return max(0.0, due.timestamp() - self.micros() / 1_000_000)


class Ids:
    """Random ids of 32 hexadecimal digits."""

    def new(self) -> str:
        """Return a new, unique id."""
        return uuid.uuid4().hex


SYSTEM_CLOCK = Clock()
RANDOM_IDS = Ids()


def utcnow_iso() -> str:
    """Return the current time by the computer's clock, as it is recorded."""
    return SYSTEM_CLOCK.now()
