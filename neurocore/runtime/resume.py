"""Resume a run: claim its record, restore where it was, and drive it."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from neurocore.blueprint.model import Blueprint
from neurocore.blueprint.plan import Plan
from neurocore.config import NeuroCoreConfig
from neurocore.context import FlowContext
from neurocore.errors import (
    NotResumable,
    RunNotFound,
)
from neurocore.failpoints import failpoint
from neurocore.persistence.base import RunStore
from neurocore.persistence.owners import Life
from neurocore.persistence.records import CurrentNode, Event, Failure, FailureKind, RunRecord, RunStatus, own_event
from neurocore.runtime.claim import busy, driver_of, driving, owner_label, owner_of_this_process, refuse_if_driven
from neurocore.runtime.driver import RunDriver
from neurocore.runtime.events import OnEvent
from neurocore.runtime.outcomes import outcome
from neurocore.runtime.plans import plan_of, recorded_plan, with_gates
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
    event: Event | None = None,
    resume_data: object = None,
    blueprint: Blueprint | None = None,
    take_over: bool = False,
    on_event: OnEvent | None = None,
    stop: threading.Event | None = None,
) -> FlowContext:
    """Claim a recorded run and drive it on.

    `blueprint` replaces the stored definition (`--latest`): both hashes are recorded, and answers not acted on voided.

    A failed run goes on only where `event` says who wants it, or where that was recorded before (`owed`). Raises
    RunNotFound, NotResumable, RunBusyError (somebody alive drives it, or claimed it first), ExecutionError, ClaimLost.
    """
    owner = owner_of_this_process(config, store)
    run, dead = _resumable(run_id, config, store, take_over=take_over, latest=blueprint is not None)
    was_failed, was_owed = run.status is RunStatus.FAILED, run.owed is not None
    if was_failed and event is None and not was_owed:
        raise NotResumable(f"Run {run_id} has failed, and nobody asked for another try; resume it if it is to go on.")
    recorded, recorded_in = recorded_plan(run_id, store, registry)
    definition = with_gates(blueprint, registry) if blueprint is not None else recorded
    with driving(run_id):
        cancelled_by = None if run.status.ended else run.cancel_requested
        events = [*([event] if event else []), *_claim(run, owner, store, dead=dead)]
        run.cancel_requested = cancelled_by
        redefined = blueprint is not None and definition.hash != run.blueprint_hash
        if redefined:
            events.append(_redefine(run, definition, store.clock.now()))
        state = new_state(
            run,
            definition,
            plan_of(definition, registry) if redefined else recorded_in,
            context={},
            now=store.clock.monotonic(),
        )
        state.cancelled_by, state.is_redefined, state.resume_data = cancelled_by, redefined, resume_data
        driver = RunDriver(state, registry=registry, config=config, store=store, on_event=on_event, stop=stop)
        restored = Restoration(state, store, driver.instances, recorded_in)
        driver.recorded_gates, driver.translated = restored.gates, restored.translated
        if resume_data is None and (not was_failed or (was_owed and event is None)):
            restored.give_again()
        if event is None:
            restored.keep_waiting()
            if not was_failed:
                restored.keep_failed()
        if run.deaths >= MAX_DEATHS and state.rejection is None:
            driver.died_in = _give_up(state)
        events.extend(_version_warnings(state.plan, restored.versions, registry, store.clock.now()))
        return outcome(state, driver.run(events))


def _resumable(
    run_id: str, config: NeuroCoreConfig, store: RunStore, *, take_over: bool, latest: bool
) -> tuple[RunRecord, bool]:
    """The run, and whether nobody drives it; else it is to be taken over from who does, or may do.

    Raises RunNotFound, RunBusyError, or NotResumable.
    """
    run = store.load_summary(run_id)
    if run is None:
        raise RunNotFound(f"There is no run {run_id}.", run_id=run_id)
    if not take_over:
        refuse_if_driven(run, config, store)
    dead = not take_over or driver_of(run, config, store).life is Life.DEAD
    if run.owner is not None and dead:
        run = _as_left(run, store)
    refuse_unless_resumable(run, latest=latest)
    return run, dead


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


def resumed(who: str, known_by: str, data: object, *, failed: bool, at: str) -> Event:
    """The event of a resume. What it brings for steps that `failed` outlives the process that tries them again."""
    given = {"data": data if not isinstance(data, Mapping) else dict(data)} if data else {}
    to = {"to": FAILED_STEPS} if given and failed else {}
    return Event(at=at, kind="resumed", who=who, known_by=known_by, data={**given, **to})


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
