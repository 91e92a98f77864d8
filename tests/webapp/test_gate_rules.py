"""Gates with rules, as people meet them: several answers, stages, self-approval, deadlines, withdrawal, comments."""

from __future__ import annotations

import json
import threading

import pytest
from msgspec import structs

from neurocore.access.roles import Grant, Role
from neurocore.accounts import people
from neurocore.drivers.sweep import sweep_once
from neurocore.errors import AlreadyDecided, Forbidden, GateChanged, NeedsSignIn, TooLate
from neurocore.gates.facts import State
from neurocore.gates.ruling import GateNow
from neurocore.persistence.admin import check
from neurocore.persistence.records import GateStatus, RunStatus
from neurocore.runs.decide import decide_gate
from neurocore.runs.withdraw import comment, withdraw_answer
from tests.webapp.conftest import PAYOUT
from tests.webapp.test_signin import PASSWORD, ROOT, quick_hashes, team

__all__ = ["quick_hashes", "team"]

FINANCE, BOARD = ("ann", "bea", "carl"), ("ingrid",)


@pytest.fixture
def ruled(team):
    """Start a run whose gate has these rules."""
    grants = [Grant(Role.APPROVER), Grant(Role.OPERATOR)]
    for name in (*FINANCE, *BOARD):
        group = "finance" if name in FINANCE else "board"
        people.add_person(name, store=team.store, actor=ROOT, grants=grants, groups=[group], password=PASSWORD)

    def start(**rules):
        write(team, **rules)
        return team.run()

    return start


def write(team, **rules):
    """Give the gate of the blueprint these rules."""
    gate = {"name": "review", "message": "Release {{ amount }}?", "show": ["amount", "payees"], **rules}
    file = team.root / "blueprints" / "payout.yaml"
    lines = PAYOUT.splitlines()
    place = next(number for number, line in enumerate(lines) if "approval:" in line)
    lines[place] = f"    - approval: {json.dumps(gate)}"
    file.write_text("\n".join(lines))


def signed_in(team, name):
    """The actor of somebody who signed in."""
    from neurocore.access.actor import Face, KnownBy

    person = people.find_person(name, team.store)
    return people.actor_of(person, team.config, team.store, known_by=KnownBy.SESSION, face=Face.WEB,
                           signed_in_at=team.store.clock.now())  # fmt: skip


def answer(team, run_id, name, *, approved=True, **given):
    return decide_gate(
        run_id, approved=approved, actor=signed_in(team, name), run_store=team.store, dispatch=team.dispatcher,
        note=given.pop("note", "because" if not approved else None), **given,
    )  # fmt: skip


def status(team, run_id):
    return team.store.load_summary(run_id).status


def test_two_of_three_must_approve_and_the_panel_says_who_is_missing(team, ruled):
    run_id = ruled(approvers=("group:finance",), required=2)
    first = answer(team, run_id, "ann", note="matches the ledger")
    assert (first.effect, first.verdict.state) == ("recorded", State.OPEN)
    assert status(team, run_id) is RunStatus.SUSPENDED
    team.sign_in("bea")
    page = team.client.get(f"/runs/{run_id}").text
    assert "1 of 2 approved" in page
    assert "matches the ledger" in page
    assert answer(team, run_id, "ann", note="matches the ledger").effect == "repeated"
    assert answer(team, run_id, "bea").effect == "took_effect"
    assert status(team, run_id) is RunStatus.COMPLETED
    assert [one.by for one in team.gate(run_id).answers] == ["ann", "bea"]
    assert check(team.store).problems == []


def test_who_is_not_asked_is_told_why_and_who_can(team, ruled):
    run_id = ruled(approvers=("group:finance",))
    with pytest.raises(Forbidden, match=r"asks group finance; ann, bea and carl can\.") as refused:
        answer(team, run_id, "ingrid")
    assert refused.value.who_can == ("ann", "bea", "carl")
    team.sign_in("ingrid")
    page = team.client.get(f"/runs/{run_id}").text
    assert "Why not you" in page
    assert "This gate asks group finance" in page
    gate = team.gate(run_id)
    form = {"decision": "approve", "gate": "review", "visit": "1", "digest": gate.digest}
    assert team.send(f"/runs/{run_id}/decision", form).status_code == 403
    assert not team.gate(run_id).answers


