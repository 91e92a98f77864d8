"""The verbs: execute, resume, replay, cancel, delete, decide. Every face calls these and nothing below them."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from neurocore import codec
from neurocore.blueprint.model import Blueprint
from neurocore.blueprint.stored import stored_blueprint
from neurocore.config import NeuroCoreConfig
from neurocore.context import FlowContext
from neurocore.errors import InputError, NoOpenGate, NotResumable, RefusedError, RunBusyError, UsageError
from neurocore.gates import occurrence
from neurocore.gates.answer import choose, note_problem
from neurocore.people import person
from neurocore.persistence import build_run_store
from neurocore.persistence.base import RunStore
from neurocore.persistence.memory import InMemoryRunStore
from neurocore.persistence.owners import Life
from neurocore.persistence.projections import cancelled, is_there, last_hash, refuse_if_held, was_deleted
from neurocore.persistence.records import (
    Event,
    GateRecord,
    GateStatus,
    Owed,
    RunRecord,
    RunStatus,
    Tombstone,
    utcnow_iso,
)
from neurocore.runtime import definition_upgrade as latest_definition
from neurocore.runtime.actions import actions
from neurocore.runtime.claim import driver_of, driving, owner_of_this_process, refuse_if_driven
from neurocore.runtime.decide import Decision, answer_input, decide_gate
from neurocore.runtime.events import OnEvent
from neurocore.runtime.lookup import load_run, load_summary, resolve_run_id
from neurocore.runtime.resumable import refuse_unless_resumable
from neurocore.runtime.resume import drive_on, resumed
from neurocore.runtime.start import drive_new, new_record, refuse_unless_storable, system_user
from neurocore.skills.registry import SkillRegistry

__all__ = [
    "Decision",
    "actions",
    "adopt_runs",
    "cancel_run",
    "create_replay",
    "create_run",
    "decide_gate",
    "delete_run",
    "execute_blueprint",
    "execute_blueprint_tracked",
    "load_and_run",
    "load_run",
    "load_summary",
    "replay_run",
    "resolve_run_id",
    "resume_blueprint",
]


def execute_blueprint(
    blueprint: Blueprint,
    registry: SkillRegistry,
    neurocore_config: NeuroCoreConfig,
    *,
    initial_data: Mapping[str, Any] | None = None,
    on_event: OnEvent | None = None,
) -> FlowContext:
    """Run a blueprint and keep nothing of it; returns the context, raises ExecutionError when it fails."""
    run = new_record(blueprint, registry, neurocore_config, initial_data=initial_data)
    store = InMemoryRunStore()
    return drive_new(run, blueprint, registry, neurocore_config, store, on_event=on_event, owner="kept-nowhere")


def execute_blueprint_tracked(
    blueprint: Blueprint,
    registry: SkillRegistry,
    neurocore_config: NeuroCoreConfig,
    *,
    initial_data: Mapping[str, Any] | None = None,
    run_store: RunStore | None = None,
    run_id: str | None = None,
    blueprint_path: Path | str | None = None,
    tags: Sequence[str] = (),
    started_by: str | None = None,
    known_by: str = "claimed",
    on_event: OnEvent | None = None,
) -> FlowContext:
    """Run a blueprint as a durable run; returns the context, with `metadata.suspended` when it waits.

    Without `run_store` the configured one is used; where persistence is disabled nothing is kept. Raises BlueprintError
    or InputError before anything is written, RunExists when `run_id` is taken, ExecutionError (GateRejected) after the
    failure was committed.
    """
    store = run_store if run_store is not None else build_run_store(neurocore_config)
    if store is None:
        return execute_blueprint(
            blueprint, registry, neurocore_config, initial_data=initial_data, on_event=on_event
        )  # fmt: skip
    run = new_record(
        blueprint, registry, neurocore_config, initial_data=initial_data, run_id=run_id,
        blueprint_path=blueprint_path, tags=tags, started_by=started_by, known_by=known_by,
    )  # fmt: skip
    if run_id is not None:  # before anything is told of a run that will not be
        if store.load_summary(run_id) is not None:
            raise is_there(run_id)
        if store.load_tombstone(run_id) is not None:
            raise was_deleted(run_id)
    return drive_new(run, blueprint, registry, neurocore_config, store, on_event=on_event)


def create_run(
    blueprint: Blueprint,
    registry: SkillRegistry,
    config: NeuroCoreConfig,
    *,
    run_store: RunStore,
    initial_data: Mapping[str, Any] | None = None,
    run_id: str | None = None,
    blueprint_path: Path | str | None = None,
    tags: Sequence[str] = (),
    started_by: str | None = None,
    known_by: str = "claimed",
    replay_of: str | None = None,
) -> RunRecord:
    """Record a run and owe it, without driving it: for faces that must not wait. Hand its id to a dispatcher.

    Whoever asks need not know this process's environment: secret inputs take the blueprint's defaults and what
    `secrets.inputs` of the configuration lists.
    """
    run = new_record(
        blueprint, registry, config, initial_data=initial_data, run_id=run_id, blueprint_path=blueprint_path,
        tags=tags, started_by=started_by, known_by=known_by, replay_of=replay_of, nameable=config.secrets.inputs,
    )  # fmt: skip
    run.owed = Owed.START
    run_store.create_run(run)
    return run


def resume_blueprint(
    run_id: str,
    registry: SkillRegistry,
    neurocore_config: NeuroCoreConfig,
    *,
    resume_data: Mapping[str, Any] | None = None,
    run_store: RunStore | None = None,
    latest: bool = False,
    take_over: bool = False,
    gate: str | None = None,
    by: str | None = None,
    known_by: str = "claimed",
    on_event: OnEvent | None = None,
) -> FlowContext:
    """Drive a suspended, failed or lost run on, and return its context.

    At a gate, `resume_data={"approved": …}` is an answer and goes through `decide_gate`; at an input it is what the
    waiting step gets; on a failed run the steps that are tried again see it. `gate` says which is meant where several
    wait. `latest` takes the blueprint's file as it is now, and voids answers not acted on. Raises NotResumable,
    RunBusyError, DecisionRefused, RunNotFound, ExecutionError.
    """
    store = _store(run_store, neurocore_config)
    who = person(by) if by is not None else system_user()
    run = load_summary(run_id, store)
    refuse_unless_resumable(run, latest=latest)
    if not take_over:
        refuse_if_driven(run, neurocore_config, store)
    if resume_data is not None and not isinstance(resume_data, Mapping):
        raise UsageError("resume_data must be a mapping from key to value.")
    refuse_unless_storable(resume_data or {}, "resume_data")
    blueprint = latest_definition.of_run(run, store, registry, neurocore_config) if latest else None
    gates = store.load_gates(run_id)
    waiting = [gate for gate in gates if gate.status is GateStatus.OPEN]
    decided = [gate for gate in gates if gate.status is GateStatus.DECIDED]
    data: object = None
    if run.status is RunStatus.FAILED:
        data = dict(resume_data) if resume_data is not None else None
    elif waiting:
        _answer(run, waiting, resume_data, store, who, known_by, gate)
    elif resume_data is not None and decided:
        _answer_late(run, decided, resume_data, store, who, known_by)
    elif resume_data is not None:
        raise NotResumable(f"Run {run_id} does not wait for data; resume it without.")
    event = resumed(who, known_by, resume_data, failed=run.status is RunStatus.FAILED)
    return drive_on(
        run_id, registry, neurocore_config, store, event=event, resume_data=data, blueprint=blueprint,
        take_over=take_over, on_event=on_event,
    )  # fmt: skip


def replay_run(
    run_id: str,
    registry: SkillRegistry,
    neurocore_config: NeuroCoreConfig,
    *,
    run_store: RunStore | None = None,
    latest: bool = False,
    tags: Sequence[str] = (),
    started_by: str | None = None,
    known_by: str = "claimed",
    on_event: OnEvent | None = None,
) -> FlowContext:
    """Make a new run from another's inputs and definition, and drive it. No answer is taken along (promise 7)."""
    store = _store(run_store, neurocore_config)
    old = load_summary(run_id, store)
    blueprint = _definition(old, store, latest)
    run = new_record(
        blueprint, registry, neurocore_config, initial_data=_inputs(old, store), blueprint_path=old.blueprint_path,
        tags=tags, started_by=started_by, known_by=known_by, replay_of=old.run_id,
    )  # fmt: skip
    return drive_new(run, blueprint, registry, neurocore_config, store, on_event=on_event)


