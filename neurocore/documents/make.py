"""Make documents from records, with credentials masked."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from neurocore.documents.gates import (
    DifferenceDocument,
    LastApprovedDocument,
    OutlookDocument,
    PreviewDocument,
)
from neurocore.documents.masking import masked, masked_under
from neurocore.documents.run_state import state
from neurocore.documents.runs import (
    CurrentNodeDocument,
    DecisionDocument,
    DeletedDocument,
    EventDocument,
    FailureDocument,
    LogDocument,
    OutcomeDocument,
    RunDetails,
    RunSummary,
    StandingDocument,
    StepDocument,
    WaitDocument,
)
from neurocore.documents.stored import stored_under
from neurocore.documents.streamed import Streamed
from neurocore.persistence.records import GateStatus, RunStatus, StepStatus

if TYPE_CHECKING:
    from neurocore.config import NeuroCoreConfig
    from neurocore.differences import Difference
    from neurocore.gates.compare import LastApproved
    from neurocore.gates.preview import Outlook, Preview
    from neurocore.persistence.base import RunStore
    from neurocore.persistence.records import Event, GateRecord, RunRecord, StepRecord, Tombstone
    from neurocore.runs.decide import Decision


def summary(run: RunRecord, store: RunStore, config: NeuroCoreConfig) -> RunSummary:
    """Return a run as in lists."""
    return RunSummary(**_summary(run, store, config))


def _summary(run: RunRecord, store: RunStore, config: NeuroCoreConfig) -> dict[str, Any]:
    failure = run.failure
    return {
        "run_id": run.run_id,
        "title": run.title,
        "blueprint": run.blueprint_name,
        "blueprint_version": run.blueprint_version,
        "status": run.status.value,
        "state": state(run, config, store),
        "held": run.held,
        "created_at": run.created_at,
        "updated_at": run.updated_at,
        "finished_at": run.finished_at,
        "duration_ms": run.duration_ms,
        "nodes_done": run.nodes_done,
        "nodes_total": run.nodes_total,
        "running_nodes": [node.node_id for node in run.working_nodes] if run.status is RunStatus.RUNNING else [],
        "current_nodes": [
            CurrentNodeDocument(
                node=node.node_id,
                visit=node.visit,
                attempt=node.attempt,
                started_at=node.started_at,
                not_before=node.not_before,
            )
            for node in (run.current_nodes if run.status is RunStatus.RUNNING else [])
        ],
        "owed": run.owed,
        "cancel_requested": run.cancel_requested,
        "suspended_at_node": run.suspended_at_node,
        "suspension_reason": run.suspension_reason,
        "error": run.error,
        "failure": FailureDocument(
            kind=failure.kind.value, message=failure.message, node=failure.node, type=failure.type
        )
        if failure is not None
        else None,
        "started_by": run.started_by,
        "replay_of": run.replay_of,
        "tags": list(run.tags),
    }


def details(run: RunRecord, store: RunStore, config: NeuroCoreConfig, *, later: bool = False) -> RunDetails:
    """Return a whole run; with `later`, its inputs and its context are made when the document is written."""
    from neurocore.persistence.ownership import owner_label

    base = _summary(run, store, config)
    return RunDetails(
        **base,
        blueprint_path=run.blueprint_path,
        blueprint_hash=run.blueprint_hash,
        flow_type=run.flow_type,
        description=run.blueprint_snapshot.get("description"),
        outputs=list(run.blueprint_snapshot.get("outputs") or {}),
        replay_only=run.replay_only,
        completed_nodes=list(run.completed_nodes),
        driven_by=owner_label(run.owner) if base["state"] == "driven" else None,
        legacy=run.legacy,
        initial_data=_decoded(store.load_inputs(run.run_id), later),
        context=_decoded(store.load_context(run.run_id), later),
    )


def context_of(run: RunRecord, store: RunStore) -> dict[str, Any]:
    """Return the current committed context, masked."""
    context: dict[str, Any] = _decoded(store.load_context(run.run_id), False)
    return context


def _decoded(encoded: Mapping[str, bytes], later: bool) -> Any:
    """Decode and mask stored values; a value whose class is missing is shown as the stored data."""
    from neurocore import codec

    def items() -> Iterator[tuple[str, Any]]:
        for key, data in encoded.items():
            if later and len(data) > codec.SLICE:
                (name,) = masked({key: None})
                yield name, stored_under(key, data)
            else:
                yield from masked({key: codec.restore(data)}).items()

    return Streamed(items, mapping=True).unless(later)


def previewed(found: Preview) -> PreviewDocument:
    """Return what each answer leads to."""
    return PreviewDocument(approve=_outlook(found.approve), reject=_outlook(found.reject))


def _outlook(outlook: Outlook) -> OutlookDocument:
    return OutlookDocument(
        runs=list(outlook.runs), maybe=list(outlook.maybe), skips=list(outlook.skips), ends=outlook.ends,
        sentence=outlook.sentence,
    )  # fmt: skip


def last_approved(approved: LastApproved) -> LastApprovedDocument:
    """Return the last approved occurrence of a gate, with the differences."""
    decision = approved.gate.decision
    return LastApprovedDocument(
        run_id=approved.run.run_id,
        by=decision.by if decision else None,
        at=decision.at if decision else None,
        differences=differences(approved.differences),
    )


def differences(found: Iterable[Difference]) -> list[DifferenceDocument]:
    """Return the differences, masked by key."""
    return [
        DifferenceDocument(
            key=one.key, kind=one.kind,
            before=masked_under(one.key, one.before), after=masked_under(one.key, one.after),
            note=one.note,
        )
        for one in found
    ]  # fmt: skip


#: The logs of steps with these statuses are always included: they show the reason, or the progress.
_BROKEN_OFF = (StepStatus.FAILED, StepStatus.CANCELLED)


def step(record: StepRecord, *, full: bool = False, schema: Any = None, later: bool = False) -> StepDocument:
    """Return a step; config, traceback and logs with `full`, the logs of a failed or cancelled step always.

    `schema` is the skill's, for its secrets. With `later`, the changes are made when the document is written.
    """
    return StepDocument(
        step_index=record.step_index,
        node=record.node_id or record.component,
        component=record.component,
        visit=record.visit,
        attempt=record.attempt,
        skill=record.skill_type,
        skill_version=record.skill_version,
        status=record.status.value,
        decision=record.decision,
        reason=record.reason,
        port=record.port,
        started_at=record.started_at,
        duration_ms=record.duration_ms,
        error=record.error,
        error_type=record.error_type,
        output_keys=list(record.output_keys),
        changes=_decoded(record.changes.set, later),
        deleted=list(record.changes.deleted),
        config=masked(record.config, schema) if full else None,
        traceback=record.traceback if full else None,
        logs=logs(record) if full or (record.status in _BROKEN_OFF and record.logs) else None,
    )


def logs(record: StepRecord) -> list[LogDocument]:
    """Return the log of the step."""
    return [
        LogDocument(
            at=line.at, level=line.level, message=line.message, node=record.node_id or record.component,
            visit=record.visit, attempt=record.attempt, step_index=record.step_index,
        )
        for line in record.logs
    ]  # fmt: skip


def event(record: Event) -> EventDocument:
    """Return one event of the activity."""
    return EventDocument(
        at=record.at, kind=record.kind, who=record.who, known_by=record.known_by, data=masked(record.facts)
    )


def deleted(tombstone: Tombstone) -> DeletedDocument:
    """Return what remains of a deleted run."""
    return DeletedDocument(
        run_id=tombstone.run_id, blueprint=tombstone.blueprint_name, deleted_at=tombstone.deleted_at,
        deleted_by=tombstone.deleted_by, last_hash=tombstone.last_hash,
    )  # fmt: skip


def open_gates(gates: Sequence[GateRecord], run: RunRecord) -> list[GateRecord]:
    """Return the occurrences that wait for a person, oldest first; those of held runs do not wait."""
    if run.status.ended or run.held is not None:
        return []
    return sorted((one for one in gates if one.status is GateStatus.OPEN), key=lambda one: one.opened_at)


def outcome(
    run: RunRecord,
    store: RunStore,
    config: NeuroCoreConfig,
    program: str,
    *,
    decision: DecisionDocument | None = None,
    later: bool = False,
) -> OutcomeDocument:
    """Return the state of a run, with its context: what a command that drove it returns. The run may be a narrow one.

    With `later`, the context is made when the document is written.
    """
    data = _decoded(store.load_context(run.run_id), later)
    return OutcomeDocument(**_standing(run, store, config, program, decision), data=data)


def standing(
    run: RunRecord, store: RunStore, config: NeuroCoreConfig, program: str, *, decision: DecisionDocument | None = None
) -> StandingDocument:
    """Return the state of a run."""
    return StandingDocument(**_standing(run, store, config, program, decision))


def _standing(
    run: RunRecord, store: RunStore, config: NeuroCoreConfig, program: str, decision: DecisionDocument | None
) -> dict[str, Any]:
    from neurocore.documents.make_gates import held

    gates = store.load_gates(run.run_id, narrow=True)
    base = _summary(run, store, config)
    signs_in = config.auth.mode != "open"
    return {
        **base,
        "waits": [
            WaitDocument(node=one.node_id, visit=one.visit, kind=one.kind, message=one.message, digest=one.digest)
            for one in open_gates(gates, run)
        ],
        "next": next_commands(
            run, gates, base["state"], run.run_id, program, signs_in=signs_in, held=held(gates, run, store)
        ),
        "decision": decision,
    }


def decided(decision: Decision) -> DecisionDocument:
    """Return the result of an answer."""
    answer, verdict = decision.answer, decision.verdict
    return DecisionDocument(
        node=answer.node_id, visit=answer.visit, approved=answer.approved, by=answer.by, at=answer.at,
        note=answer.note, effect=decision.effect, driven_by=decision.driven_by,
        missing=verdict.missing if verdict is not None else None,
        held_until=verdict.held_until if verdict is not None else None,
    )  # fmt: skip


def next_commands(
    run: RunRecord,
    gates: Sequence[GateRecord],
    state_now: str,
    name: str,
    program: str,
    *,
    signs_in: bool = False,
    held: Collection[tuple[str, int]] = (),
) -> list[str]:
    """Return the commands that can be typed now, the likeliest first; `program` is this one, `name` is the run's.

    Where people sign in (`signs_in`), gates are answered in the dashboard, not on this command line. `held` are the
    occurrences that are decided, and whose last answer can still be withdrawn.
    """
    waiting = open_gates(gates, run)
    commands: list[str] = []
    for one in waiting:
        which = f" --gate {shlex.quote(one.node_id)}" if len(waiting) > 1 else ""
        if one.kind == "input":
            commands.append(f"{program} runs resume {name}{which} --data KEY=VALUE")
            continue
        if signs_in:
            continue
        if (one.node_id, one.visit) in held:
            commands.append(f"{program} runs withdraw {name}{which}")
            continue
        note = "" if one.policy.note != "required" else ' --note "…"'
        why = "" if one.policy.note == "optional" else ' --note "…"'
        commands.append(f"{program} runs approve {name}{which}{note}")
        commands.append(f"{program} runs approve {name}{which} --reject{why}")
    if state_now == "driven":
        commands.append(f"{program} runs watch {name}")
    elif state_now == "held":
        commands.append(f"{program} db adopt {name}")
    elif state_now == "cannot_tell":
        commands.append(f"{program} runs resume {name} --take-over")
    elif state_now in ("owed", "lost") or _can_be_tried_again(run):
        commands.append(f"{program} runs resume {name}")
    if run.status.ended:
        commands.append(f"{program} runs replay {name}")
    return commands


def _can_be_tried_again(run: RunRecord) -> bool:
    if run.status is not RunStatus.FAILED:
        return False
    from neurocore.errors import NotResumable
    from neurocore.runtime.resumable import refuse_unless_resumable

    try:
        refuse_unless_resumable(run)
    except NotResumable:
        return False
    return True
