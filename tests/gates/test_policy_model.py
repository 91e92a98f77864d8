"""Random rules, answers and times: the rules of gates against a small model, and what must hold whatever happens.

The model keeps nothing but a list of what was said. At each new entry it asks everything anew, in the words of the
rules.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from neurocore.gates.facts import Cause, Choice, Facts, Given, Verb, Who
from neurocore.gates.policy import evaluate, may_answer, moment, next_due, waits_for
from neurocore.persistence.gate_policy import ChangeRequests, Escalation, GatePolicy, Stage
from tests.gates.rules import at, local, says, who

#: The last minute at which something happens. Everything happens at full minutes, so that much coincides.
LAST = 16
NAMES = ("ann", "bea", "carla", "dora", "robot")
ASKED = ("group:a", "group:b", "group:c", "ann", "robot")

# -------------------------------------------------------------------- random gates


def mostly(usual: Any, *others: Any) -> st.SearchStrategy[Any]:
    """Draw what is usual three times out of four: most gates decide something then."""
    return st.sampled_from([usual] * 3 * len(others) + list(others))


asked_of = st.just(()) | st.lists(st.sampled_from(ASKED), max_size=3, unique=True).map(tuple)
stages = st.lists(st.builds(Stage, approvers=asked_of, required=st.integers(1, 2)), min_size=2, max_size=3)
plain = st.tuples(asked_of, st.integers(1, 3)).map(lambda one: GatePolicy(approvers=one[0], required=one[1]))
staged = stages.map(lambda one: GatePolicy(stages=tuple(one)))
minute = st.integers(0, LAST)


@st.composite
def policies(draw: st.DrawFn) -> GatePolicy:
    return structs.replace(
        draw(plain | staged),
        self_approval=draw(st.booleans()),
        distinct_from=draw(mostly((), ("first",))),
        on_deadline=draw(st.sampled_from(["keep", "reject"])),
        escalate=draw(st.none() | st.just(Escalation(after="10min", to=("dora", "group:c")))),
        request_changes=draw(st.none() | st.just(ChangeRequests(to="draft", max=1))),
        undo=draw(st.sampled_from(["0s", "3min"])),
        fresh_login=draw(mostly(None, "5min")),
    )


@st.composite
def persons(draw: st.DrawFn) -> Who:
    name = draw(st.sampled_from(NAMES))
    groups = draw(st.lists(st.sampled_from("abc"), max_size=3, unique=True))
    return who(
        name, *groups, approver=draw(mostly(True, False)), service=name == "robot",
        known_by=draw(mostly("session", "passkey", "token", "typed")), signed_in_at=at(draw(st.integers(-4, LAST))),
    )  # fmt: skip


people = persons()
choices = mostly("approve", "approve", "reject", "request_changes")


@st.composite
def histories(draw: st.DrawFn) -> list[Given]:
    """Draw answers in the order in which they were recorded; some are withdrawn later, or their person is disabled."""
    found = []
    for number, when in enumerate(sorted(draw(st.lists(minute, max_size=9)))):
        gone, off = draw(mostly(None, 0, 1, 2, 3)), draw(mostly(None, 1, 2, 5))
        person = structs.replace(draw(people), disabled_at=None if off is None else at(when + off))
        found.append(
            says(
                person, when, draw(choices), id=str(number), digest=draw(mostly("d", None, "x")),
                withdrawn_at=None if gone is None else at(when + gone),
            )
        )  # fmt: skip
    return found


@st.composite
def situations(draw: st.DrawFn) -> Facts:
    some = st.sets(st.sampled_from(NAMES).map("id-{}".format), max_size=2)
    return local(
        deadline=draw(st.none() | minute.map(at)),
        initiators=dict.fromkeys(draw(some), "started this run"),
        approved_before={"first": draw(some)},
        escalated_at=draw(st.none() | minute.map(at)),
        changes_requested=draw(mostly(0, 1)),
    )


# -------------------------------------------------------------------- the model


class Model:
    """The state of a gate: who approved at which stage, and what it came to."""

    def __init__(self, policy: GatePolicy, facts: Facts) -> None:
        self.policy = policy
        self.facts = facts
        self.rows = policy.stages or (Stage(approvers=policy.approvers, required=policy.required),)
        self.undo = {"0s": 0, "3min": 3}[policy.undo]
        self.approvals: list[tuple[str, int, Given]] = []
        self.extra: dict[int, set[str]] = {}
        self.decided: tuple[str, str, Given] | None = None  # outcome, when, by what

    def full(self, stage: int, when: str) -> bool:
        names = {name for name, of, one in self.approvals if of == stage and enabled(one.who, when)}
        return len(names) >= self.rows[stage].required

    def current(self, when: str) -> int:
        return next((number for number in range(len(self.rows)) if not self.full(number, when)), len(self.rows) - 1)

    def asks(self, stage: int, person: Who) -> bool:
        names = set(self.rows[stage].approvers)
        own = {person.name} if person.service else {person.name, *(f"group:{group}" for group in person.groups)}
        return bool(own & (names | self.extra.get(stage, set()))) if names else not person.service

    def fits(self, one: Given, when: str) -> bool:
        person, policy, facts = one.who, self.policy, self.facts
        signed_in = person.known_by in ("session", "passkey") and when <= plus(person.signed_in_at or at(-99), 5)
        checks = [
            one.digest != "x", enabled(person, when), person.approver, self.asks(self.current(when), person),
            person.known_by != "typed", policy.fresh_login is None or signed_in,
        ]  # fmt: skip
        if one.answer == "request_changes":
            checks.append(policy.request_changes is not None and facts.changes_requested < 1)
        if one.answer == "approve":
            mine = [of for name, of, two in self.approvals if name == person.id and enabled(two.who, when)]
            checks.append(policy.self_approval or person.id not in facts.initiators)
            checks.append(not policy.distinct_from or person.id not in facts.approved_before["first"])
            checks.append(all(of == self.current(when) for of in mine))
        return all(checks)

    def in_time(self, when: str) -> bool:
        return self.facts.deadline is None or when < self.facts.deadline

    def is_timed_out(self, when: str) -> bool:
        return self.decided is None and self.policy.on_deadline == "reject" and not self.in_time(when)

    def more(self, when: str) -> None:
        if self.decided is None and self.policy.escalate is not None:
            self.extra = {place: set(self.policy.escalate.to) for place in range(self.current(when), len(self.rows))}

    def gone(self, one: Given, when: str) -> None:
        if not self.in_time(when):
            return
        if self.decided is not None and self.decided[2] is one and when < plus(self.decided[1], self.undo):
            self.decided = None
        if self.decided is None:
            self.approvals = [row for row in self.approvals if row[2] is not one]

    def answer(self, one: Given, when: str) -> None:
        if self.decided is not None or not self.fits(one, when):
            return
        stage = self.current(when)
        self.approvals = [row for row in self.approvals if row[0] != one.who.id]
        if one.answer != "approve":
            self.decided = str(one.answer and one.answer.value), when, one
            return
        self.approvals.append((one.who.id, stage, one))
        if all(self.full(number, when) for number in range(len(self.rows))):
            self.decided = "approve", when, one


def model(policy: GatePolicy, answers: Sequence[Given], facts: Facts, now: str) -> tuple[str, str | None]:
    """Return the state and the outcome by the words of the rules."""
    gate = Model(policy, facts)
    happened = [(one.at, 2, place, partial(gate.answer, one)) for place, one in enumerate(answers)]
    happened += [
        (one.withdrawn_at, 3 if one.withdrawn_at == one.at else 1, place, partial(gate.gone, one))
        for place, one in enumerate(answers)
        if one.withdrawn_at is not None
    ]
    happened += [(facts.escalated_at, 1, -1, partial(gate.more))] if facts.escalated_at else []
    for when, _, _, happen in sorted(happened, key=lambda one: one[:3]):
        if when > now or gate.is_timed_out(when):
            break
        happen(when)
    if gate.is_timed_out(now):
        return "decided", "reject"
    if gate.decided is None:
        return "open", None
    return ("held" if now < plus(gate.decided[1], gate.undo) else "decided"), gate.decided[0]


def enabled(person: Who, when: str) -> bool:
    return person.disabled_at is None or person.disabled_at > when


def plus(when: str, minutes: int) -> str:
    return (datetime.fromisoformat(when) + timedelta(minutes=minutes)).isoformat(timespec="microseconds")


# -------------------------------------------------------------------- what must hold

ALL = {"policy": policies(), "answers": histories(), "facts": situations()}


def outcome(policy: GatePolicy, answers: Sequence[Given], facts: Facts, now: str) -> tuple[str, str | None]:
    found = evaluate(policy, answers, facts, now)
    return found.state.value, None if found.outcome is None else found.outcome.value


def whole(answers: Sequence[Given], minutes: int) -> tuple[list[Given], str]:
    """Return what was recorded by then, and that moment."""
    now = at(minutes)
    recorded = [one for one in answers if one.at <= now]
    return [
        one if one.withdrawn_at is None or one.withdrawn_at <= now else structs.replace(one, withdrawn_at=None)
        for one in recorded
    ], now


@settings(max_examples=800, deadline=None)
@given(**ALL, minutes=st.integers(0, LAST + 5))
def test_the_rules_give_what_the_model_gives(policy, answers, facts, minutes):
    recorded, now = whole(answers, minutes)
    if facts.escalated_at is not None and facts.escalated_at > now:
        facts = structs.replace(facts, escalated_at=None)
    assert outcome(policy, recorded, facts, now) == model(policy, recorded, facts, now)


@settings(max_examples=200, deadline=None)
@given(**ALL, later=people, choice=choices)
def test_a_decision_never_changes_by_later_answers(policy, answers, facts, later, choice):
    before = evaluate(policy, answers, facts, at(LAST + 9))
    if before.decision is None:
        return
    more = [*answers, says(later, LAST + 9, choice, id="more")]
    after = evaluate(policy, more, facts, at(LAST + 9))
    assert after.decision == before.decision
    assert after.counted[-1].counts is False
    assert not may_answer(policy, answers, facts, later, Verb(choice), at(LAST + 9)).allowed


@settings(max_examples=200, deadline=None)
@given(**ALL, later=people, choice=choices)
def test_an_answer_of_somebody_who_may_not_give_it_changes_nothing(policy, answers, facts, later, choice):
    now = at(LAST + 9)
    more = says(later, LAST + 9, choice, id="more")
    before, after = evaluate(policy, answers, facts, now), evaluate(policy, [*answers, more], facts, now)
    allowed = may_answer(policy, answers, facts, later, Verb(choice), now)
    assert allowed.allowed == after.counted[-1].counts
    assert allowed.allowed != bool(allowed.reason)
    if not allowed.allowed:
        assert after.stages == before.stages
        assert after.decision == before.decision
        assert after.counted[:-1] == before.counted
    elif choice != "approve":
        assert (after.outcome, after.cause) == (choice, "answers")
    else:
        assert after.approved_by.count(later.label) == 1


@settings(max_examples=200, deadline=None)
@given(**ALL)
def test_nobody_counts_twice_and_nobody_approves_alone_for_several(policy, answers, facts):
    found = evaluate(policy, answers, facts, at(LAST + 9))
    assert len(set(found.approved_by)) == len(found.approved_by)
    if found.outcome is Choice.APPROVE:
        assert all(stage.lacks == 0 for stage in found.stages)
        assert found.decision is not None
        deciding = [one for one in answers if one.id in found.decision.answers]
        assert len({one.who.id for one in deciding}) == sum(stage.required for stage in found.stages)
        assert not any(one.who.id in facts.initiators for one in deciding) or policy.self_approval


@settings(max_examples=200, deadline=None)
@given(**ALL)
def test_answers_that_are_recorded_again_give_the_same(policy, answers, facts):
    """Each is sent twice: at a gate without undo, the copy changes neither the outcome nor its moment."""
    policy = structs.replace(policy, undo="0s")
    kept = [structs.replace(one, withdrawn_at=None) for one in answers]
    twice = [copy for one in kept for copy in (one, structs.replace(one, id=f"{one.id}'"))]
    once, again = (evaluate(policy, one, facts, at(LAST + 9)) for one in (kept, twice))
    assert (once.state, once.outcome, once.cause, once.approved_by) == (
        again.state, again.outcome, again.cause, again.approved_by,
    )  # fmt: skip
    assert (once.decision and once.decision.at) == (again.decision and again.decision.at)


@settings(max_examples=200, deadline=None)
@given(policy=policies(), facts=situations(), several=st.lists(people, max_size=6), data=st.data())
def test_the_order_of_approvals_at_one_moment_gives_one_outcome(policy, facts, several, data):
    """Within one stage: where a stage follows, who is asked second depends on who answered first."""
    rules = structs.replace(policy, stages=(), undo="0s")
    unique = list({one.id: one for one in several}.values())
    answers = [says(one, 5, id=one.name) for one in unique]
    shuffled = data.draw(st.permutations(answers))
    one, other = (evaluate(rules, some, facts, at(6)) for some in (answers, shuffled))
    assert (one.state, one.outcome, one.cause) == (other.state, other.outcome, other.cause)
    if one.decision is None:
        assert set(one.approved_by) == set(other.approved_by)


@settings(max_examples=200, deadline=None)
@given(**ALL, when=st.integers(0, LAST))
def test_escalation_lowers_nothing_and_takes_nobody_away(policy, answers, facts, when):
    before = evaluate(policy, answers, structs.replace(facts, escalated_at=None), at(LAST + 9))
    after = evaluate(policy, answers, structs.replace(facts, escalated_at=at(when)), at(LAST + 9))
    assert [one.required for one in after.stages] == [one.required for one in before.stages]
    for old, new in zip(before.stages, after.stages, strict=True):
        assert set(old.approvers) <= set(new.approvers)
        assert bool(old.approvers) == bool(new.approvers)


@settings(max_examples=150, deadline=None)
@given(answers=histories(), minutes=st.integers(0, LAST))
def test_without_rules_the_first_answer_of_somebody_with_the_role_decides(answers, minutes):
    usual = [
        structs.replace(one, digest="d", withdrawn_at=None)
        for one in answers
        if not one.who.service and one.who.known_by != "typed" and one.answer is not Choice.REQUEST_CHANGES
    ]
    now = at(minutes)
    recorded = [one for one in usual if one.at <= now]
    first = next((one for one in recorded if one.who.approver), None)
    found = evaluate(GatePolicy(), recorded, local(), now)
    assert found.state == ("open" if first is None else "decided")
    assert found.outcome == (None if first is None else first.answer)
    assert [one.id for one in found.counted if one.counts] == ([] if first is None else [first.id])


@settings(max_examples=150, deadline=None)
@given(**ALL, minutes=st.integers(0, LAST + 5))
def test_no_time_approves(policy, answers, facts, minutes):
    """An open gate that only time passes at becomes at most rejected, and every clock agrees."""
    recorded, now = whole(answers, minutes)
    before = evaluate(policy, recorded, facts, now)
    after = evaluate(policy, recorded, facts, at(100_000))
    if before.decision is None and after.decision is not None:
        assert (after.outcome, after.cause) == (Choice.REJECT, Cause.DEADLINE)
    assert evaluate(policy, recorded, facts, at(-1000)) == evaluate(
        policy, recorded, facts, moment(recorded, facts, at(-1000))
    )
    due = next_due(policy, recorded, facts, now)
    assert due is None or before.decision is None or due.why in ("undo", "deadline")


@settings(max_examples=150, deadline=None)
@given(**ALL, person=people, names=st.lists(people, max_size=6))
def test_those_whom_a_sentence_names_may_do_it(policy, answers, facts, person, names):
    unique = {one.id: structs.replace(one, known_by="session", signed_in_at=at(LAST + 9)) for one in names}
    asking = structs.replace(facts, people=lambda: list(unique.values()))
    now = at(LAST + 9)
    for verb in (Verb.APPROVE, Verb.REJECT, Verb.REQUEST_CHANGES):
        found = may_answer(policy, answers, asking, person, verb, now)
        for label in found.who_can:
            named = next(one for one in unique.values() if one.label == label)
            assert may_answer(policy, answers, asking, named, verb, now).allowed
    assert not waits_for(policy, answers, facts, person, now) or evaluate(policy, answers, facts, now).state == "open"
