"""`/api/v1` for programs: one JSON shape for each thing, the filters of the pages, refusals as problems."""

from __future__ import annotations

import html
import json
import re
from urllib.parse import quote

import msgspec
import pytest

from neurocore import typed
from neurocore.access import permission
from neurocore.access.permission import Action
from neurocore.documents import make
from neurocore.documents.runs import InspectDocument, OutcomeDocument, RunsDocument
from neurocore.persistence.records import RunStatus
from neurocore.runtime.executor import delete_run
from tests.webapp.rights import all_but
from webapp.api import operations

API = "/api/v1"


def ask(site, path, status=200, **options):
    """GET an address of the API; the answer as data."""
    answer = site.client.get(API + path, **options)
    assert answer.status_code == status, answer.text
    problem = status >= 400
    assert answer.content_type == ("application/problem+json" if problem else "application/json")
    if problem:
        assert {"type", "title", "status", "detail", "instance"} <= answer.json.keys()
        assert answer.json["status"] == status
        assert answer.json["instance"] == (API + path).partition("?")[0]
    return answer.json


def tell(site, path, body, status=200, **options):
    """POST to the API."""
    answer = site.client.post(API + path, json=body, **options)
    assert answer.status_code == status, answer.text
    return answer.json


# -------------------------------------------------------------------- one shape for each thing


def test_a_run_is_the_document_that_the_command_line_prints(site):
    run_id = site.run()
    run = site.store.load_run(run_id)
    printed = make.outcome(run, site.store, site.config, "neurocore")
    assert ask(site, f"/runs/{run_id}") == msgspec.to_builtins(printed)
    typed.convert(ask(site, f"/runs/{run_id}/inspection?full=true"), InspectDocument)
    typed.convert(ask(site, "/runs"), RunsDocument)


def test_the_list_has_the_pages_filters_and_its_cursors(site):
    for _ in range(3):
        site.run()
    failed = site.run(fail="read", batch="Taxes")
    assert [run["run_id"] for run in ask(site, "/runs?status=failed,completed")["runs"]] == [failed]
    assert [run["run_id"] for run in ask(site, "/runs?q=Tax&by=ann&since=7d")["runs"]] == [failed]
    assert len(ask(site, "/runs?waiting=true&blueprint=payout")["runs"]) == 3
    newest = ask(site, "/runs?limit=2")
    older = ask(site, f"/runs?limit=2&before={newest['older']}")
    assert older["older"] is None
    assert len({run["run_id"] for run in newest["runs"] + older["runs"]}) == 4
    assert ask(site, f"/runs?limit=2&after={older['newer']}")["runs"] == newest["runs"]


@pytest.mark.parametrize("name", ["before", "after"])
def test_a_cursor_that_no_page_gave_is_refused_beside_the_filter_and_as_a_problem(site, name):
    site.run()
    sentence = f"{name} takes a cursor that another page of this list returned, not 'garbage'."
    problem = ask(site, f"/runs?{name}=garbage&status=failed", 422)
    assert problem["errors"] == [{"field": name, "detail": sentence}]
    assert problem["detail"] == sentence
    page = site.client.get(f"/runs?{name}=garbage&status=failed")
    assert page.status_code == 422
    assert f'<p class="problem" role="alert">{sentence}</p>' in html.unescape(page.text)
    assert "This filter is not valid" in page.text


def test_a_run_is_found_by_any_beginning_that_no_other_has(site):
    first, second = site.run(), site.run()
    assert ask(site, f"/runs/{first[:3]}")["run_id"] == first
    problem = ask(site, "/runs/0", 409)
    assert problem["type"] == "/api/v1/problems#ambiguous"
    assert problem["candidates"] == [first, second]
    assert "nothere" in ask(site, "/runs/nothere", 404)["detail"]


def test_a_deleted_run_says_when_and_by_whom(site):
    run_id = site.run(fail="read")
    delete_run(run_id, run_store=site.store, by="dora")
    for path in ("", "/steps", "/gates", "/inspection", "/events", "/logs"):
        problem = ask(site, f"/runs/{run_id}{path}", 410)
        assert problem["deleted"]["deleted_by"] == "dora"
        assert problem["deleted"]["deleted_at"]


