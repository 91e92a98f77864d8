"""Reset in a forked child what it does not share with its parent.

The child has none of the parent's threads, so a lock that one of them held would never be released.
"""

from __future__ import annotations

import os
import threading
import weakref
from typing import Any, Protocol

_locks: weakref.WeakSet[Any] = weakref.WeakSet()
_things: weakref.WeakSet[Any] = weakref.WeakSet()


class LeavesParent(Protocol):
    """Something that a forked child resets."""

    def reset_in_child(self) -> None:
        """Forget what belongs to the parent."""


def lock() -> threading.Lock:
    """Return a lock that is free in a forked child."""
    made = threading.Lock()
    _locks.add(made)
    return made


def rlock() -> threading.RLock:
    """Return a reentrant lock that is free in a forked child."""
    made = threading.RLock()
    _locks.add(made)
    return made


def begin_anew(thing: LeavesParent) -> None:
    """Call `thing.reset_in_child` in a forked child, as long as the thing exists."""
    _things.add(thing)


def _in_child() -> None:
    for one in list(_locks):
        one._at_fork_reinit()
    for thing in list(_things):
        thing.reset_in_child()


os.register_at_fork(after_in_child=_in_child)
