"""Schema versions: numbered .sql files and `PRAGMA user_version`; a newer file is refused, an older one brought up.

A file of NeuroCore 0.4 (tables runs, steps, checkpoints; user_version 0) is taken over by `neurocore.persistence.legacy`.
"""

from __future__ import annotations

import contextlib
import sqlite3
from importlib.resources import files
from pathlib import Path

from neurocore.errors import StoreTooNew
from neurocore.failpoints import failpoint

VERSION = 1
#: Which release writes which schema: what to install when a file is newer than this one.
RELEASES = {1: "0.5"}


def prepare(path: Path) -> None:
    """Make `path` a database of this version. Raises StoreTooNew, sqlite3.Error or OSError; then nothing was changed."""
    connection = sqlite3.connect(path, isolation_level=None, timeout=60)
    try:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version == VERSION:
            return
        if version > VERSION:
            raise StoreTooNew(
                f"The run history {path} was written by a newer NeuroCore (schema {version}, this one knows {VERSION}); "
                "install that version: pip install --upgrade neurocore-ai."
            )
        if connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
            connection.execute("PRAGMA journal_mode = WAL")
        is_legacy = _is_legacy(connection)
        if is_legacy:
            _keep_copy(connection, path)
        with _transaction(connection):
            if connection.execute("PRAGMA user_version").fetchone()[0] == VERSION:
                return  # somebody else did it while this one waited
            if is_legacy:
                from neurocore.persistence import legacy

                legacy.take_over(connection, schema(1))
            else:
                run_script(connection, schema(1))
            connection.execute(f"PRAGMA user_version = {VERSION}")
            failpoint("migrate.before_commit")
        failpoint("migrate.after_commit")
    finally:
        connection.close()


def schema(version: int) -> str:
    """The SQL that leads to this version from the one before."""
    folder = files("neurocore.persistence").joinpath("sql")
    name = next(entry.name for entry in folder.iterdir() if entry.name.startswith(f"{version:04}_"))
    return folder.joinpath(name).read_text("utf-8")


def run_script(connection: sqlite3.Connection, script: str) -> None:
    """Execute a script within the open transaction (`executescript` would commit it first)."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            connection.execute(statement)
            statement = ""


def copy_path(path: Path) -> Path:
    """Where the copy of a 0.4 file is kept."""
    return path.with_name(f"{path.name}.0.4.bak")


def _is_legacy(connection: sqlite3.Connection) -> bool:
    tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if {"runs", "steps"} <= tables:
        columns = {row[1] for row in connection.execute("PRAGMA table_info(runs)")}
        return "blueprint_snapshot" in columns
    if tables:
        raise sqlite3.DatabaseError("file is not a database of NeuroCore")
    return False


def _keep_copy(connection: sqlite3.Connection, path: Path) -> None:
    target = copy_path(path)
    if target.exists():
        return
    partial = target.with_name(f"{target.name}.partial")
    partial.unlink(missing_ok=True)
    with contextlib.closing(sqlite3.connect(partial)) as copy:
        connection.backup(copy)
    partial.replace(target)


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection):  # type: ignore[no-untyped-def]
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise
    if connection.in_transaction:
        connection.execute("COMMIT")
