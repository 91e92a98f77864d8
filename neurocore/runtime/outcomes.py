"""What a driver returns or raises after its last commit."""

from __future__ import annotations

from neurocore.context import FlowContext
from neurocore.errors import (
    ExecutionError,
    GateRejected,
)
from neurocore.persistence.records import FailureKind, RunStatus
from neurocore.runtime.state import RunState


def outcome(state: RunState, context: FlowContext) -> FlowContext:
    """Return the context of a run that completed or waits; raise the error of one that failed or was cancelled."""
    run = state.run
    if run.status is RunStatus.CANCELLED:
        why = (run.error or "Cancelled.").removeprefix("Cancelled")
        raise ExecutionError(f"Run {run.run_id} was cancelled{why}", run_id=run.run_id, kind="cancelled")
    if run.status is not RunStatus.FAILED or state.failure is None:
        return context
    failure, answer = state.failure, state.rejection
    if failure.kind is FailureKind.REJECTED and answer is not None:
        raise GateRejected(failure.message, run_id=run.run_id, node=answer.node_id, by=answer.by, note=answer.note)
    error = ExecutionError(failure.message, run_id=run.run_id, node=failure.node, kind=failure.kind.value)
    raise error from state.cause
