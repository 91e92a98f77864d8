"""Make the documents of gates from their records, with what the rules of each give now."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from neurocore.access.actor import KnownBy
from neurocore.documents import make
from neurocore.documents.gates import AnswerDocument, GateDecisionDocument, GateDocument, StageDocument
from neurocore.documents.masking import masked
from neurocore.documents.stored import stored
from neurocore.gates.facts import Counted, State
from neurocore.gates.ruling import GateNow
from neurocore.persistence import seals
from neurocore.persistence.records import WITHDRAW, GateStatus

if TYPE_CHECKING:
    from neurocore.gates.compare import LastApproved
    from neurocore.gates.facts import Verdict
    from neurocore.gates.preview import Preview
    from neurocore.persistence.base import RunStore
    from neurocore.persistence.records import Answer, GateRecord, RunRecord

#: What a gate's document has as fields of their own.
_APART = ("note", "require", "on_reject")


def gate(
    record: GateRecord,
    run: RunRecord,
    store: RunStore,
    preview: Preview | None = None,
    approved: LastApproved | None = None,
    *,
    later: bool = False,
) -> GateDocument:
    """Return a gate occurrence with its answers; with `later`, its values are made when the document is written."""
    now = GateNow(record, run, store)
    verdict = now.verdict
    return GateDocument(
        node=record.node_id,
        visit=record.visit,
        name=record.name,
        kind=record.kind,
        status=record.status.value,
        message=record.message,
        shown=stored(record.shown) if later and record.shown else masked(record.values),
        digest=record.digest,
        note_rule=record.policy.note,
        require=record.policy.require,
        on_reject=record.policy.on_reject,
        opened_at=record.opened_at,
        closed_at=record.closed_at,
        void_reason=record.void_reason,
        answers=_answers(record, verdict),
        policy=_policy(record),
        stages=[
            StageDocument(
                approvers=list(one.approvers), required=one.required, approved_by=list(one.approved_by)
            )
            for one in verdict.stages
        ],
        stage=verdict.stage,
        required=verdict.required,
        approved_by=list(verdict.approved_by),
        missing=verdict.missing if record.kind == "gate" else None,
        deadline=record.deadline,
        overdue=verdict.overdue,
        escalated_at=now.facts.escalated_at,
        decision=_decision(record, verdict),
        held_until=verdict.held_until,
        preview=make.previewed(preview) if preview else None,
        last_approved=make.last_approved(approved) if approved else None,
    )  # fmt: skip


def last_answer(record: GateRecord, run: RunRecord, store: RunStore) -> AnswerDocument:
    """Return the last answer at an occurrence that has some."""
    return _answers(record, GateNow(record, run, store).verdict)[-1]


def held(gates: Sequence[GateRecord], run: RunRecord, store: RunStore) -> Collection[tuple[str, int]]:
    """Return which open occurrences (node and visit) are decided, and wait for the time to withdraw to be over."""
    undoable = (
        one for one in gates
        if one.status is GateStatus.OPEN and one.kind == "gate" and one.answers and one.policy.undo != "0s"
    )  # fmt: skip
    return {(one.node_id, one.visit) for one in undoable if GateNow(one, run, store).verdict.state is State.HELD}


def _policy(record: GateRecord) -> dict[str, Any]:
    rules = msgspec.to_builtins(record.policy)
    found: dict[str, Any] = masked({name: value for name, value in rules.items() if name not in _APART})
    return found


def _decision(record: GateRecord, verdict: Verdict) -> GateDecisionDocument | None:
    decision = verdict.decision
    if decision is None or verdict.cause is None:
        return None
    given = {one.hash: one.by for one in record.answers}
    by = [given[one] for one in decision.answers[-1:] if one in given]
    last = record.decision
    label = by[0] if by else last.by if last is not None else None
    outcome = verdict.outcome.value if verdict.outcome is not None and record.kind == "gate" else None
    return GateDecisionDocument(outcome=outcome, cause=verdict.cause.value, at=decision.at, by=label)


def _answers(record: GateRecord, verdict: Verdict) -> list[AnswerDocument]:
    withdrawn = record.withdrawn
    counted = {one.id: one for one in verdict.counted}
    return [_answer(one, counted.get(one.hash), withdrawn.get(one.hash)) for one in record.answers]


def _answer(given: Answer, counted: Counted | None, withdrawn_at: str | None) -> AnswerDocument:
    withdraws = given.facts.get("withdraws") if given.answer == WITHDRAW else None
    broken = given.facts.get("break_glass")
    counts = counted.counts if counted is not None else given.known_by == KnownBy.SYSTEM
    return AnswerDocument(
        id=given.hash, answer=given.answer or _word(given), approved=given.approved, by=given.by,
        known_by=given.known_by, at=given.at, note=given.note, digest=given.digest, data=masked(given.data),
        username=given.by if given.person is not None else None, person=given.person, face=given.face,
        token=given.token, groups=list(given.groups), counts=counts,
        why_not=counted.why_not if counted is not None else None, withdrawn_at=withdrawn_at,
        withdraws=withdraws if isinstance(withdraws, str) else None,
        break_glass=broken if isinstance(broken, str) else None, hash=given.hash,
        hash_version=seals.version_of(given.hash),
    )  # fmt: skip


def _word(given: Answer) -> str | None:
    return {True: "approve", False: "reject"}.get(given.approved) if given.approved is not None else None
