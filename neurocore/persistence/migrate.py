"""Schema versions: numbered .sql files and `PRAGMA user_version`; a newer file is refused, an older one brought up.

A file of NeuroCore 0.4 (tables runs, steps, checkpoints; user_version 0) is taken over by `legacy`; a copy stays.
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

#: The first SQLite that knows all that the schema asks for (STRICT tables, RETURNING, upserts).
SQLITE_NEEDED = (3, 37, 0)
_PATIENCE = 120.0


def prepare(path: Path, older: Iterable[Path] = (), *, mode: int = files.PRIVATE) -> str | None:
    """Make `path` a database of this version, with these permissions where there is none.

    `older` are the folders of locks of older versions. In a copy of a history, what is unfinished stands still from now
    on; where that cannot be written, because the copy can only be read, this returns why the runs would stand still.

    Raises StoreTooNew, StoreInUse (an older file is left as it is while somebody drives runs of it), StoreError,
    sqlite3.Error or OSError, and then the file is as it was.
    """
    if sqlite3.sqlite_version_info < SQLITE_NEEDED:
        raise StoreError(
            f"NeuroCore needs SQLite 3.37 or newer, and this Python was built with {sqlite3.sqlite_version}; "
            "use a newer Python, or persistence.backend: memory."
        )
    if not path.exists():
        files.touch(real(path), mode)  # SQLite gives its other files the permissions of this one
    with contextlib.closing(sqlite3.connect(address(path), uri=True, isolation_level=None, timeout=60)) as connection:
        with _transaction(connection, "DEFERRED"):  # one moment's view: another process may make the schema right now
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
    """Whether the file has this version's schema, so that opening it changes nothing. Raises as `prepare` does."""
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
    """Where the copy of a 0.4 file is kept."""
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
    """The error of a file that a newer version has written."""
    return StoreTooNew(
        f"The run history {path} was written by a newer NeuroCore (schema {version}, this one knows {VERSION}); "
        "install that version: pip install --upgrade neurocore-ai."
    )


def is_read_only(error: sqlite3.Error) -> bool:
    """Whether this is the error of a file that this process may only read."""
    return "readonly" in str(error) or "read-only" in str(error)


def use_wal(connection: sqlite3.Connection) -> None:
    """Readers never wait for writers from here on. SQLite does not wait for others that open the file right now."""
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
        if version == VERSION:  # a copy, or somebody else did it while this one waited
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
    """Whether these are 0.4's tables. Raises sqlite3.DatabaseError for those of another program."""
    tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if {"runs", "steps"} <= tables:
        columns = {row[1] for row in connection.execute("PRAGMA table_info(runs)")}
        if "blueprint_snapshot" in columns:
            return True
    if tables:
        raise sqlite3.DatabaseError("file is not a database of NeuroCore")
    return False


def _keep_copy(connection: sqlite3.Connection, path: Path, mode: int) -> None:
    """The file as 0.4 left it, whole or not at all. A copy that is there is of an earlier, unfinished try: kept."""
    target = copy_path(path)
    if target.exists():
        return
    partial = path.with_name(f"{target.name}.{os.getpid()}.partial")
    try:
        partial.unlink(missing_ok=True)
        files.touch(partial, mode)
        with contextlib.closing(sqlite3.connect(address(partial), uri=True)) as copy:
            connection.backup(copy)
            is_as_04_left_it = _version(copy, partial) == 0  # another process may have brought the file up by now
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
