"""What somebody may not see is not there: every answer about it is the answer about what does not exist."""

from __future__ import annotations

import pytest

from neurocore.access.permission import Action
from neurocore.access.roles import Grant, Role
from neurocore.accounts import people, tokens
from neurocore.persistence.visible import VisibleRuns
from neurocore.runs.delete import delete_run
from neurocore.runs.replay import create_replay
from tests.webapp.conftest import PARTIAL
from tests.webapp.test_rights_walk import ASKED
from tests.webapp.test_signin import PASSWORD, ROOT, quick_hashes, team
from webapp.security.permissions import SAFE_METHODS

__all__ = ["quick_hashes", "team"]

#: As long as the ids of the site, and that of no run.
NOBODYS = "zzhidden-ledger"
HIDDEN = "hidden-ledger"
MANY = [Grant(role, "payout*") for role in (Role.OPERATOR, Role.APPROVER, Role.ADMIN)]


def hidden(team, kind="ask"):
    """Run a blueprint that those of these tests may not see; returns the id."""
    path = team.root / "blueprints" / f"{HIDDEN}.yaml"
    path.write_text(
        f"name: {HIDDEN}\ncomponents: [{{name: one, type: {kind}}}]\nflow: {{steps: [{{component: one}}]}}\n"
    )
    return team.run(HIDDEN)


def by_session(team):
    """Sign in as somebody who may do much about one blueprint, and return the headers that say so: none."""
    people.add_person("mira", store=team.store, actor=ROOT, grants=MANY, password=PASSWORD)
    team.sign_in("mira")
    return {}


def by_token(team):
    """The header of a token for everything about one blueprint, whose owner may do everything about all."""
    grants = [Grant(role) for role in Role]
    person = people.add_person("mira", store=team.store, actor=ROOT, grants=grants)
    return bearer(team, person, [one.value for one in Action if one not in tokens.NEVER], ["payout*"])


def bearer(team, person, scopes, blueprints=()):
    made = tokens.create(
        person, name="bot", scopes=scopes, blueprints=blueprints, days="1", store=team.store, config=team.config,
        actor=ROOT,
    )  # fmt: skip
    return {"Authorization": f"Bearer {made.secret}"}


def routes_of_runs(team, run_id, other):
    """Every route that takes the id of a run, with this id and, where it takes two, another that is visible."""
    adapter = team.app.url_map.bind("localhost")
    given = {"index": 0, "what": "context"}
    for rule in team.app.url_map.iter_rules():
        if "run_id" not in rule.arguments:
            continue
        for method in sorted((rule.methods or set()) - {"OPTIONS", "HEAD"}):
            asked = [*rule.arguments, *ASKED.get(rule.endpoint, ())]
            pairs = [{"run_id": run_id, "other_id": other, "with": other}]
            if len(asked) > 1 and {"other_id", "with"} & set(asked):
                pairs.append({"run_id": other, "other_id": run_id, "with": run_id})
            for pair in pairs:
                values = {**given, **pair}
                yield method, adapter.build(rule.endpoint, {name: values[name] for name in asked}, method)


def told(answer, *ids):
    """What an answer says, apart from the ids that were asked for and the token of its forms."""
    text = answer.text
    for one in ids:
        text = text.replace(one, "ID")
    lines = [line for line in text.splitlines() if "csrf_token" not in line]
    headers = {name: value.replace(ids[0], "ID") for name, value in answer.headers if name != "Set-Cookie"}
    headers.pop("Content-Length", None)
    return answer.status_code, lines, headers


#: What some operations need.
BODIES = {"decision": {"digest": "x", "approved": True}, "withdrawal": {"digest": "x"}, "comments": {"text": "Why?"}}


@pytest.mark.parametrize("way", [by_session, by_token])
@pytest.mark.parametrize("more", [{}, PARTIAL, {"User-Agent": "Slackbot 1.0"}, {"If-None-Match": "*"}])
def test_the_answer_about_what_is_unseen_is_that_about_what_is_not(team, way, more):
    seen, unseen = team.run(), hidden(team)
    headers = {**way(team), **more}
    checked = 0
    nothing = dict(zip(routes_of_runs(team, unseen, seen), routes_of_runs(team, NOBODYS, seen), strict=True))
    for (method, path), (_, other) in nothing.items():
        if method in SAFE_METHODS:
            both = [team.client.get(one, headers=headers) for one in (path, other)]
        elif path.startswith("/api/"):
            body = BODIES.get(path.rpartition("/")[2], {})
            both = [team.client.post(one, json=body, headers=headers) for one in (path, other)]
        else:
            form = {"csrf_token": team.token(), "decision": "approve"}
            both = [team.client.post(one, data=form, headers=headers) for one in (path, other)]
        assert told(both[0], unseen) == told(both[1], NOBODYS), (method, path)
        assert both[0].status_code in (404, 401) or "Slackbot" in str(more), (method, path, both[0].status_code)
        checked += 1
    assert checked > 25
    assert team.store.load_summary(unseen).status.value == "suspended"


