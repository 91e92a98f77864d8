"""Create private files and folders: with their permissions from the start, never wider for a moment."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

#: The permissions of everything that is created, unless `persistence.mode` gives wider ones.
PRIVATE = 0o600


def folder_mode(mode: int) -> int:
    """Return the permissions of a folder for files of this mode: whoever may read them may enter."""
    return (mode | 0o600 | (mode & 0o444 | 0o400) >> 2) & 0o777


def create(path: Path, mode: int = PRIVATE, *, like: Path | None = None) -> int:
    """Create a file with exactly these permissions, whatever the umask; return its descriptor, open for both.

    With `like`, it gets the permissions of that file instead and, if this process may do so, its owner and group.
    Raises FileExistsError or another OSError.
    """
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, PRIVATE)
    try:
        share(file, mode, like=like)
    except BaseException:
        os.close(file)
        raise
    return file


def touch(path: Path, mode: int = PRIVATE, *, like: Path | None = None) -> None:
    """Like `create`, for a file that other code opens by its name; an existing one is not changed."""
    with contextlib.suppress(FileExistsError):
        os.close(create(path, mode, like=like))


def make_folder(path: Path, mode: int = PRIVATE, *, like: Path | None = None) -> bool:
    """Create a folder for files of this mode, with its missing parents; return whether it is new."""
    if path.is_dir():
        return False
    make_folder(path.parent, mode)
    try:
        path.mkdir(0o700)
    except FileExistsError:
        if not path.is_dir():
            raise
        return False
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        share(file, mode, like=like, folder=True)
    finally:
        os.close(file)
    return True


def sync(*paths: Path) -> None:
    """Wait until the content of files, and the names in folders, are on disk. Raises OSError."""
    for path in paths:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(file)
        finally:
            os.close(file)


def share(file: int, mode: int, *, like: Path | None = None, folder: bool = False, most: int = 0o777) -> None:
    """Set the permissions of an open file, and the owner and group of `like` (SQLite does that with its log for root).

    `most` limits the permissions of `like` that are copied for others.
    """
    if like is not None:
        found = like.stat()
        mode = stat.S_IMODE(found.st_mode) & most | PRIVATE
        with contextlib.suppress(OSError):
            os.fchown(file, found.st_uid if os.geteuid() == 0 else -1, found.st_gid)
    with contextlib.suppress(OSError):  # a file system without permissions of its own
        os.fchmod(file, folder_mode(mode) if folder else mode)