def test_steps_come_a_page_at_a_time_and_one_whole(site):
    run_id = site.run(fail="write")
    site.decide(run_id, "approve")
    first = ask(site, f"/runs/{run_id}/steps?limit=2")
    assert [step["node"] for step in first["steps"]] == ["read", "review"]
    assert first["steps"][0]["changes"] == {"payees": 3}
    rest = ask(site, f"/runs/{run_id}/steps?after={first['more']}&full=true")
    assert [step["node"] for step in rest["steps"]] == ["write"]
    assert rest["more"] is None
    assert "told to fail" in ask(site, f"/runs/{run_id}/steps/2")["traceback"]
    assert "no step 9" in ask(site, f"/runs/{run_id}/steps/9", 404)["detail"]


def test_gates_say_what_they_show_and_what_each_answer_leads_to(site):
    run_id = site.run()
    (gate,) = ask(site, f"/runs/{run_id}/gates")["gates"]
    assert gate["shown"] == {"amount": 100, "payees": 3}
    assert gate["preview"]["approve"]["runs"] == ["write"]
    assert gate["digest"] == ask(site, f"/runs/{run_id}")["waits"][0]["digest"]


def test_approvals_are_those_of_the_page(site):
    waiting, decided = site.run(batch="Wages"), site.run()
    site.decide(decided, "approve", by="carla", note="fine")
    found = ask(site, "/approvals")
    assert [entry["run"]["run_id"] for entry in found["waiting"]] == [waiting]
    assert [(one["run"]["run_id"], one["gate"]["answers"][0]["by"]) for one in found["decided"]] == [(decided, "carla")]
    assert ask(site, "/approvals?by=nobody&blueprint=payout")["decided"] == []
    for before, count in {"yesterday": 0, "10m": 0, "2100-01-01": 1, "2100-01-01T10:00+09:00": 1}.items():
        assert len(ask(site, f"/approvals?before={quote(before)}")["decided"]) == count, "as in the other filters"
    assert ask(site, "/approvals?before=soon", 422)["errors"][0]["field"] == "before"
    assert site.client.get("/approvals?before=soon").status_code == 422


def test_every_open_gate_and_every_decided_one_is_on_a_page(site, monkeypatch):
    monkeypatch.setattr("webapp.approvals.views.WAITING", 2)
    monkeypatch.setattr("webapp.approvals.views.DECIDED", 2)
    waiting, decided = [site.run() for _ in range(5)], [site.run() for _ in range(5)]
    for run_id in decided:
        site.decide(run_id, "approve", by="ann")
    for name, parameter, key, runs in (
        ("waiting", "after", "later", waiting),
        ("decided", "before", "older", list(reversed(decided))),
    ):
        seen, query = [], {}
        while query is not None:
            found = ask(site, "/approvals", query_string=query)
            assert found["open"] == 5
            seen += [entry["run"]["run_id"] for entry in found[name]]
            query = {parameter: found[key]} if found[key] else None
        assert seen == runs
    assert ask(site, "/approvals?after=nonsense", 422)["errors"][0]["field"] == "after"


def test_blueprints_say_what_a_run_is_given(site):
    site.run(fail="read")
    names = [one["name"] for one in ask(site, "/blueprints")["blueprints"]]
    assert names == ["asking", "nap", "payout", "two"]
    payout = ask(site, "/blueprints/payout")
    assert payout["figures"]["ended"] == 1
    assert {"name": "amount", "type": "integer", "required": False, "default": 100}.items() <= payout["inputs"][
        1
    ].items()
    assert payout["nodes"] == ["read", "review", "write"]
    assert "Pays after" in payout["source"]
    ask(site, "/blueprints/nothere", 404)


def test_many_blueprints_come_page_by_page(site, monkeypatch):
    monkeypatch.setattr("webapp.api.blueprints.LISTED", 3)
    first = ask(site, "/blueprints")
    assert [one["name"] for one in first["blueprints"]] == ["asking", "nap", "payout"]
    assert (first["more"], first["next"]) == (1, "two")
    rest = ask(site, "/blueprints?start=two")
    assert [one["name"] for one in rest["blueprints"]] == ["two"]
    assert (rest["more"], rest["next"]) == (0, None)


def test_a_broken_blueprint_says_why_it_cannot_be_started(site):
    (site.root / "blueprints" / "broken.yaml").write_text("name: broken\nflow: {}\n")
    listed = {one["name"]: one for one in ask(site, "/blueprints")["blueprints"]}
    assert listed["broken"]["problem"]
    problem = tell(site, "/blueprints/broken/runs", {"by": "ann"}, 422)
    assert problem["type"].endswith("#blueprint")
    assert problem["errors"]


