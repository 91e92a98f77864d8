"""Sign-in by password: sessions, roles, tokens, and what each of them keeps out."""

from __future__ import annotations

import re

import pytest
from argon2 import PasswordHasher

from neurocore.access.actor import Actor, Face, KnownBy, this_user
from neurocore.access.permission import Action
from neurocore.access.roles import Grant, Role
from neurocore.access.table import table
from neurocore.accounts import passwords, people
from neurocore.accounts.signin import PER_ACCOUNT
from neurocore.auth import Auth
from neurocore.errors import Forbidden, UsageError
from neurocore.persistence import InMemoryRunStore
from neurocore.runs.decide import decide_gate
from tests.webapp.conftest import Site

PASSWORD = "correct horse battery staple"
ROOT = this_user(Face.CLI)
GRANTS = {
    "vera": [Grant(Role.VIEWER)], "olaf": [Grant(Role.OPERATOR)], "anna": [Grant(Role.APPROVER)],
    "adam": [Grant(Role.ADMIN)], "nora": [], "paul": [Grant(Role.APPROVER, "payout*")],
}  # fmt: skip


class Team(Site):
    """A site in `local` mode with people of each role; `sign_in` signs its browser in as one of them."""

    def __init__(self, root):
        super().__init__(root, auth=Auth(mode="local"))
        for name, grants in GRANTS.items():
            people.add_person(name, store=self.store, actor=ROOT, grants=grants, password=PASSWORD)

    def sign_in(self, name, password=PASSWORD, target="/", client=None):
        client = client or self.client
        form = {"csrf_token": self.token(client), "username": name, "password": password, "next": target}
        return client.post("/login", data=form)

    def token(self, client=None):
        text = (client or self.client).get("/login").text
        return re.search(r'name="csrf_token" value="([^"]+)"', text)[1]

    def send(self, path, form=None, client=None):
        return (client or self.client).post(path, data={"csrf_token": self.token(client), **(form or {})})

    def browser(self):
        return self.app.test_client()


@pytest.fixture(autouse=True)
def quick_hashes(monkeypatch):
    """Hashes that take no time: how strong they are has a test of its own."""
    monkeypatch.setattr(passwords, "_hasher", lambda: PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    passwords._nobody.cache_clear()
    yield
    passwords._nobody.cache_clear()


@pytest.fixture
def team(tmp_path):
    site = Team(tmp_path)
    yield site
    site.store.close()


def test_without_a_session_a_page_leads_to_the_sign_in_and_back(team):
    answer = team.client.get("/runs?status=failed")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/login?next=/runs%3Fstatus%3Dfailed")
    assert team.client.get("/runs", headers={"HX-Request": "true"}).status_code == 401
    assert team.client.get("/api/v1/runs").status_code == 401
    assert team.client.get("/healthz").status_code == 200
    signed = team.sign_in("vera", target="/runs?status=failed")
    assert (signed.status_code, signed.headers["Location"]) == (303, "/runs?status=failed")
    page = team.client.get("/runs")
    assert page.status_code == 200
    assert "Sign out" in page.text
    assert page.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    "target", ["//evil.example", "https://evil.example/", "/\\evil.example", "javascript:1", "\x00/"]
)
def test_signing_in_leads_to_this_site_alone(team, target):
    assert team.sign_in("vera", target=target).headers["Location"] == "/"


@pytest.mark.parametrize(("name", "password"), [("vera", "wrong"), ("nobody", PASSWORD), ("VERA'--", "x"), ("", "")])
def test_what_is_wrong_is_not_said(team, name, password):
    answer = team.sign_in(name, password)
    assert answer.status_code == 422
    assert "The user name or the password is wrong." in answer.text
    assert team.client.get("/runs").status_code == 303


def test_a_session_gets_a_new_cookie_and_a_new_form_token(team):
    before = team.token()
    team.client.set_cookie(next(iter(team.client._cookies.values())).key, "forged")
    team.sign_in("vera")
    assert team.client.post("/logout", data={"csrf_token": before}).status_code == 400
    assert team.client.get("/runs").status_code == 200


