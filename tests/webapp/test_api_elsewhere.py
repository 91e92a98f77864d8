"""What the API offers so that the command line can work from elsewhere."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from neurocore.accounts import passwords as _passwords
from neurocore.accounts import people, tokens
from neurocore.persistence.records import RunStatus
from tests.webapp.test_signin import ROOT, Team
from webapp.api import waiting

API = "/api/v1"


@pytest.fixture
def team(tmp_path) -> Iterator[Team]:
    site = Team(tmp_path)
    yield site
    site.store.close()


@pytest.fixture(autouse=True)
def quick_hashes(monkeypatch):
    """Hashes that take no time."""
    monkeypatch.setattr(_passwords, "hashed", lambda password: f"hash of {password}")


def bearer(team, name, scope, *only):
    made = tokens.create(
        people.find_person(name, team.store), name="t", scopes=[scope], blueprints=only, days="", store=team.store,
        config=team.config, actor=ROOT,
    )  # fmt: skip
    return {"Authorization": f"Bearer {made.secret}"}


def post(site, path, body, **headers):
    return site.client.post(f"{API}{path}", json=body, headers=headers)


# ---------------------------------------------------------------- who


@pytest.mark.parametrize("scope", ["view", "start", "answer", "delete"])
def test_every_token_says_whose_it_is_and_what_it_is_for(team, scope):
    found = team.client.get(f"{API}/me", headers=bearer(team, "paul", scope, "pay*", "x"))
    assert (found.status_code, found.json) == (200, {
        "mode": "local", "username": "paul", "label": "paul", "roles": ["approver@payout*"], "groups": [],
        "known_by": "token", "scopes": [scope], "blueprints": ["pay*", "x"],
    })  # fmt: skip


def test_a_token_of_somebody_without_a_role_may_ask_and_nothing_else(team):
    headers = bearer(team, "nora", "view")
    assert team.client.get(f"{API}/me", headers=headers).json["roles"] == []
    assert team.client.get(f"{API}/runs", headers=headers).status_code == 403


def test_nobody_and_somebody_disabled_are_told_nothing(team):
    assert team.client.get(f"{API}/me").status_code == 401
    headers = bearer(team, "vera", "view")
    assert team.client.get(f"{API}/me", headers=headers).status_code == 200
    people.disable("vera", store=team.store, actor=ROOT)
    assert team.client.get(f"{API}/me", headers=headers).status_code == 401


def test_where_nobody_signs_in_there_is_no_name(site):
    found = site.client.get(f"{API}/me").json
    assert (found["mode"], found["username"], found["scopes"], found["known_by"]) == ("open", None, None, "claimed")


def test_a_token_sees_only_the_blueprints_that_it_is_for(team):
    payout, two = team.run(), team.run("two")
    headers = bearer(team, "vera", "view", "payout")
    listed = team.client.get(f"{API}/runs", headers=headers).json["runs"]
    assert [one["run_id"] for one in listed] == [payout]
    assert team.client.get(f"{API}/runs/{payout}", headers=headers).status_code == 200
    assert team.client.get(f"{API}/runs/{two}", headers=headers).status_code == 404


def test_a_blueprint_that_one_may_not_see_cannot_be_started_as_if_it_were_not_there(team):
    headers = bearer(team, "olaf", "start", "pay*")
    answers = [post(team, f"/blueprints/{name}/runs", {}, **headers) for name in ("two", "nothing")]
    assert [one.status_code for one in answers] == [404, 404]
    assert answers[0].json["detail"] == answers[1].json["detail"].replace("nothing", "two")
    assert post(team, "/blueprints/payout/runs", {}, **headers).status_code == 201


# ---------------------------------------------------------------- inputs as text


def test_text_is_read_by_the_declared_type(site):
    made = post(site, "/blueprints/payout/runs", {"by": "ann", "text": {"batch": "03", "amount": "7"}})
    assert made.status_code == 201
    assert site.store.load_run(made.json["run_id"]).initial_data["batch"] == "03"
    assert site.store.load_run(made.json["run_id"]).initial_data["amount"] == 7


@pytest.mark.parametrize("text", [{"amount": "seven"}, {"nope": "1"}])
def test_text_that_does_not_fit_is_a_problem_with_its_field(site, text):
    refused = post(site, "/blueprints/payout/runs", {"by": "ann", "text": text})
    assert refused.status_code == 422
    assert [one["field"] for one in refused.json["errors"]] == list(text)
    assert site.store.list_runs() == []


def test_text_reads_no_file_of_the_server(site):
    (site.root / "secret.txt").write_text("hidden")
    made = post(site, "/blueprints/payout/runs", {"by": "ann", "text": {"batch": "@secret.txt"}})
    assert made.json["title"] == "@secret.txt"


SECRETIVE = """
name: secretive
inputs:
  key: {secret: true}
  size: {type: integer, default: 1}
