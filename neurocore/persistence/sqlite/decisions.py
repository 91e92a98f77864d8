"""Gates and answers of a run in SQLite."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, cast

from neurocore.persistence import rows
from neurocore.persistence.contract.decisions import Decisions, Rule
from neurocore.persistence.inserts import execute, write_rows
from neurocore.persistence.projections import refuse_if_held
from neurocore.persistence.records import Answer, Event, GateRecord, GateStatus, StepRecord
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
            if rule is None or self._ruled(run_id, answer, digest, rule):
                decided = execute(
                    connection, "decide_gate", closed_at=at, decided_by=answer.by, run=run_pk, node_id=answer.node_id,
                    visit=answer.visit, digest=digest,
                )  # fmt: skip
                if decided.rowcount != 1:
                    return None
                execute(connection, "owe_decision", updated_at=at, run=run_pk)
            else:
                open_so = execute(
                    connection, "is_open", run=run_pk, node_id=answer.node_id, visit=answer.visit, digest=digest
                ).fetchone()
                if open_so is None:
                    return None
                execute(connection, "touch", run=run_pk)
            last = execute(connection, "last_answer", run=run_pk).fetchone()
            sealed = answer.sealed(run_id, last["hash"] if last is not None else "")
            write_rows(connection, run_pk, answers=[sealed], events=[event])
            return sealed

    def _ruled(self, run_id: str, answer: Answer, digest: str, rule: Rule) -> bool:
        """Ask the rule. What it reads changes under the write lock only, which the caller's transaction holds."""
        gate = self.load_gate(run_id, answer.node_id, answer.visit)
        is_open = gate is not None and gate.status is GateStatus.OPEN and gate.digest == digest
        return is_open and gate is not None and rule(gate, cast("Accounts", self))

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
