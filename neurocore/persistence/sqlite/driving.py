"""Driving a run in SQLite."""

from __future__ import annotations

import sqlite3

from neurocore.persistence import rows
from neurocore.persistence.contract.driving import Driving
from neurocore.persistence.inserts import blueprint_of, execute, write_step
from neurocore.persistence.projections import claim_lost
from neurocore.persistence.queries import queries
from neurocore.persistence.records import (
    Commit,
    Ended,
    Event,
    Owed,
    Recorded,
    RunRecord,
    RunStatus,
    Signals,
)
from neurocore.persistence.sqlite.base import SQLiteBase, refuse_held

_COMMIT_STEP = queries()["commit_step"].sql


class SQLiteDriving(SQLiteBase, Driving):
    """Claim a run and commit its progress, each in one transaction."""

    def claim(self, run_id: str, *, owner: str, expected_epoch: int, expected_owner: str | None = None) -> int | None:
        """Compare-and-set of epoch and owner; the new epoch, or None when somebody else was first."""
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

    def commit(self, commit: Commit) -> Signals:
        """One turn of the loop in one transaction. Raises ClaimLost when the run is under another claim."""
        if commit.sync:
            return self._db.together.write(lambda connection: self._commit(connection, commit))
        with self._db.write() as connection:
            return self._commit(connection, commit)

    def _commit(self, connection: sqlite3.Connection, commit: Commit) -> Signals:
        run = commit.run
        run_pk = self._run_pk(connection, run)
        if commit.unless_decided:
            decided = execute(connection, "decided_gates", run=run_pk).fetchall()
            if commit.is_held_back_by((row["node_id"], row["visit"]) for row in decided):
                return self._held_back(connection, commit)
        for step in commit.steps:
            write_step(connection, run_pk, step)
        for gate in commit.gates:
            execute(connection, "upsert_gate", **rows.gate_row(run_pk, gate))
        for event in commit.events:
            execute(connection, "insert_event", **rows.event_row(run_pk, event))
        if run.status is RunStatus.RUNNING and run.owner is not None and not commit.gates:
            found = connection.execute(_COMMIT_STEP, rows.progress_row(run, run_pk, commit.owner)).fetchone()
        else:
            decided = execute(connection, "is_decided", run=run_pk).fetchone()["decided"]
            owing = Owed.DECISION.value if decided and not run.status.ended else run.owed
            found = execute(connection, "commit_run", **rows.state_row(run, run_pk, owing, commit.owner)).fetchone()
        if found is None:
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

    def _held_back(self, connection: sqlite3.Connection, commit: Commit) -> Signals:
        row = execute(connection, "signals", run_id=commit.run.run_id).fetchone()
        if row is None or (row["epoch"], row["owner"]) != (commit.run.epoch, commit.owner):
            raise claim_lost(commit.run.run_id)
        return Signals(
            epoch=row["epoch"], owner=row["owner"], cancel_requested=row["cancel_requested"], owed=Owed.DECISION,
            version=row["version"],
        )  # fmt: skip

    def signals(self, run_id: str) -> Signals | None:
        """What the driver must notice: one row by its key."""
        row = self._row("signals", run_id=run_id)
        if row is None:
            return None
        return Signals(
            epoch=row["epoch"], owner=row["owner"], cancel_requested=row["cancel_requested"], owed=row["owed"],
            version=row["version"],
        )  # fmt: skip

    def request_cancel(self, run_id: str, *, event: Event) -> bool:
        """Ask whoever drives the run to stop between steps; False when it has ended."""
        with self._db.write(sync=True) as connection:
            found = execute(connection, "request_cancel", who=event.who or "?", run_id=run_id).fetchone()
            if found is None:
                refuse_held(connection, run_id)
            else:
                execute(connection, "insert_event", **rows.event_row(found["run"], event))
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
            found = execute(connection, "set_owed", owed=owed, run_id=run_id, epoch=epoch, owner=owner).fetchone()
            if found is None:
                refuse_held(connection, run_id)
            elif event is not None:
                execute(connection, "insert_event", **rows.event_row(found["run"], event))

    def active_runs(self) -> list[RunRecord]:
        """Runs that are running or owed and do not stand still."""
        return self._runs(self._rows("active_runs")) if self._db.copy is None else []

    def load_ended(self, run_id: str) -> list[Ended]:
        """The steps that ended their visit, read narrow."""
        return self._made(rows.ended_of, self._rows("load_ended", run_id=run_id))

    def load_recorded(self, run_id: str) -> Recorded:
        """All that a driver goes on from, in one walk over the steps; what has ended no visit is read whole."""
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
