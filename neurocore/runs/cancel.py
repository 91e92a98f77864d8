"""Cancel a run: at once where nobody drives it, else through the process that does."""

from __future__ import annotations

import contextlib

from neurocore.access.actor import Actor, acting
from neurocore.access.permission import Action, Resource, require
from neurocore.config import NeuroCoreConfig
from neurocore.errors import InputError, RefusedError, RunBusyError
from neurocore.gates import occurrence
from neurocore.gates.answer import note_problem
from neurocore.persistence.base import RunStore
from neurocore.persistence.owners import Life
from neurocore.persistence.projections import cancelled, refuse_if_held
from neurocore.persistence.records import Commit, GateStatus, RunRecord, RunStatus, event_of
from neurocore.runs.find import load_run, load_summary
from neurocore.runtime.claim import driver_of, driving, owner_of_this_process


def cancel_run(
    run_id: str,
    *,
    run_store: RunStore,
    by: str | None = None,
    actor: Actor | None = None,
    config: NeuroCoreConfig | None = None,
    note: str | None = None,
) -> RunRecord:
    """Stop a run: at once where nobody drives it, else with or after its step (until then, `cancel_requested` is set).

    An async skill, as `command` is, is stopped at once; other Python code ends its step first.
    `config` says where the owners' locks are; without it, that of the project around the current folder. Raises
    RefusedError when the run has ended, RunHeld when it stands still.
    """
    from neurocore.config import load_config

    who, note = acting(by, actor), (note or "").strip()
    if (problem := note_problem(note)) is not None:
        raise InputError(problem, {"note": problem})
    run = load_summary(run_id, run_store)
    refuse_if_held(run_id, run.held)
    if run.status.ended:
        raise _ended_already(run)
    require(who, Action.CANCEL, Resource(blueprint=run.blueprint_name, run_id=run_id))
    event = event_of(who, "cancelled", {"note": note} if note else {}, at=run_store.clock.now())
    if not run_store.request_cancel(run_id, event=event):
        raise _ended_already(load_summary(run_id, run_store))
    configuration = config or load_config()
    seen = load_summary(run_id, run_store)
    if driver_of(seen, configuration, run_store).life is Life.DEAD:  # who drives it by now has not seen the request
        with contextlib.suppress(RunBusyError), driving(run_id):  # for whoever looks, it is not lost meanwhile
            _cancel_idle(seen, who.label, configuration, run_store)
    return load_run(run_id, run_store)


def _cancel_idle(seen: RunRecord, by: str, config: NeuroCoreConfig, store: RunStore) -> None:
    run_id = seen.run_id
    run = load_summary(run_id, store)
    if run.status.ended:  # its process ended it in this very moment
        raise _ended_already(run)
    owner = owner_of_this_process(config, store)
    epoch = store.claim(run_id, owner=owner, expected_epoch=seen.epoch, expected_owner=seen.owner)
    if epoch is None:
        return  # somebody began to drive it in this very moment, and will see the request
    now = store.clock.now()
    run.epoch, run.owner, run.owed, run.status = epoch, None, None, RunStatus.CANCELLED
    run.error, run.finished_at, run.updated_at = cancelled(by, store.load_events(run_id)), now, now
    run.current_nodes, run.suspended_at_node, run.suspension_reason = [], None, None
    asked = [gate for gate in store.load_gates(run_id) if gate.status in (GateStatus.OPEN, GateStatus.DECIDED)]
    gates, steps = occurrence.void_all(asked, store, "the run was cancelled", at=now)
    store.commit(Commit(run=run, owner=owner, gates=gates, steps=steps, sync=True))


def _ended_already(run: RunRecord) -> RefusedError:
    return RefusedError(f"Run {run.run_id} is {run.status.value} already; there is nothing to cancel.")
