"""The rules of gates by example: who may answer, how many are needed, and until when."""

from __future__ import annotations

from typing import Any

import pytest

from neurocore.gates.facts import Allowed, Cause, Choice, Decided, Due, Why
from neurocore.gates.policy import may_give, moment, next_due, repeated, waits_for
from neurocore.persistence.gate_policy import ChangeRequests, Escalation, GatePolicy, Stage
from tests.gates.rules import ANN, BEA, CARLA, LOCAL, asked, at, local, result, says, verdict, who, why_not

ANYONE = GatePolicy()
TWO = GatePolicy(required=2)
FINANCE = GatePolicy(approvers=("group:finance", "ann"))
OTHERS = GatePolicy(self_approval=False)
CHANGES = GatePolicy(request_changes=ChangeRequests(to="draft", max=2))
TIMED = GatePolicy(required=2, deadline="30min", on_deadline="reject")
PASSKEY = GatePolicy(signature="passkey")
FRESH = GatePolicy(fresh_login="10min")
UNDO = GatePolicy(undo="5min")
STAGES = GatePolicy(
    stages=(Stage(approvers=("group:finance",), required=2), Stage(approvers=("group:legal", "ann"))),
)
FIN1, FIN2, FIN3 = (who(f"fin{number}", "finance") for number in (1, 2, 3))
LAW = who("law", "legal")
EVERYBODY = [ANN, BEA, CARLA, FIN1, FIN2, FIN3, LAW]


def known(**more: Any) -> Any:
    return local(people=lambda: EVERYBODY, **more)


# -------------------------------------------------------------------- as before


@pytest.mark.parametrize("answer", ["approve", "reject"])
def test_without_rules_one_answer_of_anybody_with_the_role_decides(answer):
    assert result(ANYONE) == ("open", None)
    found = verdict(ANYONE, says(BEA, 1, answer), says(ANN, 2, "approve"), says(CARLA, 3, "reject"))
    assert (found.state, found.outcome, found.cause) == ("decided", answer, "answers")
    assert found.decision == Decided(outcome=Choice(answer), cause=Cause.ANSWERS, at=at(1), answers=("bea@1",))
    assert [one.why_not for one in found.counted[1:]] == ["The gate was decided before this answer."] * 2


def test_without_rules_a_typed_name_is_enough_in_open_and_in_no_other_mode():
    typed = who("ann", id="ann", known_by="typed")
    facts = local(mode="open", store_mode="open")
    assert result(ANYONE, says(typed, 1), facts=facts) == ("decided", "approve")
    for modes in ({"mode": "local"}, {"store_mode": "proxy"}, {"mode": "oidc", "store_mode": "oidc"}):
        stricter = local(**{"mode": "open", "store_mode": "open", **modes})
        assert result(ANYONE, says(typed, 1), facts=stricter) == ("open", None)
        assert "Only somebody who signed in can answer" in str(asked(ANYONE, person=typed, facts=stricter).reason)


def test_a_step_that_waits_for_data_has_no_rules_and_takes_one_answer_of_an_approver():
    facts = local(kind="input")
    rules = GatePolicy(required=3, approvers=("zoe",), self_approval=False)
    assert result(rules, says(BEA, 1, None), facts=facts) == ("decided", None)
    assert result(rules, says(BEA, 1, "reject"), says(ANN, 2), facts=facts) == ("decided", "reject")
    assert result(rules, says(who("eve", approver=False), 1, None), facts=facts) == ("open", None)
    robot = who("robot", service=True, known_by="token")
    assert result(rules, says(robot, 1, None), facts=facts) == ("decided", None)
    assert not asked(rules, person=who("root", admin=True), verb="break_glass", facts=facts).allowed
    assert result(ANYONE, says(BEA, 1, None)) == ("open", None)  # a gate is approved or rejected


# -------------------------------------------------------------------- who


def test_approvers_narrow_and_never_grant():
    assert result(FINANCE, says(BEA, 1)) == ("open", None)
    assert why_not(FINANCE, says(BEA, 1)) == ["This gate asks group finance or ann."]
    assert result(FINANCE, says(FIN1, 1)) == result(FINANCE, says(ANN, 1)) == ("decided", "approve")
    without_role = who("fin", "finance", approver=False)
    assert result(FINANCE, says(without_role, 1)) == ("open", None)
    assert why_not(FINANCE, says(without_role, 1)) == ["Fin needs the role approver to answer here."]
    assert str(asked(FINANCE, person=without_role).reason).startswith("You need the role approver to answer here")


