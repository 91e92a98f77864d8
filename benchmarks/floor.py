"""The floor of what is durable: the statements that a store executed, with their parameters, run again bare."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from neurocore.persistence import SQLiteRunStore
from neurocore.persistence.migrate import prepare

Statements = list[tuple[str, Sequence[Any]]]


class _Recorder:
    """A connection that notes what it is asked to execute."""

    def __init__(self, connection: sqlite3.Connection, statements: Statements) -> None:
        self._connection = connection
        self._statements = statements

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> sqlite3.Cursor:
        """Note and execute."""
        self._statements.append((sql, parameters))
        return self._connection.execute(sql, parameters)


def statements_of(path: Path, work: Callable[[SQLiteRunStore], object]) -> Statements:
    """Every statement of every transaction that `work` commits to a new store at `path`."""
    found: Statements = []
    store = SQLiteRunStore(path)
    writer = store.database.writer
    store.database.writer = lambda *, sync: _Recorder(writer(sync=sync), found)  # type: ignore[method-assign, assignment, return-value]
    work(store)
    store.close()
    return found


def run_bare(statements: Statements, path: Path, *, full: bool) -> list[float]:
    """Microseconds of each transaction, executed on a bare connection to a new database at `path`."""
    prepare(path)
    connection = sqlite3.connect(path, isolation_level=None, cached_statements=256)
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA cache_size = -16000")
    connection.execute(f"PRAGMA synchronous = {'FULL' if full else 'NORMAL'}")
    costs = []
    began = 0.0
    for sql, parameters in statements:
        if sql == "BEGIN IMMEDIATE":
            began = time.perf_counter()
        cursor = connection.execute(sql, parameters)
        if cursor.description is not None:
            cursor.fetchone()
        if sql == "COMMIT":
            costs.append((time.perf_counter() - began) * 1e6)
    connection.close()
    return costs
