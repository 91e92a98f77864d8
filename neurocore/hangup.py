"""SIGHUP means that the terminal was closed, or that the log file was moved away and a new one is wanted."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from neurocore import log


@contextlib.contextmanager
def handled(end: Callable[[int, FrameType | None], Any], *, goes_on: bool) -> Iterator[None]:
    """Within the block, SIGHUP calls `end` if the terminal was closed; otherwise the log file is opened again.

    A command that does not continue (`goes_on`) ends at any SIGHUP while it logs to no file. If SIGHUP is ignored
    (`nohup`), nothing ends. Call it in the main thread.
    """
    before = signal.getsignal(signal.SIGHUP)
    had_terminal = _has_terminal()

    def hear(number: int, frame: FrameType | None) -> None:
        was_closed = had_terminal and not _has_terminal()
        if before != signal.SIG_IGN and (was_closed or not (goes_on or log.has_file())):
            end(number, frame)
        else:
            log.reopen()

    signal.signal(signal.SIGHUP, hear)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)


def _has_terminal() -> bool:
    """Return whether this process has a terminal that can send it signals; closing a terminal takes it away."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True
