"""What the log keeps, what comes twice, what is tried ten thousand times, and a restart in the middle of each."""

from __future__ import annotations

import io
import logging
import re

import pytest

from neurocore import log
from neurocore.access.roles import Grant, Role
from neurocore.accounts import passwords, people, signin
from neurocore.auth import Auth
from neurocore.config import NeuroCoreConfig
from neurocore.persistence import SQLiteRunStore
from tests.webapp.test_rights_walk import refused
from tests.webapp.test_signin import PASSWORD, ROOT, quick_hashes, team
from tests.webapp.test_unseen import bearer
from webapp import create_app

__all__ = ["quick_hashes", "team"]


# -------------------------------------------------------------------- the log


@pytest.mark.parametrize("form", ["console", "json"])
def test_nothing_that_somebody_sends_writes_a_line_of_its_own_into_the_log(team, monkeypatch, form):
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(log._Json() if form == "json" else log._Plain("%(levelname)-7s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.addHandler(handler)
    monkeypatch.setattr(root, "level", logging.INFO)
    hostile = "\r\nERROR webapp: forged\x1b[2J\u2028\x85\x00"
    try:
        agent = {"User-Agent": "Mozilla/5.0 \x1b[2J\x9b"}
        team.sign_in(f"vera{hostile}", "wrong")
        team.client.get("/runs/%0d%0aERROR%20webapp:%20forged%1b[2J%e2%80%a8", headers=agent)
        team.sign_in("vera")
        team.client.post("/users/%0aERROR%20webapp:%20forged%1b[2J/link", data={"csrf_token": team.token()})
        team.send("/account/password", {"current": hostile, "password": hostile})
        monkeypatch.setattr(team.store, "page_runs", lambda *args, **kwargs: 1 / 0)
        team.client.get("/runs?q=%0aERROR%20webapp:%20forged%1b[2J", headers=agent)
    finally:
        root.removeHandler(handler)
    text = stream.getvalue()
    assert "forged" in text, "it is told"
    assert not [line for line in text.splitlines() if line.startswith("ERROR webapp: forged")]
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]", text)


def test_failed_sign_ins_and_refused_rights_are_in_the_log_and_passwords_are_not(team, caplog):
    caplog.set_level(logging.INFO)
    team.sign_in("vera", "a wrong password of mine")
    team.sign_in("vera")
    team.send("/users/adam/disabling")
    assert "A sign-in as vera from 127.0.0.1 failed" in caplog.text
    assert "vera signed in by a password." in caplog.text
    assert "POST /users/adam/disabling from 127.0.0.1 was refused: You need the role admin" in caplog.text
    assert "a wrong password of mine" not in caplog.text
    assert PASSWORD not in caplog.text


# -------------------------------------------------------------------- requests that come twice


def test_the_same_key_of_two_people_gives_each_their_own_answer(team):
    ann, bob = (
        people.add_person(name, store=team.store, actor=ROOT, grants=[Grant(Role.OPERATOR)]) for name in ("ann", "bob")
    )
    answers = {}
    for person in (ann, bob, ann, bob):
        headers = {**bearer(team, person, ["start"]), "Idempotency-Key": "the-same-key"}
        answer = team.browser().post("/api/v1/blueprints/payout/runs", json={}, headers=headers)
        answers.setdefault(person.username, []).append(answer)
    for name, (first, again) in answers.items():
        assert first.status_code == again.status_code == 201
        assert first.json["run_id"] == again.json["run_id"]
        assert ("Idempotency-Replayed" in first.headers, again.headers["Idempotency-Replayed"]) == (False, "true")
        assert team.store.load_summary(first.json["run_id"]).started_by == name
    assert answers["ann"][0].json["run_id"] != answers["bob"][0].json["run_id"]


def test_a_key_that_looks_like_that_of_somebody_else_is_another(team):
    ann, bob = (
        people.add_person(name, store=team.store, actor=ROOT, grants=[Grant(Role.OPERATOR)]) for name in ("ann", "bob")
    )
    first = bearer(team, ann, ["start"])
    made = team.browser().post("/api/v1/blueprints/payout/runs", json={}, headers={**first, "Idempotency-Key": "k"})
    for key in (f"{ann.id} k", f"{ann.id}k", f"answer {ann.id} k"):
        headers = {**bearer(team, bob, ["start"]), "Idempotency-Key": key}
        answer = team.browser().post("/api/v1/blueprints/payout/runs", json={}, headers=headers)
        assert answer.json["run_id"] != made.json["run_id"]


def test_a_token_and_a_session_at_once_are_refused_whoever_they_name(team):
    team.sign_in("vera")
    for name in ("vera", "anna"):
        headers = bearer(team, people.find_person(name, team.store), ["view"])
        assert team.client.get("/api/v1/runs", headers=headers).status_code == 400
        assert team.client.get("/runs", headers=headers).status_code == 400


# -------------------------------------------------------------------- guesses


def test_ten_thousand_guesses_are_ten_and_the_owner_gets_in(team, monkeypatch):
    hasher, verified = passwords._hasher(), []

    class Counting:
        def verify(self, kept, password):
            verified.append(kept)
            return hasher.verify(kept, password)

    team.sign_in("vera")
    team.send("/logout")
    passwords._nobody()
    monkeypatch.setattr(passwords, "_hasher", Counting)

    def guess(number, name="vera", address="203.0.113.9"):
        try:
            found = signin.authenticate(name, f"guess {number}", store=team.store, address=address, known=False)
        except signin.TooMany:
            return "refused"
        return found

    answers = [guess(number) for number in range(10_000)]
    assert (answers.count(None), answers.count("refused")) == (signin.PER_ACCOUNT, 10_000 - signin.PER_ACCOUNT)
    assert len(verified) == signin.PER_ACCOUNT
    again = SQLiteRunStore(team.config.runs_db_path)
    with pytest.raises(signin.TooMany):
        signin.authenticate("vera", PASSWORD, store=again, address="203.0.113.9", known=False)
    again.close()
    names = [guess(number, f"name{number}") for number in range(1000)]
    assert names.count(None) == signin.PER_ADDRESS - signin.PER_ACCOUNT, "one address has a limit for all names"
    assert len(verified) == signin.PER_ADDRESS
    assert team.sign_in("vera").status_code == 303, "the owner, whose browser has signed in before"
    other = signin.authenticate("vera", PASSWORD, store=team.store, address="198.51.100.7", known=False)
    assert other is not None, "and from another address"


def test_attempts_that_no_limit_counts_are_forgotten(team):
    clock = team.store.clock
    long_ago = clock.after(-2 * signin.WINDOW)
    for number in range(50):
        team.store.count_attempt(f"account:{number}", now=long_ago, since=clock.after(-3 * signin.WINDOW))

    def kept():
        with team.store._db.read() as connection:
            return connection.execute("SELECT count(*) FROM attempts").fetchone()[0]

    assert kept() == 50
    team.sign_in("vera", "wrong")
    assert kept() == 2, "those of this account and of this address"


# -------------------------------------------------------------------- a restart in the middle


@pytest.fixture
def restart(team):
    """Begin anew with another app over another connection, as a new process does; browsers keep their cookies."""
    stores = []

    def begin():
        stores.append(SQLiteRunStore(team.config.runs_db_path))
        team.dispatcher._store = stores[-1]
        team.app = create_app(
            NeuroCoreConfig(project_root=team.root, auth=Auth(mode="local")), store=stores[-1],
            dispatcher=team.dispatcher,
        )  # fmt: skip
        team.client.application = team.app

    yield begin
    for one in stores:
        one.close()


def test_a_form_of_signing_in_outlives_a_restart(team, restart):
    form = {"csrf_token": team.token(), "username": "vera", "password": PASSWORD, "next": "/runs"}
    restart()
    assert team.client.post("/login", data=form).status_code == 303
    restart()
    assert team.client.get("/runs").status_code == 200


def test_a_one_time_link_outlives_a_restart_and_is_used_once(team, restart):
    secret = people.make_link(people.find_person("vera", team.store), store=team.store, actor=ROOT)
    page = team.client.get(f"/link/{secret}").text
    token = re.search(r'name="csrf_token" value="([^"]+)"', page)[1]
    word = "another staple of horses"
    restart()
    form = {"csrf_token": token, "password": word, "again": word}
    assert team.client.post(f"/link/{secret}", data=form).status_code == 303
    restart()
    assert team.client.get("/runs").status_code == 200
    assert team.client.get(f"/link/{secret}").status_code == 410


@pytest.mark.parametrize("place", ["before the answer", "answer.before_commit", "answer.after_commit"])
def test_an_answer_outlives_a_restart_and_counts_once(team, restart, monkeypatch, place):
    run_id = team.run()
    team.sign_in("anna")
    gate, token = team.gate(run_id), team.token()
    form = {"csrf_token": token, "decision": "approve", "gate": "review", "visit": "1", "digest": gate.digest}
    if place != "before the answer":
        with monkeypatch.context() as dying:
            dying.setattr("neurocore.runs.decide.failpoint", lambda name: 1 / 0 if name == place else None)
            assert team.client.post(f"/runs/{run_id}/decision", data=form).status_code == 500
    restart()
    assert team.client.post(f"/runs/{run_id}/decision", data=form).status_code == 303
    answers = team.gate(run_id).answers
    assert [(one.by, one.approved) for one in answers] == [("anna", True)]
    assert not refused(team.client.get(f"/runs/{run_id}"))
