"""Open a gate: freeze its message, the values it shows, and the digest of these and their inputs (promise 6).

The message is rendered once, when the gate opens. When an answer comes, and when the gate completes, only the hash of
its inputs is computed again from the committed context. If the digest differs then, what was approved is no longer what
would happen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import structs

from neurocore import codec, secrets
from neurocore.blueprint.plan import APPROVED, REJECTED, PlanNode
from neurocore.codec import SecretRef
from neurocore.errors import SkillError
from neurocore.gates import policy as rules
from neurocore.gates.facts import Facts
from neurocore.gates.opening import deadline_at, policy_of
from neurocore.persistence import seals
from neurocore.persistence.base import RunStore
from neurocore.persistence.records import (
    VOIDED,
    Answer,
    Failure,
    FailureKind,
    GateRecord,
    GateStatus,
    StepRecord,
    StepStatus,
)
from neurocore.skills import templates

MASK = "•••"


def open_gate(
    run_id: str, node: PlanNode, visit: int, context: Mapping[str, bytes], shown_by_default: Sequence[str], *, at: str
) -> GateRecord:
    """Return the occurrence of `node`'s gate at this visit, over the committed (encoded) context.

    `shown_by_default` are the keys to show if the gate names none: the outputs of the steps directly before it. Raises
    SkillError when the message cannot be rendered, when a key to show must be masked, or when its rules are not valid.
    """
    wanted = node.config.get("show")
    keys = tuple(wanted) if wanted is not None else tuple(k for k in shown_by_default if not _masked(k, context))
    for key in keys:
        if _masked(key, context):
            raise SkillError(f"The gate {node.id} cannot show {key}: its value is a secret; remove it from `show`.")
    policy = policy_of(node, keys)
    gate = GateRecord(
        run_id=run_id, node_id=node.id, visit=visit, name=node.component, opened_at=at, policy=policy,
        deadline=deadline_at(node, policy, context, at),
    )  # fmt: skip
    return _frozen(gate, node, context)


def as_of(gate: GateRecord, node: PlanNode, context: Mapping[str, bytes]) -> GateRecord:
    """Return the same occurrence as it would open now: same keys and policy, with this context's values and message."""
    return _frozen(structs.replace(gate), node, context)


def still_shows(gate: GateRecord, node: PlanNode, context: Mapping[str, bytes]) -> bool:
    """Return whether the context still gives the occurrence's inputs, by the rules of its digest's version.

    Version 1 renders the message again, which differs in another process if it shows a set.
    """
    try:
        version = seals.version_of(gate.digest)
        if version == 1:
            now = _frozen(structs.replace(gate), node, context)
            return seals.gate_digest(now, version=1) == gate.digest
        return seals.gate_digest(gate, _inputs(gate, node, context), version) == gate.digest
    except Exception:  # a value's own code may raise anything; opening the gate again reports it
        return False


def keys_of(gate: GateRecord, node: PlanNode) -> set[str]:
    """Return the keys of the context that an occurrence depends on."""
    return {*templates.names(str(node.config.get("message") or "")), *(gate.policy.show or ())}


def due_of(gate: GateRecord, store_mode: str) -> str | None:
    """Return when an occurrence that opens now must be looked at first, None if it may wait for ever."""
    if not gate.policy.is_ruled:
        return None
    facts = Facts(
        opened_at=gate.opened_at, visit=gate.visit, mode=gate.auth_mode, store_mode=store_mode, deadline=gate.deadline
    )
    due = rules.next_due(gate.policy, [], facts, gate.opened_at)
    return None if due is None else due.at


def asks_the_same(gate: GateRecord, other: GateRecord) -> bool:
    """Return whether two occurrences show the same, under the same rules."""
    return (gate.message, gate.policy, gate.shown) == (other.message, other.policy, other.shown)


def open_input(run_id: str, node: PlanNode, visit: int, reason: str, *, at: str) -> GateRecord:
    """Return the occurrence of a step that called `context.suspend` and waits for data."""
    gate = GateRecord(run_id=run_id, node_id=node.id, visit=visit, kind="input", name=node.component, opened_at=at)
    gate.message = reason or f"{node.component} waits for data"
    gate.digest = seals.gate_digest(gate)
    return gate