def test_an_admin_is_no_approver():
    assert not asked(ANYONE, person=who("root", admin=True, approver=False)).allowed


def test_a_sentence_says_who_can():
    found = asked(FINANCE, person=BEA, facts=known())
    assert found == Allowed(
        allowed=False,
        reason="This gate asks group finance or ann; Ann, Fin1, Fin2 and Fin3 can.",
        who_can=("Ann", "Fin1", "Fin2", "Fin3"),
        problem="forbidden",
    )
    crowd = local(people=lambda: [who(f"p{number}") for number in range(9)])
    found = asked(ANYONE, person=who("eve", approver=False), facts=crowd)
    assert found.who_can == ("P0", "P1", "P2", "P3", "P4")
    assert str(found.reason).endswith("; P0, P1, P2, P3, P4 and others can.")


def test_nobody_approves_their_own_run_where_a_gate_forbids_it_and_they_may_still_reject():
    people = [ANN, who("bea", label="Bea Lindqvist"), who("carla", label="Carla Moreno")]
    facts = local(initiators={ANN.id: "started this run"}, people=lambda: people)
    assert result(OTHERS, says(ANN, 1), facts=facts) == ("open", None)
    assert asked(OTHERS, person=ANN, facts=facts).reason == (
        "You started this run, and this gate asks for somebody else's approval; Bea Lindqvist and Carla Moreno can."
    )
    assert why_not(OTHERS, says(ANN, 1), facts=facts) == [
        "Ann started this run, and this gate asks for somebody else's approval."
    ]
    assert result(OTHERS, says(ANN, 1, "reject"), facts=facts) == ("decided", "reject")
    assert asked(OTHERS, person=ANN, verb="reject", facts=facts).allowed
    assert result(ANYONE, says(ANN, 1), facts=facts) == ("decided", "approve")


def test_distinct_from_excludes_who_approved_the_named_gate_and_a_skipped_gate_excludes_nobody():
    rules = GatePolicy(distinct_from=("first", "skipped"))
    facts = local(approved_before={"first": {ANN.id}})
    assert result(rules, says(ANN, 1), facts=facts) == ("open", None)
    assert asked(rules, person=ANN, facts=facts).reason == (
        "You approved the gate first, and this gate asks for somebody else's approval."
    )
    assert result(rules, says(ANN, 1, "reject"), facts=facts) == ("decided", "reject")
    assert result(rules, says(BEA, 1), facts=facts) == ("decided", "approve")
    assert result(rules, says(ANN, 1)) == ("decided", "approve")


def test_a_service_account_counts_only_if_it_is_named_itself():
    robot = who("robot", "finance", service=True, known_by="token")
    assert result(FINANCE, says(robot, 1)) == result(ANYONE, says(robot, 1)) == ("open", None)
    assert result(GatePolicy(approvers=("robot",)), says(robot, 1)) == ("decided", "approve")
    assert why_not(ANYONE, says(robot, 1)) == ["A service account counts only at a gate that names it."]


# -------------------------------------------------------------------- how many


def test_as_many_people_as_required_must_approve_and_each_counts_once():
    assert result(TWO, says(ANN, 1)) == ("open", None)
    assert verdict(TWO, says(ANN, 1)).missing == "1 more approval"
    assert result(TWO, says(ANN, 1), says(ANN, 2)) == ("open", None)
    assert why_not(TWO, says(ANN, 1), says(ANN, 2)) == ["Ann answered again.", None]
    found = verdict(TWO, says(ANN, 1), says(BEA, 2))
    assert (found.state, found.decision and found.decision.answers) == ("decided", ("ann@1", "bea@2"))
    assert (found.approved_by, found.required, found.missing) == (("Ann", "Bea"), 2, None)


def test_what_is_missing_names_who_is_asked():
    assert verdict(GatePolicy(approvers=("group:finance",), required=3), says(FIN1, 1)).missing == (
        "2 more of group finance"
    )
    assert verdict(STAGES, says(FIN1, 1)).missing == "1 more of group finance, then 1 more of group legal or ann"
    assert verdict(STAGES, says(FIN1, 1), says(FIN2, 2)).missing == "1 more of group legal or ann"


@pytest.mark.parametrize("answer", ["reject", "request_changes"])
def test_one_rejection_or_request_for_changes_decides_whatever_is_required(answer):
    rules = GatePolicy(required=3, request_changes=ChangeRequests(to="draft"))
    found = verdict(rules, says(ANN, 1), says(BEA, 2), says(CARLA, 3, answer))
    assert (found.state, found.outcome) == ("decided", answer)
    assert found.decision is not None
    assert found.decision.answers == ("carla@3",)


