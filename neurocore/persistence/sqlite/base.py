"""What the roles of the SQLite store share: the file, and how its rows become records."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from neurocore import files
from neurocore.persistence import rows
from neurocore.persistence.contract.ownership import Ownership
from neurocore.persistence.database import Database
from neurocore.persistence.inserts import execute
from neurocore.persistence.owners import Owners
from neurocore.persistence.projections import claim_lost, refuse_if_held, unfinished
from neurocore.persistence.queries import queries
from neurocore.persistence.records import GateRecord, RunRecord
from neurocore.persistence.troubles import Damaged, TranslateErrors

_Q = queries()
_Made = TypeVar("_Made")


class SQLiteBase:
    """The file of a store."""

    def __init__(
        self, path: Path | str, *, durability: str = "normal", data_dir: Path | None = None, mode: int = files.PRIVATE
    ) -> None:
        self.path = Path(path)
        self.mode = mode
        beside = Path(os.path.realpath(path)).parent
        older = [folder / "owners" for folder in (data_dir or beside, beside)]
        self._db = Database(self.path, durability=durability, older=older, mode=mode)
        self.owners: Ownership | None = Owners.beside(self.path)
        self._run_pks: dict[str, int] = {}

    @property
    def database(self) -> Database:
        """Return the file, for maintenance."""
        return self._db

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def _made(self, make: Callable[..., _Made], *given: Any) -> _Made:
        """Return what `make` makes of rows. Raises StoreError for a row that no code of ours has written."""
        with TranslateErrors(self._db.path):
            try:
                return make(*given)
            except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError, msgspec.MsgspecError) as error:
                raise Damaged(str(error)) from error

    def _runs(self, found: list[sqlite3.Row]) -> list[RunRecord]:
        return self._made(lambda: list(map(self._run_of, found)))

    def _run_of(self, row: sqlite3.Row) -> RunRecord:
        """Return a narrow run; in a copy that cannot be written, unfinished runs are reported as held."""
        run = rows.run_of(row)
        if self._db.copy is not None and run.held is None and unfinished(run):
            run.held = self._db.copy
        return run

    def _rows(self, name: str, /, **values: Any) -> list[sqlite3.Row]:
        """Return every row of a named query."""
        return self._db.rows(*_Q[name].bind(values))

    def _row(self, name: str, /, **values: Any) -> sqlite3.Row | None:
        """Return the first row of a named query."""
        return self._db.row(*_Q[name].bind(values))

    def _gates(self, run_id: str, *, narrow: bool = False) -> list[GateRecord]:
        found = self._rows("load_gates_narrow" if narrow else "load_gates", run_id=run_id)
        return self._made(rows.gates_of, found)

    def _run_pk(self, connection: sqlite3.Connection, run: RunRecord) -> int:
        """Return the row number of a run that is being driven; every use of it names the run's id as well."""
        run_pk = self._run_pks.get(run.run_id)
        if run_pk is None:
            found = execute(connection, "find_run", run_id=run.run_id).fetchone()
            if found is None:
                raise claim_lost(run.run_id)
            if len(self._run_pks) > 10_000:
                self._run_pks.clear()
            run_pk = self._run_pks[run.run_id] = found["run"]
        return run_pk


def refuse_held(connection: sqlite3.Connection, run_id: str) -> None:
    """Raise RunHeld for a held run; the caller is in a transaction."""
    found = execute(connection, "find_run", run_id=run_id).fetchone()
    if found is not None:
        refuse_if_held(run_id, found["held"])
