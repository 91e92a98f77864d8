"""One SQLite file: its connections, its transactions, and its errors as sentences."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from neurocore import files
from neurocore.errors import StoreError
from neurocore.persistence import sidecars
from neurocore.persistence.home import settle
from neurocore.persistence.migrate import prepare, too_new, use_wal
from neurocore.persistence.reserve import Reserve
from neurocore.persistence.schema import APPLICATION_ID, VERSION
from neurocore.persistence.together import Together
from neurocore.persistence.troubles import TranslateErrors, translate

BUSY_MS = 5_000
#: Of many commits without a sync, one per this interval checks that the file still exists, in seconds. Of many reads
#: of a thread, one checks that the schema is still the known one.
LOOK_EVERY = 0.01
#: How long to retry while others write, in seconds. "database is locked" is reported only after that.
PATIENCE = 120.0


class Database:
    """Writes use one connection under one lock, each in BEGIN IMMEDIATE; every thread reads with its own connection."""

    def __init__(
        self, path: Path, *, durability: str = "normal", older: Iterable[Path] = (), mode: int = files.PRIVATE
    ) -> None:
        self.path = path
        self._name = os.fspath(path)
        self.full = durability == "full"
        self.closed = False
        with TranslateErrors(path), _opening.lock:
            files.make_folder(path.parent, mode)
            _refuse_hard_links(path)
            refuse_stale(path)
            #: Why runs are held here: in a copy of a history that can only be read.
            self.copy = prepare(path, older, mode=mode)
            self._identity = _identify(self._name)
            self._address = sidecars.address(path)  # does not create the file again if it was removed in the meantime
            self._forget()
            _databases.add(self)

    def has_open(self, path: Path) -> bool:
        """Return whether this is the file, and open."""
        try:
            return not self.closed and _identify(os.fspath(path)) == self._identity
        except OSError:
            return False

    def _forget(self) -> None:
        #: Held by the one thread of this process that writes.
        self.lock = threading.RLock()
        #: Writes that share a synced commit with others that wait for one.
        self.together = Together(self)
        #: Guards the list of readers; never held while a thread writes or waits to write.
        self._opening = threading.Lock()
        self._local = _Local()
        self._readers: list[tuple[threading.Thread, sqlite3.Connection, threading.RLock]] = []
        self._writer: sqlite3.Connection | None = None
        self._reserve: Reserve | None = None
        #: Whether the log is kept longer than necessary, for commits that are all synced.
        self.reserves = self.full
        self._synced = True
        self._look_at = 0.0

    def write(self, *, sync: bool = False) -> Transaction:
        """Return a transaction: committed at the end of the `with` block, rolled back when the block raises.

        `sync` waits for the disk. Raises StoreError with nothing half written.
        """
        return Transaction(self, sync)

    @contextlib.contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """Return this thread's reading connection; its errors become sentences."""
        with TranslateErrors(self.path), self.reading:
            yield self.reader()

    def rows(self, sql: str, parameters: Any = ()) -> list[sqlite3.Row]:
        """Return every row of a query."""
        with TranslateErrors(self.path), self.reading:
            found: list[sqlite3.Row] = patiently(lambda: self.reader().execute(sql, parameters).fetchall(), [])
            return found

    def row(self, sql: str, parameters: Any = ()) -> sqlite3.Row | None:
        """Return the first row of a query."""
        with TranslateErrors(self.path), self.reading:
            found: sqlite3.Row | None = patiently(lambda: self.reader().execute(sql, parameters).fetchone(), None)
            return found

    def snapshot(self) -> Snapshot:
        """Return a `with` block in which all reads of this thread see the database as it was at the first of them."""
        return Snapshot(self)

    def close(self) -> None:
        """Close every connection, each when its thread has finished reading. May be called twice."""
        with self.lock:
            with self._opening:
                self.closed = True
                readers, self._readers = self._readers, []
            if self._writer is not None:
                with contextlib.suppress(sqlite3.Error):
                    self._writer.close()
            if self._reserve is not None:
                self._reserve.close()
            self._writer = self._reserve = None
        for _, connection, reading in readers:
            with reading, contextlib.suppress(sqlite3.Error):
                connection.close()

    def writer(self, *, sync: bool) -> sqlite3.Connection:
        """Return the writing connection with the requested `synchronous`; the caller holds the lock."""
        now = time.monotonic()
        if sync or self.closed or now >= self._look_at:
            self.check()
            self._look_at = now + LOOK_EVERY
        synced = sync or self.full
        connection = self._writer
        if connection is None:
            connection = self._connect()
            with _closed_on_error(connection):
                connection.execute("PRAGMA temp_store = MEMORY")  # for what a savepoint may have to undo
                use_wal(connection)  # a backup that replaced its history is not in that mode
                if self.copy is not None:  # it was read-only until now
                    self._settle(connection)
            self._writer, self._synced = connection, True
        if synced is not self._synced:  # it cannot be changed inside a transaction
            connection.execute("PRAGMA synchronous = FULL" if synced else "PRAGMA synchronous = NORMAL")
            self._synced = synced
        return connection

    def _settle(self, connection: sqlite3.Connection) -> None:
        connection.execute("BEGIN IMMEDIATE")
        try:
            settle(connection, self.path)
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")
        self.copy = None

    def reserve(self) -> None:
        """Keep room at the end of the log; the caller is in a transaction of the writer."""
        if self._reserve is None:
            try:
                self._reserve = Reserve(self.path)
                self.check()  # otherwise it may be another file's log
            except (OSError, AttributeError, StoreError):
                self.reserves = False  # syncs take their usual time then
                return
        self._reserve.keep()

    def check(self) -> None:
        """Detect a file that was removed or replaced: SQLite would write on to a file that nobody can open."""
        if self.closed:
            raise StoreError(f"The run history {self.path} was closed; open it again.")
        try:
            same = _identify(self._name) == self._identity
        except OSError:
            same = False
        if not same:
            self._look_at = 0.0
            raise self._replaced()

    def _replaced(self) -> StoreError:
        return StoreError(
            f"The run history {self.path} was removed or replaced while in use; restore it, then restart."
        )

    @property
    def reading(self) -> threading.RLock:
        """Return the lock that this thread holds while it reads: closing its connection then crashes the process."""
        return self._local.reading

    def reader(self) -> sqlite3.Connection:
        """Return this thread's reading connection."""
        self.check()
        local = self._local
        connection = local.connection
        if connection is None:
            with self._opening:
                self.check()
                self._close_readers_of_ended_threads()
                connection = local.connection = self._connect()
                self._readers.append((threading.current_thread(), connection, local.reading))
        now = time.monotonic()
        if now >= local.look_at:
            self.check_version(connection)
            local.look_at = now + LOOK_EVERY
        return connection

    def check_version(self, connection: sqlite3.Connection) -> None:
        """Detect that a newer version has upgraded the file while this process has it open. Raises StoreTooNew.

        A file of an older schema that was copied over this one raises StoreError.
        """
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version != VERSION:
            raise too_new(self.path, version) if version > VERSION else self._replaced()

    def _close_readers_of_ended_threads(self) -> None:
        kept = []
        for thread, connection, reading in self._readers:
            if thread.is_alive():
                kept.append((thread, connection, reading))
            else:
                connection.close()
        self._readers = kept

    def reset_in_child(self) -> None:
        """In a forked child, keep the parent's connections but never use them: they cannot be shared or closed."""
        _inherited.append((self._readers, self._writer, self._reserve, self._local))
        self._forget()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._address, uri=True, isolation_level=None, check_same_thread=False, timeout=BUSY_MS / 1000,
            cached_statements=256,
        )  # fmt: skip
        connection.row_factory = sqlite3.Row
        with _closed_on_error(connection):
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("PRAGMA cache_size = -16000")
            connection.execute("PRAGMA synchronous = FULL")
        return connection