def create_replay(
    run_id: str,
    registry: SkillRegistry,
    config: NeuroCoreConfig,
    *,
    run_store: RunStore,
    latest: bool = False,
    tags: Sequence[str] = (),
    started_by: str | None = None,
    known_by: str = "claimed",
) -> RunRecord:
    """Like `replay_run`, recorded and owed but not driven."""
    old = load_summary(run_id, run_store)
    return create_run(
        _definition(old, run_store, latest), registry, config, run_store=run_store,
        initial_data=_inputs(old, run_store),
        blueprint_path=old.blueprint_path, tags=tags, started_by=started_by, known_by=known_by, replay_of=old.run_id,
    )  # fmt: skip


def cancel_run(
    run_id: str,
    *,
    run_store: RunStore,
    by: str,
    config: NeuroCoreConfig | None = None,
    known_by: str = "claimed",
    note: str | None = None,
) -> RunRecord:
    """Stop a run: at once where nobody drives it, else with or after its step (until then, `cancel_requested` is set).

    An async skill, as `command` is, is stopped at once; other Python code ends its step first.
    `config` says where the owners' locks are; without it, that of the project around the current folder. Raises
    RefusedError when the run has ended, RunHeld when it stands still.
    """
    from neurocore.config import load_config

    by, note = person(by), (note or "").strip()
    if (problem := note_problem(note)) is not None:
        raise InputError(problem, {"note": problem})
    run = load_summary(run_id, run_store)
    refuse_if_held(run_id, run.held)
    if run.status.ended:
        raise _ended_already(run)
    event = Event(at=utcnow_iso(), kind="cancelled", who=by, known_by=known_by, data={"note": note} if note else {})
    if not run_store.request_cancel(run_id, event=event):
        raise _ended_already(load_summary(run_id, run_store))
    configuration = config or load_config()
    seen = load_summary(run_id, run_store)
    if driver_of(seen, configuration, run_store).life is Life.DEAD:  # who drives it by now has not seen the request
        with contextlib.suppress(RunBusyError), driving(run_id):  # for whoever looks, it is not lost meanwhile
            _cancel_idle(seen, by, configuration, run_store)
    return load_run(run_id, run_store)


