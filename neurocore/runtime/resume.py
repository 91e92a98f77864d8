"""Resume a run: claim its record, restore where it was, and drive it."""

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
    """Claim a recorded run and drive it on, with what people asked for since it was driven last.

    A failed run continues only where somebody asked for that (`owed`). One that is to continue with another definition
    (`--latest`) records both hashes, and voids answers that were not acted on. Raises RunNotFound, NotResumable,
    RunBusyError (somebody alive drives it, or claimed it first), ExecutionError, ClaimLost.
    """
    owner = owner_of_this_process(config, store)
    run, dead = _undriven(run_id, config, store, take_over=take_over)
    was_failed = run.status is RunStatus.FAILED
    if was_failed and run.owed is None:
        raise NotResumable(f"Run {run_id} has failed, and nobody asked for another try; resume it if it is to go on.")
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
    """The run, and whether nobody drives it; else it is to be taken over from who does, or may do.

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
    """The definition that somebody asked to continue with, where the run has another and does not follow it yet."""
    if run.owed != Owed.RESUME and run.owner is None:
        return None  # nobody asked for anything but what a decision or a start asks for
    asked = [event for event in store.load_events(run.run_id) if event.kind in ("resumed", "redefined")]
    text = asked[-1].definition if asked and asked[-1].kind == "resumed" else None
    if text is None:
        return None
    definition = with_gates(stored_blueprint(text), registry)
    return definition if definition.hash != run.blueprint_hash else None


def _claim(run: RunRecord, owner: str, store: RunStore, *, dead: bool) -> list[Event]:
    """Make the run this process's; what is to be told of whom it is taken from. Raises RunBusyError."""
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
    """Let the run go on with another definition; what is to be told of that."""
    hashes = {"from": run.blueprint_hash, "to": blueprint.hash}
    run.blueprint_snapshot, run.blueprint_hash = blueprint.snapshot(), blueprint.hash
    run.blueprint_version = blueprint.version
    run.nodes_total = len(blueprint.flow.nodes or blueprint.flow.steps or ())
    return own_event("redefined", hashes, at=at)


def resumed(actor: Actor, data: object, *, failed: bool, at: str, definition: Blueprint | None = None) -> Event:
    """The entry of a resume: with what it brings, for steps that `failed`, and with the definition to continue with."""
    given = {"data": data if not isinstance(data, Mapping) else dict(data)} if data else {}
    to = {"to": FAILED_STEPS} if given and failed else {}
    latest = {} if definition is None else {DEFINITION: json.dumps(codec.to_jsonable(definition.snapshot()))}
    return event_of(actor, "resumed", {**given, **to, **latest}, at=at)


def _as_left(run: RunRecord, store: RunStore) -> RunRecord:
    """The run as its dead owner left it, which may have ended it right after the row was read.

    Raises RunBusyError when somebody else claimed it meanwhile.
    """
    now = store.load_summary(run.run_id)
    if now is None:
        raise RunNotFound(f"There is no run {run.run_id}.", run_id=run.run_id)
    if now.epoch != run.epoch or now.owner not in (run.owner, None):
        raise busy(now)
    return now


def _give_up(state: RunState) -> list[CurrentNode]:
    """Let a run fail whose process died too often; returns the steps in which it died."""
    run, died_in = state.run, list(state.run.current_nodes)
    names = ", ".join(node.node_id for node in died_in) or "its start"
    state.failure = Failure(
        kind=FailureKind.LOST,
        node=died_in[0].node_id if died_in else None,
        message=f"The process died {run.deaths} times at {names}; look into that step, then resume.",
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
