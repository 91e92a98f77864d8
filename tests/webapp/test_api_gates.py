"""The API at gates with rules: what an answer does, who may answer, withdrawals and comments."""

from __future__ import annotations

from datetime import datetime

import pytest
from msgspec import structs

from neurocore.accounts import people, tokens
from neurocore.gates import occurrence
from neurocore.gates.opening import policy_of
from neurocore.persistence.admin import check
from neurocore.persistence.gate_policy import Stage
from tests.webapp.test_api_verbs import API, decide, tell
from tests.webapp.test_gate_rules import quick_hashes, ruled, team
from tests.webapp.test_signin import ROOT

__all__ = ["quick_hashes", "ruled", "team"]


@pytest.fixture
def start(site, monkeypatch):
    """Start a run, where nobody signs in, whose gate has these rules."""

    def start(**rules):
        monkeypatch.setattr(occurrence, "policy_of", lambda node, show: structs.replace(policy_of(node, show), **rules))
        return site.run()

    return start


def gates(site, run_id, **headers):
    answer = site.client.get(f"{API}/runs/{run_id}/gates", headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json["gates"]


def test_an_answer_of_several_is_recorded_then_takes_effect(site, start):
    run_id = start(approvers=("carla", "dora"), required=2)
    first = decide(site, run_id)
    assert (first["status"], first["decision"]["effect"]) == ("suspended", "recorded")
    assert first["decision"]["missing"] == "1 more of carla or dora"
    assert decide(site, run_id)["decision"]["effect"] == "repeated"
    second = decide(site, run_id, by="dora")
    assert (second["status"], second["decision"]["effect"]) == ("completed", "took_effect")
    assert check(site.store).problems == []


@pytest.mark.parametrize(("word", "status"), [("approve", "completed"), ("reject", "failed")])
def test_an_answer_is_a_word_too(site, word, status):
    run_id = site.run()
    body = {"answer": word, "by": "carla", "digest": site.gate(run_id).digest, "note": "so"}
    assert tell(site, f"/runs/{run_id}/decision", body)["status"] == status


@pytest.mark.parametrize("given", [
    {}, {"answer": "approve", "approved": True}, {"answer": "reject", "approved": True},
    {"answer": "request_changes"}, {"answer": "withdraw"}, {"answer": None}, {"answer": True},
    {"answer": "approve", "form": {}}, {"answer": "approve", "edits": {}}, {"answer": "approve", "break_glass": "x"},
])  # fmt: skip
def test_what_is_no_answer_or_two_is_refused(site, given):
    run_id = site.run()
    body = {"by": "carla", "digest": site.gate(run_id).digest, **given}
    assert tell(site, f"/runs/{run_id}/decision", body, 422)["type"].endswith("#invalid")
    assert site.gate(run_id).answers == []


def test_a_withdrawal_takes_the_own_answer_back(site, start):
    run_id = start(required=2, undo="1min")
    decide(site, run_id)
    held = decide(site, run_id, by="dora")
    assert held["decision"]["held_until"] > held["decision"]["at"]
    assert held["next"] == [f"neurocore runs withdraw {run_id}"]
    (gate,) = gates(site, run_id)
    assert (gate["verdict"]["state"], gate["verdict"]["may_answer"]) == ("held", False)
    body = {"by": "dora", "digest": gate["digest"]}
    assert tell(site, f"/runs/{run_id}/withdrawal", {**body, "by": "eve"}, 409)["type"].endswith("#no-open-gate")
    late = tell(site, f"/runs/{run_id}/withdrawal", {**body, "by": "carla"}, 409)
    assert late["type"].endswith("#too-late")
    assert late["reason"] == "Somebody else's answer decided this gate, so yours stays."
    found = tell(site, f"/runs/{run_id}/withdrawal", {**body, "gate": "review", "visit": 1})
    assert (found["status"], found["waits"][0]["node"]) == ("suspended", "review")
    (gate,) = gates(site, run_id)
    assert (gate["verdict"]["state"], gate["verdict"]["missing"]) == ("open", "1 more approval")
    assert [(one["answer"], one["counts"]) for one in gate["answers"]] == [
        ("approve", True), ("approve", False), ("withdraw", False),
    ]  # fmt: skip
    assert gate["answers"][2]["withdraws"] == gate["answers"][1]["id"]
    assert gate["answers"][1]["withdrawn_at"] == gate["answers"][2]["at"]
    stale = tell(site, f"/runs/{run_id}/withdrawal", {**body, "digest": "3:old"}, 409)
    assert stale["type"].endswith("#changed")


def test_a_withdrawal_that_comes_twice_under_its_key_acts_once(site, start):
    run_id = start(required=2)
    decide(site, run_id)
    body = {"by": "carla", "digest": site.gate(run_id).digest}
    first, second = (tell(site, f"/runs/{run_id}/withdrawal", body, key="k") for _ in range(2))
    assert first == second
    assert len(site.gate(run_id).answers) == 2
    assert tell(site, f"/runs/{run_id}/withdrawal", body, 409)["type"].endswith("#no-open-gate")


def test_a_withdrawal_after_the_decision_is_too_late(site):
    run_id = site.run()
    decide(site, run_id)
    body = {"by": "carla", "digest": site.gate(run_id).digest}
    problem = tell(site, f"/runs/{run_id}/withdrawal", body, 409)
    assert problem["type"].endswith("#too-late")
    assert problem["reason"] == problem["detail"]


def test_comments_are_kept_once_per_key_and_decide_nothing(site):
    run_id = site.run()
    body = {"by": "vera", "text": "Which <invoice>?", "gate": "review"}
    for _ in range(2):
        assert tell(site, f"/runs/{run_id}/comments", body, key="c")["status"] == "suspended"
    said = [one for one in site.client.get(f"{API}/runs/{run_id}/events").json["events"] if one["kind"] == "commented"]
    assert [(one["who"], one["data"]["text"]) for one in said] == [("vera", "Which <invoice>?")]
    for wrong in ({"text": ""}, {"text": "  "}, {"text": "x" * 10_001}, {"by": " "}, {"more": 1}):
        tell(site, f"/runs/{run_id}/comments", {**body, **wrong}, 422)
    assert tell(site, f"/runs/{run_id}/comments", {**body, "gate": "nope"}, 409)["type"].endswith("#no-open-gate")
    two = site.run("two")
    assert len(tell(site, f"/runs/{two}/comments", {"by": "vera", "text": "Hm"}, 409)["gates"]) == 2


def test_gates_say_what_holds_now(site, start):
    run_id = start(stages=(Stage(approvers=("ann",)), Stage(approvers=("bea",), required=1)), self_approval=False)
    (gate,) = gates(site, run_id)
    assert gate["verdict"] == {
        "state": "open", "may_answer": False, "reason": "Stage 1 of this gate asks ann.", "who_can": [],
        "missing": "1 more of ann, then 1 more of bea", "stage": 1,
    }  # fmt: skip
    other = site.run("asking")
    (asks,) = gates(site, other)
    assert (asks["verdict"]["state"], asks["verdict"]["may_answer"], asks["verdict"]["missing"]) == ("open", True, None)
    tell(site, f"/runs/{other}/cancellation", {"by": "ann"})
    (asks,) = gates(site, other)
    assert (asks["verdict"]["state"], asks["verdict"]["may_answer"]) == ("voided", False)


# -------------------------------------------------------------------- where people sign in


def bearer(team, name, *scopes):
    """The headers with a token of somebody."""
    made = tokens.create(
        people.find_person(name, team.store), name="t", scopes=scopes or ("view", "answer", "comment"),
        blueprints=(), days="", store=team.store, config=team.config, actor=ROOT,
    )  # fmt: skip
    return {"Authorization": f"Bearer {made.secret}"}


def send(team, run_id, verb, name, status=200, *, scopes=(), **body):
    answer = team.app.test_client().post(f"{API}/runs/{run_id}/{verb}", json=body, headers=bearer(team, name, *scopes))
    assert answer.status_code == status, answer.text
    return answer.json


def verdict(team, run_id, name, *scopes):
    found = team.app.test_client().get(f"{API}/runs/{run_id}/gates", headers=bearer(team, name, *scopes))
    assert found.status_code == 200, found.text
    return found.json["gates"][-1]["verdict"]


def test_who_is_not_asked_gets_403_with_the_reason_and_who_can(team, ruled):
    run_id = ruled(approvers=("group:finance",), required=2)
    digest = team.gate(run_id).digest
    problem = send(team, run_id, "decision", "ingrid", 403, answer="approve", digest=digest)
    assert problem["type"].endswith("#forbidden")
    assert problem["reason"] == problem["detail"] == "This gate asks group finance; ann, bea and carl can."
    assert problem["who_can"] == ["ann", "bea", "carl"]
    assert send(team, run_id, "decision", "vera", 403, answer="approve", digest=digest)["who_can"]
    found = send(team, run_id, "decision", "ann", answer="approve", digest=digest)
    assert (found["decision"]["effect"], found["decision"]["missing"]) == ("recorded", "1 more of group finance")
    (given,) = team.client.get(f"{API}/runs/{run_id}/gates", headers=bearer(team, "vera", "view")).json["gates"][0][
        "answers"
    ]
    assert (given["username"], given["person"]) == ("ann", people.find_person("ann", team.store).id)
    assert (given["face"], given["known_by"], given["groups"], given["counts"]) == ("api", "token", ["finance"], True)
    assert given["token"]
    assert send(team, run_id, "decision", "bea", answer="approve", digest=digest)["decision"]["effect"] == "took_effect"


def test_the_verdict_is_that_of_whoever_asks(team, ruled):
    run_id = ruled(approvers=("group:finance",), required=2)
    assert verdict(team, run_id, "ann") == {
        "state": "open", "may_answer": True, "reason": None, "who_can": [], "missing": "2 more of group finance",
        "stage": 1,
    }  # fmt: skip
    ingrid = verdict(team, run_id, "ingrid")
    assert (ingrid["may_answer"], ingrid["who_can"]) == (False, ["ann", "bea", "carl"])
    vera = verdict(team, run_id, "vera", "view")
    assert vera["may_answer"] is False
    assert "need the role" in vera["reason"]
    reads_alone = verdict(team, run_id, "ann", "view")
    assert reads_alone["may_answer"] is False
    for name in ("ann", "bea"):
        send(team, run_id, "decision", name, answer="approve", digest=team.gate(run_id).digest)
    done = verdict(team, run_id, "carl")
    assert (done["state"], done["may_answer"], done["missing"]) == ("decided", False, None)
    assert "was approved at" in done["reason"]


@pytest.mark.parametrize(
    ("rules", "kind", "said"),
    [
        ({"signature": "passkey"}, "needs-passkey", "signed by a passkey"),
        ({"fresh_login": "15min"}, "needs-sign-in", "sign in again on the run's page"),
    ],
    ids=["signature", "fresh_login"],
)
def test_what_a_token_cannot_give_is_refused_with_its_kind(team, ruled, monkeypatch, rules, kind, said):
    monkeypatch.setattr(occurrence, "policy_of", lambda node, show: structs.replace(policy_of(node, show), **rules))
    run_id = ruled()
    problem = send(team, run_id, "decision", "ann", 403, answer="approve", digest=team.gate(run_id).digest)
    assert problem["type"].endswith(f"#{kind}")
    assert said in problem["reason"]
    assert problem["page"].endswith(f"/runs/{run_id}")
    assert team.gate(run_id).answers == []


def test_an_answer_after_the_deadline_is_refused_and_the_deadline_decides(team, ruled):
    run_id = ruled(deadline="1h", on_deadline="reject")
    pass_deadline(team, run_id)
    problem = send(team, run_id, "decision", "ann", 409, answer="approve", digest=team.gate(run_id).digest)
    assert problem["type"].endswith("#deadline-passed")
    assert problem["reason"] == problem["detail"]
    gate = team.client.get(f"{API}/runs/{run_id}/gates", headers=bearer(team, "vera", "view")).json["gates"][0]
    assert (gate["decision"]["outcome"], gate["decision"]["cause"]) == ("reject", "deadline")
    assert gate["decision"]["by"] == "the deadline"
    assert [(one["by"], one["answer"], one["counts"]) for one in gate["answers"]] == [("the deadline", "reject", True)]


def test_an_open_gate_after_its_deadline_is_overdue(team, ruled):
    run_id = ruled(deadline="1h")
    pass_deadline(team, run_id)
    gate = team.client.get(f"{API}/runs/{run_id}/gates", headers=bearer(team, "vera", "view")).json["gates"][0]
    assert (gate["overdue"], gate["verdict"]["state"]) == (True, "open")
    assert gate["deadline"] < team.store.clock.now()


def pass_deadline(team, run_id):
    """Let the deadline of a run's gate be over since a second."""
    at = int(datetime.fromisoformat(team.store.clock.after(-1)).timestamp() * 1e6)
    with team.store.database.write() as connection:
        connection.execute(
            "UPDATE gates SET deadline = ?, due_at = ? WHERE run = (SELECT run FROM runs WHERE run_id = ?)",
            (at, at, run_id),
        )  # fmt: skip


def test_to_withdraw_and_to_comment_need_their_rights(team, ruled):
    run_id = ruled(approvers=("group:finance",), required=2)
    digest = team.gate(run_id).digest
    send(team, run_id, "decision", "ann", answer="approve", digest=digest)
    assert send(team, run_id, "withdrawal", "ann", 403, scopes=("view",), digest=digest)
    assert send(team, run_id, "withdrawal", "ann", 422, digest=digest, by="bea")
    assert send(team, run_id, "withdrawal", "bea", 409, digest=digest)["type"].endswith("#no-open-gate")
    assert send(team, run_id, "comments", "vera", 403, scopes=("view",), text="Hm.")
    assert send(team, run_id, "comments", "nora", 403, scopes=("comment",), text="Hm.")
    send(team, run_id, "comments", "vera", text="Hm.")
    send(team, run_id, "withdrawal", "ann", digest=digest)
    assert [one.who for one in team.store.load_events(run_id) if one.kind in ("commented", "withdrawn")] == [
        "vera", "ann",
    ]  # fmt: skip
    assert check(team.store).problems == []
