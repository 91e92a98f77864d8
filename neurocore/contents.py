"""Detect whether a file's content has changed, without reading it each time.

The time of modification is not enough: an unpacked archive, a copy that keeps times or a `touch -d` gives a new file
the time of the old one. So a file counts as the same while inode, size, time of modification and time of status change
are the same; when one of them differs, the content is compared.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable
from pathlib import Path

_Identity = tuple[int, int, int, int]
_ABSENT: _Identity = (0, 0, 0, 0)

#: A file that changed less than this many nanoseconds ago may change again without a new time: clocks of file systems
#: tick slowly. Until then its content is compared.
SETTLED = 2_000_000_000
#: Files read here are shorter; a longer one is compared by its beginning and its size.
MOST = 8 * 1024 * 1024


class Contents:
    """Hashes of the contents of files."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[_Identity | None, bytes | None]] = {}

    def of(self, path: Path) -> bytes | None:
        """Return a hash of the current content, or the reason why there is none; None if there is no file."""
        identity = _identity(path)
        known = self._known.get(path)
        if known is None or identity is None or known[0] != identity:
            known = self._known[path] = (identity, _content(path))
        return known[1]

    def forget_all_but(self, paths: Iterable[Path]) -> None:
        """Forget all other files."""
        there = set(paths)
        for path in [path for path in self._known if path not in there]:
            self._known.pop(path, None)


def _identity(path: Path) -> _Identity | None:
    """Return what identifies a file, or its absence; None if it has just changed, or cannot be read."""
    try:
        stat = path.stat()
    except FileNotFoundError:
        return _ABSENT
    except OSError:
        return None
    if abs(time.time_ns() - stat.st_ctime_ns) < SETTLED:
        return None
    return stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


def _content(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            return hashlib.sha256(b"%d " % size + file.read(MOST)).digest()
    except FileNotFoundError:
        return None
    except OSError as error:
        return f"errno {error.errno}".encode()
