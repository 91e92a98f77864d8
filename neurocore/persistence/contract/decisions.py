"""Gates and answers of one run."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from neurocore.persistence.contract.accounts import Accounts
from neurocore.persistence.contract.runs import MANY, Runs, defaults_lock
from neurocore.persistence.projections import last_hash, merge_gates, refuse_if_held, with_events, without_shown
from neurocore.persistence.records import (
    Answer,
    Event,
    GateRecord,
    GateStatus,
    Owed,
    Ruling,
    RunRecord,
    RunStatus,
    StepRecord,
)

#: Returns what happens to an open occurrence, None if nothing does. Raises what refuses an answer.
Rule = Callable[[GateRecord, Accounts], Ruling | None]


class Decisions(Runs):
    """Let one answer to a gate take effect, and read the gates of a run."""

    def answer_gate(
        self,
        run_id: str,
        answer: Answer,
        *,
        event: Event,
        digest: str,
        rule: Rule | None = None,
    ) -> Answer | None:
        """Record one answer and, if it decides, let it take effect: its occurrence from open to decided (promise 4).

        `digest` is that of the occurrence that was checked; `answer.digest` only records what the person named. One
        synced transaction seals the answer into the run's chain, decides the gate, marks the run as owed and adds the
        event. Returns the recorded answer, or None, and changes nothing, when the occurrence is no longer open or has
        another digest.

        `rule` is asked within the transaction, with the occurrence and the accounts as they are there: it returns
        whether the answer decides (else it is recorded, and the occurrence stays open) and when the occurrence is due
        next, and what it raises leaves everything as it was. It is given only where there is something to ask.
        """
        with defaults_lock:
            run = self.load_run(run_id)
            if run is None:
                return None
            refuse_if_held(run_id, run.held)
            for place, gate in enumerate(run.gates):
                if (gate.node_id, gate.visit) == (answer.node_id, answer.visit) and gate.status == GateStatus.OPEN:
                    if digest != gate.digest:
                        return None
                    ruling = Ruling() if rule is None else rule(gate, Accounts())
                    if ruling is None:
                        return None
                    sealed = answer.sealed(run_id, last_hash(run.gates))
                    self._rule(run, place, ruling, sealed, event, at=answer.at)
                    return sealed
            return None

    def _rule(
        self, run: RunRecord, place: int, ruling: Ruling, sealed: Answer | None, event: Event | None, *, at: str
    ) -> None:
        """Save what a ruling does to the gate at this place of the run's gates."""
        run.gates = list(run.gates)
        gate = run.gates[place]
        answers = [*gate.answers, sealed] if sealed is not None else gate.answers
        answered = msgspec.structs.replace(gate, answers=answers, due_at=ruling.due_at)
        if ruling.decides:
            answered.status, answered.closed_at = GateStatus.DECIDED, at
            run.owed = run.owed or Owed.DECISION
        run.gates[place] = answered
        if event is not None:
            run.events = with_events(run, event)
        run.version += 1
        run.updated_at = at
        self.save_run(run)

    def add_event(self, run_id: str, event: Event) -> bool:
        """Add an event to a run's activity; False when there is no such run."""
        with defaults_lock:
            run = self.load_run(run_id)
            if run is None:
                return False
            refuse_if_held(run_id, run.held)
            run.events = with_events(run, event)
            run.version += 1
            self.save_run(run)
            return True

    def due_gates(self, *, now: str, limit: int = 100) -> list[tuple[str, str, int]]:
        """Return which open occurrences (run id, node, visit) must be looked at by this time, earliest first."""
        open_ones = self._open_gates()
        due = sorted(
            (gate.due_at, gate.run_id, gate.node_id, gate.visit)
            for gate in open_ones
            if gate.due_at and gate.due_at <= now
        )
        return [(run_id, node_id, visit) for _, run_id, node_id, visit in due][:limit]

    def settle_gate(self, run_id: str, node_id: str, visit: int, *, rule: Rule) -> Ruling | None:
        """Ask `rule` about an open occurrence and do what it says; None, and nothing, if it is not open."""
        with defaults_lock:
            run = self.load_run(run_id)
            if run is None or run.held is not None:
                return None
            for place, gate in enumerate(run.gates):
                if (gate.node_id, gate.visit, gate.status) == (node_id, visit, GateStatus.OPEN):
                    ruling = rule(gate, Accounts())
                    if ruling is None:
                        return None
                    given = ruling.answer
                    sealed = None if given is None else given.sealed(run_id, last_hash(run.gates))
                    self._rule(run, place, ruling, sealed, ruling.event, at=given.at if given else self.clock.now())
                    return ruling
            return None

    def _open_gates(self) -> list[GateRecord]:
        """Return the open occurrences of all runs that are not held."""
        runs = [run for run in self.list_runs(limit=MANY) if run.held is None]
        return [gate for run in runs for gate in self.load_gates(run.run_id) if gate.status is GateStatus.OPEN]

    def replace_gate(
        self, run_id: str, old: GateRecord, new: GateRecord, *steps: StepRecord, event: Event, expected_epoch: int
    ) -> bool:
        """Void an open occurrence and open another in its place, outside the loop (promise 6).

        `steps` are the rows of both visits: the old one no longer waits. Returns False, and changes nothing, when the
        occurrence is no longer open, or when the run is not suspended at this epoch: a driver numbers the steps of its
        run and replaces its gates itself.
        """
        with defaults_lock:
            run = self.load_run(run_id)
            if run is None or (run.status, run.epoch) != (RunStatus.SUSPENDED, expected_epoch):
                return False
            key = (old.node_id, old.visit, GateStatus.OPEN)
            if all((gate.node_id, gate.visit, gate.status) != key for gate in run.gates):
                return False
            for step in steps:
                self.save_step(step)
            run.gates = merge_gates(run.gates, [old, new])
            run.events = with_events(run, event)
            run.version += 1
            self.save_run(run)
            return True

    def load_gates(self, run_id: str, *, narrow: bool = False) -> list[GateRecord]:
        """Return every gate occurrence of a run with its answers, in the order of opening; `narrow`: no values."""
        run = self.load_run(run_id)
        return [without_shown(gate) if narrow else gate for gate in run.gates] if run else []

    def load_gate(self, run_id: str, node_id: str, visit: int) -> GateRecord | None:
        """Return one gate occurrence with its answers, or None."""
        gates = self.load_gates(run_id)
        return next((gate for gate in gates if (gate.node_id, gate.visit) == (node_id, visit)), None)
