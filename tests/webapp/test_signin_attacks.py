"""What somebody tries who wants to be somebody else, or more than they are."""

from __future__ import annotations

import logging
import re
import threading

import pytest

from neurocore.access.roles import Grant, Role
from neurocore.accounts import passwords, people
from neurocore.accounts.signin import open_session
from neurocore.errors import RefusedError
from neurocore.persistence.people import key_of
from tests.webapp.test_signin import PASSWORD, ROOT, quick_hashes, team

__all__ = ["quick_hashes", "team"]


@pytest.mark.parametrize("name", ["vera", "nobody", "dora", "robot"])
def test_the_work_of_a_wrong_sign_in_is_the_same_whoever_is_named(team, monkeypatch, name):
    people.add_person("dora", store=team.store, actor=ROOT, password=PASSWORD)
    people.disable("dora", store=team.store, actor=ROOT)
    people.add_person("robot", store=team.store, actor=ROOT, service=True)
    hasher, verified = passwords._hasher(), []
    passwords._nobody()

    class Counting:
        def verify(self, kept, password):
            verified.append(kept)
            return hasher.verify(kept, password)

    monkeypatch.setattr(passwords, "_hasher", Counting)
    answer = team.sign_in(name, "a wrong password")
    assert (answer.status_code, len(verified)) == (422, 1)
    assert "The user name or the password is wrong." in answer.text


def test_a_disabled_account_is_told_what_a_wrong_password_is_told(team):
    people.disable("vera", store=team.store, actor=ROOT)
    assert team.sign_in("vera").status_code == 422


def test_an_approver_who_is_disabled_between_page_and_press_decides_nothing(team):
    run_id = team.run()
    team.sign_in("anna")
    form = {"decision": "approve", "gate": "review", "visit": "1", "digest": team.gate(run_id).digest}
    token = team.token()
    people.disable("anna", store=team.store, actor=ROOT)
    answer = team.client.post(f"/runs/{run_id}/decision", data={"csrf_token": token, **form})
    assert answer.status_code in (400, 401)
    assert not team.gate(run_id).answers


def test_a_token_in_an_address_is_refused_and_not_logged(team, caplog):
    team.sign_in("vera")
    page = team.send("/account/tokens", {"name": "script", "scope": "view"}).text
    secret = re.search(r"nrc_[\w-]+", page)[0]
    encoded = "".join(f"%{ord(letter):02x}" for letter in secret)
    caplog.set_level(logging.DEBUG)
    for client in (team.client, team.browser()):
        for address in (
            f"/runs?token={secret}",
            f"/api/v1/runs?access_token={encoded}",
            f"/runs/{secret}",
            f"/?{secret}",
        ):
            answer = client.get(address)
            assert answer.status_code == 400, address
            assert secret not in answer.text
            assert "revoke it" in answer.text
    assert secret not in caplog.text
    assert encoded not in caplog.text


def test_nobody_gives_themselves_a_role_in_a_form_of_their_own(team):
    team.sign_in("vera")
    more = {"role": "admin", "grants": "admin", "person": people.find_person("adam", team.store).id, "label": "boss"}
    team.send("/account/password", {"current": PASSWORD, "password": "another staple of horses", **more})
    team.send("/account/tokens", {"name": "script", "scope": ["view", "administer"], **more})
    for path in ("/users", "/users/vera/roles", "/users/adam/disabling", "/users/adam/link"):
        assert team.send(path, {"username": "eve", **more}).status_code == 403, path
    vera = people.find_person("vera", team.store)
    assert (vera.grants, vera.label) == ((Grant(Role.VIEWER),), "vera")
    assert not [token for token in team.store.list_tokens() if "administer" in token.scopes]
    assert team.store.load_person(username="eve") is None


def test_what_comes_from_another_site_or_without_the_forms_token_signs_nobody_in_or_out(team):
    form = {"csrf_token": team.token(), "username": "vera", "password": PASSWORD}
    foreign = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    assert team.client.post("/login", data=form, headers=foreign).status_code in (400, 403)
    assert team.client.post("/login", data={**form, "csrf_token": ""}).status_code == 400
    assert team.client.post("/login", json=form).status_code in (400, 415)
    assert team.client.get("/runs").status_code == 303
    team.sign_in("vera")
    assert team.client.get("/logout").status_code == 405
    assert team.client.post("/logout", headers=foreign).status_code in (400, 403)
    assert team.client.get("/runs").status_code == 200


def test_the_pages_of_accounts_are_in_no_frame_and_in_no_cache(team):
    for path in ("/login", "/account"):
        answer = team.client.get(path)
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
        assert "no-store" in answer.headers["Cache-Control"]
        team.sign_in("vera")


