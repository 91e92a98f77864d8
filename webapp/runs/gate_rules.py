"""What the rules of a gate say on its panel: who decides, who has answered, what is missing, and why not me."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from msgspec import Struct

from neurocore.gates.answer import own_answer
from neurocore.gates.evidence import COMMENTED, comments_on
from neurocore.gates.facts import Allowed, Choice, Given, State, Verb, Verdict
from neurocore.gates.ruling import GateNow
from neurocore.gates.standing import after, in_words
from neurocore.persistence.base import RunStore
from neurocore.persistence.records import WITHDRAW, Answer, Event, GateRecord, RunRecord
from webapp.security.actors import sender

#: An answer that is refused only because it must be given in a better way is still offered.
_NEEDS = ("needs-sign-in", "needs-passkey")
#: What the panel offers or says why not.
_SHOWN = (Verb.APPROVE, Verb.REJECT, Verb.WITHDRAW)


class Approval(Struct, frozen=True, kw_only=True):
    """An approval that counts."""

    by: str
    at: str
    note: str | None = None


class StageView(Struct, frozen=True, kw_only=True):
    """One stage: who is asked, how many have approved of how many, and whether it is its turn."""

    asked: str
    required: int
    approvals: list[Approval]
    is_current: bool
    is_complete: bool


class Rules(Struct, frozen=True, kw_only=True):
    """The rules of one open gate as its panel shows them.

    `why_not` has a sentence for each answer that whoever looks may not give. `approve_does` says what an approval does
    if it decides nothing yet. `held_until` is set while the decision can be withdrawn. `own` is one's own standing
    answer.
    """

    stages: list[StageView]
    verdict: Verdict
    why_not: dict[str, str]
    approve_does: str | None
    own: Answer | None
    may_withdraw: bool
    escalates: tuple[str, str] | None
    comments: list[Event]

    @property
    def approves(self) -> bool:
        """Return whether the decision that is held is an approval."""
        return self.verdict.outcome is Choice.APPROVE

    @property
    def is_held(self) -> bool:
        """Return whether the gate is decided, and the decision can still be withdrawn."""
        return self.verdict.state is State.HELD


def rules_of(gate: GateRecord, run: RunRecord, store: RunStore, events: Iterable[Event]) -> Rules | None:
    """Return what the panel of an open gate says about its rules; None where it has none."""
    if gate.kind != "gate":
        return None
    actor = sender()
    now = GateNow(gate, run, store, actor)
    is_ruled = gate.policy.is_ruled
    own = own_answer(gate, actor)
    choices = {verb: now.may(verb) for verb in _SHOWN} if is_ruled and actor.label else {}
    return Rules(
        stages=_stages(gate, now.verdict), verdict=now.verdict, why_not=_why_not(choices),
        approve_does=_approve_does(now, gate) if is_ruled else None, own=own,
        may_withdraw=own is not None and Verb.WITHDRAW in choices and choices[Verb.WITHDRAW].allowed,
        escalates=_escalates(gate, now.facts.escalated_at), comments=comments_on(gate, events),
    )  # fmt: skip


def version_of(gates: Sequence[GateRecord], events: Iterable[Event]) -> str:
    """Return a text that changes when a gate opens, is answered, decided or voided, or gets a comment."""
    parts = [f"{gate.node_id}/{gate.visit}/{gate.digest}/{len(gate.answers)}" for gate in gates]
    parts.append(str(sum(one.kind == COMMENTED for one in events)))
    return hashlib.blake2b("|".join(parts).encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()


def _stages(gate: GateRecord, verdict: Verdict) -> list[StageView]:
    latest = {one.by: one for one in gate.answers if one.answer != WITHDRAW}
    return [
        StageView(
            asked=in_words(stage.approvers) if stage.approvers else "everybody with the role approver",
            required=stage.required, is_complete=stage.lacks == 0, is_current=number == verdict.stage,
            approvals=[
                Approval(by=by, at=latest[by].at, note=latest[by].note) for by in stage.approved_by if by in latest
            ],
        )
        for number, stage in enumerate(verdict.stages, 1)
    ]  # fmt: skip


def _why_not(choices: dict[Verb, Allowed]) -> dict[str, str]:
    return {
        verb.value: allowed.reason or "You may not do this."
        for verb, allowed in choices.items()
        if not allowed.allowed and allowed.problem not in _NEEDS
    }  # fmt: skip


def _approve_does(now: GateNow, gate: GateRecord) -> str | None:
    """Return what an approval by whoever looks does if the run does not continue with it at once."""
    new = Given(id="new", who=now.who, answer=Choice.APPROVE, at=now.now, visit=gate.visit)
    verdict = now.verdict_with([*now.given, new])
    if verdict.state is State.OPEN and verdict.counted and verdict.counted[-1].counts:
        return f"is recorded; then {verdict.missing} is needed" if verdict.missing else "is recorded"
    if verdict.state is State.HELD:
        return f"decides; you can withdraw it for {gate.policy.undo}, then the run continues"
    return None


def _escalates(gate: GateRecord, escalated_at: str | None) -> tuple[str, str] | None:
    """Return when more people are asked, and who; None if nobody is, or they are asked already."""
    escalate = gate.policy.escalate
    if escalate is None or escalated_at is not None:
        return None
    return after(gate.opened_at, escalate.after), in_words(escalate.to)
