"""Who has answered a gate, and what that gives: the gate's history, one event after the other.

Events are its answers, their withdrawals, its escalation and its deadline. Whether an answer counts depends on the
facts of its own moment, so an answer that was refused then never counts, and one that counted stays.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from msgspec import Struct

from neurocore.gates.facts import Cause, Choice, Decided, Facts, Given, StageState, Who
from neurocore.moments import age
from neurocore.persistence.gate_policy import GatePolicy

#: How people are known whom nobody verified.
UNVERIFIED = frozenset({"claimed", "typed", "os"})
#: How people are known who proved who they are in a session of their own.
IN_SESSION = frozenset({"session", "passkey"})
#: The modes in which people have sessions of their own, and those in which they have passkeys.
WITH_SESSIONS, WITH_PASSKEYS = frozenset({"local", "oidc"}), frozenset({"local", "oidc", "proxy"})
#: How long ago an admin may have signed in who breaks the glass.
BREAK_GLASS_FRESH = "5min"


class Refusal(Struct, frozen=True, kw_only=True):
    """Why somebody may not do something: a sentence without its end. `who_can` asks to add who may."""

    text: str
    problem: str = "forbidden"
    who_can: bool = False


class Standing:
    """What holds at a gate after its events so far. `why_not` has the reason for each answer that does not count."""

    def __init__(self, policy: GatePolicy, facts: Facts) -> None:
        self.policy = policy if facts.kind == "gate" else GatePolicy()
        self.facts = facts
        self.decision: Decided | None = None
        self.why_not: dict[str, str] = {}
        self._stages = self.policy.all_stages
        self._approvals: dict[str, tuple[Given, int]] = {}
        self._escalated_from: int | None = None
        self._stage_then = 0

    # ---------------------------------------------------------------- stages

    def stage(self, at: str) -> int:
        """Return the index of the stage that answers at an undecided gate; of a decided one, that of its decision."""
        if self.decision is not None:
            return self._stage_then
        unmet = (number for number, one in enumerate(self._stages) if len(self._alive(number, at)) < one.required)
        return next(unmet, len(self._stages) - 1)

    def stages(self, at: str) -> tuple[StageState, ...]:
        """Return every stage as it is."""
        at = at if self.decision is None else self.decision.at
        return tuple(
            StageState(
                approvers=self._approvers(number),
                required=stage.required,
                approved_by=tuple(given.who.label for given in self._alive(number, at)),
            )
            for number, stage in enumerate(self._stages)
        )

    def approval_of(self, person: str, at: str) -> tuple[Given, int] | None:
        """Return the approval of a person that counts at this moment, and the index of its stage."""
        found = self._approvals.get(person)
        return found if found is not None and not _is_disabled(found[0].who, at) else None

    def _alive(self, stage: int, at: str) -> list[Given]:
        return [one for one, place in self._approvals.values() if place == stage and not _is_disabled(one.who, at)]

    def _approvers(self, stage: int) -> tuple[str, ...]:
        """Return who is asked at a stage; escalation adds people, and where everybody is asked that is nobody."""
        asked, escalate = self._stages[stage].approvers, self.policy.escalate
        if not asked or escalate is None or self._escalated_from is None or stage < self._escalated_from:
            return asked
        return tuple(dict.fromkeys((*asked, *escalate.to)))

    # ---------------------------------------------------------------- events

    def pass_through(self, answers: Sequence[Given], until: str) -> None:
        """Let everything happen that did, up to a moment."""
        for at, kind, given in _events(self.policy, self.facts, answers):
            if at > until:
                return
            if given is None:
                self._happen(kind, at)
            elif kind == "withdrawal":
                self._withdraw(given, at)
            else:
                self._answer(given, at)

    def settle(self, decision: Decided) -> None:
        """Take over the recorded decision, which stays even where the facts that it rested on have changed since."""
        if self.decision is None:
            self._stage_then = self.stage(decision.at) if decision.outcome is not Choice.APPROVE else -1
            self._stage_then %= len(self._stages)
        self.decision = decision

    def _happen(self, kind: str, at: str) -> None:
        if self.decision is not None:
            return
        if kind == "escalation":
            self._escalated_from = self.stage(at)
        else:
            self._decide(Choice.REJECT, Cause.DEADLINE, at)

    def _answer(self, given: Given, at: str) -> None:
        refusal = self.refusal(given, at)
        if refusal is not None:
            self.why_not[given.id] = f"{refusal.text}."
            return
        if given.break_glass or given.answer is not Choice.APPROVE:
            self._replace(given)
            self._decide(given.answer, Cause.BREAK_GLASS if given.break_glass else Cause.ANSWERS, at, given.id)
            return
        stage = self.stage(at)
        self._replace(given)
        self._approvals[given.who.id] = given, stage
        if all(len(self._alive(number, at)) >= one.required for number, one in enumerate(self._stages)):
            counted = [one.id for number in range(len(self._stages)) for one in self._alive(number, at)]
            self._decide(Choice.APPROVE, Cause.ANSWERS, at, *(id for id in counted if id != given.id), given.id)

    def _replace(self, given: Given) -> None:
        before = self._approvals.pop(given.who.id, None)
        if before is not None:
            self.why_not[before[0].id] = f"{given.who.label} answered again."

    def _decide(self, outcome: Choice | None, cause: Cause, at: str, *answers: str) -> None:
        self._stage_then = self.stage(at) if outcome is not Choice.APPROVE else len(self._stages) - 1
        self.decision = Decided(outcome=outcome, cause=cause, at=at, answers=answers)

    def _withdraw(self, given: Given, at: str) -> None:
        if self.late(at) or given.id in self.why_not:
            return
        if self.decision is not None:
            if given.id not in self.decision.answers[-1:] or at >= self.held_until(self.decision):
                return
            self.decision = None
        self._approvals = {person: one for person, one in self._approvals.items() if one[0].id != given.id}
        self.why_not[given.id] = f"{given.who.label} withdrew it."

    def held_until(self, decision: Decided) -> str:
        """Return until when the answer that tipped a decision can be withdrawn."""
        return decision.at if decision.cause is Cause.DEADLINE else after(decision.at, self.policy.undo)

    def late(self, at: str) -> bool:
        """Return whether the gate's deadline is reached."""
        return self.facts.deadline is not None and at >= self.facts.deadline

    # ---------------------------------------------------------------- refusals

    def refusal(self, given: Given, at: str) -> Refusal | None:
        """Return why an answer does not count at its moment."""
        if self.decision is not None:
            if self.decision.cause is Cause.DEADLINE:
                return Refusal(text="The deadline had passed before this answer", problem="deadline-passed")
            return Refusal(text="The gate was decided before this answer", problem="too-late")
        another = given.visit != self.facts.visit or given.digest not in (None, self.facts.digest)
        if another:
            return Refusal(text="It was given on something else than what this gate asks", problem="too-late")
        if given.answer is None and self.facts.kind == "gate":
            return Refusal(text="It neither approves nor rejects")
        if given.break_glass:
            return self.unbroken(given.who, at) or self.no_changes(given.answer)
        who, label = given.who, given.who.label
        asked = self.no_changes(given.answer) or self.not_asked(who, given.answer, at, subject=label)
        return asked or self.not_so(who, at, signed=given.signed)

    def no_changes(self, answer: Choice | None) -> Refusal | None:
        """Return why this gate does not take such an answer, whoever gives it."""
        if answer is not Choice.REQUEST_CHANGES:
            return None
        changes = self.policy.request_changes
        if changes is None:
            return Refusal(text="This gate takes an approval or a rejection, and no request for changes")
        if self.facts.changes_requested >= changes.max:
            times = "once" if changes.max == 1 else f"{changes.max} times"
            return Refusal(text=f"Changes were requested {times}, as often as this gate allows")
        return None

    def not_asked(self, who: Who, answer: Choice | None, at: str, *, subject: str) -> Refusal | None:
        """Return why this person may not answer so, however they are known. `subject` begins a sentence about them."""
        needs = "need" if subject == "You" else "needs"
        if _is_disabled(who, at):
            return Refusal(text=f"The account {who.label} is disabled")
        if not who.approver:
            return Refusal(text=f"{subject} {needs} the role approver to answer here", who_can=True)
        if self.facts.kind != "gate":
            return None
        stage = self.stage(at)
        asked = self._approvers(stage)
        if who.service and who.name not in asked:
            return Refusal(text="A service account counts only at a gate that names it", who_can=True)
        if asked and not _is_named(who, asked):
            place = f"Stage {stage + 1} of this gate" if len(self._stages) > 1 else "This gate"
            return Refusal(text=f"{place} asks {in_words(asked)}", who_can=True)
        return self._may_not_approve(who, stage, at, subject) if answer is Choice.APPROVE else None

    def _may_not_approve(self, who: Who, stage: int, at: str, subject: str) -> Refusal | None:
        initiators = self.facts.initiators
        clause = initiators.get(who.id) or initiators.get(who.name)
        others = "this gate asks for somebody else's approval"
        if clause is not None and not self.policy.self_approval:
            return Refusal(text=f"{subject} {clause}, and {others}", who_can=True)
        for gate in self.policy.distinct_from:
            if {who.id, who.name} & set(self.facts.approved_before.get(gate, ())):
                return Refusal(text=f"{subject} approved the gate {gate}, and {others}", who_can=True)
        standing = self.approval_of(who.id, at)
        if standing is not None and standing[1] != stage:
            counts = f"{subject} approved stage {standing[1] + 1} of this gate, and each person counts once"
            return Refusal(text=counts, who_can=True)
        return None

    def not_so(self, who: Who, at: str, *, signed: bool) -> Refusal | None:
        """Return why an answer cannot be given in this way: as its author is known, and has signed."""
        mode = self._mode
        if mode != "open" and who.known_by in UNVERIFIED:
            return Refusal(text=f"Only somebody who signed in can answer a gate here (auth.mode: {mode})")
        fresh, signature = self.policy.fresh_login, self.policy.signature != "none"
        if (fresh and mode not in WITH_SESSIONS) or (signature and mode not in WITH_PASSKEYS):
            what = "an answer signed by a passkey" if signature and mode not in WITH_PASSKEYS else "a fresh sign-in"
            return Refusal(text=f"This gate asks for {what}, which auth.mode {mode} cannot give: break the glass")
        if fresh and not _is_fresh(who, at, fresh):
            text = f"This gate asks for a sign-in at most {fresh} ago; sign in again on the run's page"
            return Refusal(text=text, problem="needs-sign-in")
        by_hand = who.known_by in IN_SESSION or (who.known_by == "proxy" and mode == "proxy")
        if signature and not (signed and by_hand):
            text = "This gate asks for an answer signed by a passkey; give it on the run's page"
            return Refusal(text=text, problem="needs-passkey")
        return None

    def unbroken(self, who: Who, at: str) -> Refusal | None:
        """Return why this person may not break the glass."""
        if self.facts.kind != "gate":
            return Refusal(text="Only at a gate somebody may break the glass")
        if who.known_by == "os":
            return None
        if not who.admin or who.service or _is_disabled(who, at):
            return Refusal(text="Only an admin may break the glass, or the user who owns the files", who_can=True)
        if not _is_fresh(who, at, BREAK_GLASS_FRESH):
            text = f"To break the glass, an admin must have signed in at most {BREAK_GLASS_FRESH} ago; sign in again"
            return Refusal(text=text, problem="needs-sign-in")
        return None

    @property
    def _mode(self) -> str:
        """Return the stricter of the modes: in one that is not open, people sign in."""
        return self.facts.store_mode if self.facts.store_mode != "open" else self.facts.mode