def test_signing_out_ends_the_session_itself(team):
    team.sign_in("vera")
    stolen = team.browser()
    for cookie in team.client._cookies.values():
        stolen.set_cookie(cookie.key, cookie.value)
    assert stolen.get("/runs").status_code == 200
    assert team.send("/logout").status_code == 303
    assert team.client.get("/runs").status_code == 303
    assert stolen.get("/runs").status_code == 303


def test_guesses_are_limited_and_the_owner_still_gets_in(team):
    team.sign_in("vera")
    team.send("/logout")
    stranger = team.browser()
    statuses = [team.sign_in("vera", f"guess number {n}", client=stranger).status_code for n in range(PER_ACCOUNT + 3)]
    assert statuses == [422] * PER_ACCOUNT + [429] * 3
    assert team.sign_in("vera", client=stranger).status_code == 429, "also with the right password"
    assert team.sign_in("vera").status_code == 303, "a browser that has signed in before passes"


@pytest.mark.parametrize("path", ["/", "/runs", "/approvals", "/blueprints", "/runs/{run}", "/about"])
def test_who_has_no_role_sees_nothing_but_the_account(team, path):
    run_id = team.run()
    team.sign_in("nora")
    assert team.client.get(path.format(run=run_id)).status_code in (403, 404)
    assert team.client.get("/account").status_code == 200


#: What each role may do to a run that waits, by a form.
MAY = {
    "vera": set(), "olaf": {"replay", "cancellation"}, "anna": {"decision"}, "adam": {"users"},
    "paul": {"decision"}, "nora": set(),
}  # fmt: skip


@pytest.mark.parametrize("name", list(MAY))
@pytest.mark.parametrize("what", ["decision", "replay", "cancellation", "users"])
def test_each_role_does_what_it_may_and_nothing_else(team, name, what):
    run_id = team.run()
    gate = team.gate(run_id)
    team.sign_in(name)
    forms = {
        "decision": {
            "decision": "approve",
            "gate": "review",
            "visit": "1",
            "digest": gate.digest,
            "by": "somebody else",
        },
        "users": {"username": "newcomer", "role": "viewer"},
    }
    path = "/users" if what == "users" else f"/runs/{run_id}/{what}"
    status = team.send(path, forms.get(what)).status_code
    if what in MAY[name]:
        assert status in (200, 303)
    else:
        assert status in (403, 404)
        assert team.gate(run_id).status == "open"
        assert team.store.load_person(username="newcomer") is None


def test_an_answer_carries_who_signed_in_whatever_the_form_says(team):
    run_id = team.run()
    team.sign_in("anna")
    page = team.client.get(f"/runs/{run_id}").text
    assert "Answering as <b>anna</b>" in page
    assert "Approver</label>" not in page
    gate = team.gate(run_id)
    form = {"decision": "approve", "gate": "review", "visit": "1", "digest": gate.digest, "by": "eve"}
    assert team.send(f"/runs/{run_id}/decision", form).status_code == 303
    answer = team.gate(run_id).answers[0]
    assert (answer.by, answer.known_by) == ("anna", "session")


def test_a_role_is_for_the_blueprints_of_its_pattern_and_others_are_not_there(team):
    seen, unseen = team.run(), team.run("asking")
    team.sign_in("paul")
    assert team.client.get(f"/runs/{seen}").status_code == 200
    assert team.client.get(f"/runs/{unseen}").status_code == 404
    assert team.client.get(f"/runs/{unseen}/compare/{seen}").status_code == 404
    page = team.client.get("/runs").text
    assert seen in page
    assert unseen not in page
    assert unseen not in team.client.get("/approvals").text
    assert unseen not in team.client.get("/").text
    assert ">asking</a>" not in team.client.get("/blueprints").text
    assert ">payout</a>" in team.client.get("/blueprints").text
    assert team.client.get("/blueprints/asking").status_code == 404
    assert team.client.get("/blueprints/nothing").status_code == 404
    assert [one["run_id"] for one in team.client.get("/api/v1/runs").json["runs"]] == [seen]
    assert team.client.get(f"/api/v1/runs/{unseen}").status_code == 404
    assert "asking" not in team.client.get("/api/v1/blueprints").text
    assert team.client.get("/metrics").status_code == 403