def test_two_runs_are_compared_as_the_command_line_does(site):
    first, second = site.run(amount=1), site.run(amount=2)
    found = ask(site, f"/runs/{first}/compare/{second}")
    assert [(one["key"], one["before"], one["after"]) for one in found["inputs"]] == [("amount", 1, 2)]


def test_half_surrogates_and_huge_numbers_of_a_run_are_json_still(site):
    run_id = site.run(batch="half \ud800 pair", amount=10**400)
    answer = site.client.get(f"{API}/runs/{run_id}")
    assert answer.status_code == 200
    data = msgspec.json.decode(answer.data)["data"]
    assert data["batch"] == r"half \ud800 pair", "what UTF-8 cannot say is written out"
    assert data["amount"] == 10**400


# -------------------------------------------------------------------- every page has its twin


@pytest.mark.parametrize(
    "page",
    ["/runs", "/runs?status=failed&q=Mar&limit=5&since=7d", "/runs?waiting=true", "/approvals", "/blueprints",
     "/approvals?blueprint=payout&by=ann", "/blueprints/payout", "/runs/{run_id}", "/runs/{run_id}?tab=inputs", "/",
     "/runs?waiting=yes", "/runs/{run_id}/steps/0", "/runs/{run_id}/print", "/runs/{run_id}/compare/{run_id}"],
)  # fmt: skip
def test_a_page_names_its_twin_and_the_twin_is_there(site, page):
    run_id = site.run()
    found = re.search(
        r'<link rel="alternate" type="application/json" href="([^"]+)"', site.page(page.format(run_id=run_id))
    )
    assert found, f"{page} names no twin"
    twin = html.unescape(found.group(1))
    answer = site.client.get(twin)
    assert answer.status_code == 200, f"{twin}: {answer.text}"
    asked = page.partition("?")[2]
    for part in asked.split("&") if asked and "tab" not in asked else ():
        assert part in twin, "the twin has other filters"


# -------------------------------------------------------------------- what is refused, and how


def test_what_is_not_there_is_a_problem_too(site):
    assert "openapi.json" in ask(site, "/nothing", 404)["detail"]
    answer = site.client.put(f"{API}/runs")
    assert answer.status_code == 405
    assert answer.content_type == "application/problem+json"
    assert set(answer.headers["Allow"].split(", ")) == {"GET", "HEAD"}
    assert site.client.get(f"{API}/runs/x/decision").status_code == 405


def test_a_parameter_that_nobody_knows_is_refused_rather_than_passed_over(site):
    problem = ask(site, "/runs?stauts=failed", 422)
    assert problem["errors"][0]["field"] == "stauts"
    assert "status" in problem["detail"]
    assert ask(site, "/runs?status=fialed", 422)["errors"][0]["field"] == "status"
    assert ask(site, "/runs?limit=1000", 422)["errors"][0]["field"] == "limit"
    ask(site, "/problems?x=1", 422)
    assert ask(site, "/runs?waiting=&limit=5", 422)["errors"][0]["field"] == "waiting"
    assert ask(site, "/runs?blueprint=&q=")["runs"] == [], "an empty text is as none given"


@pytest.mark.parametrize(
    ("data", "kind", "status"),
    [
        (b'{"by": "ann"}', "text/plain", 415),
        (b"by=ann", "application/x-www-form-urlencoded", 415),
        (b'{"by": "ann"', "application/json", 400),
        (b"", "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b'{"by": NaN}', "application/json", 400),
        (b"[1]", "application/json", 422),
        (b"{}", "application/json", 422),
        (b'{"by": 5}', "application/json", 422),
        (b'{"by": ""}', "application/json", 422),
        (b'{"by": "   "}', "application/json", 422),
        (b'{"by": "two\\nlines"}', "application/json", 422),
        (b'{"by": "ann", "more": 1}', "application/json", 422),
        (b'{"by": "ann", "data": ' + b"[" * 5000 + b"]" * 5000 + b"}", "application/json", 422),
        (b'{"by": "ann", "data": {"a": ' + b"[" * 150 + b"]" * 150 + b"}}", "application/json", 422),
        (b'{"by": "' + b"x" * 5_000_000 + b'"}', "application/json", 413),
    ],
    ids=range(16),
)
def test_only_json_of_the_right_shape_and_size_is_taken(site, data, kind, status):
    answer = site.client.post(f"{API}/blueprints/payout/runs", data=data, content_type=kind)
    assert answer.status_code == status, answer.text
    assert answer.content_type == "application/problem+json"
    assert answer.json["status"] == status
    assert len(answer.json["detail"]) < 1000
    assert site.store.list_runs() == []


def test_a_field_that_is_wrong_is_named(site):
    problem = tell(site, "/blueprints/payout/runs", {"by": "ann", "data": {"amount": "many", "wrong": 1}}, 422)
    assert {one["field"] for one in problem["errors"]} == {"amount", "wrong"}
    missing = tell(site, "/runs/x/decision", {"by": "ann"}, 422)
    assert missing["errors"][0]["field"] in ("approved", "digest")


def test_names_that_are_not_ours_and_pages_of_other_sites_are_refused_as_problems(site):
    assert "allowed_hosts" in ask(site, "/runs", 400, headers={"Host": "evil.example"})["detail"]
    run_id = site.run()
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}):
        problem = tell(site, f"/runs/{run_id}/cancellation", {"by": "eve"}, 403, headers=headers)
        assert "another site" in problem["detail"]
    assert not site.store.load_summary(run_id).status.ended