class _Local(threading.local):
    """What one thread reads with."""

    def __init__(self) -> None:
        self.connection: sqlite3.Connection | None = None
        self.look_at = 0.0
        self.reading = threading.RLock()


_inherited: list[Any] = []
_databases: weakref.WeakSet[Database] = weakref.WeakSet()


class _Opening:
    """Held while a file is checked and opened: closing it in between would release the locks of whoever has it open."""

    def __init__(self) -> None:
        self.lock = threading.RLock()


_opening = _Opening()


def refuse_stale(path: Path) -> None:
    """Raise StoreError if SQLite would open a history with files that belong to another one (`sidecars`)."""
    with _opening.lock:
        if not any(database.has_open(path) for database in list(_databases)):
            sidecars.refuse_stale(path, APPLICATION_ID)


def _leave_parents() -> None:
    _opening.lock = threading.RLock()  # a thread that does not exist in the child may have held it
    for database in _databases:
        database.reset_in_child()


os.register_at_fork(after_in_child=_leave_parents)


class Transaction:
    """See `Database.write`. A class, because each step's commit uses it and a generator would cost a microsecond."""

    __slots__ = ("_database", "_sync", "_lock", "_connection")

    def __init__(self, database: Database, sync: bool) -> None:
        self._database = database
        self._sync = sync

    def __enter__(self) -> sqlite3.Connection:
        self._lock = self._database.lock
        self._lock.acquire()
        try:
            connection = self._connection = self._database.writer(sync=self._sync)
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                patiently(lambda: connection.execute("BEGIN IMMEDIATE"), None, error)
            self._database.check_version(connection)
            if self._database.reserves:
                self._database.reserve()
        except BaseException as error:
            self._roll_back()
            self._lock.release()
            translate(self._database.path, error)
            raise
        return connection

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Literal[False]:
        try:
            if error is None:
                try:
                    self._connection.execute("COMMIT")
                except BaseException as refused:
                    self._roll_back()
                    translate(self._database.path, refused)
                    raise
            else:
                self._roll_back()
                translate(self._database.path, error)
        finally:
            self._lock.release()
        return False

    def _roll_back(self) -> None:
        with contextlib.suppress(sqlite3.Error, AttributeError):  # there may be no connection yet
            self._connection.execute("ROLLBACK")


