"""Which run starts another one: a step that starts a run hands on who is behind it."""

from __future__ import annotations

import contextvars
import os

#: The variable by which a program that a step starts knows the run.
VARIABLE = "NEUROCORE_PARENT_RUN"
_current: contextvars.ContextVar[str | None] = contextvars.ContextVar("neurocore_run", default=None)


def enter(run_id: str) -> contextvars.Token[str | None]:
    """Note that a step of this run is executed here."""
    return _current.set(run_id)


def leave(token: contextvars.Token[str | None]) -> None:
    """Undo `enter`."""
    _current.reset(token)


def parent() -> str | None:
    """Return the run whose step starts a run here, or None."""
    return _current.get() or os.environ.get(VARIABLE, "")[:64] or None