def test_a_rejection_of_somebody_who_may_not_answer_now_decides_nothing():
    assert result(FINANCE, says(BEA, 1, "reject")) == ("open", None)
    assert result(STAGES, says(LAW, 1, "reject")) == ("open", None)
    assert result(STAGES, says(FIN1, 1), says(FIN2, 2), says(LAW, 3, "reject")) == ("decided", "reject")


def test_before_the_decision_a_different_answer_replaces_one_s_own():
    found = verdict(TWO, says(ANN, 1), says(ANN, 2, "reject"))
    assert (found.state, found.outcome) == ("decided", "reject")
    assert [one.counts for one in found.counted] == [False, True]


def test_the_same_content_again_is_repeated_and_another_is_a_new_answer():
    given = says(ANN, 1, content="fine")
    assert repeated(TWO, [given], LOCAL, ANN, Choice.APPROVE, "fine", at(2)) == given
    assert repeated(TWO, [given], LOCAL, ANN, Choice.APPROVE, "well", at(2)) is None
    assert repeated(TWO, [given], LOCAL, ANN, Choice.REJECT, "fine", at(2)) is None
    assert repeated(TWO, [given], LOCAL, BEA, Choice.APPROVE, "fine", at(2)) is None
    assert repeated(ANYONE, [given], LOCAL, ANN, Choice.APPROVE, "other", at(2)) == given  # decided: promise 4
    assert repeated(ANYONE, [given], LOCAL, ANN, Choice.REJECT, "fine", at(2)) is None


# -------------------------------------------------------------------- stages


def test_only_the_current_stage_answers():
    assert why_not(STAGES, says(LAW, 1)) == ["Stage 1 of this gate asks group finance."]
    found = verdict(STAGES, says(FIN1, 1), says(FIN2, 2))
    assert (found.stage, len(found.stages), found.state) == (2, 2, "open")
    assert why_not(STAGES, says(FIN1, 1), says(FIN2, 2), says(FIN3, 3))[2] == (
        "Stage 2 of this gate asks group legal or ann."
    )
    assert result(STAGES, says(FIN1, 1), says(FIN2, 2), says(LAW, 3)) == ("decided", "approve")


def test_one_person_counts_once_in_a_gate():
    both = who("both", "finance", "legal")
    answers = says(both, 1), says(FIN1, 2), says(both, 3)
    assert result(STAGES, *answers) == ("open", None)
    assert why_not(STAGES, *answers)[2] == "Both approved stage 1 of this gate, and each person counts once."
    assert repeated(STAGES, answers[:2], LOCAL, both, Choice.APPROVE, "", at(3)) is None
    assert result(STAGES, *answers, says(both, 4, "reject")) == ("decided", "reject")


def test_who_withdraws_at_a_later_stage_opens_their_own_again_and_the_others_stay():
    rules = GatePolicy(stages=(Stage(required=2), Stage(required=2)))
    first = says(ANN, 1, withdrawn_at=at(4)), says(BEA, 2), says(CARLA, 3)
    found = verdict(rules, *first)
    assert (found.stage, found.stages[0].lacks, found.stages[1].lacks) == (1, 1, 1)
    assert verdict(rules, *first, says(FIN1, 5)).stage == 2
    assert result(rules, *first, says(FIN1, 5), says(FIN2, 6)) == ("decided", "approve")


# -------------------------------------------------------------------- facts of the moment


def test_leaving_a_group_changes_no_answer_and_joining_one_makes_none():
    left, joined = who("fin1", id="id-fin1"), who("bea", "finance")
    rules = GatePolicy(approvers=("group:finance",), required=2)
    assert verdict(rules, says(FIN1, 1), says(left, 2)).stages[0].approved_by == ("Fin1",)
    assert verdict(rules, says(BEA, 1)).stages[0].approved_by == ()
    assert result(rules, says(FIN1, 1), says(BEA, 2), says(joined, 3)) == ("decided", "approve")


