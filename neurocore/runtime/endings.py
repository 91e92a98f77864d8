"""End a run that no process drives: claim it and write its end at once, in one transition."""

from __future__ import annotations

from msgspec import structs

from neurocore.errors import ClaimLost
from neurocore.failpoints import failpoint
from neurocore.gates import occurrence
from neurocore.persistence.base import RunStore
from neurocore.persistence.records import Event, Failure, GateRecord, GateStatus, RunRecord, RunStatus, Transition


def fill_end(
    run: RunRecord, status: RunStatus, *, at: str, failure: Failure | None = None, error: str | None = None
) -> None:
    """Record in the run's row that it ended, why, and that no process drives it."""
    run.status = status
    run.finished_at = run.updated_at = at
    run.failure, run.error = failure, failure.message if failure is not None else error
    run.owner = run.owed = None
    run.suspended_at_node = run.suspension_reason = None


def end_idle(
    seen: RunRecord,
    status: RunStatus,
    store: RunStore,
    *,
    at: str,
    reason: str,
    events: list[Event],
    failure: Failure | None = None,
    error: str | None = None,
) -> bool:
    """End a run in the state in which it was read, without a driver; its open gates are voided with `reason`.

    Returns False, and writes nothing, when another process has claimed the run since then, or when an answer came first
    and the run was to fail. Raises RunHeld.
    """
    failpoint("end.before_commit")
    recorded = store.load_gates(seen.run_id)
    waiting = [gate for gate in recorded if _waits(gate, status)]
    decided = any(gate.status is GateStatus.DECIDED for gate in recorded)
    gates, steps = occurrence.void_all(waiting, store, reason, at=at)
    run = structs.replace(seen, epoch=seen.epoch + 1)
    if status is RunStatus.CANCELLED:
        run.current_nodes = []  # those of a failed run record in which steps its process died
    fill_end(run, status, at=at, failure=failure, error=error)
    transition = Transition(
        run=run, epoch=seen.epoch, owner=seen.owner, gates=gates, steps=steps, events=events, sync=True,
        unless_decided=status is RunStatus.FAILED and not decided,
    )  # fmt: skip
    try:
        return store.commit(transition).epoch == run.epoch
    except ClaimLost:
        return False


def _waits(gate: GateRecord, status: RunStatus) -> bool:
    """Return whether an occurrence ends with its run; a cancellation also ends a decided one, if not consumed yet."""
    return gate.status is GateStatus.OPEN or (status is RunStatus.CANCELLED and gate.status is GateStatus.DECIDED)
