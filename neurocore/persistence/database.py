"""One SQLite file: its connections, its transactions, and its troubles in sentences."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from neurocore.errors import StoreError
from neurocore.persistence.migrate import prepare

BUSY_MS = 5_000
#: How long a writer keeps at it while others write, in seconds. Nobody is ever told "database is locked" before that.
PATIENCE = 120.0


class Database:
    """Writes go through one connection under one lock, each in BEGIN IMMEDIATE; every thread reads on its own."""

    def __init__(self, path: Path, *, durability: str = "normal") -> None:
        self.path = path
        self._full = durability == "full"
        self._lock = threading.RLock()
        self._local = threading.local()
        self._readers: list[sqlite3.Connection] = []
        self._pid = os.getpid()
        self._closed = False
        with self._telling():
            path.parent.mkdir(parents=True, exist_ok=True)
            prepare(path)
            self._writer = self._connect()
            self._identity = self._identify()
        self._synchronous_full = True
        self._in_transaction = False

    @contextlib.contextmanager
    def write(self, *, sync: bool = False) -> Iterator[sqlite3.Connection]:
        """One transaction: committed at the end of the block, rolled back when the block raises.

        `sync` waits for the disk. Raises StoreError with nothing half written.
        """
        with self._telling(), self._lock:
            self._check()
            connection = self._writer
            wanted = sync or self._full
            if wanted is not self._synchronous_full:
                connection.execute("PRAGMA synchronous = FULL" if wanted else "PRAGMA synchronous = NORMAL")
                self._synchronous_full = wanted
            self._begin(connection)
            try:
                yield connection
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
                raise
            try:
                connection.execute("COMMIT")
            except sqlite3.Error:
                with contextlib.suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
                raise

    @contextlib.contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """This thread's reading connection."""
        with self._telling():
            self._check()
            connection = getattr(self._local, "connection", None)
            if connection is None:
                connection = self._local.connection = self._connect()
                with self._lock:
                    self._readers.append(connection)
            yield connection

    def rows(self, sql: str, parameters: Any = ()) -> list[sqlite3.Row]:
        """Every row of a query."""
        with self.read() as connection:
            return connection.execute(sql, parameters).fetchall()

    def row(self, sql: str, parameters: Any = ()) -> sqlite3.Row | None:
        """The first row of a query."""
        with self.read() as connection:
            found: sqlite3.Row | None = connection.execute(sql, parameters).fetchone()
            return found

    def close(self) -> None:
        """Close every connection."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            for connection in (*self._readers, self._writer):
                with contextlib.suppress(sqlite3.Error):
                    connection.close()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path, isolation_level=None, check_same_thread=False, timeout=BUSY_MS / 1000, cached_statements=256
        )
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA cache_size = -16000")
        connection.execute("PRAGMA synchronous = FULL")
        return connection

    def _begin(self, connection: sqlite3.Connection) -> None:
        until = time.monotonic() + PATIENCE
        while True:
            try:
                connection.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) and "busy" not in str(error) or time.monotonic() > until:
                    raise

    def _identify(self) -> tuple[int, int]:
        found = os.stat(self.path)
        return found.st_dev, found.st_ino

    def _check(self) -> None:
        """Notice a file that was removed or replaced: SQLite would go on writing into what nobody can open again."""
        if self._closed:
            raise StoreError(f"The run history {self.path} was closed; open it again.")
        if self._pid != os.getpid():
            raise StoreError("A process that was forked must open its own store; call build_run_store there.")
        try:
            same = self._identify() == self._identity
        except OSError:
            same = False
        if not same:
            raise StoreError(f"The run history {self.path} was removed or replaced while in use; restore it, then restart.")

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StoreError(_sentence(self.path, error)) from error
        except OSError as error:
            raise StoreError(f"The run history {self.path} cannot be opened: {error.strerror or error}.") from error


def _sentence(path: Path, error: sqlite3.Error) -> str:
    text = str(error)
    if "disk is full" in text or "disk I/O" in text:
        return f"The disk of {path} is full (or failing): nothing was written; make room, then resume."
    if "readonly" in text or "read-only" in text:
        return f"The run history {path} cannot be written: it, or its folder, is read-only for this user."
    if "not a database" in text or "malformed" in text:
        return f"The run history {path} is damaged or no NeuroCore database ({text}); restore a backup of it."
    if "unable to open" in text:
        return f"The run history {path} cannot be opened; check that its folder is there and can be written."
    if "locked" in text or "busy" in text:
        return f"The run history {path} was kept busy by another program for minutes; find out which holds it open."
    return f"The run history {path} cannot be used: {text}."
