"""What programs do to runs by the API, and that a request that comes twice acts once."""

from __future__ import annotations

import pytest

from neurocore import failpoints
from neurocore.clock import Clock
from neurocore.errors import RunExists, StoreError
from neurocore.persistence import SQLiteRunStore
from neurocore.persistence.records import GateStatus, RunStatus
from neurocore.runtime.executor import create_run
from webapp.api import idempotency

API = "/api/v1"


def tell(site, path, body, status=200, key=None, **options):
    """POST to the API, under a key."""
    headers = {"Idempotency-Key": key} if key else {}
    answer = site.client.post(API + path, json=body, headers=headers, **options)
    assert answer.status_code == status, answer.text
    return answer.json


def decide(site, run_id, approved=True, status=200, *, node="review", key=None, **more):
    gate = site.gate(run_id, node)
    body = {"approved": approved, "by": "carla", "digest": gate.digest, **more}
    return tell(site, f"/runs/{run_id}/decision", body, status, key)


# -------------------------------------------------------------------- the verbs


def test_a_run_is_started_and_stands_where_its_location_says(site):
    body = {"by": "ann", "data": {"batch": "Wages", "amount": 5}, "tags": ["monthly"]}
    answer = site.client.post(f"{API}/blueprints/payout/runs", json=body)
    assert answer.status_code == 201
    made = site.client.get(answer.headers["Location"]).json
    assert made["run_id"] == answer.json["run_id"]
    assert (made["title"], made["status"], made["started_by"], made["tags"]) == (
        "Wages",
        "suspended",
        "ann",
        ["monthly"],
    )
    assert site.store.load_run(made["run_id"]).known_by == "claimed"


def test_an_approval_takes_effect_and_the_run_goes_on(site):
    run_id = site.run()
    found = decide(site, run_id, note="fine")
    assert found["status"] == "completed"
    assert found["decision"]["effect"] == "took_effect"
    answer = site.gate(run_id).decision
    assert (answer.by, answer.known_by, answer.note) == ("carla", "claimed", "fine")
    assert answer.digest == site.gate(run_id).digest


def test_a_rejection_needs_its_note_and_ends_the_run(site):
    run_id = site.run()
    assert decide(site, run_id, False, 422)["errors"] == [
        {"field": "note", "detail": "A rejection here needs a note: say why."}
    ]
    assert decide(site, run_id, False, note="wrong file")["failure"]["kind"] == "rejected"


def test_an_answer_must_name_what_was_looked_at(site):
    run_id = site.run()
    body = {"approved": True, "by": "carla"}
    assert tell(site, f"/runs/{run_id}/decision", body, 422)["errors"][0]["field"] == "digest"
    problem = tell(site, f"/runs/{run_id}/decision", {**body, "digest": "0" * 64}, 409)
    assert problem["type"].endswith("#changed")
    assert problem["gate"]["digest"] == site.gate(run_id).digest, "the problem says what is shown now"
    assert site.gate(run_id).status is GateStatus.OPEN


@pytest.mark.parametrize(
    ("path", "body", "key"),
    [
        ("/runs/{}/decision", '{"approved": false, "by": "carla", "digest": "DIGEST", "approved": true}', "approved"),
        ("/runs/{}/decision", '{"approved": true, "by": "carla", "digest": "DIGEST", "\\u0062y": "dora"}', "by"),
        ("/blueprints/payout/runs", '{"by": "ann", "data": {"amount": 5, "amount": 5000}}', "amount"),
        ("/blueprints/payout/runs", '{"by": "ann", "data": {"n": %s, "n": 1}}' % ("9" * 4_300), "n"),
    ],
)
def test_a_body_that_says_something_twice_is_refused_whole(site, path, body, key):
    run_id = site.run()
    body = body.replace("DIGEST", site.gate(run_id).digest)
    answer = site.client.post(API + path.format(run_id), data=body, content_type="application/json")
    assert answer.status_code == 422, answer.text
    assert answer.json["detail"] == f"The key {key!r} occurs twice in one object of the body; keep one of them."
    assert site.gate(run_id).status is GateStatus.OPEN
    assert len(site.store.list_runs()) == 1


def test_the_same_again_is_a_success_and_another_late_answer_names_who_was_faster(site):
    run_id = site.run()
    decide(site, run_id, note="fine")
    assert decide(site, run_id)["decision"]["effect"] == "repeated"
    problem = decide(site, run_id, False, 409, by="dora", note="no")
    assert problem["type"].endswith("#already-decided")
    assert (problem["decision"]["by"], problem["decision"]["approved"]) == ("carla", True)
    assert problem["decision"]["at"] in problem["detail"]
    assert len(site.gate(run_id).answers) == 1