def test_disabling_somebody_withdraws_their_answer_at_an_undecided_gate_only():
    disabled = who("ann", disabled_at=at(3))
    assert result(TWO, says(disabled, 1), says(BEA, 4)) == ("open", None)
    assert why_not(TWO, says(disabled, 1), says(BEA, 4))[0] == "The account Ann was disabled before the decision."
    assert result(TWO, says(disabled, 1), says(BEA, 2)) == ("decided", "approve")
    assert verdict(TWO, says(disabled, 1), says(BEA, 2)).approved_by == ("Ann", "Bea")
    assert asked(TWO, person=disabled).reason == "The account Ann is disabled."


def test_somebody_who_is_enabled_again_answers_again():
    answers = says(who("ann", disabled_at=at(2)), 1), says(ANN, 5), says(BEA, 6)
    assert result(TWO, *answers[:2]) == ("open", None)
    assert result(TWO, *answers) == ("decided", "approve")


# -------------------------------------------------------------------- what is asked


@pytest.mark.parametrize("stale", [{"digest": "older"}, {"visit": 2}])
def test_an_answer_on_something_else_than_the_gate_asks_never_counts(stale):
    given = says(ANN, 1, **stale)
    assert result(ANYONE, given) == ("open", None)
    found = may_give(ANYONE, [], LOCAL, given, at(1))
    assert (found.allowed, found.problem) == (False, "too-late")
    assert may_give(ANYONE, [], LOCAL, says(ANN, 1), at(1)).allowed
    assert result(ANYONE, says(ANN, 1, digest=None)) == ("decided", "approve")


# -------------------------------------------------------------------- deadline


def test_a_deadline_that_rejects_does_so_before_any_sweep():
    facts = local(deadline=at(30))
    assert result(TIMED, says(ANN, 1), facts=facts, now=29.9) == ("open", None)
    found = verdict(TIMED, says(ANN, 1), facts=facts, now=30)
    assert found.decision == Decided(outcome=Choice.REJECT, cause=Cause.DEADLINE, at=at(30))
    late = asked(TIMED, says(ANN, 1), person=BEA, facts=facts, now=30)
    assert (late.allowed, late.problem) == (False, "deadline-passed")
    assert result(TIMED, says(ANN, 1), says(BEA, 30), facts=facts) == ("decided", "reject")
    assert result(TIMED, says(ANN, 1), says(BEA, 29.9), facts=facts) == ("decided", "approve")
    assert not asked(TIMED, person=who("root", admin=True, signed_in_at=at(31)), verb="break_glass", facts=facts,
                     now=31).allowed  # fmt: skip


def test_a_deadline_is_for_the_whole_gate_with_all_its_stages():
    rules = GatePolicy(stages=(Stage(), Stage()), on_deadline="reject")
    facts = local(deadline=at(30))
    assert result(rules, says(ANN, 29), says(BEA, 31), facts=facts) == ("decided", "reject")


def test_a_deadline_that_keeps_a_gate_only_makes_it_overdue():
    rules = GatePolicy(deadline="30min")
    found = verdict(rules, facts=local(deadline=at(30)), now=30)
    assert (found.state, found.overdue, found.deadline) == ("open", True, at(30))
    assert result(rules, says(ANN, 31), facts=local(deadline=at(30))) == ("decided", "approve")


@pytest.mark.parametrize("recorded", [{"last_at": at(40)}, {"reminded_at": at(40)}, {"escalated_at": at(40)}])
def test_a_clock_that_is_put_back_undoes_no_deadline(recorded):
    facts = local(deadline=at(30), **recorded)
    assert moment([], facts, at(5)) == at(40)
    assert result(TIMED, facts=facts, now=5) == ("decided", "reject")
    answers = says(ANN, 1, withdrawn_at=at(50)), says(BEA, 35)
    assert moment(answers, local(), at(5)) == at(50)


def test_there_is_no_approval_by_deadline():
    for on_deadline in ("keep", "reject"):
        rules = GatePolicy(deadline="30min", on_deadline=on_deadline, required=2)
        found = verdict(rules, says(ANN, 1), facts=local(deadline=at(30)), now=10_000)
        assert found.outcome is not Choice.APPROVE


# -------------------------------------------------------------------- escalation


ESCALATED = GatePolicy(
    stages=(Stage(approvers=("ann",)), Stage(approvers=("bea",)), Stage(approvers=("group:legal",), required=2)),
    escalate=Escalation(after="1h", to=("carla", "group:finance")),
)


