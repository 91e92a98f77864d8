"""Find owed and lost runs and submit them (promises 3 and 5). Sweeping twice, or in two places, is harmless."""

from __future__ import annotations

import contextlib

from msgspec import Struct

from neurocore.config import NeuroCoreConfig
from neurocore.drivers.dispatch import Dispatcher
from neurocore.errors import NeuroCoreError
from neurocore.gates.ruling import settle
from neurocore.persistence.base import RunStore
from neurocore.persistence.contract.ownership import Life
from neurocore.persistence.ownership import driver_of, owner_label, owners_of
from neurocore.persistence.records import Failure, FailureKind, Owed, RunRecord, RunStatus, own_event
from neurocore.runtime.endings import end_idle


class SweepReport(Struct):
    """The result of a sweep.

    Ids of runs that were `owed`, that were `lost` (their process died), that it `failed` (`runtime.on_lost: fail`), and
    the `errors` of submitting. `left` has the runs that were left alone, because it is unknown whether their process is
    alive; they do not count as work.
    """

    owed: list[str] = []
    lost: list[str] = []
    failed: list[str] = []
    errors: dict[str, str] = {}
    left: list[str] = []

    def __bool__(self) -> bool:
        return bool(self.owed or self.lost or self.failed or self.errors)


def liveness(run: RunRecord, config: NeuroCoreConfig, store: RunStore) -> str:
    """Return `driven` while a live process drives the run, `lost` when its process died, `owed`, else `idle`.

    `cannot_tell` means that it is unknown whether its process is alive. A failed run is owed from the moment that
    somebody asks it to continue until it is claimed. A held run is always `held`.
    """
    if run.held is not None:
        return "held"
    if not run.status.ended:
        life = driver_of(run, config, store).life
        if life is not Life.DEAD:
            return "driven" if life is Life.ALIVE else "cannot_tell"
    if run.owed is not None:
        return "owed"
    return "lost" if run.status is RunStatus.RUNNING else "idle"


def liveness_now(run: RunRecord, config: NeuroCoreConfig, store: RunStore) -> str:
    """Like `liveness`, but a run that its process ended right after the row was read does not count as lost."""
    state = liveness(run, config, store)
    if state != "lost":
        return state
    now = store.load_summary(run.run_id)
    if now is None:
        return "idle"
    return state if now.version == run.version else liveness(now, config, store)


def sweep_once(config: NeuroCoreConfig, *, run_store: RunStore, dispatch: Dispatcher) -> SweepReport:
    """Check the active runs once and submit those that no process drives and that must continue.

    Runs that a person decided or resumed go first. Raises StoreError when this process has lost its own lock and cannot
    take it again.
    """
    owners_of(run_store, config).keep()
    for run_id, node_id, visit in run_store.due_gates(now=run_store.clock.now()):
        settle(run_id, node_id, visit, run_store)  # what it decides is owed, and found below
    report = SweepReport(owed=[], lost=[], failed=[], errors={}, left=[])
    for run in sorted(run_store.active_runs(), key=lambda run: run.owed not in (Owed.DECISION, Owed.RESUME)):
        state = liveness_now(run, config, run_store)
        if state == "cannot_tell":
            report.left.append(run.run_id)
        if state not in ("owed", "lost") or dispatch.state(run.run_id) is not None:
            continue
        if state == "lost" and config.runtime.on_lost == "fail" and not run.cancel_requested:
            if _fail(run.run_id, config, run_store):
                report.failed.append(run.run_id)
            continue
        (report.owed if state == "owed" else report.lost).append(run.run_id)
        try:
            dispatch.submit(run.run_id)
        except NeuroCoreError as error:
            report.errors[run.run_id] = str(error)
    return report


def _fail(run_id: str, config: NeuroCoreConfig, store: RunStore) -> bool:
    """End a lost run as failed, of kind lost; return False if another process took care of it."""
    run = store.load_summary(run_id)
    if run is None or liveness_now(run, config, store) != "lost":
        return False
    names = ", ".join(node.node_id for node in run.current_nodes) or "its start"
    failure = Failure(
        kind=FailureKind.LOST,
        node=run.current_nodes[0].node_id if run.current_nodes else None,
        message=f"Its process ({owner_label(run.owner)}) died at {names}; resume continues from there.",
    )
    now = store.clock.now()
    event = own_event("lost", {"from": owner_label(run.owner)}, at=now)
    with contextlib.suppress(NeuroCoreError):
        return end_idle(run, RunStatus.FAILED, store, at=now, reason="the run failed", events=[event], failure=failure)
    return False
