"""Schema versions: numbered .sql files and `PRAGMA user_version`. A newer file is refused, an older one upgraded.

`legacy` converts a file of NeuroCore 0.4 (tables runs, steps, checkpoints; user_version 0); a copy of it is kept.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from neurocore import files
from neurocore.errors import StoreError, StoreTooNew
from neurocore.failpoints import failpoint
from neurocore.persistence import home, schema
from neurocore.persistence.living import refuse_while_driven
from neurocore.persistence.queries import queries
from neurocore.persistence.schema import APPLICATION_ID, VERSION
from neurocore.persistence.sidecars import address, real

#: The first SQLite that has everything the schema needs (STRICT tables, RETURNING, upserts).
SQLITE_NEEDED = (3, 37, 0)
_PATIENCE = 120.0


def prepare(path: Path, older: Iterable[Path] = (), *, mode: int = files.PRIVATE) -> str | None:
    """Make `path` a database of this version; a new file gets the permissions `mode`.

    `older` are the folders with locks of older versions. In a copy of a history, unfinished runs are held from now on;
    if that cannot be written because the copy is read-only, this returns why the runs are held.

    Raises StoreTooNew, StoreInUse (an older file is not changed while a process drives its runs), StoreError,
    sqlite3.Error or OSError; the file is then unchanged.
    """
    if sqlite3.sqlite_version_info < SQLITE_NEEDED:
        raise StoreError(
            f"NeuroCore needs SQLite 3.37 or newer, and this Python was built with {sqlite3.sqlite_version}; "
            "use a newer Python, or persistence.backend: memory."
        )
    if not path.exists():
        files.touch(real(path), mode)  # SQLite gives its other files the permissions of this one
    with contextlib.closing(sqlite3.connect(address(path), uri=True, isolation_level=None, timeout=60)) as connection:
        with _transaction(connection, "DEFERRED"):  # another process may be creating the schema now
            version = _version(connection, path)
            copy = home.copy_of(connection, path) if version == VERSION else None
            if version == VERSION and copy is None:
                return None
            is_legacy = not version and _is_legacy(connection)
        try:
            use_wal(connection)
            if is_legacy:
                _keep_copy(connection, path, mode)
            _bring_up(connection, path, is_legacy=is_legacy, older=older)
        except sqlite3.OperationalError as error:
            if copy is None or not is_read_only(error):
                raise
            return copy
    return None


def is_current(path: Path) -> bool:
    """Return whether the file has this version's schema, so that opening it changes nothing. Raises like `prepare`."""
    with (
        contextlib.closing(
            sqlite3.connect(address(path, "ro"), uri=True, isolation_level=None, timeout=60)
        ) as connection,
        _transaction(connection, "DEFERRED"),
    ):
        version = _version(connection, path)
        if not version:
            _is_legacy(connection)  # refuses the file of another program
        return version == VERSION


def copy_path(path: Path) -> Path:
    """Return where the copy of a 0.4 file is kept."""
    return path.with_name(f"{path.name}.0.4.bak")


def _version(connection: sqlite3.Connection, path: Path) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    mark = connection.execute("PRAGMA application_id").fetchone()[0]
    if mark not in (0, APPLICATION_ID):
        raise sqlite3.DatabaseError("file is not a database of NeuroCore but of another program")
    if version > VERSION:
        raise too_new(path, version)
    if version and not mark:
        raise sqlite3.DatabaseError("file is not a database of NeuroCore")
    return version


def too_new(path: Path, version: int) -> StoreTooNew:
    """Return the error for a file that a newer version has written."""
    return StoreTooNew(
        f"The run history {path} was written by a newer NeuroCore (schema {version}, this one knows {VERSION}); "
        "install that version: pip install --upgrade neurocore-ai."
    )


def is_read_only(error: sqlite3.Error) -> bool:
    """Return whether this is the error for a file that this process may only read."""
    return "readonly" in str(error) or "read-only" in str(error)


def use_wal(connection: sqlite3.Connection) -> None:
    """Switch to WAL: readers never wait for writers. SQLite itself does not wait for others that open the file now."""
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            if connection.execute("PRAGMA journal_mode = WAL").fetchone()[0] == "wal":
                return
            raise sqlite3.OperationalError("this file system cannot hold a database in WAL mode")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > until:
                raise
            time.sleep(0.01)


def _bring_up(connection: sqlite3.Connection, path: Path, *, is_legacy: bool, older: Iterable[Path]) -> None:
    with _transaction(connection, "IMMEDIATE"):
        version = _version(connection, path)
        if version == VERSION:  # a copy, or another process did it while this one waited
            home.settle(connection, path)
            failpoint("migrate.before_commit")
            return
        if version:
            owners = [row[0] for row in connection.execute("SELECT owner FROM runs WHERE status = 'running'") if row[0]]
            refuse_while_driven(path, older, f"brought from schema {version} to {VERSION}", owners)
        if is_legacy:
            from neurocore.persistence import legacy

            legacy.take_over(connection)
        else:
            schema.bring_up(connection, version)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute(*queries()["set_home"].bind({"home": str(path.stat().st_ino)}))
        failpoint("migrate.before_commit")
    failpoint("migrate.after_commit")


def _is_legacy(connection: sqlite3.Connection) -> bool:
    """Return whether these are 0.4's tables. Raises sqlite3.DatabaseError for those of another program."""
    tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if {"runs", "steps"} <= tables:
        columns = {row[1] for row in connection.execute("PRAGMA table_info(runs)")}
        if "blueprint_snapshot" in columns:
            return True
    if tables:
        raise sqlite3.DatabaseError("file is not a database of NeuroCore")
    return False


def _keep_copy(connection: sqlite3.Connection, path: Path, mode: int) -> None:
    """Copy the file as 0.4 left it, whole or not at all. An existing copy, of an unfinished attempt, is kept."""
    target = copy_path(path)
    if target.exists():
        return
    partial = path.with_name(f"{target.name}.{os.getpid()}.partial")
    try:
        partial.unlink(missing_ok=True)
        files.touch(partial, mode)
        with contextlib.closing(sqlite3.connect(address(partial), uri=True)) as copy:
            connection.backup(copy)
            is_as_04_left_it = _version(copy, partial) == 0  # another process may have upgraded the file by now
            copy.execute("PRAGMA journal_mode = DELETE")
        if is_as_04_left_it:
            partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection, kind: str) -> Iterator[None]:
    connection.execute(f"BEGIN {kind}")
    try:
        yield
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
