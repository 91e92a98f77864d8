"""Read from a run's records where it is in its plan."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from neurocore.blueprint.progress import Outcome
from neurocore.persistence.records import Ended, GateRecord, GateStatus, StepRecord


def voided_visits(gates: Iterable[GateRecord]) -> set[tuple[str, int]]:
    """Return the visits, as they are recorded, of voided gate occurrences."""
    return {(gate.node_id, gate.visit) for gate in gates if gate.status is GateStatus.VOIDED and gate.kind == "gate"}


def outcomes(steps: Iterable[StepRecord | Ended], gates: Sequence[GateRecord]) -> list[Outcome]:
    """List the outcomes from which a `Progress` is restored, without the visits of voided occurrences."""
    voided = voided_visits(gates)
    return [
        Outcome(
            step.node_id,
            step.visit - sum(node_id == step.node_id and visit < step.visit for node_id, visit in voided),
            tuple(step.edges_taken),
        )
        for step in sorted(steps, key=lambda step: step.commit_index)
        if step.edges_taken is not None and (step.node_id, step.visit) not in voided
    ]