@pytest.mark.parametrize("way", [by_session, by_token])
def test_a_blueprint_that_is_unseen_is_that_which_is_not(team, way):
    headers = way(team)
    for method, path in (
        ("GET", "/blueprints/{}"), ("POST", "/blueprints/{}/runs"), ("GET", "/api/v1/blueprints/{}"),
        ("POST", "/api/v1/blueprints/{}/runs"),
    ):  # fmt: skip
        more = {} if method == "GET" else {"data": {"csrf_token": team.token()}}
        if method == "POST" and path.startswith("/api/"):
            more = {"json": {}}
        both = [
            team.client.open(path.format(name), method=method, headers=headers, **more)
            for name in (HIDDEN, "hidden-ledgeR")
        ]
        assert told(both[0], HIDDEN) == told(both[1], "hidden-ledgeR"), path
        assert both[0].status_code in (404, 401), path


@pytest.mark.parametrize("way", [by_session, by_token])
def test_nothing_lists_or_counts_what_is_unseen(team, way):
    seen, unseen, failed = team.run(), hidden(team), team.run("two")
    headers = way(team)
    adapter = team.app.url_map.bind("localhost")
    looked = 0
    for rule in team.app.url_map.iter_rules():
        if "GET" not in (rule.methods or set()) or rule.arguments or rule.rule == "/login":
            continue
        path = adapter.build(rule.endpoint, {})
        for more in ({}, PARTIAL):
            text = team.client.get(path, headers={**headers, **more}).text
            assert unseen not in text, path
            assert failed not in text, path
            assert HIDDEN not in text, path
            looked += 1
    assert looked > 20
    assert seen in team.client.get("/runs", headers=headers).text
    assert team.client.get("/api/v1/runs?blueprint=hidden-ledger", headers=headers).json["runs"] == []
    assert team.client.get("/api/v1/approvals", headers=headers).json["open"] == 1
    assert team.client.get("/metrics", headers=headers).status_code == 403
    page = team.client.get("/", headers=headers).text
    assert ">1<" in page.split('id="open-gates"')[1][:200], "the badge counts what is visible"


def test_runs_that_are_held_are_counted_where_they_are_visible(team):
    hidden(team)
    with team.store._db.write() as connection:
        connection.execute("UPDATE runs SET held = 'elsewhere'")
    assert team.store.count_held_runs() == 1
    assert VisibleRuns(team.store, lambda name: name == "payout").count_held_runs() == 0


@pytest.mark.parametrize("way", [by_session, by_token])
def test_a_prefix_is_unique_among_what_is_seen(team, way):
    seen, unseen = team.run(), hidden(team)
    headers = way(team)
    common = seen[:1]
    assert unseen.startswith(common)
    found = team.client.get(f"/api/v1/runs/{common}", headers=headers)
    assert (found.status_code, found.json["run_id"]) == (200, seen)
    assert team.client.get(f"/runs/{common}", headers=headers).headers["Location"].endswith(seen)
    assert team.client.get(f"/api/v1/runs/{unseen[:6]}", headers=headers).status_code == 404


@pytest.mark.parametrize("way", [by_session, by_token])
def test_the_tombstone_of_what_is_unseen_is_not_there(team, way):
    unseen = team.run("payout", fail="read")
    gone = hidden(team, "say")
    delete_run(gone, run_store=team.store, actor=ROOT)
    headers = way(team)
    for path in (f"/runs/{gone}", f"/api/v1/runs/{gone}"):
        assert told(team.client.get(path, headers=headers), gone) == told(
            team.client.get(path.replace(gone, NOBODYS), headers=headers), NOBODYS
        )
        assert team.client.get(path, headers=headers).status_code == 404
    delete_run(unseen, run_store=team.store, actor=ROOT)
    assert team.client.get(f"/api/v1/runs/{unseen}", headers=headers).status_code == 410