def test_the_digest_names_the_gate_where_several_are_open(site):
    run_id = site.run("two")
    decide(site, run_id, node="right")
    assert site.gate(run_id, "left").status is GateStatus.OPEN
    assert site.gate(run_id, "right").status is not GateStatus.OPEN
    body = {"approved": True, "by": "carla", "digest": "old"}
    other = site.run("two")
    assert len(tell(site, f"/runs/{other}/decision", body, 409)["gates"]) == 2


def test_a_decision_is_on_disk_even_where_nobody_drives_the_run(site):
    run_id = site.run()
    site.dispatcher.hold = True
    found = decide(site, run_id)
    assert (found["status"], found["state"]) == ("suspended", "owed")
    assert found["waits"] == []


def test_a_failed_run_is_resumed_and_its_steps_see_the_data(site):
    run_id = site.run(fail="read")
    found = tell(site, f"/runs/{run_id}/resumption", {"by": "ann", "data": {"hint": 1}})
    assert found["status"] == "failed"
    steps = site.store.load_steps(run_id)
    assert [step.attempt for step in steps] == [1, 2]
    assert ("resumed", "ann") in [(event.kind, event.who) for event in site.store.load_events(run_id)]


def test_a_step_that_waits_for_data_is_given_it(site):
    run_id = site.run("asking")
    found = tell(site, f"/runs/{run_id}/resumption", {"by": "ann", "data": {"account": 7}})
    assert found["status"] == "completed"
    assert site.store.load_run(run_id).final_context["data"]["given"]["account"] == 7
    other = site.run("asking")
    found = decide(site, other, node="question", data={"account": 8})
    assert site.store.load_run(other).final_context["data"]["given"]["account"] == 8


def test_what_cannot_be_resumed_says_what_to_do(site):
    waiting = site.run()
    problem = tell(site, f"/runs/{waiting}/resumption", {"by": "ann"}, 409)
    assert "review" in problem["detail"]
    done = site.run()
    decide(site, done)
    assert "replay" in tell(site, f"/runs/{done}/resumption", {"by": "ann"}, 409)["detail"]
    assert tell(site, f"/runs/{waiting}/resumption", {"by": "ann", "data": {}}, 409)["type"].endswith("not-resumable")
    gated = decide(site, waiting, True, 422, data={"more": 1})
    assert gated["errors"][0]["field"] == "data"


def test_a_replay_is_a_new_run_that_names_the_old_one_and_takes_no_answer_along(site):
    run_id = site.run(batch="Wages")
    decide(site, run_id)
    found = tell(site, f"/runs/{run_id}/replay", {"by": "ann", "tags": ["again"]}, 201)
    assert (found["replay_of"], found["title"], found["status"]) == (run_id, "Wages", "suspended")
    assert found["tags"] == ["again"]
    path = site.root / "blueprints" / "payout.yaml"
    path.write_text(path.read_text().replace('version: "2"', 'version: "3"'))
    latest = tell(site, f"/runs/{run_id}/replay", {"by": "ann", "latest": True}, 201)
    assert latest["blueprint_version"] == "3"
    path.unlink()
    assert "no longer exists" in tell(site, f"/runs/{run_id}/replay", {"by": "ann", "latest": True}, 409)["detail"]


def test_a_tag_that_breaks_the_line_is_refused_at_its_place(site):
    for address in ("/blueprints/payout/runs", f"/runs/{site.run()}/replay"):
        found = tell(site, address, {"by": "ann", "tags": ["end\nof May"]}, 422)
        assert found["errors"] == [{"field": "tags", "detail": "A tag cannot have control characters; remove U+000A."}]


def test_a_run_is_cancelled_once_and_deleted_when_it_has_ended(site):
    run_id = site.run()
    assert "cancel it first" in tell(site, f"/runs/{run_id}/deletion", {"by": "ann"}, 409)["detail"]
    found = tell(site, f"/runs/{run_id}/cancellation", {"by": "ann", "note": "too early"})
    assert found["status"] == "cancelled"
    assert tell(site, f"/runs/{run_id}/cancellation", {"by": "ann"}, 409)["type"].endswith("#refused")
    assert tell(site, f"/runs/{run_id}/deletion", {"by": "ann"})["deleted_by"] == "ann"
    assert tell(site, f"/runs/{run_id}/cancellation", {"by": "ann"}, 410)["deleted"]["deleted_by"] == "ann"


# -------------------------------------------------------------------- the same request twice


