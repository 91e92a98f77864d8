"""Sign-in by a provider (OpenID Connect): the way there and back, accounts, groups, links, sign-out."""

from __future__ import annotations

import subprocess
import sys
import threading
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from neurocore.access.actor import Face, this_user
from neurocore.access.roles import Grant, Role
from neurocore.accounts import people, tokens
from neurocore.accounts.provided import MODE, arrive, subject_of
from neurocore.errors import RefusedError
from tests.webapp.provider import Later, Oidc, Provider, leads_to
from webapp import create_app

ROOT = this_user(Face.CLI)


@pytest.fixture
def provider():
    provider = Provider()
    yield provider
    provider.stop()


@pytest.fixture
def team(tmp_path, provider):
    site = Oidc(tmp_path, provider)
    yield site
    site.store.close()


def test_the_way_there_and_back(team):
    run_id = team.run()
    assert team.client.get(f"/runs/{run_id}").headers["Location"] == f"/login?next=/runs/{run_id}"
    assert "Sign in with Acme" in team.page(f"/login?next=/runs/{run_id}")
    assert team.provider.asked == [], "nothing is asked before somebody signs in"
    answer = team.come(target=f"/runs/{run_id}")
    assert (answer.status_code, answer.headers["Location"]) == (303, f"/runs/{run_id}")
    page = team.page(f"/runs/{run_id}")
    assert "Answering as <b>ann</b>" in page
    gate = team.gate(run_id)
    token = page.split('name="csrf_token" value="')[1].split('"')[0]
    form = {"csrf_token": token, "decision": "approve", "gate": "review", "visit": "1", "digest": gate.digest}
    assert team.client.post(f"/runs/{run_id}/decision", data=form).status_code == 303
    (said,) = team.gate(run_id).answers
    assert (said.by, said.known_by) == ("ann", "session")
    ann = team.store.load_person(username="ann")
    assert (ann.label, ann.groups, ann.password) == ("Ann Smith", ("finance",), None)
    assert [one.kind for one in team.store.list_entries()] == ["user-came"]
    assert team.provider.refused == []


