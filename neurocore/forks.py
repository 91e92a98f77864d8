"""What a forked child does not share with its parent.

It has none of the parent's threads, so a lock that one of them held would never be released.
"""

from __future__ import annotations

import os
import threading
import weakref
from typing import Any, Protocol

_locks: weakref.WeakSet[Any] = weakref.WeakSet()
_things: weakref.WeakSet[Any] = weakref.WeakSet()


class LeavesParent(Protocol):
    """What a forked child begins anew."""

    def reset_in_child(self) -> None:
        """Drop what belongs to the parent."""


def lock() -> threading.Lock:
    """Make a lock that nobody holds in a forked child."""
    made = threading.Lock()
    _locks.add(made)
    return made


def rlock() -> threading.RLock:
    """Make a lock that a thread may take again, and that nobody holds in a forked child."""
    made = threading.RLock()
    _locks.add(made)
    return made


def begin_anew(thing: LeavesParent) -> None:
    """Have `thing.reset_in_child` called in a forked child, for as long as the thing lives."""
    _things.add(thing)


def _in_child() -> None:
    for one in list(_locks):
        one._at_fork_reinit()
    for thing in list(_things):
        thing.reset_in_child()


os.register_at_fork(after_in_child=_in_child)
