"""Files and folders for the eyes of few: they are made with their permissions, and are never wider for a moment."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

#: What everything that is made has, unless `persistence.mode` says wider.
PRIVATE = 0o600


def folder_mode(mode: int) -> int:
    """The permissions of a folder for files of this mode: whoever may read them may go in."""
    return (mode | 0o600 | (mode & 0o444 | 0o400) >> 2) & 0o777


def create(path: Path, mode: int = PRIVATE, *, like: Path | None = None) -> int:
    """Make a new file with exactly these permissions, whatever the umask; returns its descriptor, open for both.

    With `like`, it gets the permissions of that file instead and, where this process may do so, its owner and group.
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
    """`create`, for a file that somebody else opens by its name; one that is there stays as it is."""
    with contextlib.suppress(FileExistsError):
        os.close(create(path, mode, like=like))


def make_folder(path: Path, mode: int = PRIVATE, *, like: Path | None = None) -> bool:
    """Make a folder for files of this mode, and those above it that are missing; whether it was not there before."""
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
    """Wait until the content of files, and the names in folders, are on the disk. Raises OSError."""
    for path in paths:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(file)
        finally:
            os.close(file)


def share(file: int, mode: int, *, like: Path | None = None, folder: bool = False, most: int = 0o777) -> None:
    """Give an open file its permissions, and the owner and group of `like` (SQLite does that with its log for root).

    `most` are the permissions beyond which those of `like` are not taken over for others.
    """
    if like is not None:
        found = like.stat()
        mode = stat.S_IMODE(found.st_mode) & most | PRIVATE
        with contextlib.suppress(OSError):
            os.fchown(file, found.st_uid if os.geteuid() == 0 else -1, found.st_gid)
    with contextlib.suppress(OSError):  # a file system that has no permissions of its own
        os.fchmod(file, folder_mode(mode) if folder else mode)