def test_a_provider_that_others_made_signs_in_too(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-m", "oidc_provider_mock", "--port", "0"], stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            line = next(line for line in process.stderr if "http://" in line)
            place = "http://" + line.split("http://")[1].split()[0].rstrip("/")
            mock = Provider.__new__(Provider)
            mock.issuer = place
            claims = {"preferred_username": "bob", "name": "Bob", "groups": ["all"]}
            httpx.put(f"{place}/users/77", json=claims).raise_for_status()
            site = Oidc(tmp_path, mock)
            there = httpx.post(site.leave("/runs"), data={"sub": "77"})
            answer = site.client.get(there.headers["Location"])
            assert (answer.status_code, answer.headers["Location"]) == (303, "/runs")
            assert "Bob" in site.page("/account")
            assert site.client.get("/runs").status_code == 200
            site.store.close()
        finally:
            process.kill()


def test_the_session_gets_a_new_cookie_and_a_new_form_token(team):
    before = team.token()
    team.come()
    assert team.client.post("/logout", data={"csrf_token": before}).status_code == 400
    cookie = team.client.get("/login").headers.get("Set-Cookie", "")
    assert "SameSite=Lax" in cookie or cookie == ""
    assert team.is_in()


@pytest.mark.parametrize(
    "target", ["//evil.example", "https://evil.example/", "/\\evil.example", "javascript:1", "\x00/", "/" + "x" * 5000]
)
def test_signing_in_leads_to_this_site_alone(team, target):
    assert team.come(target=target).headers["Location"] == "/"


def test_without_the_token_of_the_form_no_sign_in_begins(team):
    assert team.client.post("/login/oidc", data={"next": "/"}).status_code == 400
    assert team.provider.asked == []


def test_a_restart_between_leaving_and_coming_back_loses_nothing(team):
    back = team.provider.back(team.leave("/runs"))
    again = create_app(team.config, store=team.store, dispatcher=team.dispatcher).test_client()
    for cookie in team.client._cookies.values():
        again.set_cookie(cookie.key, cookie.value)
    assert again.get(back).headers["Location"] == "/runs"
    assert again.get("/account").status_code == 200


def test_behind_a_proxy_the_public_address_is_the_one_to_come_back_to(tmp_path, provider):
    site = Oidc(tmp_path, provider, web={"public_url": "https://flows.example/"})
    asked = parse_qs(urlsplit(site.leave()).query)
    assert asked["redirect_uri"] == ["https://flows.example/login/callback"]
    site.store.close()


# -------------------------------------------------------------------- accounts


@pytest.mark.parametrize(
    ("claims", "status"),
    [
        ({"email": "ann@acme.example", "email_verified": True}, 303),
        ({"email": "ann@acme.example", "email_verified": False}, 409),
        ({"email": "ann@acme.example", "email_verified": "true"}, 409),
        ({"email": "ann@acme.example"}, 409),
        ({}, 409),
    ],
)
def test_an_e_mail_is_a_username_only_if_it_is_verified(tmp_path, provider, claims, status):
    site = Oidc(tmp_path, provider, username_claim="email")
    provider.people = {"248": claims}
    assert site.come().status_code == status
    assert [one.username for one in site.store.list_people()] == (["ann@acme.example"] if status == 303 else [])
    site.store.close()


def test_a_username_that_is_an_e_mail_the_provider_has_not_verified_is_refused(team):
    team.provider.people["248"] = {"preferred_username": "boss@acme.example", "email_verified": False}
    answer = team.come()
    assert answer.status_code == 409
    assert "has not verified your e-mail address" in answer.text


def test_a_name_that_belongs_to_another_account_is_refused_until_an_admin_links_the_two(team):
    people.add_person("ann", store=team.store, actor=ROOT, grants=[Grant(Role.VIEWER)])
    answer = team.come()
    assert answer.status_code == 409
    assert "neurocore users identity ann --oidc 248" in answer.text
    assert "Sign in with Acme" in answer.text
    assert not team.is_in()
    subject = subject_of(team.config.auth.oidc, "248")
    people.link_identity("ann", MODE, subject, store=team.store, actor=ROOT)
    assert team.come().status_code == 303
    assert [one.username for one in team.store.list_people()] == ["ann"]
    people.add_person("eve", store=team.store, actor=ROOT)
    with pytest.raises(RefusedError, match="belongs to ann already"):
        people.link_identity("eve", MODE, subject, store=team.store, actor=ROOT)


def test_a_subject_is_the_same_person_whatever_it_is_called_later(team):
    team.come()
    first = team.store.load_person(username="ann")
    team.provider.people["248"] = {"preferred_username": "ann.miller", "name": "Ann Miller", "groups": []}
    team.provider.people["249"] = {"preferred_username": "ann", "groups": ["finance"]}
    assert team.come().status_code == 303
    assert [one.id for one in team.store.list_people()] == [first.id]
    other = team.app.test_client()
    assert team.come("249", client=other).status_code == 409, "the name is taken, though the provider gave it to them"
    assert not team.is_in(other)


def test_who_comes_in_several_windows_at_once_is_one_person(team):
    claims = {"sub": "248", "preferred_username": "ann", "groups": ["finance"]}
    together, came = threading.Barrier(6), []

    def come():
        together.wait(30)
        came.append(arrive(claims, settings=team.config.auth.oidc, store=team.store).id)

    windows = [threading.Thread(target=come) for _ in range(6)]
    for one in windows:
        one.start()
    for one in windows:
        one.join(30)
    assert len(came) == 6
    assert {*came} == {team.store.load_person(username="ann").id}


def test_subjects_are_compared_byte_for_byte(team):
    team.provider.people = {"abc": {"preferred_username": "ann"}, "ABC": {"preferred_username": "bob"}}
    assert [team.come(sub).status_code for sub in ("abc", "ABC", "abc")] == [303, 303, 303]
    assert [one.username for one in team.store.list_people()] == ["ann", "bob"]


def test_the_same_subject_of_another_issuer_is_another_person(tmp_path, team):
    team.come()
    other, root = Provider(), tmp_path / "other"
    root.mkdir()
    try:
        site = Oidc(root, other, store=team.store)
        assert site.come().status_code == 409
        other.people["248"]["preferred_username"] = "zoe"
        assert site.come().status_code == 303
    finally:
        other.stop()
    assert [one.username for one in team.store.list_people()] == ["ann", "zoe"]


def test_a_disabled_person_is_refused_whatever_the_provider_says(team):
    team.come()
    people.disable("ann", store=team.store, actor=ROOT)
    assert not team.is_in()
    answer = team.come()
    assert answer.status_code == 403
    assert "This account is disabled" in answer.text


def test_what_the_provider_calls_people_is_hostile_text(team):
    team.provider.people["248"] = {
        "preferred_username": "<script>", "name": "<script>alert(1)</script>\u202e",
        "groups": ["a\r\nb", "", 7, "x" * 101],
    }  # fmt: skip
    assert team.come().status_code == 409
    team.provider.people["248"]["preferred_username"] = "Ann <script>"
    assert team.come().status_code == 303
    (ann,) = team.store.list_people()
    assert (ann.username, ann.label, ann.groups) == ("ann--script-", "ann--script-", ())
    assert "<script>alert" not in team.page("/account")


def test_claims_that_are_missing_come_from_the_user_info(team):
    team.provider.people["248"] = {}
    team.provider.discovery = {"userinfo_endpoint": f"{team.provider.issuer}/userinfo"}
    team.provider.user_info = {"sub": "249", "preferred_username": "eve"}
    assert team.come().status_code == 403, "it is about somebody else"
    team.provider.user_info = {"sub": "248", "preferred_username": "ann", "groups": "finance"}
    assert team.come().status_code == 303
    (ann,) = team.store.list_people()
    assert (ann.username, ann.groups) == ("ann", ("finance",))


# -------------------------------------------------------------------- groups


def may_answer(team, run_id, **options):
    return "You need the role approver" not in team.page(f"/runs/{run_id}", **options)


def test_groups_are_those_of_the_last_sign_in(team):
    run_id = team.run()
    team.provider.people["248"]["groups"] = ["all", "finance"]
    team.come()
    assert may_answer(team, run_id)
    team.provider.people["248"]["groups"] = ["all"]
    assert may_answer(team, run_id), "nobody asks the provider meanwhile"
    team.come()
    assert not may_answer(team, run_id)
    assert [one.kind for one in team.store.list_entries()] == ["user-came", "groups-seen"]


def test_groups_seen_too_long_ago_count_for_nothing_for_tokens_too(team):
    run_id = team.run()
    team.come()
    ann = people.grant("ann", [Grant(Role.VIEWER)], store=team.store, actor=ROOT)
    own = people.actor_of(ann, team.config, team.store, known_by=ROOT.known_by, face=ROOT.face)
    made = tokens.create(
        ann, name="bot", scopes=["view", "answer"], blueprints=[], days="30", store=team.store, config=team.config,
        actor=own,
    )  # fmt: skip
    gate = team.gate(run_id)

    def answers():
        return team.app.test_client().post(
            f"/api/v1/runs/{run_id}/decision", json={"approved": True, "gate": "review", "digest": gate.digest},
            headers={"Authorization": f"Bearer {made.secret}"},
        ).status_code  # fmt: skip

    team.store.clock = Later(hours=23)
    assert may_answer(team, run_id)
    assert "too long ago" not in team.page("/account")
    team.store.clock = Later(hours=25)
    assert not may_answer(team, run_id)
    assert "Groups: finance (named too long ago to count; sign in again)" in team.page("/account")
    assert answers() == 403
    ann = team.store.load_person(username="ann")
    assert people.actor_of(ann, team.config, team.store, known_by=ROOT.known_by, face=ROOT.face).groups == ()
    team.store.clock = Later(hours=23)
    assert answers() == 200


def test_groups_that_an_admin_gave_do_not_age(team):
    run_id = team.run()
    team.come()
    people.set_groups("ann", ["finance"], store=team.store, actor=ROOT)
    team.store.clock = Later(days=20)
    assert may_answer(team, run_id)


# -------------------------------------------------------------------- signing out, links


def test_signing_out_ends_the_session_and_leads_to_the_provider(team):
    team.come()
    stolen = team.app.test_client()
    for cookie in team.client._cookies.values():
        stolen.set_cookie(cookie.key, cookie.value)
    place = urlsplit(leads_to(team.send("/logout")))
    assert f"{place.scheme}://{place.netloc}{place.path}" == f"{team.provider.issuer}/leave"
    asked = parse_qs(place.query)
    assert asked["post_logout_redirect_uri"] == ["http://localhost/login"]
    assert asked["id_token_hint"][0].count(".") == 2
    assert not team.is_in()
    assert not team.is_in(stolen)
    assert team.send("/logout").headers["Location"] == "/login"


def test_signing_out_works_without_the_provider_too(team):
    team.come()
    again = create_app(team.config, store=team.store, dispatcher=team.dispatcher).test_client()
    for cookie in team.client._cookies.values():
        again.set_cookie(cookie.key, cookie.value)
    team.provider.stop()
    answer = team.send("/logout", client=again)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/login")
    assert not team.is_in()
    team.provider.start()
    team.provider.discovery = {"end_session_endpoint": ""}
    third = create_app(team.config, store=team.store, dispatcher=team.dispatcher).test_client()
    team.come(client=third)
    assert team.send("/logout", client=third).headers["Location"] == "/login"


def test_a_one_time_link_signs_in_without_the_provider(team):
    team.come()
    team.send("/logout")
    team.provider.stop()
    try:
        ann = people.find_person("ann", team.store)
        secret = people.make_link(ann, store=team.store, actor=ROOT)
        page = team.client.get(f"/link/{secret}")
        assert "Sign in as ann" in page.text
        assert 'type="password"' not in page.text
        assert team.send(f"/link/{secret}").status_code == 303
        assert team.is_in()
        assert 'name="current"' not in team.page("/account"), "there is no password to change"
        assert team.send(f"/link/{secret}").status_code == 410
    finally:
        team.provider.start()
    assert [one.kind for one in team.store.list_entries()][-2:] == ["link-made", "link-used"]


def test_the_log_says_how_somebody_signed_in(team, caplog):
    caplog.set_level("INFO")
    team.come()
    ann = people.find_person("ann", team.store)
    team.send(f"/link/{people.make_link(ann, store=team.store, actor=ROOT)}")
    assert "ann signed in by the provider." in caplog.text
    assert "ann signed in by a one-time link." in caplog.text
    assert "password" not in caplog.text


@pytest.mark.parametrize("of", ["service", "disabled", "nobody"])
def test_a_link_is_for_people_who_may_sign_in(team, of):
    person = None
    if of != "nobody":
        person = people.add_person("bot", store=team.store, actor=ROOT, service=of == "service")
    secret = people.make_link(person, store=team.store, actor=ROOT)
    if of == "disabled":
        people.disable("bot", store=team.store, actor=ROOT)
    assert team.client.get(f"/link/{secret}").status_code == 410
    assert team.send(f"/link/{secret}").status_code == 410
    assert not team.is_in()


def test_an_admin_makes_no_links_in_the_dashboard(team):
    team.come()
    people.grant("ann", [Grant(Role.ADMIN)], store=team.store, actor=ROOT)
    assert "Reset" not in team.page("/users")
    answer = team.send("/users/ann/link")
    assert answer.status_code == 409
    assert "neurocore users link" in answer.text
    assert team.send("/users", {"username": "bob"}).status_code == 303
    assert team.store.load_person(username="bob") is not None
    assert "/link/" not in team.page("/users").replace("/users/", "")
