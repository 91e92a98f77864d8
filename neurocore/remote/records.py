"""Documents of the API as the records that they were made from, for what prints records.

What no document has stays at its default. Values are those that people may see: masked, as JSON has them.
"""

from __future__ import annotations

from typing import Any

from neurocore import codec, typed
from neurocore.documents.gates import AnswerDocument, GateDocument
from neurocore.documents.runs import (
    EventDocument,
    InspectDocument,
    LogDocument,
    RunDetails,
    RunSummary,
    StepDocument,
)
from neurocore.persistence.gate_policy import GatePolicy
from neurocore.persistence.records import (
    Answer,
    Changes,
    CurrentNode,
    Event,
    Failure,
    FailureKind,
    GateRecord,
    GateStatus,
    LogLine,
    RunRecord,
    RunStatus,
    StepRecord,
    StepStatus,
)


def run_of(document: RunSummary) -> RunRecord:
    """Return a narrow run. Raises ValueError for a status that this version does not know."""
    failure = document.failure
    return RunRecord(
        run_id=document.run_id,
        blueprint_name=document.blueprint,
        blueprint_version=document.blueprint_version,
        title=document.title,
        status=RunStatus(document.status),
        error=document.error,
        failure=Failure(
            kind=FailureKind(failure.kind), message=failure.message, node=failure.node, type=failure.type
        )
        if failure is not None
        else None,
        suspended_at_node=document.suspended_at_node,
        suspension_reason=document.suspension_reason,
        created_at=document.created_at,
        updated_at=document.updated_at,
        finished_at=document.finished_at,
        duration_ms=document.duration_ms,
        current_nodes=[
            CurrentNode(
                node_id=node.node, visit=node.visit, attempt=node.attempt, started_at=node.started_at,
                not_before=node.not_before,
            )
            for node in document.current_nodes
        ],
        nodes_done=document.nodes_done,
        nodes_total=document.nodes_total,
        started_by=document.started_by,
        replay_of=document.replay_of,
        tags=list(document.tags),
        owed=document.owed,
        cancel_requested=document.cancel_requested,
        held=document.held,
    )  # fmt: skip


def whole_run_of(document: InspectDocument) -> RunRecord:
    """Return a whole run with its gates and events."""
    details: RunDetails = document.run
    run = run_of(details)
    run.blueprint_path = details.blueprint_path
    run.blueprint_hash = details.blueprint_hash
    run.flow_type = details.flow_type
    run.blueprint_snapshot = {"description": details.description, "outputs": dict.fromkeys(details.outputs)}
    run.completed_nodes = list(details.completed_nodes)
    run.replay_only = details.replay_only
    run.legacy = details.legacy
    run.initial_data = details.initial_data
    run.gates = [gate_of(run.run_id, gate) for gate in document.gates]
    run.events = [event_of(event) for event in document.events]
    return run


def gate_of(run_id: str, document: GateDocument) -> GateRecord:
    """Return a gate occurrence with its answers."""
    return GateRecord(
        run_id=run_id,
        node_id=document.node,
        visit=document.visit,
        kind=document.kind,
        name=document.name,
        opened_at=document.opened_at,
        message=document.message,
        shown=codec.encode(document.shown),
        digest=document.digest,
        policy=_policy(document),
        deadline=document.deadline,
        status=GateStatus(document.status),
        closed_at=document.closed_at,
        void_reason=document.void_reason,
        answers=[_answer(document, one) for one in document.answers],
    )


def _policy(document: GateDocument) -> GatePolicy:
    apart = {"require": document.require, "on_reject": document.on_reject, "note": document.note_rule}
    return typed.convert({**document.policy, **apart}, GatePolicy)


def _answer(gate: GateDocument, document: AnswerDocument) -> Answer:
    facts = {"withdraws": document.withdraws, "break_glass": document.break_glass}
    return Answer(
        node_id=gate.node, visit=gate.visit, approved=document.approved, by=document.by, known_by=document.known_by,
        at=document.at, note=document.note, digest=document.digest, data=document.data, hash=document.hash,
        person=document.person, face=document.face, token=document.token, groups=tuple(document.groups),
        answer=document.answer, facts={name: value for name, value in facts.items() if value is not None},
    )  # fmt: skip


def step_of(run_id: str, document: StepDocument) -> StepRecord:
    """Return a step; configuration, traceback and logs as far as the document has them."""
    return StepRecord(
        run_id=run_id,
        step_index=document.step_index,
        component=document.component,
        node_id=document.node,
        visit=document.visit,
        attempt=document.attempt,
        skill_type=document.skill,
        skill_version=document.skill_version,
        status=StepStatus(document.status),
        reason=document.reason,
        port=document.port,
        started_at=document.started_at,
        duration_ms=document.duration_ms,
        error=document.error,
        error_type=document.error_type,
        traceback=document.traceback,
        config=document.config or {},
        output_keys=list(document.output_keys),
        changes=Changes(set=encoded(document.changes), deleted=tuple(document.deleted)),
        logs=[_line(one) for one in document.logs or ()],
    )


def _line(document: LogDocument) -> LogLine:
    return LogLine(at=document.at, level=document.level, message=document.message)


def event_of(document: EventDocument) -> Event:
    """Return one entry of the activity."""
    return Event(at=document.at, kind=document.kind, who=document.who, known_by=document.known_by, data=document.data)


def encoded(values: dict[str, Any]) -> dict[str, bytes]:
    """Return values as a store has them."""
    return {key: codec.encode(value) for key, value in values.items()}
