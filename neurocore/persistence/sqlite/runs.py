"""Runs and their steps in SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection

from msgspec import structs

from neurocore.errors import RunNotFound
from neurocore.persistence import rows
from neurocore.persistence.contract.runs import A_DAY, Runs
from neurocore.persistence.folding import changes, values
from neurocore.persistence.inserts import blueprint_of, execute, insert_belongings, insert_run, write_step
from neurocore.persistence.people import Entry
from neurocore.persistence.projections import complete, goes_on, is_there, was_deleted
from neurocore.persistence.records import Event, LogLine, RunRecord, StepRecord, Tombstone
from neurocore.persistence.sqlite.accounts import enter
from neurocore.persistence.sqlite.base import SQLiteBase


class SQLiteRuns(SQLiteBase, Runs):
    """Store runs with their steps."""

    def save_run(self, run: RunRecord) -> str:
        """Insert or replace a run with its gates, answers and activity, and raise its version."""
        with self._db.write(sync=True) as connection:
            found = execute(connection, "find_run", run_id=run.run_id).fetchone()
            if found is None:
                insert_run(connection, run)
            else:
                run_pk = found["run"]
                execute(connection, "update_run", run=run_pk, **rows.run_row(run, blueprint_of(connection, run)))
                execute(connection, "delete_tags", run=run_pk)
                execute(connection, "delete_events", run=run_pk)
                insert_belongings(connection, run_pk, run)
        return run.run_id

    def save_step(self, step: StepRecord) -> None:
        """Insert or replace a step. Raises RunNotFound when there is no such run."""
        with self._db.write() as connection:
            found = execute(connection, "find_run", run_id=step.run_id).fetchone()
            if found is None:
                raise RunNotFound(f"There is no run {step.run_id} that a step could belong to.", run_id=step.run_id)
            write_step(connection, found["run"], step)

    def delete_run(self, run_id: str) -> None:
        """Remove a run and everything that belongs to it."""
        with self._db.write(sync=True) as connection:
            execute(connection, "delete_run", run_id=run_id)
            self._run_pks.pop(run_id, None)

    def load_run(self, run_id: str) -> RunRecord | None:
        """Return the whole run: definition, data, folded context, gates with answers, activity."""
        with self._db.snapshot():
            row = self._row("load_run", run_id=run_id)
            if row is None:
                return None
            run = self._made(rows.widen, self._made(self._run_of, row), row)
            run.gates, run.events = self._gates(run_id), self.load_events(run_id)
            return complete(run, self._load_steps(run_id))

    def load_steps(self, run_id: str) -> list[StepRecord]:
        """Return every step with its log."""
        with self._db.snapshot():
            steps = self._load_steps(run_id)
            by_index = {step.step_index: step for step in steps}
            for row in self._rows("load_logs", run_id=run_id):
                by_index[row["step_index"]].logs.append(self._made(rows.log_of, row))
            return steps

    def _load_steps(self, run_id: str) -> list[StepRecord]:
        found = self._rows("load_steps", run_id=run_id)
        return self._made(lambda: [rows.widen_step(rows.step_of(run_id, row), row) for row in found])

    # ---------------------------------------------------------------- the beginning and the end of a run

    def create_run(self, run: RunRecord) -> None:
        """Add a new run, synced to disk, in one commit with others that start at the same time.

        Raises RunExists when the id is taken, or a deleted run had it.
        """

        def create(connection: sqlite3.Connection) -> None:
            if execute(connection, "find_run", run_id=run.run_id).fetchone() is not None:
                raise is_there(run.run_id)
            if execute(connection, "load_tombstone", run_id=run.run_id).fetchone() is not None:
                raise was_deleted(run.run_id)
            insert_run(connection, run)

        self._db.together.write(create)

    def bury_run(self, run_id: str, tombstone: Tombstone) -> None:
        """Delete an ended run and leave its tombstone, in one transaction."""
        with self._db.write(sync=True) as connection:
            found = execute(connection, "find_run", run_id=run_id).fetchone()
            if found is not None and execute(connection, "ended_run", run_id=run_id).fetchone() is None:
                raise goes_on(run_id)
            self.bury_within(connection, run_id, tombstone)
            self.tell_buried(connection, run_id)

    def tell_buried(self, connection: sqlite3.Connection, run_id: str) -> None:
        """Enter into the chain of entries who deleted a run, and where its own chains ended."""
        stone = execute(connection, "load_tombstone", run_id=run_id).fetchone()
        ended = {"run": run_id, "answers": stone["last_hash"], "events": stone["last_event"]}
        enter(connection, Entry(at=stone["deleted_at"], kind="run-deleted", actor=stone["deleted_by"], data=ended))

    def bury_within(self, connection: sqlite3.Connection, run_id: str, tombstone: Tombstone) -> None:
        """Leave a tombstone for a run, and delete it if it is there, within the caller's transaction."""
        execute(connection, "insert_tombstone", **structs.asdict(tombstone) | {"run_id": run_id})
        execute(connection, "delete_run", run_id=run_id)
        self._run_pks.pop(run_id, None)

    def load_tombstone(self, run_id: str) -> Tombstone | None:
        """Return what remains of a deleted run."""
        row = self._row("load_tombstone", run_id=run_id)
        return None if row is None else Tombstone(**dict(row))

    # ---------------------------------------------------------------- parts of a run

    def load_summary(self, run_id: str) -> RunRecord | None:
        """Return the run's row alone."""
        row = self._row("load_summary", run_id=run_id)
        return None if row is None else self._made(self._run_of, row)

    def load_step(self, run_id: str, step_index: int) -> StepRecord | None:
        """Return one step with its log."""
        with self._db.snapshot():
            row = self._row("load_step", run_id=run_id, step_index=step_index)
            if row is None:
                return None
            step = self._made(rows.widen_step, self._made(rows.step_of, run_id, row), row)
            step.logs = self.load_logs(run_id, step_index)
            return step

    def load_logs(self, run_id: str, step_index: int) -> list[LogLine]:
        """Return the log of one step."""
        return [
            self._made(rows.log_of, row) for row in self._rows("load_step_logs", run_id=run_id, step_index=step_index)
        ]

    def step_summaries(self, run_id: str, *, after: int = -1, limit: int | None = None) -> list[StepRecord]:
        """Return steps after an index, without their wide columns."""
        found = self._rows("step_summaries", run_id=run_id, after=after, limit=-1 if limit is None else limit)
        return self._made(lambda: [rows.step_of(run_id, row) for row in found])

    def load_events(self, run_id: str) -> list[Event]:
        """Return the run's activity."""
        found = self._rows("load_events", run_id=run_id)
        return self._made(lambda: [rows.event_of(row) for row in found])

    def load_context(self, run_id: str) -> dict[str, bytes]:
        """Return the committed context, encoded values by key; nothing is decoded."""
        return self._made(rows.fold_changes, changes(self._db, run_id))

    def load_values(self, run_id: str, keys: Collection[str]) -> dict[str, bytes]:
        """Return some values of the committed context."""
        return self._made(values, self._db, run_id, frozenset(keys)) if keys else {}

    def load_inputs(self, run_id: str) -> dict[str, bytes]:
        """Return a run's inputs, encoded values by key."""
        row = self._row("load_initial_data", run_id=run_id)
        return {} if row is None else dict(self._made(rows.initial_of, row["initial_data"]))

    def load_definition(self, run_id: str) -> str:
        """Return the stored definition of a run."""
        row = self._row("load_definition", run_id=run_id)
        return "" if row is None else str(row["definition"])

    # ---------------------------------------------------------------- requests that may come twice

    def load_request(self, key: str) -> tuple[str, bytes] | None:
        """Return the response to an idempotency key, within the last day."""
        row = self._row("load_request", key=key, since=self.clock.micros() - A_DAY * 1_000_000)
        return None if row is None else (row["digest"], row["answer"])

    def keep_request(self, key: str, digest: str, answer: bytes) -> None:
        """Store for a day how a request was answered; the first response under a key counts."""
        with self._db.write() as connection:
            execute(connection, "forget_requests", before=self.clock.micros() - A_DAY * 1_000_000)
            execute(connection, "keep_request", key=key, at=self.clock.micros(), digest=digest, answer=answer)

    def forget_request(self, key: str, digest: str) -> None:
        """Remove what is stored under `key`, if it belongs to the request with this digest."""
        with self._db.write() as connection:
            execute(connection, "forget_request", key=key, digest=digest)
