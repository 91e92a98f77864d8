"""Sign-in by a proxy: whom it names in a header, and from whom that is believed."""

from __future__ import annotations

import threading

import pytest

from neurocore.access.actor import this_user
from neurocore.access.roles import Grant, Role
from neurocore.accounts import people, tokens
from neurocore.auth import Auth, GrantSettings, ProxySettings
from neurocore.clock import Clock
from tests.webapp.conftest import Site

ROOT = this_user()


def until_there(site, username):
    """Wait for the account that a first visit leaves to be kept."""
    for thread in threading.enumerate():
        if thread.daemon and thread.name.startswith("Thread-"):
            thread.join(10)
    return site.store.load_person(username=username)


@pytest.fixture
def behind(tmp_path):
    """A site behind a proxy that signs people in, whose approvers are the group finance."""
    grants = [GrantSettings(role="approver", to=["group:finance"]), GrantSettings(role="viewer", to=["group:all"])]
    site = Site(
        tmp_path, auth=Auth(mode="proxy", grants=grants, proxy=ProxySettings(trusted=["127.0.0.1", "10.0.0.0/8"]))
    )
    yield site
    site.store.close()


def ann(groups="all, finance", peer="127.0.0.1", user="Ann.Smith@Example.com"):
    return {
        "headers": {"X-Forwarded-User": user, "X-Forwarded-Groups": groups}, "environ_base": {"REMOTE_ADDR": peer}
    }  # fmt: skip


def test_whom_the_proxy_names_answers_in_that_name(behind):
    run_id = behind.run()
    page = behind.client.get(f"/runs/{run_id}", **ann())
    assert page.status_code == 200
    assert "Answering as <b>ann.smith@example.com</b>" in page.text
    assert "Sign out" not in page.text, "the proxy signs people out"
    person = until_there(behind, "ann.smith@example.com")
    assert person.label == "Ann.Smith@Example.com"
    gate = behind.gate(run_id)
    token = page.text.split('name="csrf_token" value="')[1].split('"')[0]
    form = {"csrf_token": token, "decision": "approve", "gate": "review", "visit": "1", "digest": gate.digest}
    assert behind.client.post(f"/runs/{run_id}/decision", data=form, **ann()).status_code == 303
    answer = behind.gate(run_id).answers[0]
    assert (answer.by, answer.known_by) == ("ann.smith@example.com", "proxy")


@pytest.mark.parametrize("peer", ["192.0.2.7", "11.0.0.1", "::1", ""])
def test_a_header_from_anybody_else_is_refused(behind, peer):
    answer = behind.client.get("/runs", **ann(peer=peer))
    assert answer.status_code == 403
    assert "auth.proxy.trusted" in answer.text
    assert behind.client.get("/runs", **ann(peer="10.1.2.3")).status_code == 200


def test_without_the_header_nobody_is_signed_in(behind):
    assert behind.client.get("/runs", environ_base={"REMOTE_ADDR": "127.0.0.1"}).status_code == 401
    assert behind.client.get("/login").status_code == 404


def test_groups_count_as_the_proxy_sends_them_now(behind):
    run_id = behind.run()
    assert "You need the role approver" in behind.client.get(f"/runs/{run_id}", **ann(groups="all")).text
    assert "You need the role approver" not in behind.client.get(f"/runs/{run_id}", **ann()).text
    assert behind.client.get(f"/runs/{run_id}", **ann(groups="")).status_code in (403, 404)


def test_a_name_that_belongs_to_another_account_is_refused(behind):
    people.add_person("eve", store=behind.store, actor=ROOT, grants=[Grant(Role.ADMIN)])
    answer = behind.client.get("/runs", **ann(user="Eve"))
    assert answer.status_code == 409
    assert "an admin must link the two" in answer.text


def test_subjects_are_compared_byte_for_byte(behind):
    assert behind.client.get("/runs", **ann(user="bob")).status_code == 200
    assert until_there(behind, "bob") is not None
    assert behind.client.get("/runs", **ann(user="BOB")).status_code == 409
    assert behind.client.get("/runs", **ann(user="bob")).status_code == 200


def test_a_disabled_person_is_refused_whatever_the_proxy_says(behind):
    behind.client.get("/runs", **ann())
    until_there(behind, "ann.smith@example.com")
    people.disable("ann.smith@example.com", store=behind.store, actor=ROOT)
    assert behind.client.get("/runs", **ann()).status_code == 403


class Later(Clock):
    """The computer's clock, some hours later."""

    def __init__(self, hours):
        self._hours = hours

    def micros(self):
        return super().micros() + self._hours * 3_600_000_000


def test_groups_that_the_proxy_named_are_kept_for_tokens_and_age(behind):
    run_id = behind.run()
    behind.client.get("/runs", **ann())
    person = until_there(behind, "ann.smith@example.com")
    assert person.groups == ("all", "finance")
    made = tokens.create(
        person, name="bot", scopes=["view"], blueprints=[], days="30", store=behind.store, config=behind.config,
        actor=ROOT,
    )  # fmt: skip

    def status():
        bearer = {"Authorization": f"Bearer {made.secret}"}
        return behind.client.get(f"/api/v1/runs/{run_id}", headers=bearer).status_code

    assert status() == 200
    behind.store.clock = Later(25)
    assert status() == 403, "what is too old gives no right"
    assert behind.client.get(f"/runs/{run_id}", **ann()).status_code == 200
    until_there(behind, "ann.smith@example.com")
    assert status() == 200, "the proxy has named the groups again"
    behind.client.get("/runs", **ann(groups="all, all, board"))
    person = until_there(behind, "ann.smith@example.com")
    assert person.groups == ("all", "board")
    behind.client.get("/runs", **ann(groups="board, all"))
    until_there(behind, "ann.smith@example.com")
    kinds = [one.kind for one in behind.store.list_entries()]
    assert kinds == ["user-came", "token-created", "groups-seen"], "the same groups again are no entry"
