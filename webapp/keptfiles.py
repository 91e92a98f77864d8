"""What was made of a file, kept until the file's content changes.

The time of modification says too little: an unpacked archive, a copy that keeps times or a `touch -d` gives a new file
the time of the old one. So a file is the same while inode, size, time of modification and time of status change are
the same; when one of them differs, its content is compared.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Generic, TypeVar

_Made = TypeVar("_Made")
_Identity = tuple[int, int, int, int]

#: A file that changed less than so many nanoseconds ago may change again without a new time: clocks of filesystems
#: tick slowly. Until then its content is compared.
SETTLED = 2_000_000_000
#: Nothing that is read here is longer; what is, is compared by its beginning and its size.
MOST = 8 * 1024 * 1024


class KeptFiles(Generic[_Made]):
    """Call `make` for a file when its content is new, else return what was made before."""

    def __init__(self, make: Callable[[Path], _Made]) -> None:
        self._make = make
        self._kept: dict[Path, tuple[_Identity | None, bytes, _Made]] = {}

    def get(self, path: Path) -> _Made:
        """Return what `make(path)` made of the content as it is now. Raises what `make` raises."""
        identity = _identity(path)
        kept = self._kept.get(path)
        if kept is not None and identity is not None and kept[0] == identity:
            return kept[2]
        content = _content(path)
        made = kept[2] if kept is not None and kept[1] == content else self._make(path)
        self._kept[path] = (identity, content, made)
        return made

    def forget_all_but(self, paths: Iterable[Path]) -> None:
        """Drop what was made of files that are gone."""
        there = set(paths)
        for path in [path for path in self._kept if path not in there]:
            self._kept.pop(path, None)


def _identity(path: Path) -> _Identity | None:
    """What a file is known by; None for one that is not there, or that has changed a moment ago."""
    try:
        stat = path.stat()
    except OSError:
        return None
    if abs(time.time_ns() - stat.st_ctime_ns) < SETTLED:
        return None
    return stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


def _content(path: Path) -> bytes:
    """A hash of the content, or the reason why there is none."""
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            return hashlib.sha256(b"%d " % size + file.read(MOST)).digest()
    except OSError as error:
        return f"errno {error.errno}".encode()
