"""Passkeys: add them on one's account, sign in by them, remove them."""

from __future__ import annotations

import re
import sys

import pytest
from msgspec import structs

from neurocore.accounts import passkeys, people
from neurocore.accounts.credentials import Site, site_of
from neurocore.accounts.passkeys import FRESH, NOT_ACCEPTED
from neurocore.auth import Auth, GrantSettings
from neurocore.clock import Clock
from neurocore.config import Web
from neurocore.errors import RefusedError
from neurocore.persistence import SQLiteRunStore
from tests.webapp.authenticator import KINDS, Authenticator, decoded, encoded
from tests.webapp.conftest import Site as Project
from tests.webapp.test_signin import PASSWORD, ROOT, quick_hashes, team
from tests.webapp.test_signin_proxy import until_there
from webapp import create_app

__all__ = ["quick_hashes", "team"]


def enrol(team, key, name="laptop", client=None, **changes):
    """Add a passkey on the account of who is signed in, as the script of the page does; returns the last answer."""
    options = team.send("/account/passkeys/options", {"passkey": name}, client)
    if options.status_code != 200:
        return options
    return team.send("/account/passkeys", {"passkey": name, "credential": key.make(options.json, **changes)}, client)


def use(team, key, client=None, target="/", **changes):
    """Sign in by a passkey, as the script of the page does; returns the last answer."""
    options = team.send("/login/passkey/options", client=client)
    assert options.status_code == 200, options.text
    return team.send("/login/passkey", {"credential": key.sign(options.json, **changes), "next": target}, client)


def with_key(team, name="vera", kind="ES256", **more):
    """A passkey of somebody who is signed out again."""
    team.sign_in(name)
    key = Authenticator(kind, **more)
    assert enrol(team, key).status_code == 303
    team.send("/logout")
    return key


class Ahead(Clock):
    """A clock that is so many seconds ahead."""

    def __init__(self, seconds):
        self.seconds = seconds

    def micros(self):
        return super().micros() + self.seconds * 1_000_000


def kinds(team):
    return [one.kind for one in team.store.list_entries()]


@pytest.mark.parametrize("kind", KINDS)
def test_a_passkey_of_each_kind_is_added_and_signs_in(team, kind):
    key = with_key(team, kind=kind)
    answer = use(team, key, target="/runs?status=failed")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/runs?status=failed")
    assert team.client.get("/runs").status_code == 200


def test_a_session_by_a_passkey_says_so_wherever_it_acts(team):
    key = with_key(team, "anna")
    use(team, key)
    assert "by a passkey" in team.client.get("/account").text
    assert "Sign out" in team.client.get("/account").text
    run_id = team.run()
    form = {"decision": "approve", "gate": "review", "visit": "1", "digest": team.gate(run_id).digest}
    assert team.send(f"/runs/{run_id}/decision", form).status_code == 303
    answer = team.gate(run_id).answers[0]
    assert (answer.by, answer.known_by) == ("anna", "passkey")


def test_the_options_to_add_one_ask_for_a_passkey_that_knows_its_owner(team):
    team.sign_in("vera")
    vera = team.store.load_person(username="vera")
    key = Authenticator()
    enrol(team, key)
    options = team.send("/account/passkeys/options", {"passkey": "phone"}).json
    assert options["rp"]["id"] == "localhost"
    assert decoded(options["user"]["id"]).decode() == vera.id
    assert options["authenticatorSelection"]["residentKey"] == "required"
    assert options["authenticatorSelection"]["userVerification"] == "required"
    assert options["attestation"] == "none"
    assert [one["alg"] for one in options["pubKeyCredParams"]] == [-7, -8, -257]
    assert [one["id"] for one in options["excludeCredentials"]] == [encoded(key.id)]