def test_escalation_adds_people_to_the_current_and_later_stages_and_replaces_nobody():
    facts = local(escalated_at=at(60))
    found = verdict(ESCALATED, says(ANN, 1), facts=facts)
    assert [one.approvers for one in found.stages] == [
        ("ann",), ("bea", "carla", "group:finance"), ("group:legal", "carla", "group:finance"),
    ]  # fmt: skip
    assert [one.required for one in found.stages] == [1, 1, 2]
    assert result(ESCALATED, says(ANN, 1), says(CARLA, 59), facts=facts) == ("open", None)
    answers = says(ANN, 1), says(BEA, 61), says(FIN1, 62), says(LAW, 63)
    assert result(ESCALATED, *answers, facts=facts) == ("decided", "approve")
    assert result(ESCALATED, *answers) == ("open", None)


def test_escalation_narrows_no_gate_that_asks_everybody():
    rules = GatePolicy(escalate=Escalation(after="1h", to=("carla",)))
    assert result(rules, says(ANN, 61), facts=local(escalated_at=at(60))) == ("decided", "approve")


# -------------------------------------------------------------------- withdrawal


def test_one_s_own_answer_is_withdrawn_while_the_gate_is_undecided():
    assert asked(TWO, says(ANN, 1), person=ANN, verb="withdraw").allowed
    assert asked(TWO, says(ANN, 1), person=BEA, verb="withdraw").reason == "You have no answer here that counts."
    gone = says(ANN, 1, withdrawn_at=at(2))
    assert result(TWO, gone, says(BEA, 3)) == ("open", None)
    assert why_not(TWO, gone) == ["Ann withdrew it."]
    assert not asked(TWO, gone, person=ANN, verb="withdraw").allowed
    assert result(TWO, gone, says(BEA, 3), says(ANN, 4)) == ("decided", "approve")


def test_the_answer_that_tipped_is_withdrawn_within_undo_and_the_same_gate_opens_again():
    rules = GatePolicy(required=2, undo="5min")
    answers = says(ANN, 1), says(BEA, 2)
    held = verdict(rules, *answers, now=6.9)
    assert (held.state, held.outcome, held.held_until) == ("held", "approve", at(7))
    assert asked(rules, *answers, person=BEA, verb="withdraw", now=6.9).allowed
    found = asked(rules, *answers, person=ANN, verb="withdraw", now=6.9)
    assert (found.allowed, found.problem) == (False, "too-late")
    assert result(rules, *answers, now=7) == ("decided", "approve")
    assert not asked(rules, *answers, person=BEA, verb="withdraw", now=7).allowed
    again = says(ANN, 1), says(BEA, 2, withdrawn_at=at(3))
    assert result(rules, *again) == ("open", None)
    assert result(rules, *again, says(CARLA, 4), now=5) == ("held", "approve")
    assert result(rules, *again, says(BEA, 4, "reject"), now=5) == ("held", "reject")


def test_a_rejection_can_be_undone_too_and_what_it_replaced_does_not_come_back():
    rules = GatePolicy(required=2, undo="5min")
    answers = says(ANN, 1), says(BEA, 2), says(ANN, 1.5, "reject", withdrawn_at=at(3))
    found = verdict(rules, answers[0], answers[2])
    assert (found.state, found.approved_by, found.missing) == ("open", (), "2 more approvals")


def test_nothing_is_withdrawn_once_the_run_was_claimed_or_after_the_deadline():
    assert asked(UNDO, says(ANN, 1), person=ANN, verb="withdraw", facts=local(claimed=True), now=2).reason == (
        "Your answer decided this gate, and the run has gone on."
    )
    assert result(UNDO, says(ANN, 1), facts=local(claimed=True), now=2) == ("decided", "approve")
    rules = GatePolicy(undo="5min", deadline="3min", on_deadline="reject")
    facts = local(deadline=at(3))
    found = asked(rules, says(ANN, 1), person=ANN, verb="withdraw", facts=facts, now=3)
    assert (found.allowed, found.problem) == (False, "deadline-passed")
    assert result(rules, says(ANN, 1), facts=facts, now=4) == ("held", "approve")
    keeps = GatePolicy(required=2, deadline="3min")
    assert asked(keeps, says(ANN, 1), person=ANN, verb="withdraw", facts=facts, now=3).problem == "deadline-passed"
    assert asked(keeps, says(ANN, 1), person=ANN, verb="withdraw", facts=facts, now=2).allowed


def test_a_withdrawal_at_a_time_when_it_was_not_allowed_changes_nothing():
    assert result(ANYONE, says(ANN, 1, withdrawn_at=at(2))) == ("decided", "approve")
    assert result(UNDO, says(ANN, 1, withdrawn_at=at(6))) == ("decided", "approve")
    assert result(TWO, says(ANN, 1, withdrawn_at=at(9)), says(BEA, 2)) == ("decided", "approve")
    late = local(deadline=at(3))
    assert result(TWO, says(ANN, 1, withdrawn_at=at(3)), says(BEA, 4), facts=late) == ("decided", "approve")