def test_a_session_that_is_made_up_or_older_than_a_change_is_none(team):
    anna = people.find_person("anna", team.store)
    people.set_password(anna, "another staple of horses", store=team.store, actor=ROOT)
    with pytest.raises(RefusedError, match="changed at the same moment"):
        open_session(anna, store=team.store, agent="a browser whose password was checked before")
    vera = people.find_person("vera", team.store)
    people.disable("vera", store=team.store, actor=ROOT)
    with pytest.raises(RefusedError, match="changed at the same moment"):
        open_session(vera, store=team.store, agent="a browser")
    assert not team.store.list_sessions(anna.id)
    assert not team.store.list_sessions(vera.id)


def test_a_new_password_that_is_refused_leaves_no_session_behind(team):
    team.sign_in("vera")
    vera = people.find_person("vera", team.store)
    before = team.store.list_sessions(vera.id)
    assert team.send("/account/password", {"current": PASSWORD, "password": "password1234"}).status_code == 422
    assert team.store.list_sessions(vera.id) == before
    good = {"current": PASSWORD, "password": "another staple of horses"}
    assert team.send("/account/password", good).status_code == 303
    assert len(team.store.list_sessions(vera.id)) == 1
    assert team.client.get("/account").status_code == 200


def test_everybody_s_rights_are_read_only_for_a_sentence_of_refusal(team, monkeypatch):
    run_id, read, list_people = team.run(), [], team.store.list_people
    monkeypatch.setattr(team.store, "list_people", lambda: read.append(1) or list_people())
    team.sign_in("anna")
    assert team.client.get("/approvals").status_code == 200
    assert team.client.get(f"/api/v1/runs/{run_id}").status_code == 200
    assert not read
    assert "adam" in team.client.get("/users").text, "the refusal says who can"
    assert read


def test_a_change_of_an_account_never_undoes_one_that_it_did_not_see(team):
    before = people.find_person("anna", team.store)
    people.disable("anna", store=team.store, actor=ROOT)
    entries = len(team.store.list_entries())
    with pytest.raises(RefusedError, match="anna was changed at the same moment"):
        people.set_password(before, "another staple of horses", store=team.store, actor=ROOT)
    assert people.find_person("anna", team.store).disabled_at is not None
    assert len(team.store.list_entries()) == entries, "what is refused is no entry either"


def test_of_two_admins_who_disable_each_other_at_once_one_stays(team):
    people.grant("vera", [Grant(Role.ADMIN)], store=team.store, actor=ROOT)
    start, refused = threading.Barrier(2), []

    def disable(name):
        start.wait()
        try:
            people.disable(name, store=team.store, actor=ROOT)
        except RefusedError as error:
            refused.append(str(error))

    both = [threading.Thread(target=disable, args=(name,)) for name in ("vera", "adam")]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert team.store.count_admins() == 1
    assert len(refused) == 1


def test_of_two_who_use_a_link_at_once_one_sets_the_password(team):
    secret = people.make_link(people.find_person("vera", team.store), store=team.store, actor=ROOT)
    browsers = [team.browser(), team.browser()]
    words = ["another staple of horses", "seven green umbrellas sing"]
    forms = []
    for browser, word in zip(browsers, words, strict=True):
        token = re.search(r'name="csrf_token" value="([^"]+)"', browser.get(f"/link/{secret}").text)[1]
        forms.append({"csrf_token": token, "password": word, "again": word})
    start, statuses = threading.Barrier(2), {}

    def use(browser, form):
        start.wait()
        statuses[form["password"]] = browser.post(f"/link/{secret}", data=form).status_code

    both = [threading.Thread(target=use, args=pair) for pair in zip(browsers, forms, strict=True)]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert sorted(statuses.values()) == [303, 410]
    winner = next(word for word, status in statuses.items() if status == 303)
    assert [team.sign_in("vera", word).status_code == 303 for word in words] == [word == winner for word in words]


def test_a_link_that_is_used_ends_the_others_of_the_same_person_and_no_more(team):
    now = team.store.clock.now()
    whose = [people.find_person(name, team.store) for name in ("vera", "vera", "anna")]
    used, other, of_anna, *first = (
        key_of(people.make_link(person, store=team.store, actor=ROOT)) for person in [*whose, None, None]
    )
    assert team.store.take_link(used, now=now)
    assert [team.store.take_link(one, now=now) for one in (used, other, of_anna)] == [False, False, True]
    assert [team.store.take_link(one, now=now) for one in first] == [True, False], "there is one first admin"


def test_a_link_that_is_used_by_somebody_else_meanwhile_sets_nothing(team, monkeypatch):
    before = people.find_person("vera", team.store)
    secret = people.make_link(before, store=team.store, actor=ROOT)
    browser, word = team.browser(), "another staple of horses"
    token = re.search(r'name="csrf_token" value="([^"]+)"', browser.get(f"/link/{secret}").text)[1]
    take = team.store.take_link

    def somebody_is_quicker(key, *, now):
        assert take(key, now=now)
        return take(key, now=now)

    monkeypatch.setattr(team.store, "take_link", somebody_is_quicker)
    form = {"csrf_token": token, "password": word, "again": word}
    assert browser.post(f"/link/{secret}", data=form).status_code == 410
    assert people.find_person("vera", team.store).password == before.password
    assert browser.get("/runs").status_code == 303
