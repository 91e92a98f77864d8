"""Gates and answers of a run in SQLite."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, cast

from neurocore.persistence import rows
from neurocore.persistence.contract.decisions import Decisions, Rule
from neurocore.persistence.inserts import execute, write_rows
from neurocore.persistence.projections import refuse_if_held
from neurocore.persistence.records import Answer, Event, GateRecord, GateStatus, Ruling, StepRecord
from neurocore.persistence.sqlite.base import SQLiteBase

if TYPE_CHECKING:
    from neurocore.persistence.contract.accounts import Accounts


class SQLiteDecisions(SQLiteBase, Decisions):
    """Decide gates, each in one transaction."""

    def answer_gate(
        self,
        run_id: str,
        answer: Answer,
        *,
        event: Event,
        digest: str,
        rule: Rule | None = None,
    ) -> Answer | None:
        """Record one answer, and let it take effect if it decides; return None if the occurrence is not open so."""
        at = rows.micros(answer.at)
        with self._db.write(sync=True) as connection:
            found = execute(connection, "find_run", run_id=run_id).fetchone()
            if found is None:
                return None
            refuse_if_held(run_id, found["held"])
            run_pk = found["run"]
            ruling = Ruling() if rule is None else self._ruled(run_id, answer, digest, rule)
            if ruling is None:
                return None
            if ruling.decides:
                decided = execute(
                    connection, "decide_gate", closed_at=at, decided_by=answer.by, run=run_pk, node_id=answer.node_id,
                    visit=answer.visit, digest=digest,
                )  # fmt: skip
                if decided.rowcount != 1:
                    return None
                execute(connection, "owe_decision", updated_at=at, run=run_pk)
            else:
                self._look_again(connection, run_pk, answer.node_id, answer.visit, digest, ruling)
            last = execute(connection, "last_answer", run=run_pk).fetchone()
            sealed = answer.sealed(run_id, last["hash"] if last is not None else "")
            write_rows(connection, run_pk, answers=[sealed], events=[event])
            return sealed

    def _ruled(self, run_id: str, answer: Answer, digest: str, rule: Rule) -> Ruling | None:
        """Ask the rule. What it reads changes under the write lock only, which the caller's transaction holds."""
        gate = self.load_gate(run_id, answer.node_id, answer.visit)
        is_open = gate is not None and gate.status is GateStatus.OPEN and gate.digest == digest
        return rule(gate, cast("Accounts", self)) if is_open and gate is not None else None

    @staticmethod
    def _look_again(
        connection: sqlite3.Connection, run_pk: int, node_id: str, visit: int, digest: str, ruling: Ruling
    ) -> None:
        due_at = None if ruling.due_at is None else rows.micros(ruling.due_at)
        given = {"run": run_pk, "node_id": node_id, "visit": visit, "digest": digest}
        execute(connection, "look_again", due_at=due_at, **given)
        execute(connection, "touch", run=run_pk)

    def add_event(self, run_id: str, event: Event) -> bool:
        """Add an event to a run's activity, synced."""
        with self._db.write(sync=True) as connection:
            found = execute(connection, "find_run", run_id=run_id).fetchone()
            if found is None:
                return False
            refuse_if_held(run_id, found["held"])
            write_rows(connection, found["run"], events=[event])
            execute(connection, "touch", run=found["run"])
            return True

    def due_gates(self, *, now: str, limit: int = 100) -> list[tuple[str, str, int]]:
        """Return which open occurrences must be looked at, by their index."""
        found = self._rows("due_gates", now=rows.micros(now), limit=limit) if self._db.copy is None else []
        return [(row["run_id"], row["node_id"], row["visit"]) for row in found]

    def settle_gate(self, run_id: str, node_id: str, visit: int, *, rule: Rule) -> Ruling | None:
        """Ask the rule about an open occurrence and do what it says, in one transaction."""
        with self._db.write(sync=True) as connection:
            found = execute(connection, "find_run", run_id=run_id).fetchone()
            gate = None if found is None or found["held"] else self.load_gate(run_id, node_id, visit)
            if gate is None or gate.status is not GateStatus.OPEN:
                return None
            ruling = rule(gate, cast("Accounts", self))
            if ruling is None:
                return None
            run_pk, at = found["run"], self.clock.micros()
            sealed = []
            if ruling.answer is not None:
                last = execute(connection, "last_answer", run=run_pk).fetchone()
                sealed = [ruling.answer.sealed(run_id, last["hash"] if last is not None else "")]
                at = rows.micros(ruling.answer.at)
            if ruling.decides:
                by = (sealed or gate.answers)[-1].by
                execute(
                    connection, "decide_gate", closed_at=at, decided_by=by, run=run_pk, node_id=node_id, visit=visit,
                    digest=gate.digest,
                )  # fmt: skip
                execute(connection, "owe_decision", updated_at=at, run=run_pk)
            else:
                self._look_again(connection, run_pk, node_id, visit, gate.digest, ruling)
            write_rows(connection, run_pk, answers=sealed, events=[ruling.event] if ruling.event else [])
            return ruling

    def replace_gate(
        self, run_id: str, old: GateRecord, new: GateRecord, *steps: StepRecord, event: Event, expected_epoch: int
    ) -> bool:
        """Void an open occurrence of a suspended run and open another; return False if it, or the run, has changed."""
        with self._db.write(sync=True) as connection:
            found = execute(connection, "find_suspended_run", run_id=run_id, epoch=expected_epoch).fetchone()
            if found is None:
                return False
            run_pk = found["run"]
            at = rows.micros(old.closed_at) if old.closed_at else self.clock.micros()
            voided = execute(
                connection, "void_gate", closed_at=at, void_reason=old.void_reason, run=run_pk, node_id=old.node_id,
                visit=old.visit,
            )  # fmt: skip
            if voided.rowcount != 1:
                return False
            write_rows(connection, run_pk, gates=[new], steps=steps, events=[event])
            execute(connection, "touch", run=run_pk)
            return True

    def load_gates(self, run_id: str, *, narrow: bool = False) -> list[GateRecord]:
        """Return the run's gate occurrences with their answers."""
        return self._gates(run_id, narrow=narrow)

    def load_gate(self, run_id: str, node_id: str, visit: int) -> GateRecord | None:
        """Return one gate occurrence with its answers."""
        with self._db.snapshot():
            row = self._row("load_gate", run_id=run_id, node_id=node_id, visit=visit)
            return None if row is None else self._gate(row)

    def _gate(self, row: sqlite3.Row) -> GateRecord:
        gate = self._made(rows.gate_of, row)
        answers = self._rows("gate_answers", run=row["run"], node_id=row["node_id"], visit=row["visit"])
        gate.answers = [self._made(rows.answer_of, answer) for answer in answers]
        return gate
