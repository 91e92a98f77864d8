"""One synced commit for all writes that wait for one.

A sync of the disk takes as long for many writes as for one. So the writes that come while another commit is under way
wait for its end, and then share the next one.
"""

from __future__ import annotations

import copy
import sqlite3
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from neurocore import forks
from neurocore.errors import StoreError
from neurocore.failpoints import failpoint
from neurocore.persistence.troubles import TranslateErrors

if TYPE_CHECKING:
    from neurocore.persistence.database import Database

_Made = TypeVar("_Made")


class Together:
    """Writes of many threads, each whole or not at all, in few transactions.

    The first thread that comes leads: it waits for the write lock, then writes what every waiting thread brought. When
    its commit has ended, the thread that has waited longest leads the next one.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = forks.lock()
        self._waiting: list[_Part] = []
        self._is_led = False
        forks.begin_anew(self)

    def reset_in_child(self) -> None:
        """Wait for none of the parent's threads in a forked child."""
        self._waiting, self._is_led = [], False

    def write(self, act: Callable[[sqlite3.Connection], _Made]) -> _Made:
        """Call `act` within a transaction, and return what it returned when that is committed and synced.

        Raises what `act` raises, with nothing of it written and the others unhurt, and StoreError.
        """
        mine = _Part(act)
        with self._lock:
            self._waiting.append(mine)
            leads, self._is_led = not self._is_led, True
        if not leads:
            try:
                mine.told.acquire()
            except BaseException:  # Ctrl-C: the others must not wait for this thread to lead
                self._withdraw(mine)
                raise
        if not mine.is_done:
            self._lead(mine)
        if mine.error is not None:
            raise mine.error
        made: _Made = mine.made
        return made

    def _withdraw(self, mine: _Part) -> None:
        """Take back what was not written yet, and let another thread lead where this one was to."""
        with self._lock:
            if mine not in self._waiting:
                return  # it is being written, or was
            self._waiting.remove(mine)
            heirs = self._waiting[:1] if mine.leads else []
            self._is_led = bool(heirs) if mine.leads else self._is_led
            for heir in heirs:
                heir.leads = True
        for heir in heirs:
            heir.told.release()

    def _lead(self, mine: _Part) -> None:
        parts: list[_Part] = []
        trouble: Exception = StoreError(
            f"A write to the run history {self._database.path} was interrupted; look whether it took effect."
        )
        try:
            with self._database.write(sync=True) as connection:
                parts = self._take()
                for part in parts:
                    self._do(part, connection)
                failpoint("together.before_commit")
            failpoint("together.after_commit")
            for part in parts:
                part.is_done = True
        except Exception as error:
            trouble = error
        finally:
            self._end(mine, parts or self._take(), trouble)

    def _take(self) -> list[_Part]:
        with self._lock:
            taken, self._waiting = self._waiting, []
        return taken

    def _do(self, part: _Part, connection: sqlite3.Connection) -> None:
        """Write one part. Raises only what ends the transaction for all of them."""
        connection.execute("SAVEPOINT part")
        try:
            with TranslateErrors(self._database.path):
                part.made = part.act(connection)
        except Exception as error:
            if not connection.in_transaction:  # SQLite gave all of it up: the disk is full, for example
                raise
            connection.execute("ROLLBACK TO part")
            part.error = error
        connection.execute("RELEASE part")

    def _end(self, mine: _Part, parts: list[_Part], trouble: Exception) -> None:
        """Tell every thread how its write went, and the next one to lead."""
        for part in parts:
            if not part.is_done:  # each thread raises an error of its own
                part.error = trouble if part is mine else copy.copy(trouble)
                part.is_done = True
        with self._lock:
            heirs = self._waiting[:1]
            self._is_led = bool(heirs)
            for heir in heirs:
                heir.leads = True
        for part in (*parts, *heirs):
            if part is not mine:
                part.told.release()


class _Part:
    """What one thread writes, and how that went."""

    __slots__ = ("act", "made", "told", "is_done", "leads", "error")

    def __init__(self, act: Callable[[sqlite3.Connection], Any]) -> None:
        self.act = act
        self.made: Any = None
        #: Held until this write is done, or until its thread is to lead.
        self.told = threading.Lock()
        self.told.acquire()
        self.is_done = False
        #: Whether its thread was chosen to lead the next commit.
        self.leads = False
        self.error: Exception | None = None