def test_an_answer_is_withdrawn_at_its_own_moment_too():
    assert result(TWO, says(ANN, 1, withdrawn_at=at(1)), says(BEA, 2)) == ("open", None)


# -------------------------------------------------------------------- changes


def test_changes_can_be_requested_as_often_as_the_gate_allows():
    assert result(CHANGES, says(ANN, 1, "request_changes")) == ("decided", "request_changes")
    assert result(ANYONE, says(ANN, 1, "request_changes")) == ("open", None)
    assert "no request for changes" in str(asked(ANYONE, person=ANN, verb="request_changes").reason)
    assert asked(CHANGES, person=ANN, verb="request_changes", facts=local(changes_requested=1)).allowed
    assert asked(CHANGES, person=ANN, verb="request_changes", facts=local(changes_requested=2)).reason == (
        "Changes were requested 2 times, as often as this gate allows."
    )
    given = says(ANN, 1, "request_changes", break_glass=True)
    root = who("root", admin=True)
    assert not may_give(CHANGES, [], local(changes_requested=2), says(root, 1, given.answer, break_glass=True),
                        at(1)).allowed  # fmt: skip


def test_who_may_not_approve_may_ask_for_changes():
    rules = GatePolicy(self_approval=False, request_changes=ChangeRequests(to="draft"))
    facts = local(initiators={ANN.id: "started this run"})
    assert result(rules, says(ANN, 1, "request_changes"), facts=facts) == ("decided", "request_changes")


# -------------------------------------------------------------------- fresh sign-in and signature


def test_a_fresh_sign_in_is_measured_at_the_answer():
    assert result(FRESH, says(ANN, 10)) == ("decided", "approve")
    assert result(FRESH, says(ANN, 11)) == ("open", None)
    found = asked(FRESH, person=ANN, now=11)
    assert (found.problem, found.reason) == (
        "needs-sign-in", "This gate asks for a sign-in at most 10min ago; sign in again on the run's page.",
    )  # fmt: skip


@pytest.mark.parametrize("known_by", ["token", "application", "proxy"])
def test_tokens_and_applications_never_satisfy_a_fresh_sign_in_or_a_signature(known_by):
    given = who("ann", known_by=known_by)
    assert result(FRESH, says(given, 1)) == ("open", None)
    assert result(PASSKEY, says(given, 1, signed=True)) == ("open", None)
    assert asked(FRESH, person=given, now=1).problem == "needs-sign-in"
    assert asked(PASSKEY, person=given).problem == "needs-passkey"


def test_a_signed_gate_takes_signed_answers_only():
    assert result(PASSKEY, says(ANN, 1)) == result(PASSKEY, says(ANN, 1, "reject")) == ("open", None)
    assert result(PASSKEY, says(ANN, 1, signed=True)) == ("decided", "approve")
    assert asked(PASSKEY, person=ANN).allowed
    assert asked(PASSKEY, person=ANN, signed=False).problem == "needs-passkey"
    assert may_give(PASSKEY, [], LOCAL, says(ANN, 1), at(1)).problem == "needs-passkey"
    by_proxy = who("ann", known_by="proxy")
    proxied = local(mode="proxy", store_mode="proxy")
    assert result(PASSKEY, says(by_proxy, 1, signed=True), facts=proxied) == ("decided", "approve")


@pytest.mark.parametrize(
    ("rules", "mode", "known_by"), [(PASSKEY, "open", "typed"), (FRESH, "open", "typed"), (FRESH, "proxy", "proxy")]
)
def test_what_a_mode_cannot_give_is_answered_by_break_glass_only(rules, mode, known_by):
    facts = local(mode=mode, store_mode=mode)
    person = who("ann", known_by=known_by)
    assert result(rules, says(person, 1, signed=True), facts=facts) == ("open", None)
    assert str(asked(rules, person=person, facts=facts).reason).endswith(
        f"auth.mode {mode} cannot give: break the glass."
    )
    files = who("root", known_by="os", signed_in_at=None)
    assert result(rules, says(files, 1, break_glass=True), facts=facts) == ("decided", "approve")


# -------------------------------------------------------------------- break glass


