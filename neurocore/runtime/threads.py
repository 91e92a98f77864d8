"""Threads for sync steps that run beside others. They are kept: starting one costs five times as much as waking one."""

from __future__ import annotations

import contextvars
import os
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue

#: How long a thread waits for more work before it ends, in seconds.
IDLE = 10.0

_idle: list[KeptThread] = []


class KeptThread(threading.Thread):
    """Runs one piece of work after another, and is a daemon: work that was given up on must not keep the process."""

    def __init__(self) -> None:
        super().__init__(name="step", daemon=True)
        self._given: SimpleQueue[tuple[Callable[[], None], Callable[[], None]]] = SimpleQueue()
        self.is_working = False

    def give(self, work: Callable[[], None], ended: Callable[[], None]) -> None:
        """Have `work` done, which must not raise. `ended` is called when this thread can be given more."""
        self.is_working = True
        self._given.put((work, ended))

    def run(self) -> None:
        """Work until nothing has come for a while."""
        while True:
            try:
                work, ended = self._given.get(timeout=IDLE)
            except Empty:
                try:
                    _idle.remove(self)
                except ValueError:  # somebody has just taken this thread and is giving it work
                    continue
                return
            contextvars.Context().run(work)  # as on a thread of its own, no context is left of the work before
            self.is_working = False
            _idle.append(self)
            ended()


def run_on_thread(work: Callable[[], None], ended: Callable[[], None]) -> KeptThread:
    """Do `work` on a thread that waits, or on a new one where none does."""
    try:
        thread = _idle.pop()
    except IndexError:
        thread = KeptThread()
        thread.start()
    thread.give(work, ended)
    return thread


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_idle.clear)  # a child has none of its parent's threads
