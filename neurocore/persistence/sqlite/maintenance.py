"""Maintain a history in SQLite."""

from __future__ import annotations

import contextlib
import itertools
import sqlite3
from collections.abc import Iterable, Iterator
from operator import itemgetter
from pathlib import Path
from typing import ClassVar

from neurocore import files
from neurocore.clock import iso
from neurocore.errors import StoreError, UsageError
from neurocore.persistence import rows, vacuum
from neurocore.persistence.contract.maintenance import PATIENCE, Importer, Maintenance, Stats, Vacuumed
from neurocore.persistence.home import finish_copy
from neurocore.persistence.inserts import execute, insert_run, write_rows, write_step
from neurocore.persistence.records import Event, RunRecord, StepRecord, Tombstone
from neurocore.persistence.sidecars import address, beside
from neurocore.persistence.sqlite.runs import SQLiteRuns

#: So many runs are read at a time.
_MANY_RUNS = 2000
_COUNTS = ("wrong_counts", "missing_counts", "wrong_day_counts", "missing_day_counts", "wrong_open_gates")
_RECOUNT = ("clear_counts", "clear_day_counts", "fill_counts", "fill_day_counts", "recount_open_gates")


class SQLiteMaintenance(SQLiteRuns, Maintenance):
    """Check, copy, prune and move the file."""

    # ---------------------------------------------------------------- checking

    def damage(self) -> list[str]:
        """Let SQLite check the whole file."""
        with self._db.read() as connection:
            whole = connection.execute("PRAGMA integrity_check").fetchall()
            alone = connection.execute("PRAGMA foreign_key_check").fetchall()
        found = [f"SQLite: {row[0]}" for row in whole if row[0] != "ok"]
        return found + [f"SQLite: row {row[1]} of {row[0]} belongs to no row of {row[2]}." for row in alone]

    def counts_hold(self) -> bool:
        """Compare the counts with the rows they count."""
        with self._db.snapshot():
            return not [name for name in _COUNTS if self._rows(name)]

    def recount(self) -> None:
        """Rebuild the counts, in one transaction."""
        with self._db.write(sync=True) as connection:
            for name in _RECOUNT:
                execute(connection, name)

    def runs_with_gaps(self) -> list[str]:
        """List the runs whose steps have gaps, in one query."""
        return [row["run_id"] for row in self._rows("gaps_in_steps")]

    def runs_with_answers(self) -> list[str]:
        """List the runs that have answers."""
        return [row["run_id"] for row in self._rows("runs_with_answers")]

    def all_events(self) -> Iterator[tuple[str, list[Event]]]:
        """Return each run's id with its events, read for many runs at a time."""
        after: int | None = -1
        while after is not None:
            found = self._rows("events_of_many", after=after, many=_MANY_RUNS)
            for run_id, group in itertools.groupby(found, key=itemgetter("run_id")):
                yield run_id, self._made(list, map(rows.event_of, group))
            row = self._row("run_after", after=after + _MANY_RUNS)
            after = None if row is None or row["run"] is None else row["run"] - 1

    # ---------------------------------------------------------------- measuring and copying

    def stats(self) -> Stats:
        """Return how large the file is, and what is in it."""
        (row,) = self._rows("size")
        return Stats(
            runs=sum(self.status_counts().values()), steps=row["steps"], open_gates=self.count_open_gates(),
            oldest=None if row["oldest"] is None else iso(row["oldest"]),
            newest=None if row["newest"] is None else iso(row["newest"]),
            bytes=vacuum.size_on_disk(self.path), unused=vacuum.unused(self._db), schema_version=self.schema_version(),
        )  # fmt: skip

    def schema_version(self) -> int | None:
        """Return the schema of the file."""
        (row,) = self._db.rows("PRAGMA user_version")
        return int(row["user_version"])

    def backup(self, target: Path) -> int:
        """Copy the file while it is in use, all pages at once."""
        if target.exists():
            raise UsageError(f"{target} exists; choose another name, so that no backup is overwritten.")
        for left in beside(target):
            if left.exists():
                raise UsageError(
                    f"{left} exists and belongs to another file of that name; choose another name, or move it away."
                )
        partial = target.with_name(f".{target.name}.partial")
        try:
            partial.unlink(missing_ok=True)
            files.touch(partial, self.mode)
            with contextlib.closing(sqlite3.connect(address(partial), uri=True)) as copy:
                # One consistent copy, while others keep writing to the WAL.
                self._db.reader().backup(copy)
                finish_copy(copy, "backup")
            files.sync(partial)
            partial.replace(target)
            return target.stat().st_size
        except (OSError, sqlite3.Error) as error:
            raise StoreError(f"The backup {target} cannot be written: {error}.") from error
        finally:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)

    def vacuum(self, *, patience: float = PATIENCE) -> Vacuumed:
        """Rewrite the file without its unused room."""
        return vacuum.make_smaller(self._db, patience)

    # ---------------------------------------------------------------- pruning

    def ended_runs(self, *, before: str, keep_last: int = 0, limit: int | None = None) -> list[tuple[str, str]]:
        """List ended runs that are not owed, by the index of their order."""
        limit = -1 if limit is None else limit
        return [
            (row["run_id"], iso(row["created_at"]))
            for row in self._rows("ended_before", before=rows.micros(before), keep_last=keep_last, limit=limit)
        ]

    def bury_ended(self, run_ids: Iterable[str], *, by: str) -> list[str]:
        """Delete them in one transaction. A run that is resumed meanwhile stays."""
        buried = []
        with self._db.write(sync=True) as connection:
            for run_id in run_ids:
                row = execute(connection, "ended_run", run_id=run_id).fetchone()
                if row is not None and row["owed"] is None:
                    self.bury_within(connection, run_id, self._tombstone(run_id, row["blueprint_name"], by))
                    self.tell_buried(connection, run_id)
                    buried.append(run_id)
        return buried

    def drop_unused_definitions(self) -> None:
        """Delete the definitions that no run uses any more."""
        with self._db.write() as connection:
            execute(connection, "drop_unused_blueprints")

    # ---------------------------------------------------------------- moving

    def snapshot(self) -> contextlib.AbstractContextManager[None]:
        """Return a block in which this thread reads the history as it was at the first read."""
        return self._db.snapshot()

    def all_run_ids(self) -> list[str]:
        """List every run, oldest first."""
        return [row["run_id"] for row in self._rows("all_run_ids")]

    def all_tombstones(self) -> list[Tombstone]:
        """List every tombstone, by the id of its run."""
        return [Tombstone(**dict(row)) for row in self._rows("all_tombstones")]

    @contextlib.contextmanager
    def importer(self) -> Iterator[Importer]:
        """Return a block that is one transaction."""
        with self._db.write(sync=True) as connection:
            yield _Importer(self, connection)

    def adopt_runs(self, run_ids: Iterable[str] | None, *, event: Event) -> int:
        """Let held runs continue here, in one transaction."""
        with self._db.write(sync=True) as connection:
            wanted = [None] if run_ids is None else list(dict.fromkeys(run_ids))
            found = [row for one in wanted for row in execute(connection, "held_runs", run_id=one).fetchall()]
            for row in found:
                execute(connection, "adopt_run", run=row["run"])
                write_rows(connection, row["run"], events=[event])
            return len(found)


class _Importer(Importer):
    """Adds everything within one transaction."""

    atomic: ClassVar[bool] = True

    def __init__(self, store: SQLiteMaintenance, connection: sqlite3.Connection) -> None:
        super().__init__(store)
        self._connection = connection
        self._run_pk = 0
        self._bury = store.bury_within

    def has(self, run_id: str) -> bool:
        names = ("find_run", "load_tombstone")
        return any(execute(self._connection, name, run_id=run_id).fetchone() is not None for name in names)

    def add_run(self, run: RunRecord) -> None:
        self._run_pk = insert_run(self._connection, run)

    def add_step(self, step: StepRecord) -> None:
        write_step(self._connection, self._run_pk, step)

    def add_tombstone(self, tombstone: Tombstone) -> None:
        if not self.has(tombstone.run_id):
            self._bury(self._connection, tombstone.run_id, tombstone)