STRICT = GatePolicy(
    stages=(Stage(approvers=("ann",), required=2), Stage(approvers=("bea",))), self_approval=False, signature="passkey"
)


def test_break_glass_ignores_who_how_many_and_which_stage_and_never_counts_as_signed():
    root = who("root", admin=True, approver=False, signed_in_at=at(0))
    facts = local(initiators={root.id: "started this run"})
    found = verdict(STRICT, says(root, 4, break_glass=True), facts=facts)
    assert (found.state, found.outcome, found.cause) == ("decided", "approve", "break_glass")
    assert result(STRICT, says(root, 4, "reject", break_glass=True), facts=facts) == ("decided", "reject")
    assert result(STRICT, says(root, 4, break_glass=True, digest="older"), facts=facts) == ("open", None)


@pytest.mark.parametrize(
    ("person", "problem"),
    [
        (who("ann"), "forbidden"), (who("root", admin=True, signed_in_at=at(-10)), "needs-sign-in"),
        (who("root", admin=True, known_by="token"), "needs-sign-in"),
        (who("root", admin=True, known_by="application"), "needs-sign-in"),
        (who("root", admin=True, known_by="typed"), "needs-sign-in"),
        (who("root", admin=True, disabled_at=at(1)), "forbidden"),
        (who("robot", admin=True, service=True), "forbidden"),
    ],
)  # fmt: skip
def test_break_glass_takes_an_admin_who_has_just_signed_in(person, problem):
    found = asked(STRICT, person=person, verb="break_glass", now=2)
    assert (found.allowed, found.problem) == (False, problem)
    assert result(STRICT, says(person, 2, break_glass=True)) == ("open", None)


def test_who_owns_the_files_breaks_the_glass_in_every_mode_and_otherwise_does_not_answer():
    files = who("root", known_by="os", signed_in_at=None)
    for mode in ("open", "local", "proxy", "oidc"):
        facts = local(mode=mode, store_mode=mode)
        assert result(STRICT, says(files, 1, break_glass=True), facts=facts) == ("decided", "approve")
    assert result(ANYONE, says(files, 1)) == ("open", None)


# -------------------------------------------------------------------- the end, and what was recorded


def test_a_voided_gate_takes_nothing():
    facts = local(voided=True)
    assert verdict(ANYONE, facts=facts).state == "voided"
    for verb in ("approve", "reject", "withdraw", "break_glass"):
        assert asked(ANYONE, says(ANN, 1), person=ANN, verb=verb, facts=facts).problem == "too-late"


def test_a_recorded_decision_stays_whatever_changes_later():
    taken = Decided(outcome=Choice.APPROVE, cause=Cause.ANSWERS, at=at(1), answers=("ann@1",))
    typed = who("ann", id="ann", known_by="typed")
    facts = local(mode="open", store_mode="local", decision=taken)
    found = verdict(ANYONE, says(typed, 1), facts=facts)
    assert (found.state, found.decision, found.counted[0].counts) == ("decided", taken, True)
    assert asked(ANYONE, says(typed, 1), person=BEA, facts=facts).reason == f"This gate was approved at {at(1)}."


# -------------------------------------------------------------------- who is waited for, and what is due


def test_a_gate_waits_for_those_who_may_answer_and_have_not_approved():
    assert waits_for(TWO, [says(ANN, 1)], LOCAL, BEA, at(2))
    assert not waits_for(TWO, [says(ANN, 1)], LOCAL, ANN, at(2))
    assert not waits_for(FINANCE, [], LOCAL, BEA, at(2))
    assert not waits_for(ANYONE, [says(ANN, 1)], LOCAL, BEA, at(2))
    own = local(initiators={ANN.id: "started this run"})
    assert waits_for(OTHERS, [], own, ANN, at(2))  # to reject


def test_what_is_due_next():
    rules = GatePolicy(
        deadline="90min", on_deadline="reject", escalate=Escalation(after="1h", to=("ann",)), remind="25min"
    )
    facts = {"deadline": at(90)}
    assert next_due(rules, [], local(**facts), at(1)) == Due(at=at(25), why=Why.REMIND)
    assert next_due(rules, [], local(**facts, reminded_at=at(25.1)), at(26)) == Due(at=at(50), why=Why.REMIND)
    facts["reminded_at"] = at(58)
    assert next_due(rules, [], local(**facts), at(60)) == Due(at=at(60), why=Why.ESCALATE)
    facts["escalated_at"] = at(60)
    assert next_due(rules, [], local(**facts), at(60)) == Due(at=at(75), why=Why.REMIND)
    facts["reminded_at"] = at(75)
    assert next_due(rules, [], local(**facts), at(200)) == Due(at=at(90), why=Why.DEADLINE)
    taken = Decided(outcome=Choice.REJECT, cause=Cause.DEADLINE, at=at(90))
    assert next_due(rules, [], local(**facts, decision=taken), at(200)) is None
    assert next_due(rules, [says(ANN, 1)], local(**facts), at(2)) is None
    assert next_due(ANYONE, [], LOCAL, at(1)) is None
    assert next_due(rules, [], local(voided=True), at(1)) is None


