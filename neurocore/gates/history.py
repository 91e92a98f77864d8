"""Where a run stands in its plan, read off its records."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from neurocore.blueprint.progress import Outcome
from neurocore.persistence.records import Ended, GateRecord, GateStatus, StepRecord


def voided_visits(gates: Iterable[GateRecord]) -> set[tuple[str, int]]:
    """The visits, as they are recorded, that gates took for occurrences which were voided."""
    return {(gate.node_id, gate.visit) for gate in gates if gate.status is GateStatus.VOIDED and gate.kind == "gate"}


def outcomes(steps: Iterable[StepRecord | Ended], gates: Sequence[GateRecord]) -> list[Outcome]:
    """What a `Progress` is restored from; of the visits that voided occurrences took, it knows nothing."""
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