def test_a_role_that_is_taken_away_is_gone_with_the_next_request(team):
    run_id = team.run()
    team.sign_in("anna")
    gate = team.gate(run_id)
    form = {"decision": "approve", "gate": "review", "visit": "1", "digest": gate.digest}
    people.revoke("anna", [Grant(Role.APPROVER)], store=team.store, actor=ROOT)
    people.grant("anna", [Grant(Role.VIEWER)], store=team.store, actor=ROOT)
    answer = team.send(f"/runs/{run_id}/decision", form)
    assert answer.status_code == 403
    assert "You need the role approver" in answer.text
    assert "paul" in answer.text, "it says who can"
    people.disable("anna", store=team.store, actor=ROOT)
    assert team.client.get("/runs").status_code == 303


def test_a_one_time_link_sets_a_password_once(team):
    person = people.find_person("vera", team.store)
    secret = people.make_link(person, store=team.store, actor=ROOT)
    team.sign_in("vera")
    other = team.browser()
    assert other.get(f"/link/{secret}").status_code == 200
    assert other.get(f"/link/{secret}").status_code == 200, "looking uses nothing up"
    token = re.search(r'name="csrf_token" value="([^"]+)"', other.get(f"/link/{secret}").text)[1]
    weak = {"csrf_token": token, "password": "password1234", "again": "password1234"}
    assert other.post(f"/link/{secret}", data=weak).status_code == 422
    good = {"csrf_token": token, "password": "another staple of horses", "again": "another staple of horses"}
    assert other.post(f"/link/{secret}", data=good).status_code == 303
    assert other.get("/runs").status_code == 200
    assert team.client.get("/runs").status_code == 303, "the sessions before have ended"
    assert team.browser().get(f"/link/{secret}").status_code == 410


def test_the_first_admin_comes_by_a_link(tmp_path):
    site = Site(tmp_path, auth=Auth(mode="local"))
    secret = people.make_link(None, store=site.store, actor=ROOT)
    text = site.client.get(f"/link/{secret}").text
    assert "Make the first admin" in text
    token = re.search(r'name="csrf_token" value="([^"]+)"', text)[1]
    form = {"csrf_token": token, "username": "root", "password": PASSWORD, "again": PASSWORD}
    assert site.client.post(f"/link/{secret}", data=form).status_code == 303
    assert site.client.get("/users").status_code == 200
    assert site.store.count_admins() == 1
    site.store.close()


def test_the_last_admin_stays(team):
    team.sign_in("adam")
    assert team.send("/users/adam/disabling").status_code == 409
    assert team.send("/users/adam/roles", {"grants": "viewer"}).status_code == 409
    assert team.client.get("/users").status_code == 200


def test_a_token_may_do_what_it_is_for_in_the_name_of_its_owner(team):
    run_id = team.run()
    team.sign_in("anna")
    page = team.send("/account/tokens", {"name": "script", "scope": "view", "days": "7"}).text
    reader = re.search(r"nrc_[\w-]+", page)[0]
    page = team.send("/account/tokens", {"name": "bot", "scope": ["view", "answer"], "days": "7"}).text
    writer = re.search(r"nrc_[\w-]+", page)[0]
    program = team.browser()
    read, write = ({"Authorization": f"Bearer {one}"} for one in (reader, writer))
    assert program.get(f"/api/v1/runs/{run_id}", headers=read).status_code == 200
    body = {"approved": True, "digest": team.gate(run_id).digest}
    address = f"/api/v1/runs/{run_id}/decision"
    assert program.post(address, json=body, headers=read).status_code == 403
    assert program.post(address, json={**body, "by": "eve"}, headers=write).status_code == 422
    assert program.post(address, json=body).status_code == 401
    assert team.client.post(address, json=body).status_code == 401, "a session decides nothing through the API"
    both = team.client.post(address, json=body, headers=write)
    assert both.status_code == 400
    assert program.post(address, json=body, headers=write).status_code == 200
    assert (team.gate(run_id).answers[0].by, team.gate(run_id).answers[0].known_by) == ("anna", "token")
    people.disable("anna", store=team.store, actor=ROOT)
    assert program.get(f"/api/v1/runs/{run_id}", headers=write).status_code == 401


