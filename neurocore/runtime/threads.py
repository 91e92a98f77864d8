"""Threads for sync steps that run in parallel. They are reused: starting one costs five times as much as waking one."""

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
    """Runs one piece of work after another. It is a daemon: abandoned work must not keep the process alive."""

    def __init__(self) -> None:
        super().__init__(name="step", daemon=True)
        self._given: SimpleQueue[tuple[Callable[[], None], Callable[[], None]]] = SimpleQueue()
        self.is_working = False

    def give(self, work: Callable[[], None], ended: Callable[[], None]) -> None:
        """Run `work`, which must not raise. `ended` is called when this thread can take more work."""
        self.is_working = True
        self._given.put((work, ended))

    def run(self) -> None:
        """Work until no work has arrived for a while."""
        while True:
            try:
                work, ended = self._given.get(timeout=IDLE)
            except Empty:
                try:
                    _idle.remove(self)
                except ValueError:  # another thread has just taken this one and gives it work
                    continue
                return
            contextvars.Context().run(work)  # an empty context, as on a new thread
            self.is_working = False
            _idle.append(self)
            ended()


def run_on_thread(work: Callable[[], None], ended: Callable[[], None]) -> KeptThread:
    """Run `work` on an idle thread, or on a new one if none is idle."""
    try:
        thread = _idle.pop()
    except IndexError:
        thread = KeptThread()
        thread.start()
    thread.give(work, ended)
    return thread


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_idle.clear)  # a child has none of its parent's threads
