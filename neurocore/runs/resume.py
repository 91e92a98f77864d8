"""Resume a run: continue a suspended, failed or lost run."""

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
from neurocore.persistence.ownership import refuse_if_driven
from neurocore.persistence.records import GateRecord, GateStatus, RunRecord, RunStatus
from neurocore.run_events import OnEvent
from neurocore.runs.configured import store_of
from neurocore.runs.decide import answer_input, decide_gate
from neurocore.runs.find import load_summary
from neurocore.runtime import definition_upgrade
from neurocore.runtime.resumable import blocking_gates, refuse_unless_resumable
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
    """Continue a suspended, failed or lost run, and return its context.

    At a gate, `resume_data={"approved": …}` is an answer and goes through `decide_gate`; at an input it is passed to
    the waiting step; on a failed run the retried steps see it. `gate` names one if several wait. `latest` uses the
    blueprint's current file, and voids answers that were not acted on. Raises NotResumable, RunBusyError,
    DecisionRefused, RunNotFound, ExecutionError.
    """
    store = store_of(run_store, neurocore_config)
    request_resume(
        run_id, registry, neurocore_config, resume_data=resume_data, run_store=store, latest=latest,
        take_over=take_over, gate=gate, actor=acting(by, actor),
    )  # fmt: skip
    return drive_on(run_id, registry, neurocore_config, store, take_over=take_over, on_event=on_event)


def request_resume(
    run_id: str,
    registry: SkillRegistry,
    config: NeuroCoreConfig,
    *,
    run_store: RunStore,
    actor: Actor,
    resume_data: Mapping[str, Any] | None = None,
    latest: bool = False,
    take_over: bool = False,
    gate: str | None = None,
) -> None:
    """Record who wants a run to continue, and with what data, without driving it. Then submit its id to a dispatcher.

    The request outlives this process: a sweep finds a run that no process has driven since. Raises the same errors as
    `resume_blueprint`.
    """
    who = acting(None, actor)
    run = load_summary(run_id, run_store)
    require(who, Action.RESUME, Resource(blueprint=run.blueprint_name, run_id=run_id))
    refuse_unless_resumable(run, latest=latest)
    if not take_over:
        refuse_if_driven(run, config, run_store)
    if resume_data is not None and not isinstance(resume_data, Mapping):
        raise UsageError("resume_data must be a mapping from key to value.")
    refuse_unless_storable(resume_data or {}, "resume_data")
    definition = definition_upgrade.of_run(run, run_store, registry, config) if latest else None
    failed = run.status is RunStatus.FAILED
    if not failed:
        _answer(run, run_store.load_gates(run_id), resume_data, run_store, who, gate)
    event = resumed(who, resume_data, failed=failed, at=run_store.clock.now(), definition=definition)
    if not run_store.request_resume(run_id, event=event):
        refuse_unless_resumable(load_summary(run_id, run_store))


def refuse_to_resume(run: RunRecord, config: NeuroCoreConfig, store: RunStore, *, latest: bool = False) -> None:
    """Raise NotResumable or RunBusyError if a resume without data would change nothing."""
    refuse_unless_resumable(run, latest=latest)
    refuse_if_driven(run, config, store)
    waiting = blocking_gates(run, store.load_gates(run.run_id, narrow=True))
    if waiting:
        names = ", ".join(gate.node_id for gate in waiting)
        raise NotResumable(f"Run {run.run_id} waits for a decision at {names}; decide it, and the run continues.")


def _answer(
    run: RunRecord,
    gates: list[GateRecord],
    resume_data: Mapping[str, Any] | None,
    store: RunStore,
    actor: Actor,
    gate: str | None,
) -> None:
    """Turn resume_data into the answer of the gate or input that waits. Raises NotResumable when there is none."""
    waiting = [one for one in gates if one.status is GateStatus.OPEN]
    if not waiting:
        _answer_late(run, gates, resume_data, store, actor)
        return
    if resume_data is None:
        if not blocking_gates(run, waiting):
            return  # decided, or lost while other branches ran: the gates keep waiting, and the run continues
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
    run: RunRecord, gates: list[GateRecord], resume_data: Mapping[str, Any] | None, store: RunStore, actor: Actor
) -> None:
    """Refuse data that comes after somebody else's answer (promise 4): the run continues with that answer."""
    if resume_data is None:
        return
    decided = [gate for gate in gates if gate.status is GateStatus.DECIDED]
    if not decided:
        raise NotResumable(f"Run {run.run_id} does not wait for data; resume it without.")
    given = next((gate for gate in decided if gate.kind == "input"), None)
    if given is not None and given.decision is not None:
        raise NoOpenGate(
            f"Run {run.run_id} received its data at {given.node_id} from {given.decision.by} at {given.decision.at}; "
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