def test_several_passkeys_of_one_person_each_sign_in_until_they_are_removed(team):
    team.sign_in("vera")
    keys = [Authenticator(), Authenticator("EdDSA")]
    for name, key in zip(("laptop", "phone"), keys, strict=True):
        assert enrol(team, key, name).status_code == 303
    page = team.client.get("/account").text
    assert page.index("<b>laptop</b>") < page.index("<b>phone</b>")
    assert team.send(f"/account/passkeys/{encoded(keys[0].id)}/removal").status_code == 303
    team.send("/logout")
    refused = use(team, keys[0])
    assert refused.status_code == 422
    assert NOT_ACCEPTED in refused.text
    assert team.client.get("/runs").status_code == 303
    assert use(team, keys[1]).status_code == 303
    assert kinds(team)[-3:] == ["passkey-added", "passkey-added", "passkey-removed"]


def test_the_entry_of_a_passkey_holds_its_public_key_and_where_it_counts(team):
    key = with_key(team, "vera")
    entry = team.store.list_entries()[-1]
    (passkey,) = team.store.list_passkeys(team.store.load_person(username="vera").id)
    assert decoded(entry.data["public_key"]) == passkey.public_key
    assert (entry.kind, entry.data["rp_id"], entry.data["passkey"]) == ("passkey-added", "localhost", encoded(key.id))
    assert entry.sealed(entry.number, entry.prev_hash).hash == entry.hash


def test_one_removes_nobody_else_s_passkey(team):
    key = with_key(team, "vera")
    team.sign_in("anna")
    assert team.send(f"/account/passkeys/{encoded(key.id)}/removal").status_code == 404
    team.send("/logout")
    assert use(team, key).status_code == 303
    assert "passkey-removed" not in kinds(team)


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "x" * 101])
def test_a_passkey_without_a_good_name_is_refused_before_the_browser_asks(team, name):
    team.sign_in("vera")
    answer = team.send("/account/passkeys/options", {"passkey": name})
    assert answer.status_code == 422
    assert "Give the passkey a name" in answer.json["detail"]


def test_hostile_names_of_passkeys_are_text(team):
    team.sign_in("vera")
    enrol(team, Authenticator(), '"><script>alert(1)</script>')
    page = team.client.get("/account").text
    assert "<script>alert(1)" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_one_has_at_most_so_many_passkeys(team, monkeypatch):
    monkeypatch.setattr(passkeys, "MOST", 2)
    team.sign_in("vera")
    assert [enrol(team, Authenticator()).status_code for _ in range(2)] == [303, 303]
    more = enrol(team, Authenticator())
    assert more.status_code == 409
    assert "which is the most" in more.json["detail"]


# -------------------------------------------------------------------- who may add one, and when


def test_more_than_five_minutes_after_signing_in_none_is_added(team):
    team.sign_in("vera")
    options = team.send("/account/passkeys/options", {"passkey": "laptop"}).json
    team.store.clock = Ahead(FRESH + 1)
    refused = team.send("/account/passkeys/options", {"passkey": "laptop"})
    assert (refused.status_code, refused.json["type"]) == (403, "needs-sign-in")
    assert refused.json["sign_in"] == "/login?next=/account"
    credential = Authenticator().make(options)
    page = team.send("/account/passkeys", {"passkey": "laptop", "credential": credential})
    assert page.status_code == 403
    assert "Sign in again to add a passkey" in page.text
    assert 'href="/login?next=/account"' in page.text
    assert 'href="/login?next=/account"' in team.client.get("/account").text, "the page says so before"
    team.sign_in("vera")
    assert enrol(team, Authenticator()).status_code == 303


def test_a_token_adds_no_passkey_and_removes_none(team):
    key = with_key(team, "vera")
    team.sign_in("vera")
    page = team.send("/account/tokens", {"name": "bot", "scope": ["view", "start", "answer"]}).text
    bearer = {"Authorization": f"Bearer {re.search(r'nrc_[A-Za-z0-9_-]+', page)[0]}"}
    program = team.browser()
    form = {"csrf_token": team.token(program), "passkey": "bot"}
    for path in ("/account/passkeys/options", "/account/passkeys", f"/account/passkeys/{encoded(key.id)}/removal"):
        answer = program.post(path, data=form, headers=bearer)
        assert answer.status_code == 403, path
    assert len(team.store.list_passkeys(team.store.load_person(username="vera").id)) == 1


