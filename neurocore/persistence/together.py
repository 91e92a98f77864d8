"""One synced commit for all writes that wait for one.

A disk sync takes as long for many writes as for one. So writes that arrive during another commit wait for its end, and
then share the next one.
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
    """Combines the writes of many threads, each whole or not at all, into few transactions.

    The first thread leads: it waits for the write lock, then writes what every waiting thread brought. When its commit
    has ended, the thread that has waited longest leads the next one.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = forks.lock()
        self._waiting: list[_Part] = []
        self._is_led = False
        forks.begin_anew(self)

    def reset_in_child(self) -> None:
        """Forget the parent's threads in a forked child."""
        self._waiting, self._is_led = [], False

    def write(self, act: Callable[[sqlite3.Connection], _Made]) -> _Made:
        """Call `act` within a transaction; return its result when that is committed and synced.

        Raises what `act` raises, with nothing of it written and the other writes unaffected, and StoreError.
        """
        mine = _Part(act)
        with self._lock:
            self._waiting.append(mine)
            leads, self._is_led = not self._is_led, True
        if not leads:
            try:
                mine.turn.acquire()
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
        """Withdraw a write that has not started, and let another thread lead if it was this thread's turn."""
        with self._lock:
            if mine not in self._waiting:
                return  # it is being written, or was written
            self._waiting.remove(mine)
            heirs = self._waiting[:1] if mine.leads else []
            self._is_led = bool(heirs) if mine.leads else self._is_led
            for heir in heirs:
                heir.leads = True
        for heir in heirs:
            heir.turn.release()

    def _lead(self, mine: _Part) -> None:
        parts: list[_Part] = []
        trouble: Exception = StoreError(
            f"A write to the run history {self._database.path} was interrupted; check whether it took effect."
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
        """Write one part. Raises only errors that end the transaction for all of them."""
        connection.execute("SAVEPOINT part")
        try:
            with TranslateErrors(self._database.path):
                part.made = part.act(connection)
        except Exception as error:
            if not connection.in_transaction:  # SQLite rolled all of it back: the disk is full, for example
                raise
            connection.execute("ROLLBACK TO part")
            part.error = error
        connection.execute("RELEASE part")

    def _end(self, mine: _Part, parts: list[_Part], trouble: Exception) -> None:
        """Report to every thread how its write went, and let the next one lead."""
        for part in parts:
            if not part.is_done:  # each thread raises its own error
                part.error = trouble if part is mine else copy.copy(trouble)
                part.is_done = True
        with self._lock:
            heirs = self._waiting[:1]
            self._is_led = bool(heirs)
            for heir in heirs:
                heir.leads = True
        for part in (*parts, *heirs):
            if part is not mine:
                part.turn.release()


class _Part:
    """The write of one thread, and its result."""

    __slots__ = ("act", "made", "turn", "is_done", "leads", "error")

    def __init__(self, act: Callable[[sqlite3.Connection], Any]) -> None:
        self.act = act
        self.made: Any = None
        #: Held until this write is done, or until its thread is to lead.
        self.turn = threading.Lock()
        self.turn.acquire()
        self.is_done = False
        #: Whether its thread was chosen to lead the next commit.
        self.leads = False
        self.error: Exception | None = None
