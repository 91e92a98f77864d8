"""Cancel a run: at once if no process drives it, else through its driver."""

from __future__ import annotations

import contextlib

from neurocore.access.actor import Actor, acting
from neurocore.access.permission import Action, Resource, require
from neurocore.config import NeuroCoreConfig
from neurocore.errors import InputError, RefusedError, RunBusyError
from neurocore.gates.answer import note_problem
from neurocore.persistence.base import RunStore
from neurocore.persistence.contract.ownership import Life
from neurocore.persistence.ownership import driver_of, driving
from neurocore.persistence.projections import cancelled, refuse_if_held
from neurocore.persistence.records import Event, RunRecord, RunStatus, event_of
from neurocore.runs.find import load_run, load_summary
from neurocore.runtime.endings import end_idle


def cancel_run(
    run_id: str,
    *,
    run_store: RunStore,
    by: str | None = None,
    actor: Actor | None = None,
    config: NeuroCoreConfig | None = None,
    note: str | None = None,
) -> RunRecord:
    """Cancel a run: at once if no process drives it, else with or after its step (`cancel_requested` until then).

    An async skill, such as `command`, is stopped at once; other Python code finishes its step first. `config` says
    where the owners' locks are; without it, the project around the current folder does. Raises RefusedError when the
    run has ended, RunHeld when it is held.
    """
    from neurocore.config import load_config

    who, note = acting(by, actor), (note or "").strip()
    if (problem := note_problem(note)) is not None:
        raise InputError(problem, {"note": problem})
    run = load_summary(run_id, run_store)
    require(who, Action.CANCEL, Resource(blueprint=run.blueprint_name, run_id=run_id))
    refuse_if_held(run_id, run.held)
    if run.status.ended:
        raise _ended_already(run)
    event = event_of(who, "cancelled", {"note": note} if note else {}, at=run_store.clock.now())
    configuration = config or load_config()
    is_driven = driver_of(run, configuration, run_store).life is not Life.DEAD
    if not is_driven and _end(run, [event], event, run_store):
        return load_run(run_id, run_store)
    if not run_store.request_cancel(run_id, event=event):
        raise _ended_already(load_summary(run_id, run_store))
    if is_driven:  # if its driver has died since then, no process reads the request
        seen = load_summary(run_id, run_store)
        if driver_of(seen, configuration, run_store).life is Life.DEAD:
            _end(seen, [], event, run_store)
    return load_run(run_id, run_store)


def _end(seen: RunRecord, events: list[Event], asked: Event, store: RunStore) -> bool:
    """End a run that no process drives; return False if a process claimed it at the same moment."""
    if seen.status.ended:
        return False
    with contextlib.suppress(RunBusyError), driving(seen.run_id):  # others must not treat the run as lost meanwhile
        return end_idle(
            seen, RunStatus.CANCELLED, store, at=store.clock.now(), reason="the run was cancelled", events=events,
            error=cancelled(asked.who or "?", [asked]),
        )  # fmt: skip
    return False


def _ended_already(run: RunRecord) -> RefusedError:
    return RefusedError(f"Run {run.run_id} is {run.status.value} already; there is nothing to cancel.")
