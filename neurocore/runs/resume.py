"""Resume a run: drive a suspended, failed or lost run on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from neurocore.access.actor import Actor, acting, called
from neurocore.access.permission import Action, Resource, require
from neurocore.config import NeuroCoreConfig
from neurocore.context import FlowContext
from neurocore.errors import NoOpenGate, NotResumable, UsageError
from neurocore.gates.answer import choose
from neurocore.persistence.base import RunStore
from neurocore.persistence.records import GateRecord, GateStatus, RunRecord, RunStatus
from neurocore.runs.configured import store_of
from neurocore.runs.decide import answer_input, decide_gate
from neurocore.runs.find import load_summary
from neurocore.runtime import definition_upgrade
from neurocore.runtime.claim import refuse_if_driven
from neurocore.runtime.events import OnEvent
from neurocore.runtime.resumable import refuse_unless_resumable
from neurocore.runtime.resume import drive_on, resumed
from neurocore.runtime.start import refuse_unless_storable
from neurocore.skills.registry import SkillRegistry


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
    actor: Actor | None = None,
    on_event: OnEvent | None = None,
) -> FlowContext:
    """Drive a suspended, failed or lost run on, and return its context.

    At a gate, `resume_data={"approved": …}` is an answer and goes through `decide_gate`; at an input it is what the
    waiting step gets; on a failed run the steps that are tried again see it. `gate` says which is meant where several
    wait. `latest` takes the blueprint's file as it is now, and voids answers not acted on. Raises NotResumable,
    RunBusyError, DecisionRefused, RunNotFound, ExecutionError.
    """
    store = store_of(run_store, neurocore_config)
    who = acting(by, actor)
    run = load_summary(run_id, store)
    require(who, Action.RESUME, Resource(blueprint=run.blueprint_name, run_id=run_id))
    refuse_unless_resumable(run, latest=latest)
    if not take_over:
        refuse_if_driven(run, neurocore_config, store)
    if resume_data is not None and not isinstance(resume_data, Mapping):
        raise UsageError("resume_data must be a mapping from key to value.")
    refuse_unless_storable(resume_data or {}, "resume_data")
    blueprint = definition_upgrade.of_run(run, store, registry, neurocore_config) if latest else None
    gates = store.load_gates(run_id)
    waiting = [gate for gate in gates if gate.status is GateStatus.OPEN]
    decided = [gate for gate in gates if gate.status is GateStatus.DECIDED]
    data: object = None
    if run.status is RunStatus.FAILED:
        data = dict(resume_data) if resume_data is not None else None
    elif waiting:
        _answer(run, waiting, resume_data, store, who, gate)
    elif resume_data is not None and decided:
        _answer_late(run, decided, resume_data, store, who)
    elif resume_data is not None:
        raise NotResumable(f"Run {run_id} does not wait for data; resume it without.")
    event = resumed(
        who.label, who.known_by.value, resume_data, failed=run.status is RunStatus.FAILED, at=store.clock.now()
    )
    return drive_on(
        run_id, registry, neurocore_config, store, event=event, resume_data=data, blueprint=blueprint,
        take_over=take_over, on_event=on_event,
    )  # fmt: skip


def _answer(
    run: RunRecord,
    waiting: list[GateRecord],
    resume_data: Mapping[str, Any] | None,
    store: RunStore,
    actor: Actor,
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
        answer_input(run, meant, dict(resume_data), store, actor=actor)
    else:
        _decide(run, resume_data, store, actor, gate)


def _answer_late(
    run: RunRecord,
    decided: list[GateRecord],
    resume_data: Mapping[str, Any],
    store: RunStore,
    actor: Actor,
) -> None:
    """Refuse what comes after somebody else's answer (promise 4): the run is owed, and goes on with that one."""
    given = next((gate for gate in decided if gate.kind == "input"), None)
    if given is not None and given.decision is not None:
        raise NoOpenGate(
            f"Run {run.run_id} was given its data at {given.node_id} by {given.decision.by} at {given.decision.at}; "
            "resume it without data."
        )
    _decide(run, resume_data, store, actor, None)


def _decide(run: RunRecord, resume_data: Mapping[str, Any], store: RunStore, actor: Actor, gate: str | None) -> None:
    extra = sorted(set(resume_data) - {"approved", "by", "note"})
    if extra:
        raise UsageError(f"A gate takes approved, by and note, not {', '.join(extra)}.")
    if not isinstance(resume_data.get("approved"), bool):
        raise UsageError("At a gate, resume_data must have approved: true or false.")
    by = resume_data.get("by")
    decide_gate(
        run.run_id, approved=resume_data["approved"], actor=called(str(by), face=actor.face) if by else actor,
        note=resume_data.get("note"), gate=gate, run_store=store,
    )  # fmt: skip
