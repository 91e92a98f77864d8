"""Limits on the work of one rendering, and on the text that it makes."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextvars import ContextVar
from decimal import Decimal
from typing import Any

from jinja2.exceptions import SecurityError

MAX_OUTPUT = 1024 * 1024
#: How far all `range(…)` of one rendering may count in total.
MAX_COUNTED = 100_000
#: Units of work of one rendering: a step of a loop, or 16 characters that are read or copied.
MAX_WORK = 1_000_000
#: Seconds of this thread's time; waiting for others does not count.
MAX_SECONDS = 1.0
#: How many digits a number may have; Python does not write longer ones.
MAX_DIGITS = 4_300
MAX_BITS = MAX_DIGITS * 10 // 3
#: Limits on widths and precisions of formats, and on how far text is aligned.
MAX_WIDTH = 10_000
#: The limit on the size of two values that are compared.
MAX_COMPARED = 16 * MAX_OUTPUT
_LOOK_AT_CLOCK = 500

_NUMBERS = re.compile(r"\d+", re.ASCII)
#: Values whose loops are counted by their length.
_SIZED: tuple[type, ...] = (str, list, tuple, dict, range, type({}.items()), type({}.keys()), type({}.values()))


class Refused(SecurityError):
    """A template asks for something that is forbidden, or for too much."""


class Budget:
    """What is left for one rendering."""

    def __init__(self) -> None:
        self._left = MAX_WORK
        self._looks = MAX_WORK - _LOOK_AT_CLOCK
        self._end = time.thread_time() + MAX_SECONDS
        self._counted = 0

    def spend(self, units: int) -> None:
        """Subtract the work that is about to be done."""
        self._left -= units
        if self._left < 0:
            raise Refused("it does more work than a template may; let a skill prepare what it shows")
        if self._left < self._looks:
            self._looks = self._left - _LOOK_AT_CLOCK
            self.look_at_clock()

    def look_at_clock(self) -> None:
        """Raise Refused when the time is up."""
        if time.thread_time() > self._end:
            raise Refused("it works for more than a second; let a skill prepare what it shows")

    def count(self, steps: int) -> None:
        """Subtract the steps of a `range`."""
        self._counted += steps + 1
        if self._counted > MAX_COUNTED:
            raise Refused(f"a template can count to {MAX_COUNTED:,} in all")

    def text(self, text: str) -> str:
        """Return the text, whose characters are about to be copied."""
        self.room(len(text))
        return text

    def room(self, characters: int) -> None:
        """Check that a text of this length may be made."""
        if characters > MAX_OUTPUT:
            raise Refused("it makes a text of more than 1 MiB; show less of it")
        self.spend(1 + characters // 16)

    def compared(self, *values: Any) -> None:
        """Subtract for values that are compared with one another."""
        for value in values:
            if isinstance(value, str):
                self.spend(1 + len(value) // 64)
            elif isinstance(value, (list, tuple, dict)):
                self.weigh(value, MAX_COMPARED)
            else:
                self.spend(1)

    def searched(self, item: Any, items: Any) -> None:
        """Subtract for searching an item."""
        if isinstance(items, (list, tuple)) and not isinstance(item, (list, tuple, dict)):
            size = len(item) // 1_024 if isinstance(item, str) else 0
            self.spend(1 + len(items) * (1 + size) // 8)
        elif not isinstance(items, dict):
            self.compared(item, items)

    def weigh(self, value: Any, most: int = MAX_OUTPUT) -> None:
        """Check that a value with all its contents may be written out."""
        left, todo = most, [value]
        while todo:
            one = todo.pop()
            left -= 8
            if isinstance(one, str):
                left -= len(one)
            elif isinstance(one, (dict, list, tuple)):
                left -= 8 * len(one)
                if left > 0:
                    todo += [*one.keys(), *one.values()] if isinstance(one, dict) else one
            else:
                number(one)
            if left < 0:
                raise Refused("it makes a text of more than 1 MiB; show less of it")
        self.spend((most - left) // 16)

    def each(self, value: Any) -> Any:
        """Return the value for a loop."""
        if isinstance(value, _SIZED):
            size: int = len(value)  # type: ignore[arg-type]  # each of these has one
            self.spend(1 + size)
            return value
        return self._counting(value) if isinstance(value, Iterator) else value

    def _counting(self, items: Iterator[Any]) -> Iterator[Any]:
        for item in items:
            self.spend(1)
            yield item


_current: ContextVar[Budget] = ContextVar("neurocore_template_budget")


def begin() -> Budget:
    """Give a new budget to the rendering that starts here."""
    budget = Budget()
    _current.set(budget)
    return budget


def current() -> Budget:
    """Return the budget of the current rendering."""
    return _current.get()


def number(value: Any) -> Any:
    """Return the value; refuse a number longer than Python writes."""
    if isinstance(value, int):
        too_long = value.bit_length() > MAX_BITS
    else:
        too_long = isinstance(value, Decimal) and value.is_finite() and abs(value.adjusted()) > MAX_DIGITS
    if too_long:
        raise Refused(f"it has a number of more than {MAX_DIGITS:,} digits")
    return value


def width(value: Any) -> int:
    """Return a width that a template asks for."""
    wanted = int(number(value))
    if abs(wanted) > MAX_WIDTH:
        raise Refused(f"it asks for a width of more than {MAX_WIDTH:,}")
    return wanted


def widths(spec: str) -> None:
    """Check that no width or precision in a format exceeds the limit."""
    if len(spec) > 1_000 or any(len(one) > 6 or int(one) > MAX_WIDTH for one in _NUMBERS.findall(spec)):
        raise Refused(f"it asks for a width of more than {MAX_WIDTH:,}")