def _cancel_idle(seen: RunRecord, by: str, config: NeuroCoreConfig, store: RunStore) -> None:
    from neurocore.persistence.records import Commit

    run_id = seen.run_id
    run = load_summary(run_id, store)
    if run.status.ended:  # its process ended it in this very moment
        raise _ended_already(run)
    owner = owner_of_this_process(config, store)
    epoch = store.claim(run_id, owner=owner, expected_epoch=seen.epoch, expected_owner=seen.owner)
    if epoch is None:
        return  # somebody began to drive it in this very moment, and will see the request
    now = utcnow_iso()
    run.epoch, run.owner, run.owed, run.status = epoch, None, None, RunStatus.CANCELLED
    run.error, run.finished_at, run.updated_at = cancelled(by, store.load_events(run_id)), now, now
    run.current_nodes, run.suspended_at_node, run.suspension_reason = [], None, None
    asked = [gate for gate in store.load_gates(run_id) if gate.status in (GateStatus.OPEN, GateStatus.DECIDED)]
    gates, steps = occurrence.void_all(asked, store, "the run was cancelled", at=now)
    store.commit(Commit(run=run, owner=owner, gates=gates, steps=steps, sync=True))


def _ended_already(run: RunRecord) -> RefusedError:
    return RefusedError(f"Run {run.run_id} is {run.status.value} already; there is nothing to cancel.")


def adopt_runs(run_ids: Sequence[str] | None, *, run_store: RunStore, by: str, known_by: str = "claimed") -> int:
    """Let runs that stand still go on here, those that are named or all; returns how many did stand still.

    They stand still because they came with a copy of a history, or by an import. Whoever adopts them answers for it:
    they must not go on elsewhere as well. Raises RunNotFound.
    """
    event = Event(at=utcnow_iso(), kind="adopted", who=person(by), known_by=known_by)
    for run_id in run_ids or ():
        load_summary(run_id, run_store)
    return run_store.adopt_runs(run_ids, event=event)


def delete_run(run_id: str, *, run_store: RunStore, by: str) -> Tombstone:
    """Delete an ended run; what stays is who deleted it, when, and the end of its answers' chain (promise 8).

    Raises RefusedError for a run that has not ended.
    """
    by = person(by)
    run = load_summary(run_id, run_store)
    if not run.status.ended:
        raise RefusedError(f"Run {run_id} is {run.status.value}; only ended runs can be deleted, so cancel it first.")
    tombstone = Tombstone(
        run_id=run_id,
        blueprint_name=run.blueprint_name,
        deleted_at=utcnow_iso(),
        deleted_by=by,
        last_hash=last_hash(run_store.load_gates(run_id)),
    )
    run_store.bury_run(run_id, tombstone)
    return tombstone


