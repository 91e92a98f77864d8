"""Read and write numbers as text. Only ASCII digits count, so that every face reads the same number."""

from __future__ import annotations

import math
import re
from decimal import Decimal

#: The longest number that is written without an exponent.
MAX_WRITTEN = 60

_WHOLE = re.compile(r"[+-]?[0-9]{1,300}")
_NUMBER = re.compile(r"[+-]?([0-9]{1,300}(\.[0-9]{0,300})?|\.[0-9]{1,300})([eE][+-]?[0-9]{1,3})?")


def whole(text: str) -> int | None:
    """Return the whole number that the text is; None for any other text."""
    return int(text) if _WHOLE.fullmatch(text) else None


def number(text: str) -> float | None:
    """Return the finite number that the text is; None for any other text."""
    found = float(text) if _NUMBER.fullmatch(text) else math.nan
    return found if math.isfinite(found) else None


def written(value: float | Decimal) -> str:
    """Return the number as people write amounts: `12000` for Decimal("1.2E+4"). A very long one keeps its exponent."""
    text = str(value)
    if "e" not in text and "E" not in text:
        return text
    exact = Decimal(text)
    beyond = -int(exact.as_tuple().exponent)
    return text if exact.adjusted() >= MAX_WRITTEN or beyond > MAX_WRITTEN else format(exact, "f")
