"""The names by which people are recorded: what one is, told in one place to every face and verb."""

from __future__ import annotations

from neurocore.errors import InputError
from neurocore.readable import safe, unsafe, visible

MAX_NAME = 200

#: Invisible marks that people who write from right to left type in names.
_DIRECTION_MARKS = "\u061c\u200e\u200f"


def name_problem(name: object) -> str | None:
    """Return the sentence that says why this (trimmed) is no name of a person; None for a name.

    A name that looks like another's must not pass for another: hidden and steering characters are refused.
    """
    text = name.strip() if isinstance(name, str) else ""
    if not visible(text) or len(text) > MAX_NAME or any(ord(one) < 32 for one in text):
        return f"Say who you are, in 1 to {MAX_NAME} characters on one line."
    hidden = unsafe().search(text.translate(dict.fromkeys(map(ord, _DIRECTION_MARKS))))
    if hidden is not None:
        return f"This name has a character that cannot be seen ({safe(hidden.group())}); write it without."
    return None


def person(name: object) -> str:
    """The name, trimmed. Raises InputError for what is none."""
    problem = name_problem(name)
    if problem is not None:
        raise InputError(problem, {"by": problem})
    return str(name).strip()
