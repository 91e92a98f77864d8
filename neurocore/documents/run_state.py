"""Determine the state and the progress of a run. This module imports little, because plain lists need it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from neurocore.persistence.records import FailureKind, RunStatus, StepStatus
from neurocore.readable import counted

if TYPE_CHECKING:
    from neurocore.config import NeuroCoreConfig
    from neurocore.persistence.base import RunStore
    from neurocore.persistence.records import RunRecord, StepRecord


def state(run: RunRecord, config: NeuroCoreConfig, store: RunStore) -> str:
    """Return `driven`, `owed`, `lost`, `cannot_tell`, `held` or `idle`; only runs that may be active are checked.

    A run that ended together with its process after it was read does not count as lost: it is read again.
    """
    if run.held is not None:
        return "held"
    if run.status is not RunStatus.RUNNING and run.owed is None:
        return "idle"
    from neurocore.drivers.sweep import liveness_now

    return liveness_now(run, config, store)


#: The word for a failed run, by the kind of its failure.
FAILED_WORDS = {
    FailureKind.REJECTED: "rejected",
    FailureKind.TIMEOUT: "timed out",
    FailureKind.INTERRUPTED: "interrupted",
    FailureKind.LOST: "lost",
}


def kind(run: RunRecord, state: str) -> str:
    """Return the one word that determines the sign, icon and colour of a run with this `state` on every face.

    It is the run's status, or `held`, `lost`, `cannot_tell`, `owed`, or `cancelled` for a run that is being cancelled,
    if that says more.
    """
    if run.held is not None:
        return "held"
    if run.status.ended:
        return run.status.value
    if run.cancel_requested and run.status is RunStatus.RUNNING:
        return "cancelled"
    if state in ("lost", "cannot_tell", "owed"):
        return state
    return run.status.value


def failed_word(run: RunRecord) -> str:
    """Return the word for a failed run: `failed`, or a more exact word for its failure."""
    return FAILED_WORDS.get(run.failure.kind, "failed") if run.failure is not None else run.status.value


#: How nodes that have not completed are counted, by the status of their last step.
_COUNTED = {
    StepStatus.FAILED: "failed",
    StepStatus.CANCELLED: "cancelled",
    StepStatus.SKIPPED: "skipped",
    StepStatus.SUSPENDED: "waiting",
}


def nodes_told(run: RunRecord, steps: Iterable[StepRecord]) -> str:
    """Describe the progress of a run: `7 of 9 nodes completed, 2 skipped`."""
    completed: set[str] = set()
    last: dict[str, StepRecord] = {}
    for step in steps:
        name = step.node_id or step.component
        last[name] = step
        if step.status is StepStatus.COMPLETED:
            completed.add(name)
    counts = dict.fromkeys(_COUNTED.values(), 0)
    for name, step in last.items():
        if name not in completed and not step.is_voided:
            counts[_COUNTED[step.status]] += 1
    of = (
        f"{len(completed):,} of {counted(run.nodes_total, 'node')}"
        if run.nodes_total
        else counted(len(completed), "node")
    )
    return ", ".join([f"{of} completed", *(f"{count:,} {word}" for word, count in counts.items() if count)])
