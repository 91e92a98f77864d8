"""Runs in one SQLite file. What is written stands here; what is read, in `sqlite_reads`; the SQL, in sql/queries.sql."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import ClassVar

from neurocore.errors import ClaimLost
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
        """Insert or replace a run with its gates, answers and activity."""
        with self._db.write(sync=True) as connection:
            found = connection.execute(_Q["find_run"], (run.run_id,)).fetchone()
            if found is None:
                self._insert(connection, run)
            else:
                place = found["run"]
                connection.execute(_Q["update_run"], (*rows.run_row(run, self._blueprint(connection, run)), place))
                connection.execute(_Q["delete_tags"], (place,))
                connection.execute(_Q["delete_events"], (place,))
                self._belongings(connection, place, run)
        return run.run_id

    def save_step(self, step: StepRecord) -> None:
        """Insert or replace a step. Raises KeyError when there is no such run."""
        with self._db.write() as connection:
            self._write_step(connection, self._place(connection, step.run_id), step)

    def delete_run(self, run_id: str) -> None:
        """Remove a run and all that belongs to it."""
        with self._db.write(sync=True) as connection:
            connection.execute(_Q["delete_run"], (run_id,))
            self._places.pop(run_id, None)

    # ---------------------------------------------------------------- driving a run

    def create_run(self, run: RunRecord) -> None:
        """Add a new run, synced to disk. Raises ValueError when the id is taken."""
        with self._db.write(sync=True) as connection:
            try:
                self._insert(connection, run)
            except sqlite3.IntegrityError:
                raise ValueError(f"A run with the id {run.run_id} exists already.") from None

    def claim(self, run_id: str, *, owner: str, expected_epoch: int) -> int | None:
        """Compare-and-set of the epoch; the new epoch, or None when somebody else was first."""
        with self._db.write() as connection:
            found = connection.execute(
                _Q["claim"], (owner, rows.micros(utcnow_iso()), run_id, expected_epoch)
            ).fetchone()
            return None if found is None else int(found["epoch"])

    def commit(self, commit: Commit) -> Signals:
        """One turn of the loop in one transaction. Raises ClaimLost when the writer's epoch is old."""
        run = commit.run
        with self._db.write(sync=commit.sync) as connection:
            place = self._place(connection, run.run_id)
            if commit.unless_decided and connection.execute(_Q["is_decided"], (place,)).fetchone()[0]:
                return self._signals(connection, run.run_id)
            for step in commit.steps:
                self._write_step(connection, place, step)
            for gate in commit.gates:
                connection.execute(_Q["upsert_gate"], rows.gate_row(place, gate))
            for event in commit.events:
                connection.execute(_Q["insert_event"], rows.event_row(place, event))
            if run.status is RunStatus.RUNNING and run.owner is not None and not commit.gates:
                found = connection.execute(
                    _Q["commit_step"],
                    (
                        rows.micros(run.updated_at), run.duration_ms, rows.nodes_text(run.current_nodes), run.nodes_done,
                        run.deaths, place, run.epoch,
                    ),
                ).fetchone()  # fmt: skip
            else:
                found = self._commit_state(connection, place, run)
            if found is None:
                raise ClaimLost(f"Run {run.run_id} was taken over by another process; nothing was written.")
            return Signals(
                epoch=run.epoch, cancel_requested=found["cancel_requested"], owed=found["owed"], version=found["version"]
            )

    def _commit_state(self, connection: sqlite3.Connection, place: int, run: RunRecord) -> sqlite3.Row | None:
        decided = connection.execute(_Q["is_decided"], (place,)).fetchone()[0]
        owed = Owed.DECISION.value if decided and not run.status.ended else run.owed
        finished = None if run.finished_at is None else rows.micros(run.finished_at)
        found: sqlite3.Row | None = connection.execute(
            _Q["commit_run"],
            (
                run.status.value, rows.micros(run.updated_at), finished, run.duration_ms, run.suspended_at_node,
                run.suspension_reason, rows.nodes_text(run.current_nodes), run.nodes_done, run.owner, owed, run.deaths,
                run.error, rows.failure_text(run.failure), place, run.epoch,
            ),
        ).fetchone()  # fmt: skip
        return found

    def request_cancel(self, run_id: str, *, event: Event) -> None:
        """Ask whoever drives the run to stop between steps."""
        with self._db.write(sync=True) as connection:
            found = connection.execute(_Q["request_cancel"], (event.who or "?", run_id)).fetchone()
            if found is not None:
                connection.execute(_Q["insert_event"], rows.event_row(found["run"], event))

    def set_owed(self, run_id: str, owed: Owed | None, *, event: Event | None = None) -> None:
        """Mark a run as owed, or not."""
        with self._db.write(sync=True) as connection:
            found = connection.execute(_Q["set_owed"], (owed, run_id)).fetchone()
            if found is not None and event is not None:
                connection.execute(_Q["insert_event"], rows.event_row(found["run"], event))

    # ---------------------------------------------------------------- gates

    def answer_gate(self, run_id: str, answer: Answer, *, event: Event) -> bool:
        """Let one answer take effect (promise 4); False, and nothing changed, when the occurrence is open no more."""
        at = rows.micros(answer.at)
        with self._db.write(sync=True) as connection:
            found = connection.execute(_Q["find_run"], (run_id,)).fetchone()
            if found is None:
                return False
            place = found["run"]
            key = (place, answer.node_id, answer.visit)
            decided = connection.execute(_Q["decide_gate"], (at, *key, answer.digest, answer.digest)).rowcount
            if decided != 1:
                return False
            last = connection.execute(_Q["last_answer"], (place,)).fetchone()
            sealed = answer.sealed(run_id, last["hash"] if last is not None else "")
            connection.execute(_Q["insert_answer"], rows.answer_row(place, sealed))
            connection.execute(_Q["owe_decision"], (at, place))
            connection.execute(_Q["insert_event"], rows.event_row(place, event))
            return True

    def replace_gate(self, run_id: str, old: GateRecord, new: GateRecord, step: StepRecord, *, event: Event) -> bool:
        """Void an open occurrence and open another; False when it is open no more."""
        with self._db.write(sync=True) as connection:
            place = self._place(connection, run_id)
            at = rows.micros(old.closed_at or utcnow_iso())
            key = (place, old.node_id, old.visit)
            if connection.execute(_Q["void_gate"], (at, old.void_reason, *key)).rowcount != 1:
                return False
            connection.execute(_Q["upsert_gate"], rows.gate_row(place, new))
            self._write_step(connection, place, step)
            connection.execute(_Q["insert_event"], rows.event_row(place, event))
            connection.execute(_Q["touch"], (place,))
            return True

    # ---------------------------------------------------------------- the end of a run's history

    def bury_run(self, run_id: str, tombstone: Tombstone) -> None:
        """Delete a run and leave its tombstone, in one transaction."""
        with self._db.write(sync=True) as connection:
            connection.execute(
                _Q["insert_tombstone"],
                (run_id, tombstone.blueprint_name, tombstone.deleted_at, tombstone.deleted_by, tombstone.last_hash),
            )
            connection.execute(_Q["delete_run"], (run_id,))
            self._places.pop(run_id, None)

    # ---------------------------------------------------------------- writing rows

    def _place(self, connection: sqlite3.Connection, run_id: str) -> int:
        place = self._places.get(run_id)
        if place is None:
            found = connection.execute(_Q["find_run"], (run_id,)).fetchone()
            if found is None:
                raise KeyError(f"There is no run {run_id}.")
            if len(self._places) > 10_000:
                self._places.clear()
            place = self._places[run_id] = found["run"]
        return place

    def _blueprint(self, connection: sqlite3.Connection, run: RunRecord) -> int:
        digest, text = rows.definition_of(run)
        values = (digest, run.blueprint_name, run.blueprint_version, run.flow_type, text)
        connection.execute(_Q["insert_blueprint"], values)
        return int(connection.execute(_Q["find_blueprint"], (digest,)).fetchone()["id"])

    def _insert(self, connection: sqlite3.Connection, run: RunRecord) -> None:
        blueprint = self._blueprint(connection, run)
        place = connection.execute(_Q["insert_run"], rows.run_row(run, blueprint)).lastrowid
        self._belongings(connection, int(place or 0), run)

    def _belongings(self, connection: sqlite3.Connection, place: int, run: RunRecord) -> None:
        """Tags, activity, gates and answers of a run that was saved whole."""
        connection.executemany(_Q["insert_tag"], [(tag, place) for tag in run.tags])
        connection.executemany(_Q["insert_event"], [rows.event_row(place, event) for event in run.events])
        if not run.gates:
            return
        kept = {row["hash"] for row in connection.execute(_Q["load_answers"], (run.run_id,))}
        for gate in run.gates:
            connection.execute(_Q["upsert_gate"], rows.gate_row(place, gate))
        new = [answer for gate in run.gates for answer in gate.answers if answer.hash not in kept]
        for answer in _in_chain(new):
            connection.execute(_Q["insert_answer"], rows.answer_row(place, answer))

    def _write_step(self, connection: sqlite3.Connection, place: int, step: StepRecord) -> None:
        connection.execute(_Q["upsert_step"], rows.step_row(place, step))
        if step.logs:
            lines = [
                (place, step.step_index, number, rows.micros(line.at), line.level, line.message)
                for number, line in enumerate(step.logs)
            ]
            connection.executemany(_Q["insert_log"], lines)

    def _signals(self, connection: sqlite3.Connection, run_id: str) -> Signals:
        row = connection.execute(_Q["signals"], (run_id,)).fetchone()
        return Signals(
            epoch=row["epoch"], cancel_requested=row["cancel_requested"], owed=Owed.DECISION, version=row["version"]
        )


def _in_chain(answers: list[Answer]) -> list[Answer]:
    """Answers in the order of their hashes' chain (those that hang in the air last)."""
    after = {answer.prev_hash: answer for answer in answers}
    ordered: list[Answer] = []
    first = next((a for a in answers if a.prev_hash not in {b.hash for b in answers}), None)
    while first is not None and first not in ordered:
        ordered.append(first)
        first = after.get(first.hash)
    return ordered + [answer for answer in answers if answer not in ordered]