@pytest.mark.parametrize("way", [by_session, by_token])
def test_a_replay_names_no_run_that_is_unseen(team, way):
    unseen = hidden(team)
    path = team.root / "blueprints" / f"{HIDDEN}.yaml"
    path.write_text(path.read_text().replace(f"name: {HIDDEN}", "name: payout-ledger"))
    options = {"run_store": team.store, "latest": True, "started_by": "ann"}
    seen = create_replay(unseen, team.registry, team.config, **options).run_id
    assert team.store.load_summary(seen).replay_of == unseen
    headers, short = way(team), unseen[:8]
    paths = ["", "/print", "?tab=activity", "/inspection", "/events", ""]
    for path in [f"/runs/{seen}{one}" for one in paths[:3]] + [f"/api/v1/runs/{seen}{one}" for one in paths[3:]]:
        answer = team.client.get(path, headers=headers)
        assert answer.status_code == 200
        assert short not in answer.text, path
    for path in ("/", "/runs", "/approvals", "/api/v1/runs", "/api/v1/approvals"):
        assert short not in team.client.get(path, headers=headers).text, path
    team.client = team.browser()
    team.sign_in("anna")
    assert unseen in team.client.get(f"/runs/{seen}").text, "who sees both sees which it replays"


def test_rights_are_asked_before_an_answer_says_that_nothing_changed(team):
    run_id = hidden(team)
    person = people.add_person("mira", store=team.store, actor=ROOT, grants=[Grant(Role.VIEWER)], password=PASSWORD)
    team.sign_in("mira")
    token = bearer(team, person, ["view"])
    known = team.client.get(f"/api/v1/runs/{run_id}").headers["ETag"]
    assert team.client.get(f"/api/v1/runs/{run_id}", headers={"If-None-Match": known}).status_code == 304
    page = team.client.get(f"/runs/{run_id}").text
    version = page.split("v=")[1].split("&")[0].split('"')[0]
    asked = f"/runs/{run_id}?v={version}"
    assert team.client.get(asked, headers=PARTIAL).status_code == 204
    people.revoke("mira", [Grant(Role.VIEWER)], store=team.store, actor=ROOT)
    people.grant("mira", [Grant(Role.VIEWER, "payout")], store=team.store, actor=ROOT)
    for headers in ({}, token):
        client = team.browser() if headers else team.client
        again = {**headers, "If-None-Match": known}
        assert client.get(f"/api/v1/runs/{run_id}", headers=again).status_code == 404
        assert client.get(asked, headers={**headers, **PARTIAL}).status_code == 404


def test_a_token_that_answers_finds_its_run_and_reads_nothing(team):
    run_id = team.run()
    person = people.find_person("paul", team.store)
    headers = bearer(team, person, ["answer"])
    assert team.browser().get(f"/api/v1/runs/{run_id}", headers=headers).status_code == 403
    body = {"approved": True, "digest": team.gate(run_id).digest}
    answer = team.browser().post(f"/api/v1/runs/{run_id}/decision", json=body, headers=headers)
    assert answer.status_code == 200
    assert team.gate(run_id).answers[0].token is not None


def test_a_bot_that_follows_to_the_sign_in_learns_nothing_about_a_run(team):
    run_id = team.run()
    for agent in ("Slackbot 1.0", "Mozilla/5.0"):
        answer = team.browser().get(f"/runs/{run_id}", headers={"User-Agent": agent}, follow_redirects=True)
        assert "payout" not in answer.text.replace(run_id, ""), "the address that was asked for is all"
        assert "payout: suspended" not in answer.text


def test_who_has_not_signed_in_learns_neither_the_project_nor_its_people_nor_how_much_waits(team):
    team.app.jinja_env.globals["project"] = "Secret Ledger"
    team.app.extensions["neurocore"].stale = lambda: "skills/secret.py changed"
    team.run()
    secret = people.make_link(None, store=team.store, actor=ROOT)
    stranger = team.browser()
    wrong = {"csrf_token": team.token(stranger), "username": "vera", "password": "wrong"}
    answers = [
        stranger.get("/login"), stranger.post("/login", data=wrong), stranger.post("/login", data={}),
        stranger.get("/link/nothing"), stranger.get(f"/link/{secret}"), stranger.get("/logout"), stranger.get("/none"),
        stranger.get("/login", headers={"Host": "evil.example"}), stranger.get("/api/v1/runs"),
        stranger.get("/healthz"), stranger.get("/runs", headers={"HX-Request": "true"}),
        stranger.get("/login?next=" + "x" * 9000),
        stranger.post("/login", headers={"Sec-Fetch-Site": "cross-site"}), stranger.get("/runs?t=nrc_" + "x" * 40),
    ]  # fmt: skip
    for answer in answers:
        for told in ("Secret Ledger", "secret.py", "adam", "anna", "badge"):
            assert told not in answer.text, (answer.request.path, told)
            assert told not in str(answer.headers), (answer.request.path, told)
    assert "<title>Sign in · NeuroCore</title>" in answers[0].text
    assert stranger.get("/healthz").json == {"status": "ok"}
    team.sign_in("vera")
    assert "Secret Ledger" in team.client.get("/").text
