"""Gates and answers of one run."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from neurocore.persistence.contract.accounts import Accounts
from neurocore.persistence.contract.runs import Runs, defaults_lock
from neurocore.persistence.projections import last_hash, merge_gates, refuse_if_held, with_events, without_shown
from neurocore.persistence.records import Answer, Event, GateRecord, GateStatus, Owed, RunStatus, StepRecord

#: Returns whether an answer decides its occurrence. Raises what refuses it.
Rule = Callable[[GateRecord, Accounts], bool]


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
        whether the answer decides (else it is recorded, and the occurrence stays open), and what it raises leaves
        everything as it was. It is given only where there is something to ask.
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
                    decides = rule is None or rule(gate, Accounts())
                    sealed = answer.sealed(run_id, last_hash(run.gates))
                    run.gates = list(run.gates)
                    answered = msgspec.structs.replace(gate, answers=[*gate.answers, sealed])
                    if decides:
                        answered.status, answered.closed_at = GateStatus.DECIDED, answer.at
                        run.owed = run.owed or Owed.DECISION
                    run.gates[place] = answered
                    run.events = with_events(run, event)
                    run.version += 1
                    run.updated_at = answer.at
                    self.save_run(run)
                    return sealed
            return None

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