def test_stages_are_asked_one_after_another(team, ruled):
    stages = [{"approvers": ["group:finance"], "required": 2}, {"approvers": ["group:board"]}]
    run_id = ruled(stages=stages)
    with pytest.raises(Forbidden, match="Stage 1 of this gate asks group finance"):
        answer(team, run_id, "ingrid")
    for name in ("ann", "bea"):
        assert answer(team, run_id, name).effect == "recorded"
    with pytest.raises(Forbidden, match="Stage 2 of this gate asks group board"):
        answer(team, run_id, "carl")
    assert answer(team, run_id, "ingrid").effect == "took_effect"
    assert status(team, run_id) is RunStatus.COMPLETED


def test_one_rejection_decides_whatever_is_required(team, ruled):
    run_id = ruled(approvers=("group:finance",), required=3)
    answer(team, run_id, "ann")
    assert answer(team, run_id, "bea", approved=False).effect == "took_effect"
    assert status(team, run_id) is RunStatus.FAILED
    with pytest.raises(AlreadyDecided):
        answer(team, run_id, "carl")


def test_who_started_the_run_approves_it_by_no_detour(team, ruled):
    write(team, self_approval=False)
    team.sign_in("ann")
    team.send("/blueprints/payout/runs", {"batch": "May"})
    (run,) = team.store.list_runs(limit=1)
    with pytest.raises(Forbidden, match="You started this run, and this gate asks for somebody else's approval"):
        answer(team, run.run_id, "ann")
    replayed = team.send(f"/runs/{run.run_id}/replay", {}).headers["Location"].rpartition("/")[2]
    with pytest.raises(Forbidden, match="somebody else's approval"):
        answer(team, replayed, "ann")
    team.client.post("/logout", data={"csrf_token": team.token()})
    team.sign_in("bea")
    by_bea = team.send(f"/runs/{run.run_id}/replay", {}).headers["Location"].rpartition("/")[2]
    with pytest.raises(Forbidden, match="started the run that this one replays"):
        answer(team, by_bea, "ann")
    assert answer(team, by_bea, "carl").effect == "took_effect"
    assert answer(team, run.run_id, "ann", approved=False).effect == "took_effect", "rejecting is never forbidden"


def test_who_is_disabled_takes_their_approval_along(team, ruled):
    run_id = ruled(approvers=("group:finance",), required=2)
    answer(team, run_id, "ann")
    people.disable("ann", store=team.store, actor=ROOT)
    people.enable("ann", store=team.store, actor=ROOT)
    assert answer(team, run_id, "bea").effect == "recorded"
    assert answer(team, run_id, "ann").effect == "took_effect"


def test_a_deadline_rejects_before_any_sweep_and_by_the_sweep(team, ruled, monkeypatch):
    runs = [ruled(deadline="1h", on_deadline="reject") for _ in range(2)]
    for run_id in runs:
        gate = team.gate(run_id)
        at = team.store.clock.after(-1)
        with team.store.database.write() as connection:
            micros = int(__import__("datetime").datetime.fromisoformat(at).timestamp() * 1e6)
            connection.execute("UPDATE gates SET deadline = ?, due_at = ? WHERE run = (SELECT run FROM runs WHERE "
                               "run_id = ?)", (micros, micros, run_id))  # fmt: skip
        assert team.gate(run_id).digest == gate.digest
    from neurocore.errors import DeadlinePassed

    with pytest.raises(DeadlinePassed):
        answer(team, runs[0], "ann")
    sweep_once(team.config, run_store=team.store, dispatch=team.dispatcher)
    for run_id in runs:
        decided = team.gate(run_id)
        assert decided.status is GateStatus.DONE
        assert [(one.by, one.approved, one.known_by) for one in decided.answers] == [("the deadline", False, "system")]
        assert status(team, run_id) is RunStatus.FAILED
    assert check(team.store).problems == []