def test_what_is_not_allowed_is_refused_as_a_problem(site, monkeypatch):
    run_id = site.run()
    monkeypatch.setattr(permission, "may", all_but(permission.Action.CANCEL))
    problem = tell(site, f"/runs/{run_id}/cancellation", {"by": "eve"}, 403)
    assert (problem["title"], problem["detail"], problem["who_can"]) == ("Forbidden", "Not here.", ["ann"])
    assert problem["type"].endswith("#forbidden")
    monkeypatch.setattr(permission, "may", all_but(permission.Action.VIEW))
    assert ask(site, f"/runs/{run_id}", 403)["detail"] == "Not here."


def test_every_operation_that_changes_something_names_its_action():
    changing = [one for one in operations.OPERATIONS if one.method == "POST"]
    assert {one.action for one in changing} == {
        Action.START, Action.RESUME, Action.REPLAY, Action.CANCEL, Action.ANSWER, Action.DELETE,
        Action.COMMENT,
    }  # fmt: skip
    assert all(one.body is not None for one in changing)


def test_errors_nobody_meant_show_no_traceback(site, monkeypatch):
    monkeypatch.setattr(site.store, "page_runs", lambda *args, **kwargs: 1 / 0)
    problem = ask(site, "/runs", 500)
    assert "ZeroDivision" not in json.dumps(problem)
    assert problem["type"] == "about:blank"


def test_a_history_that_cannot_be_read_is_said_so(site, monkeypatch):
    from neurocore.errors import StoreError

    def broken(*args, **kwargs):
        raise StoreError("runs.db cannot be read (the disk is gone); mend it.")

    monkeypatch.setattr(site.store, "page_runs", broken)
    assert ask(site, "/runs", 503)["detail"].startswith("runs.db cannot be read")


def test_every_kind_of_problem_is_explained(site):
    run_id = site.run()
    explained = {one["name"]: one for one in ask(site, "/problems")["problems"]}
    problem = tell(site, f"/runs/{run_id}/resumption", {"by": "ann"}, 409)
    name = problem["type"].removeprefix("/api/v1/problems#")
    assert explained[name]["title"] == problem["title"]
    assert explained[name]["status"] == 409


# -------------------------------------------------------------------- versions


def test_who_has_the_version_already_gets_no_body(site):
    run_id = site.run()
    first = site.client.get(f"{API}/runs/{run_id}")
    assert first.headers["Cache-Control"] == "no-cache"
    again = site.client.get(f"{API}/runs/{run_id}", headers={"If-None-Match": first.headers["ETag"]})
    assert again.status_code == 304
    assert again.data == b""
    assert again.headers["ETag"] == first.headers["ETag"]
    site.decide(run_id, "approve")
    now = site.client.get(f"{API}/runs/{run_id}", headers={"If-None-Match": first.headers["ETag"]})
    assert now.status_code == 200
    assert now.json["status"] == RunStatus.COMPLETED
    assert site.client.get(f"{API}/runs").headers["Cache-Control"] == "no-store"


def test_head_says_what_get_would(site):
    run_id = site.run()
    answer = site.client.head(f"{API}/runs/{run_id}")
    assert answer.status_code == 200
    assert answer.headers["ETag"]
    assert answer.data == b""


def test_answers_fit_the_types_they_are_declared_with(site):
    run_id = site.run()
    typed.convert(ask(site, f"/runs/{run_id}"), OutcomeDocument)