class Snapshot:
    """See `Database.snapshot`."""

    __slots__ = ("_database", "_connection")

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection: sqlite3.Connection | None = None

    def __enter__(self) -> None:
        with self._database.read() as connection:
            if not connection.in_transaction:  # inside another snapshot, which holds it
                connection.execute("BEGIN")
                self._connection = connection

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Literal[False]:
        if self._connection is not None:
            with self._database.reading, contextlib.suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
        if error is not None:
            translate(self._database.path, error)
        return False


def patiently(ask: Any, nothing: Any, error: sqlite3.OperationalError | None = None) -> Any:
    """Retry while another locks the file, for two minutes at most; return `nothing` for text that no row can hold."""
    until = 0.0
    while True:
        if error is not None:
            now = time.monotonic()
            until = until or now + PATIENCE
            if not _is_busy(error) or now > until:
                raise error
        try:
            return ask()
        except sqlite3.OperationalError as refused:
            error = refused
        except UnicodeEncodeError:
            return nothing


@contextlib.contextmanager
def _closed_on_error(connection: sqlite3.Connection) -> Iterator[None]:
    """Close a new connection if the block raises: no one else knows it yet."""
    try:
        yield
    except BaseException:
        connection.close()
        raise


def _is_busy(error: sqlite3.OperationalError) -> bool:
    return "locked" in str(error) or "busy" in str(error)


def _identify(path: str) -> tuple[int, int]:
    found = os.stat(path)  # noqa: PTH116 (half the cost of Path.stat, and asked at every access)
    return found.st_dev, found.st_ino


def _refuse_hard_links(path: Path) -> None:
    """Raise StoreError for a file with several names: SQLite's log and our locks are beside only one of them."""
    if path.is_file() and path.stat().st_nlink > 1:
        raise StoreError(
            f"The run history {path} has several names (hard links), and processes that use different ones do not see "
            "each other; keep one name and remove the others, or replace this one with a separate copy."
        )
