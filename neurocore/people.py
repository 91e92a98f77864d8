"""The names by which people are recorded: what one is, told in one place to every face and verb."""

from __future__ import annotations

from neurocore.errors import InputError

MAX_NAME = 200


def name_problem(name: object) -> str | None:
    """The sentence when this (trimmed) is no name of a person, else None."""
    text = name.strip() if isinstance(name, str) else ""
    if text and len(text) <= MAX_NAME and all(ord(character) >= 32 for character in text):
        return None
    return f"Say who you are, in 1 to {MAX_NAME} characters on one line."


def person(name: object) -> str:
    """The name, trimmed. Raises InputError for what is none."""
    problem = name_problem(name)
    if problem is not None:
        raise InputError(problem, {"by": problem})
    return str(name).strip()