_Event = tuple[str, str, Given | None]


def _events(policy: GatePolicy, facts: Facts, answers: Sequence[Given]) -> Iterator[_Event]:
    """Yield what happened, in order. No answer is earlier than one recorded before it, whatever the clock said."""
    found: list[tuple[str, int, int, str, Given | None]] = []
    last = facts.opened_at
    for number, given in enumerate(answers):
        last = max(last, given.at)
        found.append((last, 2, number, "answer", given))
        if given.withdrawn_at is not None:
            at = max(last, given.withdrawn_at)
            found.append((at, 3 if at == last else 1, number, "withdrawal", given))
    if facts.escalated_at is not None:
        found.append((max(facts.opened_at, facts.escalated_at), 1, -1, "escalation", None))
    if facts.deadline is not None and policy.on_deadline == "reject":
        found.append((max(facts.opened_at, facts.deadline), 0, -1, "deadline", None))
    for at, _, _, kind, what in sorted(found, key=lambda one: one[:3]):
        yield at, kind, what


def after(at: str, duration: str) -> str:
    """Return the instant that is a duration such as `4h` after another."""
    return (datetime.fromisoformat(at) + length(duration)).isoformat(timespec="microseconds")


def length(duration: str) -> timedelta:
    """Return how long a duration such as `4h` is. Raises ValueError for other text."""
    found = age(duration)
    if found is None:
        raise ValueError(f"{duration!r} is not a duration.")
    return found


def in_words(approvers: Sequence[str]) -> str:
    """Return who is asked, as a part of a sentence: `group finance or ann`."""
    names = [f"group {one.removeprefix('group:')}" if one.startswith("group:") else one for one in approvers]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"


def _is_disabled(who: Who, at: str) -> bool:
    return who.disabled_at is not None and who.disabled_at <= at


def _is_named(who: Who, approvers: Sequence[str]) -> bool:
    return who.name in approvers or any(f"group:{group}" in approvers for group in who.groups)


def _is_fresh(who: Who, at: str, duration: str) -> bool:
    return who.known_by in IN_SESSION and who.signed_in_at is not None and at <= after(who.signed_in_at, duration)
