"""Translate errors with the file of a history into one sentence."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from types import TracebackType
from typing import Literal

import msgspec

from neurocore import descriptors
from neurocore.errors import StoreError
from neurocore.persistence.migrate import is_read_only


class Damaged(Exception):
    """A row that no code of ours has written."""


class TranslateErrors:
    """A `with` block that turns every error with the file into a StoreError of one sentence."""

    __slots__ = ("_path",)

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Literal[False]:
        if error is not None:
            translate(self._path, error)
        return False


def translate(path: Path, error: BaseException) -> None:
    """Raise the StoreError for an error with the file; other errors are ignored."""
    if isinstance(error, sqlite3.Error):
        raise StoreError(_sentence(path, error)) from error
    if isinstance(error, OSError):
        raise StoreError(f"The run history {path} cannot be opened: {error.strerror or error}.") from error
    if isinstance(error, (msgspec.MsgspecError, UnicodeDecodeError, Damaged)):
        text = " ".join(str(error).split())[:200]
        raise StoreError(f"The run history {path} is damaged ({text}); restore a backup of it.") from error


def _sentence(path: Path, error: sqlite3.Error) -> str:
    text = " ".join(str(error).split())[:200]
    if "disk is full" in text:
        return f"The disk of {path} is full and nothing was written: make room there, then resume."
    if "disk I/O" in text:
        return f"The disk of {path} cannot be written or read, and nothing was written: check for room and for faults."
    if is_read_only(error):
        return f"The run history {path} cannot be written: it, or its folder, is read-only for this user."
    if any(sign in text for sign in ("not a database", "malformed", "decode to UTF-8", "no such table", "no such col")):
        return f"The run history {path} is damaged or not a NeuroCore database ({text}); restore a backup of it."
    if "unable to open" in text and descriptors.none_left():
        return f"The run history {path} cannot be opened, because too many files are open: {descriptors.ADVICE}."
    if "unable to open" in text:
        return f"The run history {path} cannot be opened: check that its folder exists and is writable."
    if "locked" in text or "busy" in text:
        return f"The run history {path} was kept in use by another program for minutes: find out which one has it open."
    return f"The run history {path} cannot be used ({text}); `neurocore db check` looks for damage."
