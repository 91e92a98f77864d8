"""Driving a run in SQLite."""

from __future__ import annotations

import sqlite3

from neurocore.persistence import rows
from neurocore.persistence.contract.driving import Driving
from neurocore.persistence.inserts import blueprint_of, execute, write_rows
from neurocore.persistence.projections import claim_lost
from neurocore.persistence.queries import queries
from neurocore.persistence.records import (
    Ended,
    Event,
    Owed,
    Recorded,
    RunRecord,
    RunStatus,
    Signals,
    Transition,
)
from neurocore.persistence.sqlite.base import SQLiteBase, refuse_held

_COMMIT_STEP = queries()["commit_step"].sql


class SQLiteDriving(SQLiteBase, Driving):
    """Claim a run and commit its progress, each in one transaction."""

    def claim(self, run_id: str, *, owner: str, expected_epoch: int, expected_owner: str | None = None) -> int | None:
        """Compare-and-set epoch and owner; return the new epoch, or None when another process was first."""
        with self._db.write() as connection:
            claimed = execute(
                connection, "claim", owner=owner, updated_at=self.clock.micros(), run_id=run_id,
                epoch=expected_epoch, expected_owner=expected_owner,
            )  # fmt: skip
            found = claimed.fetchone()
            if found is None:
                refuse_held(connection, run_id)
                return None
            return int(found["epoch"])

    def commit(self, transition: Transition) -> Signals:
        """Write a transition in one transaction. Raises ClaimLost when the run is under another claim."""
        if transition.sync:
            return self._db.together.write(lambda connection: self._commit(connection, transition))
        with self._db.write() as connection:
            return self._commit(connection, transition)

    def _commit(self, connection: sqlite3.Connection, transition: Transition) -> Signals:
        run = transition.run
        run_pk = self._run_pk(connection, run)
        if transition.unless_decided:
            decided = execute(connection, "decided_gates", run=run_pk).fetchall()
            if transition.is_held_back_by((row["node_id"], row["visit"]) for row in decided):
                return self._held_back(connection, transition)
        write_rows(connection, run_pk, steps=transition.steps, gates=transition.gates, events=transition.events)
        if run.status is RunStatus.RUNNING and run.owner is not None and not transition.gates:
            found = connection.execute(_COMMIT_STEP, rows.progress_row(run, run_pk, transition.owner)).fetchone()
        else:
            decided = execute(connection, "is_decided", run=run_pk).fetchone()["decided"]
            owing = Owed.DECISION.value if decided and not run.status.ended else run.owed
            row = rows.state_row(run, run_pk, owing, transition.claim)
            found = execute(connection, "commit_run", **row).fetchone()
        if found is None:
            if transition.epoch is not None:
                refuse_held(connection, run.run_id)
            raise claim_lost(run.run_id)
        if found["blueprint_hash"] != (run.blueprint_hash or None):
            execute(
                connection, "redefine_run", blueprint=blueprint_of(connection, run), blueprint_hash=run.blueprint_hash,
                nodes_total=run.nodes_total, run=run_pk,
            )  # fmt: skip
        return Signals(
            epoch=run.epoch, owner=run.owner, cancel_requested=found["cancel_requested"], owed=found["owed"],
            version=found["version"],
        )  # fmt: skip

    def _held_back(self, connection: sqlite3.Connection, transition: Transition) -> Signals:
        row = execute(connection, "signals", run_id=transition.run.run_id).fetchone()
        if row is None or (row["epoch"], row["owner"]) != transition.claim:
            raise claim_lost(transition.run.run_id)
        return Signals(
            epoch=row["epoch"], owner=row["owner"], cancel_requested=row["cancel_requested"], owed=Owed.DECISION,
            version=row["version"],
        )  # fmt: skip

    def signals(self, run_id: str) -> Signals | None:
        """Return what the driver must notice: one row by its key."""
        row = self._row("signals", run_id=run_id)
        if row is None:
            return None
        return Signals(
            epoch=row["epoch"], owner=row["owner"], cancel_requested=row["cancel_requested"], owed=row["owed"],
            version=row["version"],
        )  # fmt: skip

    def request_cancel(self, run_id: str, *, event: Event) -> bool:
        """Ask the driver of the run to stop between steps; return False when the run has ended."""
        return self._request(run_id, "request_cancel", event, who=event.who or "?")

    def request_resume(self, run_id: str, *, event: Event) -> bool:
        """Record who wants the run to continue; return False when it has finally ended."""
        return self._request(run_id, "request_resume", event, redefines=event.definition is not None)

    def _request(self, run_id: str, query: str, event: Event, **values: object) -> bool:
        with self._db.write(sync=True) as connection:
            found = execute(connection, query, run_id=run_id, **values).fetchone()
            if found is None:
                refuse_held(connection, run_id)
            else:
                write_rows(connection, found["run"], events=[event])
            return found is not None

    def set_owed(
        self,
        run_id: str,
        owed: Owed | None,
        *,
        event: Event | None = None,
        claim: tuple[int, str | None] | None = None,
    ) -> None:
        """Mark a run as owed, or not, unless it has finally ended or is under another claim."""
        with self._db.write(sync=True) as connection:
            epoch, owner = claim or (None, None)
            found = execute(connection, "set_owed", owed=owed, run_id=run_id, epoch=epoch, owner=owner).fetchone()
            if found is None:
                refuse_held(connection, run_id)
            elif event is not None:
                write_rows(connection, found["run"], events=[event])

    def active_runs(self) -> list[RunRecord]:
        """Return runs that are running or owed, and not held."""
        return self._runs(self._rows("active_runs")) if self._db.copy is None else []

    def count_unbegun(self, started_by: str) -> int:
        """Return how many runs of somebody wait to begin, by their index."""
        row = self._row("count_unbegun", started_by=started_by)
        return 0 if row is None else int(row["n"])

    def load_ended(self, run_id: str) -> list[Ended]:
        """Return the steps that ended their visit, read narrow."""
        return self._made(rows.ended_of, self._rows("load_ended", run_id=run_id))

    def load_recorded(self, run_id: str) -> Recorded:
        """Return everything that a driver continues from, in one pass over the steps; open visits are read whole."""
        with self._db.snapshot():
            found = self._rows("load_recorded", run_id=run_id)
            steps = [row for row in found if row["step_index"] >= 0]
            inputs = next((row["changes"] for row in found if row["step_index"] < 0), None)
            ended = [row for row in steps if row["edges_taken"] is not None]
            others = self._rows("open_steps", run_id=run_id) if len(ended) < len(steps) else []
        changes = [(row["commit_index"], row["changes"]) for row in found if row["changes"] is not None]
        return Recorded(
            inputs={} if inputs is None else dict(self._made(rows.initial_of, inputs)),
            context=self._made(rows.fold_changes, sorted(changes, key=rows.first)),
            ended=self._made(rows.ended_of, ended),
            others=[self._made(rows.open_step_of, run_id, row) for row in others],
        )
