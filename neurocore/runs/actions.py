"""Determine what may be done with a run in its current state, and why not: for faces that offer actions."""

from __future__ import annotations

from neurocore.config import NeuroCoreConfig
from neurocore.errors import NotResumable
from neurocore.persistence.base import RunStore
from neurocore.persistence.contract.ownership import Life
from neurocore.persistence.ownership import driver_of, owner_label
from neurocore.persistence.records import GateRecord, GateStatus, RunRecord
from neurocore.runtime.resumable import blocking_gates, refuse_unless_resumable

#: What a cancellation does to the current step.
STOPS = "A command, a request or another async skill is stopped at once; other Python code ends its step first."


def actions(run: RunRecord, config: NeuroCoreConfig, run_store: RunStore) -> dict[str, str | None]:
    """Return `decide`, `resume`, `replay`, `cancel` and `delete`, each with None if allowed, else with the reason."""
    open_gates = [gate for gate in run_store.load_gates(run.run_id, narrow=True) if gate.status is GateStatus.OPEN]
    ended = run.status.ended
    if run.held is not None:
        still = f"it is held: {run.held}"
        delete = None if ended else f"{still}, and only ended runs are deleted"
        return {"decide": still, "resume": still, "replay": None, "cancel": still, "delete": delete}
    return {
        "decide": None if open_gates and not ended else "no gate of this run is open",
        "resume": _no_resume(run, config, run_store, open_gates),
        "replay": None,
        "cancel": f"it is {run.status.value} already" if ended else None,
        "delete": None if ended else f"it is {run.status.value}; cancel it first",
    }


def why_not_resumable(run: RunRecord) -> str | None:
    """Return why a run in this state cannot be resumed, whoever drives it; None if it can."""
    try:
        refuse_unless_resumable(run)
    except NotResumable as error:
        return str(error).partition(";")[0]
    return None


def _no_resume(run: RunRecord, config: NeuroCoreConfig, store: RunStore, open_gates: list[GateRecord]) -> str | None:
    if (reason := why_not_resumable(run)) is not None:
        return reason
    driver = driver_of(run, config, store)
    if driver.life is Life.ALIVE:
        return f"{owner_label(run.owner)} drives it"
    if driver.life is Life.UNKNOWN:
        return f"NeuroCore cannot tell whether {owner_label(run.owner)} still drives it: {driver.reason}"
    return f"it waits for an answer at {run.suspended_at_node}" if blocking_gates(run, open_gates) else None
