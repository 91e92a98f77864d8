"""Resume a run: claim it, restore its state, and drive it."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping

from neurocore import codec
from neurocore.access.actor import Actor
from neurocore.blueprint.model import Blueprint
from neurocore.blueprint.plan import Plan
from neurocore.blueprint.plans import plan_of, recorded_plan, with_gates
from neurocore.blueprint.stored import stored_blueprint
from neurocore.config import NeuroCoreConfig
from neurocore.context import FlowContext
from neurocore.errors import (
    NotResumable,
    RunNotFound,
)
from neurocore.failpoints import failpoint
from neurocore.persistence.base import RunStore
from neurocore.persistence.contract.ownership import Life
from neurocore.persistence.ownership import (
    busy,
    driver_of,
    driving,
    owner_label,
    owner_of_this_process,
    refuse_if_driven,
)
from neurocore.persistence.records import (
    DEFINITION,
    CurrentNode,
    Event,
    Failure,
    FailureKind,
    Owed,
    RunRecord,
    RunStatus,
    event_of,
    own_event,
)
from neurocore.run_events import OnEvent
from neurocore.runtime.driver import RunDriver
from neurocore.runtime.outcomes import outcome
from neurocore.runtime.restore import FAILED_STEPS, Restoration
from neurocore.runtime.resumable import refuse_unless_resumable
from neurocore.runtime.state import RunState, new_state
from neurocore.skills.registry import SkillRegistry

#: A visit in which the process died this often is not tried again.
MAX_DEATHS = 3


def drive_on(
    run_id: str,
    registry: SkillRegistry,
    config: NeuroCoreConfig,
    store: RunStore,
    *,
    take_over: bool = False,
    on_event: OnEvent | None = None,
    stop: threading.Event | None = None,
) -> FlowContext:
    """Claim a recorded run and continue it, with what people asked for since it was last driven.

    A failed run continues only if somebody asked for that (`owed`). A run that continues with another definition
    (`--latest`) records both hashes, and voids answers that were not acted on. Raises RunNotFound, NotResumable,
    RunBusyError (a live process drives it, or claimed it first), ExecutionError, ClaimLost.
    """
    owner = owner_of_this_process(config, store)
    run, dead = _undriven(run_id, config, store, take_over=take_over)
    was_failed = run.status is RunStatus.FAILED
    if was_failed and run.owed is None:
        raise NotResumable(f"Run {run_id} has failed, and nobody asked for a retry; resume it to continue.")
    definition = _requested_definition(run, store, registry)
    refuse_unless_resumable(run, latest=definition is not None)
    recorded, recorded_in = recorded_plan(run_id, store, registry)
    with driving(run_id):
        cancelled_by = None if run.status.ended else run.cancel_requested
        events = _claim(run, owner, store, dead=dead)
        run.cancel_requested = cancelled_by
        plan = recorded_in
        if definition is not None:
            events.append(_redefine(run, definition, store.clock.now()))
            plan = plan_of(definition, registry)
        state = new_state(run, definition or recorded, plan, context={}, now=store.clock.monotonic())
        state.cancelled_by, state.is_redefined = cancelled_by, definition is not None
        driver = RunDriver(state, registry=registry, config=config, store=store, on_event=on_event, stop=stop)
        restored = Restoration(state, store, driver.instances, recorded_in)
        driver.recorded_gates, driver.translated = restored.gates, restored.translated
        restored.give_again()
        restored.keep_waiting()
        if not was_failed:
            restored.keep_failed()
        if run.deaths >= MAX_DEATHS and state.rejection is None:
            driver.died_in = _give_up(state)
        events.extend(_version_warnings(plan, restored.versions, registry, store.clock.now()))
        return outcome(state, driver.run(events))


def _undriven(run_id: str, config: NeuroCoreConfig, store: RunStore, *, take_over: bool) -> tuple[RunRecord, bool]:
    """Return the run, and whether no live process drives it; if False, this is a take-over.

    Raises RunNotFound or RunBusyError.
    """
    run = store.load_summary(run_id)
    if run is None:
        raise RunNotFound(f"There is no run {run_id}.", run_id=run_id)
    if not take_over:
        refuse_if_driven(run, config, store)
    dead = not take_over or driver_of(run, config, store).life is Life.DEAD
    if run.owner is not None and dead:
        run = _as_left(run, store)
    return run, dead


def _requested_definition(run: RunRecord, store: RunStore, registry: SkillRegistry) -> Blueprint | None:
    """Return the definition that somebody asked to continue with, unless the run follows it already."""
    if run.owed != Owed.RESUME and run.owner is None:
        return None  # nobody asked for more than a decision or a start does
    asked = [event for event in store.load_events(run.run_id) if event.kind in ("resumed", "redefined")]
    text = asked[-1].definition if asked and asked[-1].kind == "resumed" else None
    if text is None:
        return None
    definition = with_gates(stored_blueprint(text), registry)
    return definition if definition.hash != run.blueprint_hash else None


def _claim(run: RunRecord, owner: str, store: RunStore, *, dead: bool) -> list[Event]:
    """Claim the run for this process; return the event that names the previous owner, if any. Raises RunBusyError."""
    died = run.status is RunStatus.RUNNING and run.owner is not None and dead and run.owed is None
    at_work = not run.current_nodes or any(not node.is_paused for node in run.current_nodes)
    epoch = store.claim(run.run_id, owner=owner, expected_epoch=run.epoch, expected_owner=run.owner)
    failpoint("claim.after")
    if epoch is None:
        now = store.load_summary(run.run_id)
        raise busy(now if now is not None else run)
    taken = {"from": owner_label(run.owner), "because": "it died" if died else "take-over"}
    run.epoch, run.owner, run.owed, run.status = epoch, owner, None, RunStatus.RUNNING
    run.deaths += died and at_work
    return [own_event("taken_over", taken, at=store.clock.now())] if died or not dead else []


def _redefine(run: RunRecord, blueprint: Blueprint, at: str) -> Event:
    """Replace the definition of the run; return the event that records it."""
    hashes = {"from": run.blueprint_hash, "to": blueprint.hash}
    run.blueprint_snapshot, run.blueprint_hash = blueprint.snapshot(), blueprint.hash
    run.blueprint_version = blueprint.version
    run.nodes_total = len(blueprint.flow.nodes or blueprint.flow.steps or ())
    return own_event("redefined", hashes, at=at)


def resumed(actor: Actor, data: object, *, failed: bool, at: str, definition: Blueprint | None = None) -> Event:
    """Return the event of a resume: with its data, for `failed` steps, and with the definition to continue with."""
    given = {"data": data if not isinstance(data, Mapping) else dict(data)} if data else {}
    to = {"to": FAILED_STEPS} if given and failed else {}
    latest = {} if definition is None else {DEFINITION: json.dumps(codec.to_jsonable(definition.snapshot()))}
    return event_of(actor, "resumed", {**given, **to, **latest}, at=at)


def _as_left(run: RunRecord, store: RunStore) -> RunRecord:
    """Return the run as its dead owner left it; the owner may have ended it right after the row was read.

    Raises RunBusyError when another process has claimed it since then.
    """
    now = store.load_summary(run.run_id)
    if now is None:
        raise RunNotFound(f"There is no run {run.run_id}.", run_id=run.run_id)
    if now.epoch != run.epoch or now.owner not in (run.owner, None):
        raise busy(now)
    return now


def _give_up(state: RunState) -> list[CurrentNode]:
    """Fail a run whose process died too often; return the steps in which it died."""
    run, died_in = state.run, list(state.run.current_nodes)
    names = ", ".join(node.node_id for node in died_in) or "its start"
    state.failure = Failure(
        kind=FailureKind.LOST,
        node=died_in[0].node_id if died_in else None,
        message=f"The process died {run.deaths} times at {names}; check that step, then resume.",
    )
    run.deaths = 0
    return died_in


def _version_warnings(plan: Plan, recorded: Mapping[str, str], registry: SkillRegistry, at: str) -> list[Event]:
    warnings = []
    for node_id, version in sorted(recorded.items()):
        node = plan.by_id.get(node_id)
        skill_class = registry.get(node.type) if node is not None else None
        if node is not None and skill_class is not None and skill_class.skill_meta.version != version:
            message = f"{node_id} ran with {node.type} {version} before; it is {skill_class.skill_meta.version} now."
            warnings.append(own_event("warning", {"message": message}, at=at))
    return warnings