def verbs(site):
    """Every verb: its address, its body, and what must be there once however often it is asked for."""
    waiting, failed, asking = site.run(), site.run(fail="read"), site.run("asking")
    gate = site.gate(waiting)

    def count(kind):
        return lambda: sum(
            event.kind == kind
            for run in site.store.list_runs(limit=100)
            for event in site.store.load_events(run.run_id)
        )

    return {
        "start": ("/blueprints/payout/runs", {"by": "ann"}, lambda: len(site.store.list_runs(limit=100)) - 3),
        "replay": (f"/runs/{failed}/replay", {"by": "ann"}, lambda: len(site.store.list_runs(limit=100)) - 3),
        "decide": (
            f"/runs/{waiting}/decision", {"approved": True, "by": "ann", "digest": gate.digest},
            lambda: len(site.gate(waiting).answers),
        ),
        "resume": (f"/runs/{failed}/resumption", {"by": "ann"}, count("resumed")),
        "give": (f"/runs/{asking}/resumption", {"by": "ann", "data": {"a": 1}}, count("answered")),
        "cancel": (f"/runs/{waiting}/cancellation", {"by": "ann"}, count("cancelled")),
        "delete": (
            f"/runs/{failed}/deletion", {"by": "ann"}, lambda: int(site.store.load_tombstone(failed) is not None),
        ),
    }  # fmt: skip


VERBS = ["start", "replay", "decide", "resume", "give", "cancel", "delete"]


@pytest.mark.parametrize("verb", VERBS)
def test_the_same_key_and_body_get_the_same_answer_and_act_once(site, verb):
    path, body, effects = verbs(site)[verb]
    headers = {"Idempotency-Key": "5f0c"}
    first = site.client.post(API + path, json=body, headers=headers)
    again = site.client.post(API + path, json=dict(reversed(body.items())), headers=headers)
    assert first.status_code in (200, 201), first.text
    assert (again.status_code, again.data) == (first.status_code, first.data)
    assert again.headers.get("Location") == first.headers.get("Location")
    assert again.headers["Idempotency-Replayed"] == "true"
    assert effects() == 1


class Died(Exception):
    """Stands for the death of the process."""


def die():
    raise Died


@pytest.mark.parametrize("verb", VERBS)
def test_a_server_that_died_between_the_effect_and_its_record_does_not_act_twice(site, verb):
    path, body, effects = verbs(site)[verb]
    with failpoints.arm("request.before_kept", die):
        assert site.client.post(API + path, json=body, headers={"Idempotency-Key": "5f0c"}).status_code == 500
    assert effects() == 1
    again = tell(site, path, body, 201 if verb in ("start", "replay") else 200, key="5f0c")
    assert effects() == 1, "the second request acted again"
    assert tell(site, path, body, 201 if verb in ("start", "replay") else 200, key="5f0c") == again
    tell(site, path, {**body, "by": "eve"}, 422, key="5f0c")


def test_a_start_that_died_before_it_was_driven_is_driven_by_the_second_request(site):
    site.dispatcher.hold = True
    with failpoints.arm("request.before_kept", die):
        site.client.post(f"{API}/blueprints/payout/runs", json={"by": "ann"}, headers={"Idempotency-Key": "k"})
    site.dispatcher.hold = False
    (site.root / "blueprints" / "payout.yaml").unlink()
    found = tell(site, "/blueprints/payout/runs", {"by": "ann"}, 201, key="k")
    assert found["status"] == "suspended", "the run of the first request waits at its gate"


def test_a_key_belongs_to_one_request(site):
    run_id = site.run()
    tell(site, "/blueprints/payout/runs", {"by": "ann"}, 201, key="k")
    for path, body in (
        ("/blueprints/payout/runs", {"by": "bob"}),
        ("/blueprints/two/runs", {"by": "ann"}),
        (f"/runs/{run_id}/cancellation", {"by": "ann"}),
    ):
        problem = tell(site, path, body, 422, key="k")
        assert problem["type"].endswith("#key-used")
    assert not site.store.load_summary(run_id).status.ended


def test_a_key_in_flight_is_refused_until_it_has_its_answer(site):
    with idempotency._alone(site.store, "k"):
        problem = tell(site, "/blueprints/payout/runs", {"by": "ann"}, 409, key="k")
        assert problem["type"].endswith("#in-flight")
        tell(site, "/blueprints/payout/runs", {"by": "ann"}, 201, key="other")
    tell(site, "/blueprints/payout/runs", {"by": "ann"}, 201, key="k")