def load_and_run(
    blueprint_path: Path | str,
    *,
    project_root: Path | None = None,
    initial_data: Mapping[str, Any] | None = None,
    track: bool = True,
) -> FlowContext:
    """Load the project's configuration, its skills and a blueprint's file, and run it; kept when `track`."""
    from neurocore.blueprint.load import load_blueprint
    from neurocore.config import load_config
    from neurocore.skills.loader import discover_skills

    config = load_config(project_root)
    registry = discover_skills(config)
    blueprint = load_blueprint(blueprint_path)
    if not track:
        return execute_blueprint(blueprint, registry, config, initial_data=initial_data)
    return execute_blueprint_tracked(
        blueprint, registry, config, initial_data=initial_data, blueprint_path=blueprint_path
    )


def _store(run_store: RunStore | None, config: NeuroCoreConfig) -> RunStore:
    store = run_store if run_store is not None else build_run_store(config)
    if store is None:
        raise UsageError("Persistence is disabled (persistence.enabled: false), so there are no runs to go on with.")
    return store


def _definition(run: RunRecord, store: RunStore, latest: bool) -> Blueprint:
    return latest_definition.of_file(run) if latest else stored_blueprint(store.load_definition(run.run_id))


def _inputs(run: RunRecord, store: RunStore) -> dict[str, Any]:
    return {key: codec.restore(data) for key, data in store.load_inputs(run.run_id).items()}


def _answer(
    run: RunRecord,
    waiting: list[GateRecord],
    resume_data: Mapping[str, Any] | None,
    store: RunStore,
    who: str,
    known_by: str,
    gate: str | None,
) -> None:
    """Turn resume_data into the answer of the gate or input that waits. Raises NotResumable when there is none."""
    if resume_data is None:
        if run.owed is not None or run.status is RunStatus.RUNNING:
            return  # decided, or lost while other branches ran: the gates wait on, and the run goes on
        kind = waiting[0].kind
        names = ", ".join(one.node_id for one in waiting if one.kind == kind)
        which = " --gate <node>" if len(waiting) > 1 else ""
        if kind == "input":
            raise NotResumable(
                f"Run {run.run_id} waits for data at {names}; give it with "
                f"`neurocore runs resume {run.run_id}{which} --data key=value`."
            )
        raise NotResumable(
            f"Run {run.run_id} waits for a decision at gate {names}; "
            f"decide with `neurocore runs approve {run.run_id}{which}` (or `--reject`)."
        )
    meant = choose(run, waiting, gate, None)
    if meant is None and not isinstance(resume_data.get("approved"), bool):
        names = ", ".join(one.node_id for one in waiting)
        raise NoOpenGate(f"Run {run.run_id} waits for nothing at {gate}; it waits at {names}.")
    if meant is not None and meant.kind == "input":
        answer_input(run, meant, dict(resume_data), store, by=who, known_by=known_by)
    else:
        _decide(run, resume_data, store, who, known_by, gate)


def _answer_late(
    run: RunRecord,
    decided: list[GateRecord],
    resume_data: Mapping[str, Any],
    store: RunStore,
    who: str,
    known_by: str,
) -> None:
    """Refuse what comes after somebody else's answer (promise 4): the run is owed, and goes on with that one."""
    given = next((gate for gate in decided if gate.kind == "input"), None)
    if given is not None and given.decision is not None:
        raise NoOpenGate(
            f"Run {run.run_id} was given its data at {given.node_id} by {given.decision.by} at {given.decision.at}; "
            "resume it without data."
        )
    _decide(run, resume_data, store, who, known_by, None)


def _decide(
    run: RunRecord, resume_data: Mapping[str, Any], store: RunStore, who: str, known_by: str, gate: str | None
) -> None:
    extra = sorted(set(resume_data) - {"approved", "by", "note"})
    if extra:
        raise UsageError(f"A gate takes approved, by and note, not {', '.join(extra)}.")
    if not isinstance(resume_data.get("approved"), bool):
        raise UsageError("At a gate, resume_data must have approved: true or false.")
    decide_gate(
        run.run_id, approved=resume_data["approved"], by=str(resume_data.get("by") or who),
        note=resume_data.get("note"), gate=gate, run_store=store, known_by=known_by,
    )  # fmt: skip