def test_a_revoked_token_is_worth_nothing(team):
    team.sign_in("vera")
    page = team.send("/account/tokens", {"name": "script", "scope": "view"}).text
    secret = re.search(r"nrc_[\w-]+", page)[0]
    headers = {"Authorization": f"Bearer {secret}"}
    assert team.browser().get("/api/v1/runs", headers=headers).status_code == 200
    (token,) = team.store.list_tokens()
    assert team.send(f"/account/tokens/{token.id}/revocation").status_code == 303
    assert team.browser().get("/api/v1/runs", headers=headers).status_code == 401
    assert secret not in team.client.get("/account").text


def test_the_library_answers_no_gate_in_a_name_that_nobody_verified(team):
    team.store.auth_mode = "local"
    run_id = team.run()
    with pytest.raises(Forbidden, match="Only somebody who signed in"):
        decide_gate(run_id, approved=True, by="ann", run_store=team.store)
    vouched = Actor(id="ann", label="ann", known_by=KnownBy.APPLICATION, face=Face.LIBRARY)
    assert decide_gate(run_id, approved=True, actor=vouched, run_store=team.store).effect == "took_effect"


def test_a_store_without_accounts_offers_open_alone(tmp_path):
    with pytest.raises(UsageError, match="keeps no accounts"):
        Site(tmp_path, store=InMemoryRunStore(), auth=Auth(mode="local"))


def test_every_change_of_an_account_is_an_entry_of_a_chain(team):
    people.grant("vera", [Grant(Role.OPERATOR)], store=team.store, actor=ROOT)
    people.disable("vera", store=team.store, actor=ROOT)
    entries = team.store.list_entries()
    assert [one.kind for one in entries][-2:] == ["roles-changed", "user-disabled"]
    before = ""
    for one in entries:
        assert one.sealed(one.number, before).hash == one.hash
        before = one.hash
    assert PASSWORD not in repr(entries)


def test_labels_of_people_are_hostile_text(team):
    people.add_person("mallory", store=team.store, actor=ROOT, label="<script>alert(1)</script>\r\nSet-Cookie: a=b")
    team.sign_in("adam")
    page = team.client.get("/users").text
    assert "<script>alert(1)" not in page
    assert "&lt;script&gt;" in page


def test_the_table_of_rights_in_the_docs_is_what_the_code_asks(root):
    assert (root / "docs" / "permissions.md").read_text() == table()


#: A request for each action that a form can send, on a run that waits or (to delete) has ended.
REQUESTS = {
    Action.VIEW: "GET /runs/{waits}", Action.REPLAY: "POST /runs/{waits}/replay",
    Action.CANCEL: "POST /runs/{waits}/cancellation", Action.RESUME: "POST /runs/{failed}/resumption",
    Action.DELETE: "POST /runs/{failed}/deletion", Action.START: "POST /blueprints/payout/runs",
    Action.ADMINISTER: "GET /users", Action.OWN: "GET /account",
}  # fmt: skip


@pytest.mark.parametrize("action", list(REQUESTS))
@pytest.mark.parametrize("role", list(Role))
def test_every_role_does_what_the_table_says_by_a_request(team, role, action):
    waits, failed = team.run(), team.run(fail="read")
    people.add_person("one", store=team.store, actor=ROOT, grants=[Grant(role)], password=PASSWORD)
    team.sign_in("one")
    method, _, address = REQUESTS[action].partition(" ")
    path = address.format(waits=waits, failed=failed)
    status = (team.client.get(path) if method == "GET" else team.send(path)).status_code
    allowed = action is Action.OWN or Grant(role).allows(action, "payout")
    assert (status in (200, 303)) == allowed
    assert allowed or status == 403