def test_two_servers_that_get_the_same_request_at_once_make_one_run(site, monkeypatch):
    made, answers = [], []

    def both(*arguments, **options):
        if not made:
            made.append(1)
            monkeypatch.setattr(idempotency, "_in_flight", set())  # another process holds nothing of ours
            answers.append(tell(site, "/blueprints/payout/runs", {"by": "ann"}, 201, key="k"))
        return create_run(*arguments, **options)

    monkeypatch.setattr("webapp.api.verbs.create_run", both)
    answers.append(tell(site, "/blueprints/payout/runs", {"by": "ann"}, 201, key="k"))
    assert len(site.store.list_runs()) == 1
    assert answers[0] == answers[1]


def test_an_id_that_is_taken_by_a_run_that_is_gone_in_that_moment_is_a_refusal(site, monkeypatch):
    def taken(new, *_arguments, **_options):
        raise RunExists(f"A run with the id {new.run_id} exists already.")

    monkeypatch.setattr("webapp.api.verbs.create_run", taken)
    problem = tell(site, "/blueprints/payout/runs", {"by": "ann"}, 409)
    assert problem["type"].endswith("#refused")
    assert "exists already" in problem["detail"]


def test_a_refusal_is_not_kept_because_it_changed_nothing(site):
    run_id = site.run()
    tell(site, f"/runs/{run_id}/deletion", {"by": "ann"}, 409, key="k")
    tell(site, f"/runs/{run_id}/cancellation", {"by": "ann"})
    tell(site, f"/runs/{run_id}/deletion", {"by": "ann"}, key="k")


@pytest.mark.parametrize(
    ("path", "wrong", "right", "status"),
    [
        (
            "/blueprints/payout/runs",
            {"by": "ann", "data": {"amount": "much"}},
            {"by": "ann", "data": {"amount": 5}},
            201,
        ),
        ("/blueprints/payout/runs", {"by": "\u200b"}, {"by": "ann"}, 201),
        ("/runs/{run}/decision", {"approved": False, "by": "ann"}, {"approved": False, "by": "ann", "note": "no"}, 200),
        ("/runs/{run}/resumption", {"by": "ann"}, {"by": "bob"}, 409),
    ],
)
def test_a_corrected_request_may_use_the_key_of_the_refused_one(site, path, wrong, right, status):
    run_id = site.run()
    if "decision" in path:
        digest = {"digest": site.gate(run_id).digest}
        wrong, right = {**wrong, **digest}, {**right, **digest}
    path = path.format(run=run_id)
    refused = site.client.post(API + path, json=wrong, headers={"Idempotency-Key": "k"})
    assert refused.status_code in (409, 422), refused.text
    tell(site, path, right, status, key="k")
    if status < 300:
        problem = tell(site, path, {**right, "by": "eve"}, 422, key="k")
        assert problem["type"].endswith("#key-used"), "what was done under the key stays the key's"


def test_a_store_that_fails_on_the_way_keeps_the_key_for_that_request(site, monkeypatch):
    def full(*_args, **_options):
        raise StoreError("The disk is full.")

    with monkeypatch.context() as broken:
        broken.setattr(site.store, "create_run", full)
        tell(site, "/blueprints/payout/runs", {"by": "ann"}, 503, key="k")
    assert tell(site, "/blueprints/payout/runs", {"by": "bob"}, 422, key="k")["type"].endswith("#key-used")
    tell(site, "/blueprints/payout/runs", {"by": "ann"}, 201, key="k")


@pytest.mark.parametrize("key", ["", "x" * 201, "caf\xe9"])
def test_a_key_that_cannot_be_kept_is_refused(site, key):
    answer = site.client.post(
        f"{API}/blueprints/payout/runs", json={"by": "ann"}, headers={"Idempotency-Key": key}
    )  # fmt: skip
    assert answer.status_code == 422
    assert answer.json["errors"][0]["field"] == "Idempotency-Key"
    assert site.store.list_runs() == []


class Tomorrow(Clock):
    def micros(self):
        return super().micros() + 25 * 3600 * 1_000_000


def test_keys_are_forgotten_after_a_day_and_mean_a_new_request_then(site):
    first = tell(site, "/blueprints/payout/runs", {"by": "ann"}, 201, key="k")
    site.store.clock = Tomorrow()
    second = tell(site, "/blueprints/payout/runs", {"by": "ann"}, 201, key="k")
    assert second["run_id"] != first["run_id"]
    assert isinstance(site.store, SQLiteRunStore)


def test_without_a_key_every_request_is_a_new_one(site):
    tell(site, "/blueprints/payout/runs", {"by": "ann"}, 201)
    tell(site, "/blueprints/payout/runs", {"by": "ann"}, 201)
    assert len(site.store.list_runs(status=RunStatus.SUSPENDED)) == 2
