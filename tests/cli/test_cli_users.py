"""`users` and `tokens`: accounts from the command line, and what they change for the other commands."""

from __future__ import annotations

import contextlib
import json

import pytest

from neurocore.persistence import SQLiteRunStore
from neurocore.persistence.people import Entry, Passkey

PASSWORD = "correct horse battery staple"


@pytest.fixture
def team(project):
    """A project in which people sign in."""
    file = project.root / "neurocore.yaml"
    file.write_text(f"{file.read_text()}\nauth:\n  mode: local\n")
    return project


def listed(project):
    return {one["username"]: one for one in json.loads(project.ok("users", "list", "--json"))["users"]}


def test_without_accounts_the_list_says_how_to_add_one(team):
    assert "neurocore users add NAME --role admin" in team.ok("users", "list")


def test_an_account_comes_with_a_link_and_roles(team):
    link = team.ok(
        "users", "add", "ann", "--label", "Ann", "--role", "approver", "--role", "viewer@pay*", "--group", "fin"
    )
    assert link.startswith("http://127.0.0.1:8321/link/")
    ann = listed(team)["ann"]
    assert (ann["label"], ann["grants"], ann["groups"]) == ("Ann", ["approver@*", "viewer@pay*"], ["fin"])
    team.ok("users", "grant", "ann", "operator@pay*")
    team.ok("users", "revoke", "ann", "approver")
    team.ok("users", "group", "ann", "+board", "-fin")
    ann = listed(team)["ann"]
    assert (ann["grants"], ann["groups"]) == (["operator@pay*", "viewer@pay*"], ["board"])
    team.ok("users", "disable", "ann")
    assert listed(team)["ann"]["disabled_by"]
    team.ok("users", "enable", "ann")
    assert listed(team)["ann"]["disabled_at"] is None


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (("users", "add", "Ann Smith"), 2, "A username has 1 to 100"),
        (("users", "add", "ann", "--role", "king"), 2, "'king' is no role; there are viewer"),
        (("users", "link", "nobody"), 3, "There is no user 'nobody'"),
        (("users", "group", "adam", "fin"), 2, "write +GROUP or -GROUP"),
        (("users", "disable", "adam"), 4, "adam is the last admin"),
        (("tokens", "create", "--user", "adam", "--name", "t", "--scope", "administer"), 2, "Say what the token"),
        (("tokens", "create", "--user", "adam", "--name", "t", "--scope", "view", "--expires", "400d"), 2, "90 days"),
        (("tokens", "revoke", "nothing"), 3, "No valid token has the id"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused_in_one_sentence(team, args, code, said):
    team.ok("users", "add", "adam", "--role", "admin")
    done = team.call(*args)
    assert done.exit_code == code
    assert said in " ".join(done.stderr.split())
    assert "ann" not in listed(team)


def test_a_common_password_is_refused_and_a_good_one_is_taken(team):
    assert team.call("users", "add", "ann", "--password-stdin", input="password1234\n").exit_code == 2
    assert "ann" not in listed(team)
    done = team.call("users", "add", "ann", "--password-stdin", input=f"{PASSWORD}\n")
    assert (done.exit_code, done.stdout) == (0, "")


def test_a_token_is_alone_on_stdout_and_shown_once(team):
    team.ok("users", "add", "ann", "--role", "viewer")
    secret = team.ok("tokens", "create", "--user", "ann", "--name", "bot", "--scope", "view", "--expires", "7d").strip()
    assert secret.startswith("nrc_")
    assert secret not in team.ok("tokens", "list", "--json")
    (token,) = json.loads(team.ok("tokens", "list", "--json"))["tokens"]
    team.ok("tokens", "revoke", token["id"])
    assert json.loads(team.ok("tokens", "list", "--json"))["tokens"][0]["revoked_at"]


def test_where_people_sign_in_the_command_line_answers_no_gate_and_takes_no_name(team):
    team.ok("run", "gated", "--run-id", "r1", "-q")
    done = team.call("runs", "approve", "r1")
    assert done.exit_code == 4
    assert "Only somebody who signed in can answer a gate here" in done.stderr
    assert team.call("runs", "cancel", "r1", "--by", "eve").exit_code == 2
    assert "runs approve" not in team.ok("runs", "inspect", "r1")
    team.ok("runs", "cancel", "r1")


def test_a_reset_removes_passkeys_with_an_entry_and_prints_a_link(team):
    team.ok("users", "add", "ann")
    with contextlib.closing(SQLiteRunStore(team.root / "data" / "runs.db")) as store:
        now = store.clock.now()
        key = Passkey(
            id="AAAA", person=store.load_person(username="ann").id, name="laptop", rp_id="localhost", public_key=b"k",
            sign_count=0, created_at=now,
        )  # fmt: skip
        assert store.add_passkey(key, most=9, entry=Entry(at=now, kind="passkey-added", actor="ann", data={}))
    assert team.ok("users", "reset", "ann").startswith("http://127.0.0.1:8321/link/")
    with contextlib.closing(SQLiteRunStore(team.root / "data" / "runs.db")) as store:
        assert store.find_passkey("AAAA") is None
        entry = store.list_entries()[-2]
    assert (entry.kind, entry.data["passkeys"]) == ("user-reset", ["AAAA"])


OIDC = """
auth:
  mode: oidc
  grants: [{role: approver, to: ["group:fin"]}]
  oidc: {issuer: "https://id.example", client_id: nc, client_secret: "%s"}
"""


@pytest.fixture
def oidc(project):
    """A project in which a provider signs people in."""
    file = project.root / "neurocore.yaml"
    file.write_text(f"{file.read_text()}{OIDC % '${ACME_SECRET}'}")
    return project


def test_where_a_provider_signs_people_in_an_admin_says_who_is_who(oidc):
    assert "/link/" not in oidc.ok("users", "add", "ann", "--role", "viewer")
    assert oidc.ok("users", "identity", "ann", "--oidc", "248").strip() == "248 is ann."
    oidc.ok("users", "identity", "ann", "--oidc", "248")
    oidc.ok("users", "identity", "ann", "--proxy", "Ann")
    oidc.ok("users", "add", "eve")
    assert oidc.ok("users", "link", "ann").startswith("http://127.0.0.1:8321/link/")
    for args, code, said in [
        (("eve", "--oidc", "248"), 4, "belongs to ann already"),
        (("nobody", "--oidc", "249"), 3, "There is no user 'nobody'"),
        (("eve",), 2, "either --oidc SUBJECT or --proxy USER"),
        (("eve", "--oidc", ""), 2, "either --oidc SUBJECT or --proxy USER"),
        (("eve", "--oidc", "1", "--proxy", "x"), 2, "either --oidc SUBJECT or --proxy USER"),
    ]:
        answer = oidc.call("users", "identity", *args)
        assert (answer.exit_code, said in answer.stderr) == (code, True), answer.stderr


def test_a_subject_needs_a_provider(team):
    team.ok("users", "add", "ann")
    answer = team.call("users", "identity", "ann", "--oidc", "248")
    assert (answer.exit_code, "set auth.oidc.issuer" in answer.stderr) == (2, True)


@pytest.mark.parametrize("command", ["link", "reset"])
def test_where_a_proxy_signs_people_in_there_are_no_links(project, command):
    file = project.root / "neurocore.yaml"
    file.write_text(f"{file.read_text()}\nauth: {{mode: proxy}}\n")
    assert "/link/" not in project.ok("users", "add", "ann")
    answer = project.call("users", command, "ann")
    assert answer.exit_code == 2
    assert "no link can sign anybody in" in answer.stderr


def test_the_secret_of_the_client_is_not_shown(oidc, project):
    assert "${ACME_SECRET}" in oidc.ok("config", "show", "auth", "--json")
    file = project.root / "neurocore.yaml"
    file.write_text(file.read_text().replace("${ACME_SECRET}", "hunter2-hunter2"))
    for options in ((), ("--json",)):
        assert "hunter2" not in project.ok("config", "show", *options)
