"""Determine whether a run may be resumed, and what to do instead."""

from __future__ import annotations

from collections.abc import Sequence

from neurocore.errors import (
    NotResumable,
)
from neurocore.persistence.projections import refuse_if_held
from neurocore.persistence.records import FailureKind, GateRecord, GateStatus, RunRecord, RunStatus
from neurocore.runtime.step_transitions import LOOP_BOUND, OUTPUTS, RUN_TIME

#: Failures that another attempt cannot change, by their type: the reason, and what to change in the blueprint's file.
_FAILS_AGAIN = {
    OUTPUTS: (
        "Every step of run {run} is done, but its outputs are not what its blueprint declares",
        "correct the outputs",
    ),
    LOOP_BOUND: ("A loop of run {run} has reached its limit of rounds", "raise its bound"),
    RUN_TIME: ("Run {run} has used all its working time", "raise settings.timeout_seconds"),
}


def refuse_unless_resumable(run: RunRecord, *, latest: bool = False) -> None:
    """Raise NotResumable, with what to do instead, if the run cannot continue; `latest` means: with the current file.

    A held run raises RunHeld.
    """
    refuse_if_held(run.run_id, run.held)
    again = f"`neurocore runs replay {run.run_id}` starts a new run from the same inputs"
    if run.status in (RunStatus.COMPLETED, RunStatus.CANCELLED):
        raise NotResumable(f"Run {run.run_id} is {run.status.value} and cannot be resumed; {again}.")
    if run.replay_only:
        raise NotResumable(f"Run {run.run_id} cannot be resumed: {run.replay_only}; {again}.")
    if run.status is RunStatus.FAILED and run.failure is not None and run.failure.kind is FailureKind.REJECTED:
        raise NotResumable(f"Run {run.run_id} was rejected at gate {run.failure.node} and cannot continue; {again}.")
    if run.status is RunStatus.FAILED and run.failure is not None and run.failure.type in _FAILS_AGAIN and not latest:
        why, what = _FAILS_AGAIN[run.failure.type]
        raise NotResumable(f"{why.format(run=run.run_id)}; {what} in the file and add --latest, or {again}.")


def blocking_gates(run: RunRecord, gates: Sequence[GateRecord]) -> list[GateRecord]:
    """List the open gates that must be decided before a resume: those of a suspended run that is not owed."""
    waits = run.status is RunStatus.SUSPENDED and run.owed is None
    return [gate for gate in gates if waits and gate.status is GateStatus.OPEN]
