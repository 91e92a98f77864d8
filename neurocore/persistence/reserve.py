"""Room at the end of the write-ahead log, so that what a commit appends lands on blocks that the file has already."""

from __future__ import annotations

import contextlib
import os
import weakref
from pathlib import Path

#: By how much the log grows at a time, in bytes: about ten steps.
_ROOM = bytes(128 * 1024)
#: What is looked at so far from the end: as long as it is empty, the log has room for some more commits.
_LOOK = bytes(4096)
_LOOK_FROM_END = 32 * 1024


class Reserve:
    """Keeps empty room at the end of the log of one database.

    A file that grows is synced with its new length, in the filesystem's own journal; blocks that it has are synced
    alone, which takes about half as long. SQLite grows its log by each commit and uses it again from the beginning once
    it holds a thousand pages, so a log is slow to sync for as long as it is young. The room is zeros, which no frame
    begins with: to SQLite the log ends where the zeros begin.

    Raises OSError where there is no log, AttributeError where the system has no `pread`.
    """

    def __init__(self, database: Path) -> None:
        self._read, self._write = os.pread, os.pwrite
        self._file = os.open(f"{os.path.realpath(database)}-wal", os.O_RDWR | os.O_CLOEXEC)
        self.close = weakref.finalize(self, os.close, self._file)
        # While the process ends, others may still write; its number would by then be another file's, and get the room.
        self.close.atexit = False

    def keep(self) -> None:
        """Make room where it runs short; only who holds the database's write lock may: nobody else appends then."""
        end = os.lseek(self._file, 0, os.SEEK_END)
        if end >= _LOOK_FROM_END and self._read(self._file, len(_LOOK), end - _LOOK_FROM_END) == _LOOK:
            return
        try:
            self._write(self._file, _ROOM, end)
        except OSError:  # the disk is full: whether the commit finds room is SQLite's to say
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, end)