def test_without_a_session_or_the_form_s_token_none_is_added(team):
    stranger = team.browser()
    form = {"csrf_token": team.token(stranger), "passkey": "mine"}
    assert stranger.post("/account/passkeys/options", data=form).status_code == 401
    assert stranger.post("/account/passkeys", data=form).status_code == 401
    team.sign_in("vera")
    assert team.client.post("/account/passkeys/options", data={"passkey": "mine"}).status_code == 400
    assert team.client.post("/login/passkey/options").status_code == 400
    assert team.client.post("/login/passkey").status_code == 400


def test_the_passkey_of_one_is_not_added_to_another(team):
    key = with_key(team, "vera")
    team.sign_in("anna")
    again = enrol(team, key)
    assert again.status_code == 422
    assert "added before" in again.text
    assert not team.store.list_passkeys(team.store.load_person(username="anna").id)


# -------------------------------------------------------------------- an account that changed


def test_a_disabled_account_s_passkeys_sign_nobody_in_until_it_is_enabled(team):
    key = with_key(team, "vera")
    people.disable("vera", store=team.store, actor=ROOT)
    assert use(team, key).status_code == 422
    assert team.store.find_passkey(encoded(key.id)).used_at is None
    people.enable("vera", store=team.store, actor=ROOT)
    assert use(team, key).status_code == 303


@pytest.mark.parametrize("change", [people.disable, people.reset])
def test_an_account_that_changes_while_a_passkey_signs_in_opens_no_session(team, monkeypatch, change):
    key = with_key(team, "vera")
    use_passkey = team.store.use_passkey

    def meanwhile(*args, **options):
        used = use_passkey(*args, **options)
        change("vera", store=team.store, actor=ROOT)
        return used

    monkeypatch.setattr(team.store, "use_passkey", meanwhile)
    assert use(team, key).status_code == 422
    assert not team.store.list_sessions(team.store.load_person(username="vera").id)


def test_a_reset_removes_passkeys_and_sessions_with_an_entry(team):
    key = with_key(team, "vera")
    use(team, key)
    admin = team.browser()
    team.sign_in("adam", client=admin)
    page = team.send("/users/vera/link", client=admin)
    assert page.status_code == 200
    assert "/link/" in page.text
    assert team.client.get("/runs").status_code == 303
    assert use(team, key).status_code == 422
    entry = team.store.list_entries()[-2]
    assert (entry.kind, entry.data["by"], entry.data["passkeys"]) == ("user-reset", "adam", [encoded(key.id)])


def test_a_new_password_leaves_passkeys_alone(team):
    key = with_key(team, "vera")
    use(team, key)
    form = {"current": PASSWORD, "password": "another staple of horses"}
    assert team.send("/account/password", form).status_code == 303
    team.send("/logout")
    assert use(team, key).status_code == 303


# -------------------------------------------------------------------- where passkeys work


@pytest.mark.parametrize(
    ("public_url", "rp_id", "origin"),
    [
        ("https://runs.example.com", "runs.example.com", "https://runs.example.com"),
        ("https://runs.example.com:8443/team/", "runs.example.com", "https://runs.example.com:8443"),
        ("http://localhost:8321", "localhost", "http://localhost:8321"),
        ("https://BÜCHER.example:443", "xn--bcher-kva.example", "https://xn--bcher-kva.example"),
    ],
)
def test_the_site_is_the_public_address(public_url, rp_id, origin):
    assert site_of(public_url) == Site(rp_id, origin)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("https://192.0.2.7", "with a name"), ("http://[::1]:8321", "with a name"), ("https://", "with a name"),
        ("https://x:99999", "with a name"), ("http://runs.example.com", "need TLS"),
    ],
)  # fmt: skip
def test_where_browsers_have_no_passkeys_a_sentence_says_why(address, said):
    with pytest.raises(RefusedError, match=said):
        site_of(address)


