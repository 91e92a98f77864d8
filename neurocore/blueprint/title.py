"""The title of a run, which names it for people."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from pathlib import PurePath
from typing import Any

from neurocore import codec, numerals
from neurocore.blueprint.model import PLACEHOLDER, Blueprint, name_problem
from neurocore.codec import SecretRef
from neurocore.secrets import MASK, looks_secret

MAX_TITLE = 200
#: A run without a title is named by this many of its inputs, and this many characters of each.
FIRST_INPUTS, MAX_INPUT = 3, 60


def render_title(blueprint: Blueprint, data: Mapping[str, Any]) -> str:
    """Return the blueprint's title with the inputs filled in, else the first inputs: one line, at most 200 characters.

    It never contains a secret, nor the value of an input whose name looks like one.
    """

    def hidden(keys: Iterable[str], found: Any) -> bool:
        spec = blueprint.inputs.get(next(iter(keys)))
        return isinstance(found, SecretRef) or (spec is not None and spec.secret) or any(map(looks_secret, keys))

    def value(match: re.Match[str]) -> str:
        first, *rest = match.group(1).split(".")
        found: Any = data.get(first)
        for part in rest:
            found = found.get(part) if isinstance(found, dict) else None
        if hidden((first, *rest), found):
            return MASK
        return "" if found is None else _written(found)[: MAX_TITLE + 1]

    if blueprint.title:
        text = PLACEHOLDER.sub(value, blueprint.title)
    else:
        plain = [key for key in blueprint.inputs or data if _tells(data.get(key)) and not hidden((key,), data[key])]
        text = ", ".join(f"{key}: {_written(data[key])[:MAX_INPUT]}" for key in plain[:FIRST_INPUTS])
    text = "".join(one if one.isascii() or not name_problem(f"a{one}") else "\ufffd" for one in text)
    title = " ".join(re.sub(r"[\x00-\x1f\x7f]", " ", text).split())
    return title if len(title) <= MAX_TITLE else f"{title[: MAX_TITLE - 1]}…"


def _written(value: Any) -> str:
    """Return the value as a template would show it; the name of its type if it has no text."""
    try:
        found = codec.data(value)
        return numerals.written(found) if isinstance(found, (float, Decimal)) else str(found)
    except (Exception, SystemExit):  # a value's own code, or a number that is too long
        return f"({type(value).__name__})"


def _tells(value: Any) -> bool:
    """Return whether a value describes in a few words what a run is about."""
    if isinstance(value, int):
        return not isinstance(value, bool) and value.bit_length() <= 128
    return isinstance(value, (str, float, Decimal, dt.date, PurePath)) and str(value).strip() != ""
