"""Restore a backup: `neurocore db restore`.

The new file is prepared in a folder beside the history. From then on the history is not opened (`sidecars`) until the
old files are in that folder and the new one is in its place, so that a crash in between leaves nothing that opens as a
mix of both. Another restore continues from there. At the end the folder gets a name with the date.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from neurocore import files
from neurocore.errors import StoreError, StoreInUse, UsageError
from neurocore.failpoints import failpoint
from neurocore.persistence import migrate, sidecars
from neurocore.persistence.database import refuse_stale
from neurocore.persistence.home import finish_copy
from neurocore.persistence.living import refuse_while_driven
from neurocore.persistence.sidecars import address

_BUSY_SECONDS = 5.0


def restore(path: Path, source: Path, *, older: Iterable[Path] = (), mode: int = files.PRIVATE) -> Path | None:
    """Replace the history `path` with the backup `source`; return the folder with the previous files.

    The file gets the permissions and the owner of the file that it replaces, or `mode` if there is none. `older` are
    the folders with locks of older versions. Raises UsageError for a missing `source`, StoreError for an unsound
    history (StoreTooNew for one of a newer version), StoreInUse while others drive runs of the history; then nothing
    was changed.
    """
    target, older = sidecars.real(path), list(older)
    if not source.is_file():
        raise UsageError(f"There is no file {source}; name a backup made by `neurocore db backup`.")
    if target.exists() and source.samefile(target):
        raise UsageError(f"{source} is the history itself; name a backup of it.")
    refuse_while_driven(target, older, "replaced")
    folder = sidecars.restoring(target)
    try:
        files.make_folder(folder.parent, mode)
        interrupted = (folder / "new").exists()
        if folder.exists() and not interrupted:
            _keep(folder, target)
        before = next((one for one in (target, folder / target.name) if one.exists()), None)
        with _staged(source, folder, mode, before), contextlib.nullcontext() if interrupted else _write_lock(path):
            refuse_while_driven(target, older, "replaced")
            _publish(folder)
            for old in (target, *sidecars.beside(target)):
                _move_aside(old, folder)
        (folder / "new").rename(target)
        files.sync(folder, target.parent)
        failpoint("restore.placed")
        return _keep(folder, target)
    except OSError as error:
        raise StoreError(f"{source} cannot replace {path}: {error.strerror or error}.") from error


@contextlib.contextmanager
def _staged(source: Path, folder: Path, mode: int, like: Path | None) -> Iterator[None]:
    """Copy the backup into the folder, whole and synced; remove the copy if the block raises."""
    files.make_folder(folder, mode, like=like)
    partial = folder / "new.partial"
    partial.unlink(missing_ok=True)
    files.touch(partial, mode, like=like)
    try:
        _copy(source, partial)
        yield
    finally:
        with contextlib.suppress(OSError):
            for rest in folder.glob("new.partial*"):
                rest.unlink()
            folder.rmdir()  # fails while anything else is in the folder


def _copy(source: Path, partial: Path) -> None:
    """Copy the backup. Raises StoreError for an unsound history, StoreTooNew for one of a newer version."""
    refuse_stale(source)
    try:
        is_current = migrate.is_current(source)  # raises for a foreign or a newer file
        with (
            contextlib.closing(sqlite3.connect(address(source, "ro"), uri=True)) as backup,
            contextlib.closing(sqlite3.connect(address(partial), uri=True)) as copy,
        ):
            backup.backup(copy)
            empty = copy.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
            wrong = "it is empty" if empty else copy.execute("PRAGMA integrity_check(1)").fetchone()[0]
        if wrong != "ok":
            raise sqlite3.DatabaseError(wrong)
        if not is_current:
            migrate.prepare(partial)  # first as a history of its own; then marked as a copy
        with contextlib.closing(sqlite3.connect(address(partial), uri=True)) as copy:
            finish_copy(copy, "restored copy")
        files.sync(partial)
    except sqlite3.Error as error:
        text = " ".join(str(error).split())[:200]
        raise StoreError(f"{source} is not a sound history ({text}), so nothing was changed; use another.") from error


def _publish(folder: Path) -> None:
    """Publish the folder: from here on, nobody opens the history until the restore has finished."""
    (folder / "new.partial").replace(folder / "new")
    files.sync(folder)
    failpoint("restore.staged")


def _move_aside(old: Path, folder: Path) -> None:
    if not old.exists():
        return
    kept = folder / old.name
    if kept.exists():
        raise StoreError(f"Both {old} and {kept} exist; move one of them away, then restore again.")
    old.rename(kept)
    files.sync(folder, old.parent)
    failpoint("restore.moved")


def _keep(folder: Path, target: Path) -> Path | None:
    """Rename the folder of the old files to its name with the date; remove it if it is empty."""
    for rest in folder.glob("new.partial*"):
        rest.unlink()
    if not any(folder.iterdir()):
        folder.rmdir()
        return None
    name = f"{target.name}-before-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    kept, number = target.with_name(name), 1
    while kept.exists():
        number += 1
        kept = target.with_name(f"{name}-{number}")
    folder.rename(kept)
    files.sync(target.parent)
    failpoint("restore.kept")
    return kept


@contextlib.contextmanager
def _write_lock(path: Path) -> Iterator[None]:
    """Prevent writes to the old history within the block, if it can be opened."""
    if not path.exists():
        yield
        return
    try:
        refuse_stale(path)
    except StoreError:  # SQLite would mix it with the files beside it, and nobody else opens it either
        yield
        return
    with contextlib.closing(
        sqlite3.connect(address(path), uri=True, isolation_level=None, timeout=_BUSY_SECONDS)
    ) as old:
        try:
            old.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            if "locked" in str(error) or "busy" in str(error):
                raise StoreInUse(
                    f"The run history {path} cannot be replaced while another program writes to it; stop that program."
                ) from error
        yield