def test_reminders_that_were_missed_are_due_once():
    rules = GatePolicy(remind="10min")
    assert next_due(rules, [], local(), at(1000)) == Due(at=at(10), why=Why.REMIND)
    assert next_due(rules, [], local(reminded_at=at(1000)), at(1000)) == Due(at=at(1010), why=Why.REMIND)


def test_the_end_of_undo_is_due_until_the_run_is_claimed():
    assert next_due(UNDO, [says(ANN, 1)], LOCAL, at(2)) == Due(at=at(6), why=Why.UNDO)
    assert next_due(UNDO, [says(ANN, 1)], LOCAL, at(9)) == Due(at=at(6), why=Why.UNDO)
    assert next_due(UNDO, [says(ANN, 1)], local(claimed=True), at(9)) is None


# -------------------------------------------------------------------- known bypasses of other products


def test_nobody_approves_their_own_run_through_a_token_or_a_second_account():
    """Whoever acts is one person: the token's owner, and everybody linked to the same account."""
    facts = local(initiators={ANN.id: "started this run"})
    for person in (who("ann", known_by="token"), who("ann2", id=ANN.id, known_by="session")):
        assert result(OTHERS, says(person, 1), facts=facts) == ("open", None)
    twice = says(ANN, 1), says(who("ann2", id=ANN.id), 2), says(who("ann", known_by="token"), 3)
    assert result(TWO, *twice) == ("open", None)


def test_nobody_approves_what_they_edited_or_what_somebody_replayed_from_their_run():
    """Everybody up the chain of replays is self, and whoever edits the values."""
    facts = local(initiators={ANN.id: "started a run that this one replays", BEA.id: "edited what this gate shows"})
    assert result(OTHERS, says(ANN, 1), says(BEA, 2), facts=facts) == ("open", None)
    assert asked(OTHERS, person=BEA, facts=facts).reason == (
        "You edited what this gate shows, and this gate asks for somebody else's approval."
    )
    assert result(OTHERS, says(CARLA, 3), facts=facts) == ("decided", "approve")


def test_running_it_again_makes_nobody_the_reviewer_of_their_own_change():
    """Who starts the replay is self, and so is who started the run before."""
    facts = local(initiators={ANN.id: "started a run that this one replays", BEA.id: "replayed this run"})
    assert [asked(OTHERS, person=one, facts=facts).allowed for one in (ANN, BEA, CARLA)] == [False, False, True]


def test_the_same_request_sent_many_times_counts_once():
    answers = [says(ANN, 1 + number / 10) for number in range(9)]
    assert result(GatePolicy(required=2), *answers) == ("open", None)
    assert verdict(GatePolicy(required=2), *answers).approved_by == ("Ann",)


def test_no_timer_approves_by_default():
    rules = GatePolicy(deadline="1min", on_deadline="reject", undo="5min", remind="1min",
                       escalate=Escalation(after="1min", to=("ann",)))  # fmt: skip
    found = verdict(rules, facts=local(deadline=at(1), escalated_at=at(1), reminded_at=at(1)), now=10**6)
    assert (found.state, found.outcome, found.cause) == ("decided", "reject", "deadline")


def test_an_answer_after_the_time_out_does_not_win_although_nothing_has_swept():
    facts = local(deadline=at(30))
    rules = GatePolicy(deadline="30min", on_deadline="reject")
    assert result(rules, says(ANN, 30), facts=facts) == ("decided", "reject")
    assert not may_give(rules, [], facts, says(ANN, 30), at(30)).allowed


def test_an_approval_does_not_outlive_a_new_version_of_what_it_approves():
    old = says(ANN, 1)
    assert result(ANYONE, old) == ("decided", "approve")
    assert result(ANYONE, old, facts=local(digest="d2")) == ("open", None)
    assert result(ANYONE, old, facts=local(visit=2)) == ("open", None)