components: [{name: read, type: say}]
flow: {steps: [{component: read}]}
"""


def test_text_tells_nothing_about_the_environment(site, monkeypatch):
    (site.root / "blueprints" / "secretive.yaml").write_text(SECRETIVE)
    monkeypatch.setenv("THERE", "x")
    told = [
        post(site, "/blueprints/secretive/runs", {"by": "ann", "text": {"key": f"${{{name}}}", "size": "x"}}).json
        for name in ("THERE", "AWAY")
    ]
    assert told[0]["detail"].replace("THERE", "AWAY") == told[1]["detail"]


# ---------------------------------------------------------------- ids


def test_a_named_run_is_made_once_and_its_name_refused_to_others(site):
    body = {"by": "ann", "run_id": "monthly"}
    first = post(site, "/blueprints/payout/runs", body, **{"Idempotency-Key": "k"})
    again = post(site, "/blueprints/payout/runs", body, **{"Idempotency-Key": "k"})
    other = post(site, "/blueprints/payout/runs", body)
    assert (first.status_code, again.status_code, other.status_code) == (201, 201, 409)
    assert first.json == again.json
    assert post(site, "/blueprints/payout/runs", {"by": "ann", "run_id": "../x"}).status_code == 422


# ---------------------------------------------------------------- resume


def test_a_step_that_waits_is_named_and_gets_text(site):
    run_id = site.run("asking")
    wrong = post(site, f"/runs/{run_id}/resumption", {"by": "ann", "gate": "nope", "text": {"n": "7"}})
    assert (wrong.status_code, wrong.json["type"].partition("#")[2]) == (409, "no-open-gate")
    done = post(site, f"/runs/{run_id}/resumption", {"by": "ann", "gate": "question", "text": {"n": "7"}})
    assert (done.status_code, done.json["status"]) == (200, "completed")
    assert site.client.get(f"{API}/runs/{run_id}").json["data"]["given"] == {"n": 7}


def test_latest_continues_with_the_current_file(site):
    run_id = site.run(fail="write")
    site.decide(run_id, "approve")
    path = site.root / "blueprints" / "payout.yaml"
    path.write_text(path.read_text().replace("file: out.xml", "file: new.xml"))
    body = {"by": "ann", "latest": True, "data": {"fail": ""}}
    assert post(site, f"/runs/{run_id}/resumption", body).status_code == 200
    assert "new.xml" in site.client.get(f"{API}/runs/{run_id}/inspection?full=true").json["blueprint_source"]


# ---------------------------------------------------------------- waiting for a change


def test_waiting_for_a_change_ends_with_any_change_and_not_before(site, monkeypatch):
    run_id = site.run()
    first = site.client.get(f"{API}/runs/{run_id}?context=false")
    assert first.json["data"] == {}
    unchanged = {"If-None-Match": first.headers["ETag"]}
    assert site.client.get(f"{API}/runs/{run_id}?wait=0.01&change=true", headers=unchanged).status_code == 304
    looked = threading.Event()
    real = waiting._is_over

    def is_over(*args):
        looked.set()
        return real(*args)

    monkeypatch.setattr(waiting, "_is_over", is_over)
    answers = []
    waits = threading.Thread(
        target=lambda: answers.append(
            site.app.test_client().get(f"{API}/runs/{run_id}?wait=60&change=true", headers=unchanged)
        )
    )
    waits.start()
    assert looked.wait(30)
    site.decide(run_id, "approve")
    waits.join(30)
    assert answers[0].status_code == 200
    assert answers[0].headers["ETag"] != first.headers["ETag"]
    assert site.store.load_summary(run_id).status is RunStatus.COMPLETED


def test_a_run_that_is_not_waited_for_answers_at_once_with_a_change(site):
    run_id = site.run()
    assert site.client.get(f"{API}/runs/{run_id}?wait=60&change=true").status_code == 200


# ---------------------------------------------------------------- what is printed


def test_an_inspection_has_what_the_command_line_prints(site):
    run_id = site.run()
    found = site.client.get(f"{API}/runs/{run_id}/inspection").json
    assert found["run"]["description"] == "Pays after a person has agreed."
    assert (found["run"]["outputs"], found["run"]["replay_only"], found["run"]["owed"]) == ([], None, None)
    assert found["steps"][0]["output_keys"] == ["payees"]
    assert found["blueprint_source"] is None
    full = site.client.get(f"{API}/runs/{run_id}/inspection?full=true").json
    assert "name: payout" in full["blueprint_source"]
