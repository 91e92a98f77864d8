"""Runs in one SQLite file: what is written. What is read stands in `sqlite_reads`, the SQL in sql/queries.sql."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

from neurocore import files
from neurocore.errors import RunNotFound
from neurocore.persistence import rows
from neurocore.persistence.database import Database
from neurocore.persistence.owners import Owners
from neurocore.persistence.projections import claim_lost, goes_on, is_there, refuse_if_held, was_deleted
from neurocore.persistence.records import (
    Answer,
    Commit,
    Event,
    GateRecord,
    Owed,
    RunRecord,
    RunStatus,
    Signals,
    StepRecord,
    Tombstone,
    a_day_ago,
    utcnow_iso,
)
from neurocore.persistence.sqlite_reads import SQLiteReads
from neurocore.persistence.sqlite_writes import blueprint_of, execute, insert_belongings, insert_run, write_step

_Q = rows.queries()


class SQLiteRunStore(SQLiteReads):
    """A durable store in the file `path`, safe for threads and processes on one machine.

    `durability="full"` syncs every commit to disk; `"normal"` syncs run starts, gates, answers and run ends, and keeps
    every commit through the death of the process. `data_dir` is where older versions have their locks, if not beside
    the file. `mode` gives the permissions of the file, where there is none yet, and of copies that are made of it.
    Raises StoreError where the file cannot be opened.
    """

    multi_process: ClassVar[bool] = True

    def __init__(
        self, path: Path | str, *, durability: str = "normal", data_dir: Path | None = None, mode: int = files.PRIVATE
    ) -> None:
        self.path = Path(path)
        self.mode = mode
        beside = Path(os.path.realpath(path)).parent
        older = [folder / "owners" for folder in (data_dir or beside, beside)]
        super().__init__(Database(self.path, durability=durability, older=older, mode=mode))
        self.owners = Owners.beside(self.path)
        self._places: dict[str, int] = {}

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    # ---------------------------------------------------------------- the six

    def save_run(self, run: RunRecord) -> str:
        """Insert or replace a run with its gates, answers and activity; its version is raised."""
        with self._db.write(sync=True) as connection:
            found = connection.execute(_Q["find_run"], (run.run_id,)).fetchone()
            if found is None:
                insert_run(connection, run)
            else:
                place = found["run"]
                execute(connection, "update_run", (*rows.run_row(run, blueprint_of(connection, run)), place))
                execute(connection, "delete_tags", (place,))
                execute(connection, "delete_events", (place,))
                insert_belongings(connection, place, run)
        return run.run_id

    def save_step(self, step: StepRecord) -> None:
        """Insert or replace a step. Raises RunNotFound when there is no such run."""
        with self._db.write() as connection:
            found = execute(connection, "find_run", (step.run_id,)).fetchone()
            if found is None:
                raise RunNotFound(f"There is no run {step.run_id} that a step could belong to.", run_id=step.run_id)
            write_step(connection, found["run"], step)

    def delete_run(self, run_id: str) -> None:
        """Remove a run and all that belongs to it."""
        with self._db.write(sync=True) as connection:
            execute(connection, "delete_run", (run_id,))
            self._places.pop(run_id, None)

    # ---------------------------------------------------------------- driving a run

    def create_run(self, run: RunRecord) -> None:
        """Add a new run, synced to disk, in one commit with others that begin at the same time.

        Raises RunExists when the id is taken, or a deleted run had it.
        """

        def create(connection: sqlite3.Connection) -> None:
            if execute(connection, "find_run", (run.run_id,)).fetchone() is not None:
                raise is_there(run.run_id)
            if execute(connection, "load_tombstone", (run.run_id,)).fetchone() is not None:
                raise was_deleted(run.run_id)
            insert_run(connection, run)

        self._db.together.write(create)

    def claim(self, run_id: str, *, owner: str, expected_epoch: int, expected_owner: str | None = None) -> int | None:
        """Compare-and-set of epoch and owner; the new epoch, or None when somebody else was first."""
        with self._db.write() as connection:
            now = rows.micros(utcnow_iso())
            found = execute(connection, "claim", (owner, now, run_id, expected_epoch, expected_owner)).fetchone()
            if found is None:
                _refuse_if_held(connection, run_id)
                return None
            return int(found["epoch"])

    def commit(self, commit: Commit) -> Signals:
        """One turn of the loop in one transaction. Raises ClaimLost when the run is under another claim."""
        if commit.sync:
            return self._db.together.write(lambda connection: self._commit(connection, commit))
        with self._db.write() as connection:
            return self._commit(connection, commit)

    def _commit(self, connection: sqlite3.Connection, commit: Commit) -> Signals:
        run = commit.run
        place = self._place(connection, run)
        if commit.unless_decided:
            decided = connection.execute(_Q["decided_gates"], (place,)).fetchall()
            if commit.is_held_back_by(map(tuple, decided)):
                return self._held_back(connection, commit)
        for step in commit.steps:
            write_step(connection, place, step)
        for gate in commit.gates:
            execute(connection, "upsert_gate", rows.gate_row(place, gate))
        for event in commit.events:
            execute(connection, "insert_event", rows.event_row(place, event))
        if run.status is RunStatus.RUNNING and run.owner is not None and not commit.gates:
            found = connection.execute(_Q["commit_step"], rows.progress_row(run, place, commit.owner)).fetchone()
        else:
            decided = connection.execute(_Q["is_decided"], (place,)).fetchone()[0]
            owing = Owed.DECISION.value if decided and not run.status.ended else run.owed
            found = execute(connection, "commit_run", rows.state_row(run, place, owing, commit.owner)).fetchone()
        if found is None:
            raise claim_lost(run.run_id)
        cancel_requested, owed, version, blueprint_hash = found
        if blueprint_hash != (run.blueprint_hash or None):
            values = (blueprint_of(connection, run), run.blueprint_hash, run.nodes_total, place)
            execute(connection, "redefine_run", values)
        return Signals(epoch=run.epoch, owner=run.owner, cancel_requested=cancel_requested, owed=owed, version=version)

    def _held_back(self, connection: sqlite3.Connection, commit: Commit) -> Signals:
        row = connection.execute(_Q["signals"], (commit.run.run_id,)).fetchone()
        if row is None or (row["epoch"], row["owner"]) != (commit.run.epoch, commit.owner):
            raise claim_lost(commit.run.run_id)
        return Signals(
            epoch=row["epoch"], owner=row["owner"], cancel_requested=row["cancel_requested"], owed=Owed.DECISION,
            version=row["version"],
        )  # fmt: skip

    def request_cancel(self, run_id: str, *, event: Event) -> bool:
        """Ask whoever drives the run to stop between steps; False when it has ended."""
        with self._db.write(sync=True) as connection:
            found = execute(connection, "request_cancel", (event.who or "?", run_id)).fetchone()
            if found is None:
                _refuse_if_held(connection, run_id)
            else:
                execute(connection, "insert_event", rows.event_row(found["run"], event))
            return found is not None

    def set_owed(
        self,
        run_id: str,
        owed: Owed | None,
        *,
        event: Event | None = None,
        claim: tuple[int, str | None] | None = None,
    ) -> None:
        """Mark a run as owed, or not, unless it is over for good or under another claim."""
        with self._db.write(sync=True) as connection:
            epoch, owner = claim or (None, None)
            found = execute(connection, "set_owed", (owed, run_id, epoch, epoch, owner)).fetchone()
            if found is None:
                _refuse_if_held(connection, run_id)
            elif event is not None:
                execute(connection, "insert_event", rows.event_row(found["run"], event))

    # ---------------------------------------------------------------- gates

    def answer_gate(self, run_id: str, answer: Answer, *, event: Event, digest: str) -> Answer | None:
        """Let one answer take effect (promise 4); None, and nothing changed, when the occurrence is not open so."""
        at = rows.micros(answer.at)
        with self._db.write(sync=True) as connection:
            found = execute(connection, "find_run", (run_id,)).fetchone()
            if found is None:
                return None
            refuse_if_held(run_id, found["held"])
            place = found["run"]
            key = (place, answer.node_id, answer.visit)
            if execute(connection, "decide_gate", (at, answer.by, *key, digest)).rowcount != 1:
                return None
            last = connection.execute(_Q["last_answer"], (place,)).fetchone()
            sealed = answer.sealed(run_id, last["hash"] if last is not None else "")
            execute(connection, "insert_answer", rows.answer_row(place, sealed))
            execute(connection, "owe_decision", (at, place))
            execute(connection, "insert_event", rows.event_row(place, event))
            return sealed

    def replace_gate(
        self, run_id: str, old: GateRecord, new: GateRecord, *steps: StepRecord, event: Event, expected_epoch: int
    ) -> bool:
        """Void an open occurrence of a suspended run and open another; False when it, or the run, has changed."""
        with self._db.write(sync=True) as connection:
            found = execute(connection, "find_suspended_run", (run_id, expected_epoch)).fetchone()
            if found is None:
                return False
            place = found["run"]
            at = rows.micros(old.closed_at or utcnow_iso())
            if execute(connection, "void_gate", (at, old.void_reason, place, old.node_id, old.visit)).rowcount != 1:
                return False
            execute(connection, "upsert_gate", rows.gate_row(place, new))
            for step in steps:
                write_step(connection, place, step)
            execute(connection, "insert_event", rows.event_row(place, event))
            execute(connection, "touch", (place,))
            return True

    # ---------------------------------------------------------------- the rest

    def adopt_runs(self, run_ids: Iterable[str] | None, *, event: Event) -> int:
        """Let runs that stand still go on here, in one transaction."""
        with self._db.write(sync=True) as connection:
            wanted = [None] if run_ids is None else list(dict.fromkeys(run_ids))
            found = [row for one in wanted for row in execute(connection, "held_runs", (one, one)).fetchall()]
            for row in found:
                execute(connection, "adopt_run", (row["run"],))
                execute(connection, "insert_event", rows.event_row(row["run"], event))
            return len(found)

    def keep_request(self, key: str, digest: str, answer: bytes) -> None:
        """Remember for a day how a request was answered; the first answer under a key counts."""
        with self._db.write() as connection:
            execute(connection, "forget_requests", (rows.micros(a_day_ago()),))
            execute(connection, "keep_request", (key, rows.micros(utcnow_iso()), digest, answer))

    def forget_request(self, key: str, digest: str) -> None:
        """Forget what is kept under `key`, if it is of the request with this digest."""
        with self._db.write() as connection:
            execute(connection, "forget_request", (key, digest))

    def bury_run(self, run_id: str, tombstone: Tombstone) -> None:
        """Delete a run that has ended and leave its tombstone, in one transaction."""
        with self._db.write(sync=True) as connection:
            found = connection.execute(_Q["find_run"], (run_id,)).fetchone()
            if found is not None and connection.execute(_Q["ended_run"], (run_id,)).fetchone() is None:
                raise goes_on(run_id)
            self.bury_within(connection, run_id, tombstone)

    def bury_within(self, connection: sqlite3.Connection, run_id: str, tombstone: Tombstone) -> None:
        """`bury_run` as a part of the caller's transaction, which may bury many."""
        values = (run_id, tombstone.blueprint_name, tombstone.deleted_at, tombstone.deleted_by, tombstone.last_hash)
        execute(connection, "insert_tombstone", values)
        execute(connection, "delete_run", (run_id,))
        self._places.pop(run_id, None)

    # ---------------------------------------------------------------- writing rows

    def _place(self, connection: sqlite3.Connection, run: RunRecord) -> int:
        """The row number of a run that is being driven; every use of it names the run's id as well."""
        place = self._places.get(run.run_id)
        if place is None:
            found = connection.execute(_Q["find_run"], (run.run_id,)).fetchone()
            if found is None:
                raise claim_lost(run.run_id)
            if len(self._places) > 10_000:
                self._places.clear()
            place = self._places[run.run_id] = found["run"]
        return place


def _refuse_if_held(connection: sqlite3.Connection, run_id: str) -> None:
    found = execute(connection, "find_run", (run_id,)).fetchone()
    if found is not None:
        refuse_if_held(run_id, found["held"])