def test_an_answer_can_be_withdrawn_until_it_has_taken_effect(team, ruled):
    run_id = ruled(approvers=("group:finance",), required=2, undo="1min")
    answer(team, run_id, "ann")
    withdraw_answer(run_id, actor=signed_in(team, "ann"), run_store=team.store)
    assert GateNow(team.gate(run_id), team.store.load_summary(run_id), team.store).verdict.approved_by == ()
    for name in ("ann", "bea"):
        held = answer(team, run_id, name)
    assert (held.effect, held.verdict.state) == ("recorded", State.HELD)
    sweep_once(team.config, run_store=team.store, dispatch=team.dispatcher)
    assert status(team, run_id) is RunStatus.SUSPENDED, "the run waits for the time to withdraw"
    with pytest.raises(TooLate):
        withdraw_answer(run_id, actor=signed_in(team, "ann"), run_store=team.store)
    team.sign_in("bea")
    page = team.client.get(f"/runs/{run_id}").text
    assert ">Withdraw</button>" in page
    form = {"gate": "review", "visit": "1", "digest": team.gate(run_id).digest}
    assert team.send(f"/runs/{run_id}/withdrawal", form).status_code == 303
    assert GateNow(team.gate(run_id), team.store.load_summary(run_id), team.store).verdict.state is State.OPEN
    assert answer(team, run_id, "carl").effect == "recorded"


def test_what_is_held_takes_effect_when_its_time_is_over(team, ruled, monkeypatch):
    run_id = ruled(undo="1s")
    assert answer(team, run_id, "ann").effect == "recorded"
    later = team.store.clock.after(2)
    monkeypatch.setattr(type(team.store.clock), "now", lambda clock: later)
    sweep_once(team.config, run_store=team.store, dispatch=team.dispatcher)
    monkeypatch.undo()
    assert status(team, run_id) is RunStatus.COMPLETED


def test_comments_decide_nothing_and_are_kept(team, ruled):
    run_id = ruled(approvers=("group:finance",))
    team.sign_in("vera")
    form = {"gate": "review", "visit": "1", "text": "Is this the <annual> invoice?"}
    assert team.send(f"/runs/{run_id}/comments", form).status_code == 303
    page = team.client.get(f"/runs/{run_id}").text
    assert "Is this the &lt;annual&gt; invoice?" in page
    comment(run_id, "Yes.", actor=signed_in(team, "ann"), run_store=team.store)
    assert [one.who for one in team.store.load_events(run_id) if one.kind == "commented"] == ["vera", "ann"]
    assert status(team, run_id) is RunStatus.SUSPENDED
    assert check(team.store).problems == []


def test_of_many_who_answer_at_once_exactly_as_many_count_as_are_required(team, ruled):
    names = [f"p{number}" for number in range(12)]
    for name in names:
        people.add_person(name, store=team.store, actor=ROOT, grants=[Grant(Role.APPROVER)], groups=["crowd"])
    run_id = ruled(approvers=("group:crowd",), required=3)
    go, effects = threading.Event(), []

    def press(actor):
        go.wait(30)
        try:
            effects.append(decide_gate(run_id, approved=True, actor=actor, run_store=team.store).effect)
        except AlreadyDecided:
            effects.append("late")

    threads = [threading.Thread(target=press, args=(signed_in(team, name),)) for name in names]
    for one in threads:
        one.start()
    go.set()
    for one in threads:
        one.join(60)
    assert sorted(effects) == ["late"] * 9 + ["recorded"] * 2 + ["took_effect"]
    assert len(team.gate(run_id).answers) == 3


def test_a_gate_waits_for_me_until_i_have_answered_and_never_if_i_may_not(team, ruled):
    run_id = ruled(approvers=("group:finance",), required=2)
    answer(team, run_id, "ann")

    def seen_by(name):
        browser = team.browser()
        team.sign_in(name, client=browser)
        pages = [browser.get(f"/approvals?for={whose}").text for whose in ("me", "others")]
        return [f"/runs/{run_id}#" in page for page in pages]

    assert seen_by("bea") == [True, False]
    assert seen_by("ann") == [False, True]
    assert seen_by("ingrid") == [False, True]


def test_a_run_that_a_step_starts_inherits_who_is_behind_its_own_run(team, ruled, monkeypatch):
    outer = ruled()
    with team.store.database.write() as connection:
        connection.execute("UPDATE events SET person = ? WHERE kind = 'started'",
                           (people.find_person("ann", team.store).id,))  # fmt: skip
    monkeypatch.setenv("NEUROCORE_PARENT_RUN", outer)
    inner = ruled(self_approval=False)
    with pytest.raises(Forbidden, match="You stood behind the run that started this one"):
        answer(team, inner, "ann")
    assert answer(team, inner, "bea").effect == "took_effect"