def test_at_a_number_the_pages_say_where_passkeys_work(team):
    numbers = {"base_url": "http://127.0.0.1:8321"}
    page = team.client.get("/login?next=/runs", **numbers).text
    assert 'href="http://localhost:8321/login?next=/runs"' in page
    assert "Sign in with a passkey" not in page
    client = team.browser()
    form = {"username": "vera", "password": PASSWORD, "csrf_token": re.search(r'csrf_token" value="([^"]+)', page)[1]}
    team.client.post("/login", data=form, **numbers)
    page = team.client.get("/account", **numbers).text
    assert "Passkeys need an address with a name" in page
    assert 'href="http://localhost:8321/account"' in page
    token = re.search(r'csrf_token" value="([^"]+)', page)[1]
    answer = team.client.post("/account/passkeys/options", data={"csrf_token": token, "passkey": "x"}, **numbers)
    assert answer.status_code == 409
    assert "with a name" in answer.json["detail"]
    assert "Sign in with a passkey" in client.get("/login").text


def test_another_name_needs_the_public_address(make_site):
    site = make_site(auth=Auth(mode="local"), allowed_hosts=["runs.lan"])
    answer = site.client.get("/login", base_url="https://runs.lan")
    assert answer.status_code == 200
    assert "Sign in with a passkey" not in answer.text


def test_a_passkey_of_an_older_address_is_listed_with_where_it_works_and_signs_nobody_in(team):
    key = with_key(team, "vera")
    here = team.app.extensions["neurocore"]
    here.config = structs.replace(team.config, web=Web(public_url="https://runs.example.com"))
    options = team.send("/login/passkey/options").json
    assert options["rpId"] == "runs.example.com"
    key.origin = "https://runs.example.com"
    assert team.send("/login/passkey", {"credential": key.sign(options)}).status_code == 422
    team.sign_in("vera")
    assert "works at localhost only" in team.client.get("/account").text


def test_behind_a_proxy_that_signs_people_in_the_header_is_enough_to_add_one(tmp_path):
    site = Project(tmp_path, auth=Auth(mode="proxy", grants=[GrantSettings(role="viewer", to=["ann"])]))
    ann = {"headers": {"X-Forwarded-User": "ann"}, "environ_base": {"REMOTE_ADDR": "127.0.0.1"}}
    site.client.get("/runs", **ann)
    person = until_there(site, "ann")
    token = re.search(r'csrf_token" value="([^"]+)', site.client.get("/account", **ann).text)[1]
    form = {"csrf_token": token, "passkey": "laptop"}
    options = site.client.post("/account/passkeys/options", data=form, **ann)
    assert options.status_code == 200
    credential = Authenticator().make(options.json)
    assert site.client.post("/account/passkeys", data={**form, "credential": credential}, **ann).status_code == 303
    assert len(site.store.list_passkeys(person.id)) == 1
    assert site.client.post("/login/passkey/options", data=form, **ann).status_code == 404, "the proxy signs in"
    assert site.client.post("/login/passkey", data=form, **ann).status_code == 404
    site.store.close()


def test_a_restart_between_options_and_answer_is_not_noticed(team):
    key = with_key(team, "vera")
    token, options = team.token(), team.send("/login/passkey/options").json
    again = create_app(team.config, store=SQLiteRunStore(team.config.runs_db_path), dispatcher=team.dispatcher)
    client = again.test_client()
    for cookie in team.client._cookies.values():
        client.set_cookie(cookie.key, cookie.value)
    answer = client.post("/login/passkey", data={"csrf_token": token, "credential": key.sign(options)})
    assert answer.status_code == 303
    assert client.get("/runs").status_code == 200
    again.extensions["neurocore"].all_runs.close()


def test_without_the_package_a_sentence_says_what_to_install_before_the_browser_asks(team, monkeypatch):
    team.sign_in("vera")
    monkeypatch.setitem(sys.modules, "webauthn", None)
    for path in ("/login/passkey/options", "/account/passkeys/options"):
        answer = team.send(path, {"passkey": "laptop"})
        assert answer.status_code == 422
        assert "pip install 'neurocore-ai[team]'" in answer.json["detail"]
