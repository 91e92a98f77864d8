"""What strangers, other sites and liars try, where people sign in; each attack is a test of its own."""

from __future__ import annotations

import re
from urllib.parse import unquote, urljoin, urlsplit

import pytest
from flask.sessions import SecureCookieSessionInterface

from neurocore.access.roles import Grant, Role
from neurocore.accounts import people, signin
from neurocore.auth import Auth
from tests.webapp.conftest import Site
from tests.webapp.test_rights_walk import Walk
from tests.webapp.test_signin import PASSWORD, ROOT, quick_hashes, team
from tests.webapp.test_unseen import bearer
from webapp.security.permissions import SAFE_METHODS

__all__ = ["quick_hashes", "team"]

#: What a browser says about a request of a page of another site, by what the page does.
ELSEWHERE = {
    "fetch": {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "empty"},
    "image": {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"},
    "frame": {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"},
    "another port": {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"},
}
LINK = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}


# -------------------------------------------------------------------- other sites


@pytest.mark.parametrize("how", list(ELSEWHERE))
def test_a_page_of_another_site_makes_no_route_work(team, how):
    people.add_person("walker", store=team.store, actor=ROOT, grants=[Grant(role) for role in Role], password=PASSWORD)
    walk = Walk(team, "walker")
    team.sign_in("walker")
    served = set()
    for method, path, endpoint, wanted in walk.routes():
        answer = walk.asked(method, path, team.client, headers=ELSEWHERE[how])
        if answer.status_code != 403:
            served.add(endpoint)
            assert method in SAFE_METHODS, "nothing is done"
            assert wanted is None, "nothing is read that is not for everybody"
    assert served == {"account.login", "account.link", "ops.healthz"}


def test_a_link_from_another_site_opens_a_page_but_waits_for_nothing(team):
    run_id, other = team.run(), team.run()
    team.sign_in("anna")
    assert team.client.get(f"/runs/{run_id}", headers=LINK).status_code == 200
    assert team.client.get(f"/runs/{run_id}/compare/{other}", headers=LINK).status_code == 200
    assert team.client.get(f"/api/v1/runs/{run_id}", headers=LINK).status_code == 200
    refusal = team.client.get(f"/api/v1/runs/{run_id}?wait=60&until=failed", headers=LINK)
    assert (refusal.status_code, refusal.json["title"]) == (403, "Forbidden")
    assert "another site" in refusal.json["detail"]
    for mine in ({}, {"Sec-Fetch-Site": "none"}, {"Sec-Fetch-Site": "same-origin"}):
        assert team.client.get(f"/api/v1/runs/{run_id}?wait=0.01", headers=mine).status_code == 200


def test_what_is_no_form_reaches_no_page_and_what_is_no_json_reaches_no_operation(team):
    people.add_person("walker", store=team.store, actor=ROOT, grants=[Grant(role) for role in Role], password=PASSWORD)
    walk = Walk(team, "walker")
    person = people.find_person("walker", team.store)
    team.sign_in("walker")
    token = bearer(team, person, ["start", "resume", "replay", "cancel", "answer", "comment", "delete"])
    client, before = team.browser(), len(team.store.list_runs(limit=1000))
    asked = 0
    for method, path, _, _ in walk.routes():
        if method in SAFE_METHODS:
            continue
        if path.startswith("/api/"):
            body = "by=x&approved=true&digest=x"
            for kind in ("application/x-www-form-urlencoded", "text/plain", "multipart/form-data; boundary=x", ""):
                answer = client.post(path, data=body, content_type=kind, headers=token)
                assert answer.status_code == 415, (path, kind)
        else:
            secret = team.token()
            for kind in ("application/json", "text/plain", "application/csp-report"):
                headers = {"X-CSRFToken": secret, "Content-Type": kind}
                answer = team.client.post(path, data='{"csrf_token": "x"}', headers=headers)
                assert answer.status_code == 415, (path, kind)
        asked += 1
    assert asked > 20
    assert len(team.store.list_runs(limit=1000)) == before
    assert team.client.get("/runs").status_code == 200, "nor was anybody signed out"


# -------------------------------------------------------------------- sessions and cookies


def cookie_of(client):
    (cookie,) = client._cookies.values()
    return cookie


def test_a_session_that_somebody_planted_is_not_that_of_who_signs_in(team):
    attacker, victim = team.browser(), team.client
    team.sign_in("nora", client=attacker)
    planted = cookie_of(attacker)
    victim.set_cookie(planted.key, planted.value)
    team.sign_in("anna", client=victim)
    assert "anna" in victim.get("/account").text
    assert cookie_of(victim).value != planted.value
    assert attacker.get("/runs").status_code in (303, 403), "what was planted is not signed in as anna"
    assert attacker.get("/account").status_code in (303, 401), "and has ended: its browser signed in as somebody else"


def test_a_cookie_from_before_signing_in_is_worth_nothing_after_it(team):
    team.client.get("/login")
    before = cookie_of(team.client)
    team.sign_in("anna")
    thief = team.browser()
    thief.set_cookie(before.key, before.value)
    assert thief.get("/runs").status_code == 303


def test_who_signs_in_again_ends_the_session_before(team):
    team.sign_in("anna")
    stolen = team.browser()
    stolen.set_cookie(cookie_of(team.client).key, cookie_of(team.client).value)
    assert stolen.get("/runs").status_code == 200
    team.sign_in("anna")
    assert team.client.get("/runs").status_code == 200
    assert stolen.get("/runs").status_code == 303
    assert len(team.store.list_sessions(people.find_person("anna", team.store).id)) == 1


@pytest.mark.parametrize("first", [True, False])
def test_of_two_cookies_of_the_same_name_none_counts(team, first):
    attacker = team.browser()
    team.sign_in("nora", client=attacker)
    team.sign_in("anna")
    mine, other = cookie_of(team.client), cookie_of(attacker)
    values = [other.value, mine.value] if first else [mine.value, other.value]
    bare = team.app.test_client(use_cookies=False)
    header = "; ".join(f"{mine.key}={value}" for value in values)
    answer = bare.get("/runs/x/y", headers={"Cookie": header})
    assert answer.status_code == 400
    assert "sends two cookies" in answer.text
    gone = answer.headers.getlist("Set-Cookie")
    for path in ("/", "/runs", "/runs/x", "/runs/x/y"):
        assert any(f"Path={path};" in f"{one};" and "Max-Age=0" in one for one in gone), path
    again = bare.get("/runs", headers={"Cookie": f"{mine.key}={mine.value}; {mine.key}={mine.value}"})
    assert again.status_code == 200, "the same cookie twice is one"


@pytest.mark.parametrize("value", ["", "x", "a.b.c", "eyJzaWQiOiJ4In0.AAAA.AAAA", "\u00e9", "x" * 4000])
def test_a_cookie_that_another_port_overwrote_signs_out_and_does_nothing_else(team, value):
    run_id = team.run()
    team.sign_in("anna")
    key, token = cookie_of(team.client).key, team.token()
    team.client.set_cookie(key, value)
    assert team.client.get("/runs").status_code == 303
    form = {"csrf_token": token, "decision": "approve", "gate": "review", "visit": "1"}
    answer = team.client.post(f"/runs/{run_id}/decision", data={**form, "digest": team.gate(run_id).digest})
    assert answer.status_code == 400
    assert team.gate(run_id).status == "open"
    assert team.sign_in("anna").status_code == 303, "and signing in mends it"


def test_a_cookie_signed_with_another_key_is_none(team):
    team.sign_in("anna")
    mine = cookie_of(team.client)
    forger = SecureCookieSessionInterface()
    team.app.secret_key, real = b"another key of thirty-two bytes!", team.app.secret_key
    forged = forger.get_signing_serializer(team.app).dumps({"sid": "x", "known": ["anna"]})
    team.app.secret_key = real
    thief = team.browser()
    thief.set_cookie(mine.key, forged)
    assert thief.get("/runs").status_code == 303


# -------------------------------------------------------------------- redirects, hosts, headers

TARGETS = [
    "//evil.example", "///evil.example", "////evil.example", "/\\evil.example", "\\\\evil.example", "/\t/evil.example",
    "\t//evil.example", " //evil.example", "/\n/evil.example", "\r\n//evil.example", "https:evil.example",
    "https:/evil.example", "https:///evil.example", "HTTPS://evil.example", "javascript:alert(1)", "data:text/html,x",
    "//evil.example/%2f..", "/%2f%2fevil.example", "/%5cevil.example", "/%09/evil.example", "/.//evil.example",
    "/..//evil.example", "evil.example", "@evil.example", "/@evil.example", "?next=//evil.example", "#//evil.example",
    "/\u2028/evil.example", "/\uff0fevil.example", "/\x00/evil.example", "/\x7f/evil.example", "//[::1", "/" * 3000, "",
    "/runs\r\nSet-Cookie: evil=1", "/runs%0d%0aSet-Cookie:%20evil=1", "/runs\u560d\u560aSet-Cookie:evil=1",
]  # fmt: skip


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("below", ["", "/flows"])
def test_signing_in_leads_nowhere_else(team, target, below):
    under = {"environ_overrides": {"SCRIPT_NAME": below}}
    page = team.client.get("/login", query_string={"next": target}, **under)
    token = re.search(r'name="csrf_token" value="([^"]+)"', page.text)[1]
    form = {"csrf_token": token, "username": "vera", "password": PASSWORD, "next": target}
    answer = team.client.post("/login", data=form, **under)
    assert answer.status_code == 303
    place = answer.headers["Location"]
    assert place.startswith(f"{below}/")
    # As browsers read it: tabs and newlines go, a backslash is a slash; and as a server reads it, decoded twice.
    for read in (place, unquote(place), re.sub(r"[\t\r\n]", "", place).replace("\\", "/")):
        there = urlsplit(urljoin("http://localhost/login", read))
        assert (there.scheme, there.netloc) == ("http", "localhost") or read == unquote(place) != place, read
    assert "evil" not in str(answer.headers.getlist("Set-Cookie"))


@pytest.mark.parametrize("name", ["X-Forwarded-Host", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Prefix"])
def test_headers_of_a_proxy_that_is_none_change_nothing(team, name):
    team.sign_in("adam")
    plain = team.client.get("/users").text
    lies = {name: "evil.example" if name != "X-Forwarded-Proto" else "https", "Forwarded": "host=evil.example"}
    answer = team.client.get("/users", headers=lies)
    assert "evil.example" not in answer.text
    assert len(answer.text) == len(plain)
    token = team.token()
    page = team.client.post("/users/vera/link", data={"csrf_token": token}, headers=lies).text
    assert re.search(r"http://localhost/link/\w+", page)
    assert team.client.get("/users", headers={"Host": "evil.example"}).status_code == 400


@pytest.mark.parametrize("proxies", [0, 1, 2])
def test_a_lie_about_the_address_passes_no_limit(tmp_path, proxies):
    site = Site(tmp_path, auth=Auth(mode="local"), proxies=proxies)
    people.add_person("vera", store=site.store, actor=ROOT, password=PASSWORD)
    statuses = []
    for number in range(signin.PER_ACCOUNT + 2):
        lies = [f"198.51.100.{number}", *["203.0.113.9"] * proxies]
        client = site.app.test_client()
        page = client.get("/login").text
        token = re.search(r'name="csrf_token" value="([^"]+)"', page)[1]
        form = {"csrf_token": token, "username": "vera", "password": "wrong"}
        answer = client.post("/login", data=form, headers={"X-Forwarded-For": ", ".join(lies)})
        statuses.append(answer.status_code)
    site.store.close()
    assert statuses == [422] * signin.PER_ACCOUNT + [429] * 2


EVIL = 'a"; filename=evil.exe\r\nSet-Cookie: evil=1\r\n\r\n<script>'


def test_nothing_that_somebody_names_ends_a_header(team):
    (team.root / "blueprints" / "evil.yaml").write_text(
        "name: 'a\"; x=1'\ntitle: '{{ t }}'\ninputs: {t: {type: string, default: x}}\n"
        "components: [{name: 'a\"; b', type: ask}]\nflow: {steps: [{component: 'a\"; b'}]}\n"
    )
    people.add_person("mallory", store=team.store, actor=ROOT, label=EVIL, password=PASSWORD,
                      grants=[Grant(role) for role in Role])  # fmt: skip
    team.sign_in("mallory")
    walk = Walk(team, "mallory")
    team.run("evil", t=EVIL)
    walk.values |= dict.fromkeys(
        ("what", "secret", "name", "other_id", "with", "username", "token_id", "session_id"), EVIL
    )
    answers = [walk.asked(method, path, team.client) for method, path, *_ in walk.routes() if "/logout" not in path]
    run_id = team.store.list_runs(limit=1)[0].run_id
    gate = re.search(r"/download/(gate-[^\"?]+)", team.client.get(f"/runs/{run_id}").text)
    more = [f"/runs/{run_id}/download/context", f"/runs/{run_id[:5]}?a=%0d%0aSet-Cookie:%20evil=1", "/runs?q=%0d%0aX:1"]
    answers += [team.client.get(path) for path in [*more, *([f"/runs/{run_id}/download/{gate[1]}"] if gate else [])]]
    for answer in answers:
        assert answer.status_code < 500
        for name, value in answer.headers:
            assert "\r" not in value + name
            assert "\n" not in value + name
            assert not (name == "Set-Cookie" and value.startswith("evil")), answer.request.path
            if name == "Content-Disposition":
                assert re.fullmatch(r'attachment; filename="[\w.-]+"', value)