def consumed(gate: GateRecord, answer: Answer, recorded: Sequence[GateRecord]) -> tuple[dict[str, bytes], str]:
    """Return what completing the gate changes in the context (`approval`, `approvals`), and the port that it takes.

    `recorded` are the run's gates as they are stored: `approvals` is made from them, never from the context.
    """
    done = [one for one in recorded if one.kind == "gate" and one.status is GateStatus.DONE and one.decision]
    done.sort(key=lambda one: one.closed_at or "")
    approvals = {one.node_id: _approval(one, one.decision) for one in done if one.decision is not None}
    approval = _approval(gate, answer)
    changes = {"approval": codec.encode(approval), "approvals": codec.encode({**approvals, gate.node_id: approval})}
    return changes, APPROVED if answer.approved else REJECTED


def _approval(gate: GateRecord, answer: Answer) -> dict[str, Any]:
    return {
        "approved": answer.approved,
        "by": answer.by,
        "note": answer.note,
        "decided_at": answer.at,
        "gate": gate.node_id,
    }


def voided_step(step: StepRecord, reason: str) -> StepRecord:
    """Return the step of a voided occurrence: it no longer waits, and keeps what it had set until then."""
    return structs.replace(step, status=StepStatus.SKIPPED, reason=f"{VOIDED}{reason}")


def void_all(
    gates: Sequence[GateRecord], store: RunStore, reason: str, *, at: str
) -> tuple[list[GateRecord], list[StepRecord]]:
    """Void these occurrences and their waiting steps, because their run ends outside the loop; return both."""
    voided = [structs.replace(gate, status=GateStatus.VOIDED, closed_at=at, void_reason=reason) for gate in gates]
    waited = [store.load_step(gate.run_id, gate.step_index) for gate in gates]
    return voided, [voided_step(step, reason) for step in waited if step and step.status is StepStatus.SUSPENDED]


def ends_the_run(gate: GateRecord, answer: Answer) -> bool:
    """Return whether this answer ends the run: a rejection where approval is required."""
    return gate.kind == "gate" and not answer.approved and gate.policy.require


def rejection(answer: Answer) -> Failure:
    """Return the failure of a run that was rejected."""
    note = f": {answer.note}" if answer.note else ""
    message = f"Rejected at gate {answer.node_id} by {answer.by}{note}"
    return Failure(kind=FailureKind.REJECTED, node=answer.node_id, type="GateRejected", message=message)


def default_message(node: PlanNode) -> str:
    """Return the message of a gate whose blueprint gives none."""
    return f"Approve {node.component}?"


def _frozen(gate: GateRecord, node: PlanNode, context: Mapping[str, bytes]) -> GateRecord:
    keys = gate.policy.show or ()
    gate.shown = codec.encode({key: codec.restore(context[key]) for key in keys if key in context})
    template = node.config.get("message")
    gate.message = _message(str(template), node, context) if template else default_message(node)
    gate.digest = seals.gate_digest(gate, _inputs(gate, node, context))
    return gate


def _inputs(gate: GateRecord, node: PlanNode, context: Mapping[str, bytes]) -> dict[str, list[Any]]:
    """Return the occurrence's inputs: the values in its message, as the message sees them, and the values shown."""
    made_of = _seen_by_message(str(node.config.get("message") or ""), context)
    shown = {key: [codec.restore(context[key])] if key in context else [] for key in gate.policy.show or ()}
    return {**made_of, **shown}


def _seen_by_message(template: str, context: Mapping[str, bytes]) -> dict[str, list[Any]]:
    """Return the values that a message's template names, credentials masked; an empty list for a missing value."""
    if "{" not in template:
        return {}
    return {
        key: [MASK if _masked(key, context) else secrets.mask(codec.restore(context[key]))] if key in context else []
        for key in templates.names(template)
    }


def _message(template: str, node: PlanNode, context: Mapping[str, bytes]) -> str:
    if "{" not in template:
        return template
    found = _seen_by_message(template, context)
    # The whole values are masked, so that the fields of objects are masked, too.
    values = {key: secrets.mask(codec.data(one[0])) for key, one in found.items() if one}
    return templates.render(template, values, what=f"the message of the gate {node.id}")


def _masked(key: str, context: Mapping[str, bytes]) -> bool:
    if secrets.looks_secret(key):
        return True
    return key in context and type(codec.restore(context[key])) is SecretRef
