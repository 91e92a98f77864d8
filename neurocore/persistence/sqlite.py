"""Runs in one SQLite file: what is written. What is read stands in `sqlite_reads`, the SQL in sql/queries.sql."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from neurocore.errors import ClaimLost, RunNotFound
from neurocore.persistence import rows
from neurocore.persistence.base import (
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
from neurocore.persistence.database import Database
from neurocore.persistence.sqlite_reads import SQLiteReads

_Q = rows.queries()


class SQLiteRunStore(SQLiteReads):
    """A durable store in the file `path`, safe for threads and processes on one machine.

    `durability="full"` syncs every commit to disk; `"normal"` syncs run starts, gates, answers and run ends, and keeps
    every commit through the death of the process. Raises StoreError where the file cannot be opened.
    """

    multi_process: ClassVar[bool] = True

    def __init__(self, path: Path | str, *, durability: str = "normal") -> None:
        self.path = Path(path)
        super().__init__(Database(self.path, durability=durability))
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
                self._insert(connection, run)
            else:
                place = found["run"]
                _run(connection, "update_run", (*rows.run_row(run, self._blueprint(connection, run)), place))
                _run(connection, "delete_tags", (place,))
                _run(connection, "delete_events", (place,))
                self._belongings(connection, place, run)
        return run.run_id

    def save_step(self, step: StepRecord) -> None:
        """Insert or replace a step. Raises RunNotFound when there is no such run."""
        with self._db.write() as connection:
            found = _run(connection, "find_run", (step.run_id,)).fetchone()
            if found is None:
                raise RunNotFound(f"There is no run {step.run_id} that a step could belong to.", run_id=step.run_id)
            self._write_step(connection, found["run"], step)
            _run(connection, "touch", (found["run"],))

    def delete_run(self, run_id: str) -> None:
        """Remove a run and all that belongs to it."""
        with self._db.write(sync=True) as connection:
            _run(connection, "delete_run", (run_id,))
            self._places.pop(run_id, None)

    # ---------------------------------------------------------------- driving a run

    def create_run(self, run: RunRecord) -> None:
        """Add a new run, synced to disk. Raises ValueError when the id is taken."""
        with self._db.write(sync=True) as connection:
            if connection.execute(_Q["find_run"], (run.run_id,)).fetchone() is not None:
                raise ValueError(f"A run with the id {run.run_id} exists already.")
            self._insert(connection, run)

    def claim(self, run_id: str, *, owner: str, expected_epoch: int) -> int | None:
        """Compare-and-set of the epoch; the new epoch, or None when somebody else was first."""
        with self._db.write() as connection:
            now = rows.micros(utcnow_iso())
            found = _run(connection, "claim", (owner, now, run_id, expected_epoch)).fetchone()
            return None if found is None else int(found["epoch"])

    def commit(self, commit: Commit) -> Signals:
        """One turn of the loop in one transaction. Raises ClaimLost when the writer's epoch is old."""
        run = commit.run
        with self._db.write(sync=commit.sync) as connection:
            place = self._place(connection, run)
            if commit.unless_decided and connection.execute(_Q["is_decided"], (place,)).fetchone()[0]:
                return self._held_back(connection, run)
            for step in commit.steps:
                self._write_step(connection, place, step)
            for gate in commit.gates:
                _run(connection, "upsert_gate", rows.gate_row(place, gate))
            for event in commit.events:
                _run(connection, "insert_event", rows.event_row(place, event))
            if run.status is RunStatus.RUNNING and run.owner is not None and not commit.gates:
                found = connection.execute(_Q["commit_step"], rows.progress_row(run, place)).fetchone()
            else:
                decided = connection.execute(_Q["is_decided"], (place,)).fetchone()[0]
                owed = Owed.DECISION.value if decided and not run.status.ended else run.owed
                found = _run(connection, "commit_run", rows.state_row(run, place, owed)).fetchone()
            if found is None:
                raise _lost(run)
            if found["blueprint_hash"] != (run.blueprint_hash or None):
                values = (self._blueprint(connection, run), run.blueprint_hash, run.nodes_total, place)
                _run(connection, "redefine_run", values)
            return Signals(
                epoch=run.epoch,
                cancel_requested=found["cancel_requested"],
                owed=found["owed"],
                version=found["version"],
            )

    def _held_back(self, connection: sqlite3.Connection, run: RunRecord) -> Signals:
        row = connection.execute(_Q["signals"], (run.run_id,)).fetchone()
        if row is None or row["epoch"] != run.epoch:
            raise _lost(run)
        return Signals(
            epoch=row["epoch"], cancel_requested=row["cancel_requested"], owed=Owed.DECISION, version=row["version"]
        )

    def request_cancel(self, run_id: str, *, event: Event) -> None:
        """Ask whoever drives the run to stop between steps."""
        with self._db.write(sync=True) as connection:
            found = _run(connection, "request_cancel", (event.who or "?", run_id)).fetchone()
            if found is not None:
                _run(connection, "insert_event", rows.event_row(found["run"], event))

    def set_owed(self, run_id: str, owed: Owed | None, *, event: Event | None = None) -> None:
        """Mark a run as owed, or not."""
        with self._db.write(sync=True) as connection:
            found = _run(connection, "set_owed", (owed, run_id)).fetchone()
            if found is not None and event is not None:
                _run(connection, "insert_event", rows.event_row(found["run"], event))

    # ---------------------------------------------------------------- gates

    def answer_gate(self, run_id: str, answer: Answer, *, event: Event) -> bool:
        """Let one answer take effect (promise 4); False, and nothing changed, when the occurrence is open no more."""
        at = rows.micros(answer.at)
        with self._db.write(sync=True) as connection:
            found = _run(connection, "find_run", (run_id,)).fetchone()
            if found is None:
                return False
            place = found["run"]
            key = (place, answer.node_id, answer.visit)
            if _run(connection, "decide_gate", (at, answer.by, *key, answer.digest, answer.digest)).rowcount != 1:
                return False
            last = connection.execute(_Q["last_answer"], (place,)).fetchone()
            sealed = answer.sealed(run_id, last["hash"] if last is not None else "")
            _run(connection, "insert_answer", rows.answer_row(place, sealed))
            _run(connection, "owe_decision", (at, place))
            _run(connection, "insert_event", rows.event_row(place, event))
            return True

    def replace_gate(self, run_id: str, old: GateRecord, new: GateRecord, step: StepRecord, *, event: Event) -> bool:
        """Void an open occurrence and open another; False when it is open no more."""
        with self._db.write(sync=True) as connection:
            found = _run(connection, "find_run", (run_id,)).fetchone()
            if found is None:
                return False
            place = found["run"]
            at = rows.micros(old.closed_at or utcnow_iso())
            if _run(connection, "void_gate", (at, old.void_reason, place, old.node_id, old.visit)).rowcount != 1:
                return False
            _run(connection, "upsert_gate", rows.gate_row(place, new))
            self._write_step(connection, place, step)
            _run(connection, "insert_event", rows.event_row(place, event))
            _run(connection, "touch", (place,))
            return True

    # ---------------------------------------------------------------- the rest

    def keep_request(self, key: str, digest: str, answer: bytes) -> None:
        """Remember for a day how a request was answered; the first answer under a key counts."""
        with self._db.write() as connection:
            _run(connection, "forget_requests", (rows.micros(a_day_ago()),))
            _run(connection, "keep_request", (key, rows.micros(utcnow_iso()), digest, answer))

    def bury_run(self, run_id: str, tombstone: Tombstone) -> None:
        """Delete a run and leave its tombstone, in one transaction."""
        with self._db.write(sync=True) as connection:
            self.bury_within(connection, run_id, tombstone)

    def bury_within(self, connection: sqlite3.Connection, run_id: str, tombstone: Tombstone) -> None:
        """`bury_run` as a part of the caller's transaction, which may bury many."""
        values = (run_id, tombstone.blueprint_name, tombstone.deleted_at, tombstone.deleted_by, tombstone.last_hash)
        _run(connection, "insert_tombstone", values)
        _run(connection, "delete_run", (run_id,))
        self._places.pop(run_id, None)

    @property
    def database(self) -> Database:
        """The file itself, for what is done to a database as a whole (`neurocore.persistence.admin`)."""
        return self._db

    # ---------------------------------------------------------------- writing rows

    def _place(self, connection: sqlite3.Connection, run: RunRecord) -> int:
        """The row number of a run that is being driven; every use of it names the run's id as well."""
        place = self._places.get(run.run_id)
        if place is None:
            found = connection.execute(_Q["find_run"], (run.run_id,)).fetchone()
            if found is None:
                raise _lost(run)
            if len(self._places) > 10_000:
                self._places.clear()
            place = self._places[run.run_id] = found["run"]
        return place

    def _blueprint(self, connection: sqlite3.Connection, run: RunRecord) -> int:
        digest, text = rows.definition_of(run)
        found = connection.execute(_Q["find_blueprint"], (digest,)).fetchone()
        if found is None:
            values = (digest, run.blueprint_name, run.blueprint_version, run.flow_type, text)
            return int(_run(connection, "insert_blueprint", values).lastrowid or 0)
        return int(found["id"])

    def _insert(self, connection: sqlite3.Connection, run: RunRecord) -> None:
        place = _run(connection, "insert_run", rows.run_row(run, self._blueprint(connection, run))).lastrowid
        self._belongings(connection, int(place or 0), run)

    def _belongings(self, connection: sqlite3.Connection, place: int, run: RunRecord) -> None:
        """Tags, activity, gates and answers of a run that was saved whole."""
        created = rows.micros(run.created_at)
        for tag in run.tags:
            _run(connection, "insert_tag", (tag, created, place))
        for event in run.events:
            _run(connection, "insert_event", rows.event_row(place, event))
        if not run.gates:
            return
        kept = {row["hash"] for row in connection.execute(_Q["load_answers"], (run.run_id,))}
        for gate in run.gates:
            _run(connection, "upsert_gate", rows.gate_row(place, gate))
        new = [answer for gate in run.gates for answer in gate.answers if answer.hash not in kept]
        for answer in _in_chain(new):
            _run(connection, "insert_answer", rows.answer_row(place, answer))

    def _write_step(self, connection: sqlite3.Connection, place: int, step: StepRecord) -> None:
        _run(connection, "upsert_step", rows.step_row(place, step))
        for number, line in enumerate(step.logs):
            values = (place, step.step_index, number, rows.micros(line.at), line.level, line.message)
            _run(connection, "insert_log", values)


def _run(connection: sqlite3.Connection, name: str, parameters: Sequence[Any]) -> sqlite3.Cursor:
    """Execute a named query. Words with lone surrogates, which no database holds, are written with escapes."""
    try:
        return connection.execute(_Q[name], parameters)
    except UnicodeEncodeError:
        return connection.execute(_Q[name], rows.words(parameters))


def _lost(run: RunRecord) -> ClaimLost:
    return ClaimLost(f"Run {run.run_id} was taken over by another process; nothing was written.")


def _in_chain(answers: list[Answer]) -> list[Answer]:
    """Answers in the order of their hashes' chain (those that hang in the air last)."""
    after = {answer.prev_hash: answer for answer in answers}
    hashes = {answer.hash for answer in answers}
    ordered: list[Answer] = []
    following = next((answer for answer in answers if answer.prev_hash not in hashes), None)
    while following is not None and following not in ordered:
        ordered.append(following)
        following = after.get(following.hash)
    return ordered + [answer for answer in answers if answer not in ordered]
