"""The one question at a gate: given its rules, its answers, and what is true of it, what is decided?

Everything here is pure: `now` is passed in, people and decisions are facts. Whoever records an answer asks
`may_answer` and then `evaluate` in one transaction; the sweep asks `next_due`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from neurocore.gates.facts import (
    Allowed,
    Cause,
    Choice,
    Counted,
    Due,
    Facts,
    Given,
    StageState,
    State,
    Verb,
    Verdict,
    Who,
    Why,
)
from neurocore.gates.standing import Refusal, Standing, after, in_words, length
from neurocore.persistence.gate_policy import GatePolicy
from neurocore.readable import counted

#: How many people a sentence names who can do what somebody may not.
MAX_NAMED = 5


def moment(answers: Sequence[Given], facts: Facts, now: str) -> str:
    """Return the time that counts at a gate: now, and never before its last recorded instant, whatever the clock says.

    An answer is recorded at this instant, so that a clock that was put back cannot undo a deadline.
    """
    instants = [facts.opened_at, facts.escalated_at, facts.reminded_at, facts.last_at]
    instants += [facts.decision.at] if facts.decision is not None else []
    instants += [at for one in answers for at in (one.at, one.withdrawn_at)]
    return max(now, *(at for at in instants if at is not None))


def evaluate(policy: GatePolicy, answers: Sequence[Given], facts: Facts, now: str) -> Verdict:
    """Return what a gate's rules give: whether it is open or decided, what counts, and what is missing.

    `answers` are those of the occurrence, in the order in which they were recorded.
    """
    now = moment(answers, facts, now)
    return _verdict(_standing(policy, answers, facts, now), answers, now)


def may_answer(
    policy: GatePolicy,
    answers: Sequence[Given],
    facts: Facts,
    person: Who,
    verb: Verb,
    now: str,
    *,
    signed: bool = True,
) -> Allowed:
    """Return whether a person may do something at a gate now, and if not, why, in a sentence for that person.

    `signed` says whether the answer is signed; leave it out where nobody has been asked to sign yet.
    """
    now = moment(answers, facts, now)
    standing = _standing(policy, answers, facts, now)
    verdict = _verdict(standing, answers, now)
    refusal = _withdrawal(standing, verdict, answers, person, now) if verb is Verb.WITHDRAW else _closed(verdict)
    if refusal is None and verb is not Verb.WITHDRAW:
        refusal = _refusal(standing, person, verb, now, signed=signed)
    if refusal is None:
        return Allowed(allowed=True)
    names = _who_can(standing, person, verb, now) if refusal.who_can else []
    clause = f"; {_who(names)} can." if names else "."
    return Allowed(
        allowed=False, reason=refusal.text + clause, who_can=tuple(names[:MAX_NAMED]), problem=refusal.problem
    )  # fmt: skip


def may_give(policy: GatePolicy, answers: Sequence[Given], facts: Facts, given: Given, now: str) -> Allowed:
    """Return whether this answer, as it was given, would count now: for whoever records it.

    Its digest, its signature and its form of breaking the glass are checked too, beside what `may_answer` says.
    """
    now = moment(answers, facts, now)
    verb = Verb.BREAK_GLASS if given.break_glass else Verb(given.answer or Choice.APPROVE)
    allowed = may_answer(policy, answers, facts, given.who, verb, now, signed=given.signed)
    if not allowed.allowed:
        return allowed
    refusal = _standing(policy, answers, facts, now).refusal(given, now)
    if refusal is None:
        return allowed
    return Allowed(allowed=False, reason=f"{refusal.text}.", problem=refusal.problem)


def repeated(
    policy: GatePolicy, answers: Sequence[Given], facts: Facts, person: Who, choice: Choice, content: str, now: str
) -> Given | None:
    """Return the person's own answer that an equal one repeats, which changes nothing; None if it would be a new one.

    Before the decision the content must be equal too; afterwards (promise 4) only the choice.
    """
    now = moment(answers, facts, now)
    standing = _standing(policy, answers, facts, now)
    if standing.decision is not None:
        own = [one for one in answers if one.who.id == person.id and one.withdrawn_at is None]
        return own[-1] if own and own[-1].answer == choice else None
    found = standing.approval_of(person.id, now)
    if choice is not Choice.APPROVE or found is None or found[1] != standing.stage(now):
        return None
    return found[0] if found[0].content == content else None


def waits_for(policy: GatePolicy, answers: Sequence[Given], facts: Facts, person: Who, now: str) -> bool:
    """Return whether a gate waits for this person: they may approve or reject it, and have not approved yet."""
    now = moment(answers, facts, now)
    standing = _standing(policy, answers, facts, now)
    if _closed(_verdict(standing, answers, now)) is not None or standing.approval_of(person.id, now) is not None:
        return False
    return any(_refusal(standing, person, verb, now, signed=True) is None for verb in (Verb.APPROVE, Verb.REJECT))


def next_due(policy: GatePolicy, answers: Sequence[Given], facts: Facts, now: str) -> Due | None:
    """Return when the sweep must look at a gate next, and why; an instant that is over is due at once.

    Reminders are counted from the opening; those that nobody could send are due once.
    """
    now = moment(answers, facts, now)
    standing = _standing(policy, answers, facts, now)
    verdict, rules = _verdict(standing, answers, now), standing.policy
    if verdict.state is State.VOIDED or facts.claimed:
        return None
    if verdict.decision is not None:
        if facts.decision is None and verdict.cause is Cause.DEADLINE:
            return Due(at=verdict.decision.at, why=Why.DEADLINE)
        until = standing.held_until(verdict.decision)
        return Due(at=until, why=Why.UNDO) if until > verdict.decision.at else None
    found = []
    if rules.on_deadline == "reject" and facts.deadline is not None:
        found.append(Due(at=facts.deadline, why=Why.DEADLINE))
    if rules.escalate is not None and facts.escalated_at is None:
        found.append(Due(at=after(facts.opened_at, rules.escalate.after), why=Why.ESCALATE))
    if rules.remind is not None:
        found.append(Due(at=_reminder(facts, rules.remind), why=Why.REMIND))
    return min(found, key=lambda due: due.at, default=None)


# -------------------------------------------------------------------- the state


def _standing(policy: GatePolicy, answers: Sequence[Given], facts: Facts, now: str) -> Standing:
    standing = Standing(policy, facts)
    standing.pass_through(answers, now)
    if facts.decision is not None:
        standing.settle(facts.decision)
    return standing


def _verdict(standing: Standing, answers: Sequence[Given], now: str) -> Verdict:
    facts, decision, stages = standing.facts, standing.decision, standing.stages(now)
    stage = standing.stage(now)
    state, held_until = State.OPEN, None
    if facts.voided:
        state = State.VOIDED
    elif decision is not None:
        until = standing.held_until(decision)
        held_until = until if now < until and not facts.claimed else None
        state = State.DECIDED if held_until is None else State.HELD
    return Verdict(
        state=state,
        stages=stages,
        stage=stage + 1,
        counted=tuple(_counted(standing, one, now) for one in answers),
        decision=decision,
        missing=_missing(stages, stage) if state is State.OPEN else None,
        held_until=held_until,
        deadline=facts.deadline,
        overdue=state is State.OPEN and standing.late(now),
    )


def _counted(standing: Standing, given: Given, now: str) -> Counted:
    decision = standing.decision
    if decision is not None and given.id in decision.answers:
        return Counted(id=given.id, counts=True)
    why_not = standing.why_not.get(given.id)
    disabled = given.who.disabled_at
    if why_not is None and disabled is not None and disabled <= (now if decision is None else decision.at):
        why_not = f"The account {given.who.label} was disabled before the decision."
    return Counted(id=given.id, counts=why_not is None, why_not=why_not)


def _missing(stages: Sequence[StageState], current: int) -> str | None:
    """Return the part of a sentence that says whose approvals are missing, stage by stage."""
    open_ones = [one for place, one in enumerate(stages) if place >= current and one.lacks]
    parts = [
        f"{one.lacks} more of {in_words(one.approvers)}" if one.approvers else counted(one.lacks, "more approval")
        for one in open_ones
    ]
    return ", then ".join(parts) or None


def _reminder(facts: Facts, every: str) -> str:
    """Return when the first reminder after the last one is due."""
    if facts.reminded_at is None:
        return after(facts.opened_at, every)
    opened, last = datetime.fromisoformat(facts.opened_at), datetime.fromisoformat(facts.reminded_at)
    passed = max(0, (last - opened) // length(every))
    return (opened + (passed + 1) * length(every)).isoformat(timespec="microseconds")


# -------------------------------------------------------------------- refusals


def _closed(verdict: Verdict) -> Refusal | None:
    """Return why nobody can answer any more."""
    if verdict.state is State.VOIDED:
        return Refusal(text="This gate was voided; look at the run again", problem="too-late")
    decision = verdict.decision
    if decision is None:
        return None
    if decision.cause is Cause.DEADLINE:
        return Refusal(text=f"The deadline of this gate passed at {verdict.deadline}", problem="deadline-passed")
    return Refusal(text=f"This gate was {_DONE[decision.outcome]} at {decision.at}", problem="too-late")


_DONE = {
    Choice.APPROVE: "approved", Choice.REJECT: "rejected", Choice.REQUEST_CHANGES: "sent back for changes",
    None: "answered",
}  # fmt: skip


def _refusal(standing: Standing, person: Who, verb: Verb, now: str, *, signed: bool) -> Refusal | None:
    if verb is Verb.BREAK_GLASS:
        return standing.unbroken(person, now)
    choice = Choice(verb.value)
    return (
        standing.no_changes(choice)
        or standing.not_asked(person, choice, now, subject="You")
        or standing.not_so(person, now, signed=signed)
    )


def _withdrawal(
    standing: Standing, verdict: Verdict, answers: Sequence[Given], person: Who, now: str
) -> Refusal | None:
    """Return why the person cannot withdraw their own answer."""
    if verdict.state is State.VOIDED:
        return _closed(verdict)
    decision, counts = verdict.decision, {one.id for one in verdict.counted if one.counts}
    own = [one for one in answers if one.who.id == person.id and one.id in counts and one.withdrawn_at is None]
    if not own:
        return _closed(verdict) or Refusal(text="You have no answer here that counts")
    if standing.late(now):
        text = f"The deadline of this gate passed at {verdict.deadline}, so its answers stay"
        return Refusal(text=text, problem="deadline-passed")
    if decision is None:
        return None
    if own[-1].id not in decision.answers[-1:]:
        return Refusal(text="Somebody else's answer decided this gate, so yours stays", problem="too-late")
    if verdict.state is State.HELD:
        return None
    why = "the run has gone on" if standing.facts.claimed else "the time to withdraw it is over"
    return Refusal(text=f"Your answer decided this gate, and {why}", problem="too-late")


def _who_can(standing: Standing, person: Who, verb: Verb, now: str) -> list[str]:
    """Return the labels of those who may, in order; at most one more than a sentence names."""
    people = standing.facts.people
    found = []
    for one in people() if people is not None else ():
        if one.id == person.id:
            continue
        if verb is Verb.BREAK_GLASS:
            can = one.admin and not one.service and one.disabled_at is None
        else:
            choice = Choice(verb.value)
            has_answered = choice is Choice.APPROVE and standing.approval_of(one.id, now) is not None
            can = not has_answered and standing.not_asked(one, choice, now, subject=one.label) is None
        if can:
            found.append(one.label)
    return sorted(found, key=str.casefold)[: MAX_NAMED + 1]


def _who(names: Sequence[str]) -> str:
    if len(names) > MAX_NAMED:
        return f"{', '.join(names[:MAX_NAMED])} and others"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