def test_in_open_mode_the_last_name_in_a_browser_closes_the_form_for_nobody(site):
    write(site, approvers=["bea"])
    run_id = site.run()
    answer = site.decide(run_id, "approve", by="ann")
    assert answer.status_code == 403
    assert "This gate asks bea" in answer.text
    site.post(f"/runs/{run_id}/comments", {"gate": "review", "visit": "1", "text": "Bea?", "by": "ann"})
    text = site.page(f"/runs/{run_id}")
    assert 'name="decision" value="approve"' in text
    assert "Why not you" not in text
    assert site.decide(run_id, "approve", by=" BEA ").status_code == 303
    assert status(site, run_id) is RunStatus.COMPLETED


REASON = "The whole board is on a plane, and the bank closes at noon."


def test_an_admin_breaks_the_glass_with_a_reason_that_stays(team, ruled):
    run_id = ruled(approvers=["group:board"], required=3)
    form = {"gate": "review", "visit": "1", "digest": team.gate(run_id).digest, "decision": "approve"}
    team.sign_in("ann")
    assert team.send(f"/runs/{run_id}/break-glass", {**form, "reason": REASON}).status_code == 403
    assert "Break glass" not in team.client.get(f"/runs/{run_id}").text
    admin = team.browser()
    team.sign_in("adam", client=admin)
    assert "Break glass" in admin.get(f"/runs/{run_id}").text
    assert team.send(f"/runs/{run_id}/break-glass", {**form, "reason": "short"}, client=admin).status_code == 422
    assert not team.gate(run_id).answers
    assert team.send(f"/runs/{run_id}/break-glass", {**form, "reason": REASON}, client=admin).status_code == 303
    assert status(team, run_id) is RunStatus.COMPLETED
    page = admin.get(f"/runs/{run_id}").text
    assert "The glass was broken." in page
    assert REASON in page
    (told,) = [one for one in team.store.load_events(run_id) if one.kind == "answered"]
    assert told.data["break_glass"] == REASON
    assert check(team.store).problems == []


def test_an_admin_who_signed_in_long_ago_breaks_no_glass_and_no_old_digest_counts(team, ruled):
    run_id = ruled(approvers=["group:board"])
    adam = structs.replace(signed_in(team, "adam"), signed_in_at=team.store.clock.after(-600))
    given = {"approved": True, "run_store": team.store, "break_glass": REASON}
    with pytest.raises(NeedsSignIn, match="sign in again"):
        decide_gate(run_id, actor=adam, **given)
    with pytest.raises(GateChanged):
        decide_gate(run_id, actor=signed_in(team, "adam"), digest="3:another", **given)
    with pytest.raises(Forbidden):
        decide_gate(run_id, actor=signed_in(team, "ann"), **given)
    assert not team.gate(run_id).answers


def test_who_is_behind_a_run_counts_where_they_cannot_see_the_run_that_started_it(team, ruled, monkeypatch):
    """The rules are applied to the whole history, not to what somebody may see of it."""
    people.add_person(
        "pia", store=team.store, actor=ROOT, grants=[Grant(Role.APPROVER, "payout")], password=PASSWORD
    )  # fmt: skip
    outer = team.run("two")
    with team.store.database.write() as connection:
        connection.execute("UPDATE events SET person = ? WHERE kind = 'started'",
                           (people.find_person("pia", team.store).id,))  # fmt: skip
    monkeypatch.setenv("NEUROCORE_PARENT_RUN", outer)
    run_id = ruled(self_approval=False)
    team.sign_in("pia")
    assert team.client.get(f"/runs/{outer}").status_code == 404
    page = team.client.get(f"/runs/{run_id}").text
    assert "You stood behind the run that started this one" in page
    assert outer not in page
    assert outer not in team.client.get(f"/api/v1/runs/{run_id}/events").text
    form = {"decision": "approve", "gate": "review", "visit": "1", "digest": team.gate(run_id).digest}
    assert team.send(f"/runs/{run_id}/decision", form).status_code == 403
    assert not team.gate(run_id).answers
