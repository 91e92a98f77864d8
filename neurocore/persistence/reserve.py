"""Room at the end of the write-ahead log, so that a commit writes to blocks that the file already has."""

from __future__ import annotations

import contextlib
import os
import weakref
from pathlib import Path

#: By how much the log grows at a time, in bytes: about ten steps.
_ROOM = bytes(128 * 1024)
#: How far before the end to check: while this is empty, the log has room for some more commits.
_LOOK = bytes(4096)
_LOOK_FROM_END = 32 * 1024


class Reserve:
    """Keeps empty room at the end of the log of one database.

    A growing file is synced with its new length, in the file system's own journal; existing blocks are synced alone,
    which takes about half as long. SQLite grows its log with each commit and reuses it from the beginning when it
    holds a thousand pages, so a new log is slow to sync. The room is filled with zeros, with which no frame begins: for
    SQLite the log ends where the zeros begin.

    Raises OSError if there is no log, AttributeError if the system has no `pread`.
    """

    def __init__(self, database: Path) -> None:
        self._read, self._write = os.pread, os.pwrite
        self._file = os.open(f"{os.path.realpath(database)}-wal", os.O_RDWR | os.O_CLOEXEC)
        self.close = weakref.finalize(self, os.close, self._file)
        # While the process ends, others may still write, when the descriptor already belongs to another file.
        self.close.atexit = False

    def keep(self) -> None:
        """Add room when little is left. The caller holds the database's write lock, so that nobody else appends."""
        end = os.lseek(self._file, 0, os.SEEK_END)
        if end >= _LOOK_FROM_END and self._read(self._file, len(_LOOK), end - _LOOK_FROM_END) == _LOOK:
            return
        try:
            self._write(self._file, _ROOM, end)
        except OSError:  # the disk is full: SQLite reports it if the commit finds no room
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, end)
