"""Looking changes nothing (promise 11), and every page says where one is and what can be done."""

from __future__ import annotations

import html
import re
import sqlite3
from datetime import UTC, datetime, timedelta

import pytest

from neurocore.persistence.base import RunStore
from neurocore.persistence.records import RunRecord, StepRecord
from neurocore.runtime.executor import delete_run


def _everything(path):
    connection = sqlite3.connect(path)
    try:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: connection.execute(f"SELECT * FROM {name}").fetchall() for name in tables}
    finally:
        connection.close()


QUERIES = ("", "?v=0&g=0&tab=activity", "?decision=approve&by=eve", "?part=tab&tab=context", "?full=true")


def _addresses(site, run_ids):
    """Every address the URL map has for GET, with every run filled in."""
    first, second = run_ids[:2]
    values = {
        "run_id": first,
        "other_id": second,
        "index": 1,
        "what": "context",
        "name": "payout",
        "filename": "style.css",
        "secret": "none",
    }
    with site.app.test_request_context():
        adapter = site.app.url_map.bind("localhost")
        for rule in site.app.url_map.iter_rules():
            if "GET" in (rule.methods or set()) and rule.endpoint != "static":
                yield adapter.build(rule.endpoint, {name: values[name] for name in rule.arguments})


def test_rows_that_are_kept_are_as_many_as_there_are_runs_however_long_one_looks(site, monkeypatch):
    for _ in range(3):
        site.run()
    kept = site.app.extensions["neurocore"].kept_rows
    for minutes in range(10):
        monkeypatch.setattr("webapp.runs.listing.ago", lambda *_, told=minutes: f"{told} min ago")
        text = site.page("/runs")
        assert text.count("<tr") >= 4
    assert len(kept) == 3, "an age that has passed is not told again"


def test_a_blueprint_s_file_that_is_gone_is_kept_no_longer(site):
    here = site.app.extensions["neurocore"]
    for number in range(5):
        file = site.root / "blueprints" / f"once{number}.yaml"
        file.write_text((site.root / "blueprints" / "nap.yaml").read_text().replace("name: nap", f"name: once{number}"))
        assert f"once{number}" in here.blueprint_files()
        file.unlink()
        assert f"once{number}" not in here.blueprint_files()
    assert len(here._blueprints._kept) == len(here.blueprint_files())


def test_no_get_and_no_head_changes_a_byte_of_the_history(site, helpers):
    waiting, failed = site.run(), site.run(fail="read")
    before = _everything(site.config.runs_db_path)
    seen = 0
    for address in _addresses(site, [waiting, failed]):
        for headers in ({}, helpers.partial, {"User-Agent": "Slackbot-LinkExpanding 1.0"}):
            for method in (site.client.get, site.client.head):
                for query in QUERIES:
                    answer = method(address + query, headers=headers)
                    assert answer.status_code < 500, f"{address}{query}: {answer.status_code}"
                    seen += 1
    assert seen > 200
    assert _everything(site.config.runs_db_path) == before, "a GET or HEAD changed the history"


def test_no_post_route_answers_to_get(site):
    run_id = site.run()
    for verb in ("decision", "resumption", "cancellation", "deletion", "replay"):
        answer = site.client.get(f"/runs/{run_id}/{verb}")
        assert answer.status_code == 405, verb
        assert "POST" in answer.headers["Allow"]


def test_a_unique_beginning_leads_to_the_whole_id_with_its_query(site):
    run_id = site.run()
    answer = site.client.get(f"/runs/{run_id[:6]}?tab=inputs")
    assert answer.status_code == 302
    assert answer.headers["Location"] == f"/runs/{run_id}?tab=inputs"


def test_an_ambiguous_beginning_lists_the_candidates(site):
    first, second = site.run(), site.run()
    answer = site.client.get("/runs/0")
    assert answer.status_code == 300
    assert first in answer.text
    assert second in answer.text


def test_an_unknown_run_says_what_was_looked_for_and_offers_the_list(site):
    answer = site.client.get("/runs/nothere")
    assert answer.status_code == 404
    assert "nothere" in answer.text
    assert 'href="/runs"' in answer.text


@pytest.mark.parametrize("number", ["9", "2147483648", "99999999999999999999999", "-1"])
def test_a_number_that_no_step_has_is_not_found(site, number):
    answer = site.client.get(f"/runs/{site.run()}/steps/{number}")
    assert answer.status_code == 404
    assert 'href="/runs"' in answer.text


def test_a_deleted_run_says_when_and_by_whom(site):
    run_id = site.run(fail="read")
    delete_run(run_id, run_store=site.store, by="dora")
    answer = site.client.get(f"/runs/{run_id}")
    assert answer.status_code == 410
    assert "deleted by <b>dora</b>" in answer.text


def test_the_empty_project_shows_the_command_that_makes_the_first_run(site):
    assert "neurocore run" in site.page("/")
    assert "neurocore run" in site.page("/runs")
    assert "approval:" in site.page("/approvals")


def test_home_shows_what_waits_what_failed_and_the_last_days(site):
    waiting, failed = site.run(batch="Wages"), site.run(batch="Taxes", fail="read")
    text = site.page("/")
    assert text.index("Release 100?") < text.index("Recently failed") < text.index("Taxes")
    assert f"/runs/{waiting}#gate-review-1" in text
    assert f"/runs/{failed}" in text
    assert 'class="chart"' in text


def test_home_shows_what_failed_last_by_when_it_ended(site):
    """A run that waited for a week and fails now has just failed; one that failed a month ago has not."""
    from msgspec import structs

    now = datetime.now(UTC)
    site.run()
    assert "Nothing failed in the last 7 days." in site.page("/")
    for batch, started, ended in (
        ("Waited", 9, timedelta(seconds=1)), ("Quick", 1, timedelta(hours=20)), ("Ages", 30, timedelta(days=29)),
    ):  # fmt: skip
        run = site.store.load_run(site.run(batch=batch, fail="read"))
        began = (now - timedelta(days=started)).isoformat()
        site.store.save_run(structs.replace(run, created_at=began, finished_at=(now - ended).isoformat()))
    text = site.page("/")
    just = text[text.index("Recently failed") : text.index("Last days")]
    assert just.index("Waited") < just.index("Quick")
    assert "Ages" not in just
    assert "20 h ago" in just, "it says how long ago it failed, not how long ago it began"


def test_the_run_page_reads_from_top_to_bottom_as_specified(site):
    run_id = site.run()
    site.decide(run_id, "reject", note="no")
    waiting = site.run(batch="Wages")
    text = site.page(f"/runs/{waiting}")
    places = [
        text.index(mark)
        for mark in ("<h1>Wages", 'class="card decide"', 'id="timeline"', 'class="flow"', 'class="tabs"')
    ]
    assert places == sorted(places)


def test_the_time_that_a_run_waits_counts_up_until_it_is_decided(site):
    run_id = site.run()
    counting = re.compile(r"waited for people <time [^>]*data-since>")
    assert counting.search(site.page(f"/runs/{run_id}"))
    site.decide(run_id, "approve")
    text = site.page(f"/runs/{run_id}")
    assert "waited for people " in text
    assert not counting.search(text)


def test_steps_say_what_they_changed_from_what(site):
    run_id = site.run()
    site.decide(run_id, "approve")
    text = site.page(f"/runs/{run_id}/steps/0")
    assert "payees" in text
    assert "Idempotency key" in text
    part = site.page(f"/runs/{run_id}/steps/2", headers={"HX-Request": "true", "HX-Request-Type": "partial"})
    assert "<html" not in part
    assert "out.xml" in part


def test_a_failed_step_shows_its_error_and_its_traceback_folded(site):
    run_id = site.run(fail="read", why="the file is empty")
    text = site.page(f"/runs/{run_id}/steps/0")
    assert "the file is empty" in text
    assert '<summary class="dim">Traceback</summary>' in text
    assert "the file is empty" in site.page(f"/runs/{run_id}")


def test_a_failed_step_and_its_retry_are_both_there(site):
    run_id = site.run(fail="read")
    site.post(f"/runs/{run_id}/resumption", {"by": "ann"})
    text = site.page(f"/runs/{run_id}")
    assert 'id="step-read-1-1"' in text
    assert 'id="step-read-1-2"' in text
    assert "attempt 2" in text


@pytest.mark.parametrize("tab", ["activity", "context", "inputs", "blueprint"])
def test_every_tab_is_an_address_and_a_fragment(site, tab):
    run_id = site.run()
    whole = site.page(f"/runs/{run_id}?tab={tab}")
    part = site.page(f"/runs/{run_id}?tab={tab}&part=tab", headers={"HX-Request": "true", "HX-Request-Type": "partial"})
    assert f'value="{tab}"' in part
    assert "<html" not in part
    assert part.strip() in whole


def test_the_blueprint_tab_has_the_exact_yaml(site):
    run_id = site.run()
    assert "description: Pays after a person has agreed." in site.page(f"/runs/{run_id}?tab=blueprint")


@pytest.mark.parametrize("page", ["?tab=blueprint", "/print"])
def test_the_file_of_a_blueprint_is_named_as_seen_from_the_project(site, page):
    text = site.page(f"/runs/{site.run()}{page}")
    assert '<span class="mono">blueprints/payout.yaml</span>' in text
    assert str(site.root) not in text


def test_a_credential_that_stands_in_a_blueprint_is_on_no_page(site):
    written = (
        "name: {}\ncomponents: [{{name: login, type: say, config: {{password: {}, set: {{user: ann}}}}}}]\n"
        "flow: {{steps: [{{component: login}}]}}\n"
    )
    secrets = ("tr0ub4dor-and-3", "correct-horse-9")
    (site.root / "blueprints" / "login.yaml").write_text(written.format("login", secrets[0]))
    first = site.run("login")
    (site.root / "blueprints" / "login.yaml").write_text(written.format("login", secrets[1]))
    second = site.run("login")
    pages = [
        f"/runs/{first}?tab=blueprint",
        f"/runs/{first}/steps/0",
        f"/runs/{first}/compare/{second}",
        "/blueprints/login",
    ]
    for page in pages:
        text = site.page(page)
        assert not [secret for secret in secrets if secret in text], page
    assert "password: •••" in site.page(pages[0])
    assert "password: •••" in site.page(pages[3])


def test_the_context_can_be_downloaded_with_credentials_masked(site):
    run_id = site.run()
    answer = site.client.get(f"/runs/{run_id}/download/context")
    assert answer.mimetype == "application/json"
    assert answer.json["payees"] == 3
    assert "attachment" in answer.headers["Content-Disposition"]
    for nothing in ("nothing", "step-99", "step-", "step-\u00b2", "step-\u0660", "step-999999999999"):
        assert site.client.get(f"/runs/{run_id}/download/{nothing}").status_code == 404


@pytest.mark.parametrize("page", ["", "/print"])
def test_every_tag_of_a_run_is_on_its_page(site, page):
    run_id = site.run(tags=[f"tag-{number}" for number in range(100)])
    text = site.page(f"/runs/{run_id}{page}")
    assert all(f'<span class="tag">tag-{number}</span>' in text for number in range(100))
    assert "80 more tags" in text


def test_the_list_filters_and_says_so_in_its_links(site):
    site.run(batch="Wages")
    site.run(batch="Taxes", fail="read")
    text = site.page("/runs?status=failed&q=Tax")
    assert "Taxes" in text
    assert ">Wages<" not in text
    assert "status=suspended&amp;q=Tax" in text
    assert 'value="Tax"' in text


def test_a_filter_that_cannot_be_used_says_why_beside_its_field(site):
    answer = site.client.get("/runs?since=yesterday-ish")
    assert answer.status_code == 422
    assert "since takes a date" in answer.text
    assert 'aria-invalid="true"' in answer.text


def test_each_page_names_its_twin_for_programs(site):
    run_id = site.run()
    for path, twin in {
        "/runs?status=failed": "/api/v1/runs?status=failed",
        f"/runs/{run_id}": f"/api/v1/runs/{run_id}",
        "/blueprints": "/api/v1/blueprints",
        "/blueprints/payout": "/api/v1/blueprints/payout",
    }.items():
        assert f'<link rel="alternate" type="application/json" href="{twin}">' in site.page(path), path


def test_health_and_figures(site):
    site.run()
    assert site.client.get("/healthz").json["status"] == "ok"
    figures = site.page("/metrics")
    assert 'neurocore_runs{status="suspended"} 1.0' in figures
    assert "neurocore_open_gates 1.0" in figures
    assert "neurocore_http_requests_total" in figures


def test_about_names_the_promises_and_the_licences(site):
    text = site.page("/about")
    assert "Zero-Clause BSD" in text
    assert re.search(r'<td>htmx</td><td class="mono">\d+\.\d+', text), "htmx is shipped, so its version is told"
    licence = re.search(r'href="(/static/vendor/htmx\.LICENSE[^"]*)"', text)
    assert licence, "the licence of what is shipped can be read"
    with site.client.get(licence[1]) as answer:
        assert "Permission to use" in answer.text
    assert text.count("<li>") >= 12


def test_long_runs_send_what_is_seen_and_fetch_the_rest(site):
    from msgspec import structs

    run_id = site.run()
    first = site.store.load_steps(run_id)[0]
    for index in range(5, 1005):
        site.store.save_step(structs.replace(first, step_index=index, commit_index=index, attempt=index))
    text = site.page(f"/runs/{run_id}")
    assert text.count('<details class="step ') == 150
    assert "852 steps between" in text
    assert len(text) < 250_000
    assert site.page(f"/runs/{run_id}?steps=all").count('<details class="step ') == 1002


def test_two_runs_are_compared_in_inputs_steps_and_definition(site):
    first = site.run(batch="Wages", amount=100)
    site.decide(first, "approve")
    path = site.root / "blueprints" / "payout.yaml"
    path.write_text(path.read_text().replace("payees: 3", "payees: 4"))
    second = site.run(batch="Wages", amount=250)
    text = site.page(f"/runs/{first}/compare/{second}")
    assert "<del>100</del>" in text
    assert "<ins>250</ins>" in text
    assert "<del>3</del>" in text
    assert "payees: 4" in text
    assert ">none<" in text, "the second run has not come to the last step"
    assert ">0.0 ms" not in text, "a gate does not work, so it took nothing"
    assert "Both runs have the same inputs." in site.page(f"/runs/{first}/compare/{first}")


def test_compare_takes_beginnings_of_ids(site):
    first, second = site.run(), site.run()
    answer = site.client.get(f"/runs/{first}/compare?with={second[:4]}")
    assert answer.headers["Location"] == f"/runs/{first}/compare/{second}"
    answer = site.client.get(f"/runs/{first[:4]}/compare/{second[:4]}")
    assert answer.headers["Location"] == f"/runs/{first}/compare/{second}"


def test_the_whole_record_is_on_one_page_for_paper(site):
    run_id = site.run(batch="Wages")
    site.decide(run_id, "approve", note="checked twice")
    text = site.page(f"/runs/{run_id}/print")
    for mark in (
        "checked twice",
        "out.xml",
        "given on",
        "The hash chain of its answers ends with",
        "Idempotency key",
        "inputs:",
    ):
        assert mark in text, mark
    assert '<details class="step' not in text


class SixMethods(RunStore):
    """A backend that implements only what it must."""

    def __init__(self):
        self.runs, self.steps = {}, {}

    def save_run(self, run):
        self.runs[run.run_id] = run.to_dict()
        return run.run_id

    def save_step(self, step):
        self.steps.setdefault(step.run_id, {})[step.step_index] = step.to_dict()

    def load_run(self, run_id):
        return RunRecord.from_dict(self.runs[run_id]) if run_id in self.runs else None

    def load_steps(self, run_id):
        return [StepRecord.from_dict(step) for _, step in sorted(self.steps.get(run_id, {}).items())]

    def list_runs(self, *, status=None, blueprint=None, limit=50):
        runs = [RunRecord.from_dict(run) for run in self.runs.values()]
        fitting = [run for run in runs if status in (None, run.status) and blueprint in (None, run.blueprint_name)]
        return sorted(fitting, key=lambda run: run.created_at, reverse=True)[:limit]

    def delete_run(self, run_id):
        self.runs.pop(run_id, None)


def test_a_store_with_six_methods_shows_and_decides_everything(make_site):
    site = make_site(store=SixMethods())
    run_id, other = site.run(batch="Wages"), site.run(fail="read")
    for path in (
        "/",
        "/runs",
        "/runs?status=failed&q=Mar",
        "/approvals",
        "/blueprints",
        "/blueprints/payout",
        "/about",
    ):
        site.page(path)
    assert "supports only one process" in site.page("/about")
    for path in ("", "?tab=context", "?tab=inputs", "?tab=blueprint", "/steps/0", f"/compare/{other}", "/print"):
        site.page(f"/runs/{run_id}{path}")
    assert site.decide(run_id, "approve", note="fine").status_code == 303
    assert "The run continued and completed." in site.page(f"/runs/{run_id}")
    assert site.post(f"/runs/{run_id}/deletion", {"by": "ann"}).status_code == 303
    assert site.client.get(f"/runs/{run_id}").status_code == 404, "it keeps no tombstones"


def test_a_run_of_0_4_says_what_was_not_kept(site):
    run_id = site.run(fail="read")
    from msgspec import structs

    run = site.store.load_run(run_id)
    site.store.save_run(structs.replace(run, legacy="NeuroCore 0.4 kept no outputs of single steps."))
    assert "NeuroCore 0.4 kept no outputs of single steps." in site.page(f"/runs/{run_id}")


def test_a_gate_that_a_cancelled_run_left_open_does_not_wait_any_more(site):
    run_id = site.run()
    site.post(f"/runs/{run_id}/cancellation", {"by": "ann"})
    page = site.page(f"/runs/{run_id}")
    assert "undecided" in page
    assert "review: approval, a gate, undecided" in page
    assert "chip suspended" not in page


def test_links_on_the_page_of_approvals_keep_its_filter(site, monkeypatch):
    monkeypatch.setattr("webapp.approvals.views.DECIDED", 1)
    for _ in range(2):
        site.decide(site.run(), "approve", by="ann")
    text = site.page("/approvals?blueprint=payout&by=ann")
    assert 'href="?blueprint=payout&amp;by=ann"' in text, "whose name is pressed is asked for within the blueprint"
    older = re.search(r'rel="next" href="(\?[^"]+)"', text)
    assert older
    further = site.page(f"/approvals{html.unescape(older[1])}")
    assert '<a href="?blueprint=payout&amp;by=ann">newest</a>' in further


def test_the_page_of_approvals_says_when_more_wait_than_it_shows(site, monkeypatch):
    site.run()
    assert "1 gate<" in site.page("/approvals")
    monkeypatch.setattr("webapp.approvals.views.WAITING", 1)
    site.run()
    text = site.page("/approvals")
    assert "1 gate<" not in text
    assert "wait longest" in text


def test_every_open_gate_is_on_a_page_of_approvals(site, monkeypatch):
    monkeypatch.setattr("webapp.approvals.views.WAITING", 2)
    runs = [site.run(batch=f"Batch {number}") for number in range(5)]
    site.decide(site.run(), "approve", by="ann")
    shown, address = [], "/approvals?blueprint=payout"
    while address:
        text = site.page(address)
        waiting = text.split('id="h-decided"')[0]
        shown += [run_id for run_id in runs if f"/runs/{run_id}#" in waiting]
        assert ('id="h-decided"' in text) == (address == "/approvals?blueprint=payout"), "decided ones: on the first"
        later = re.search(r'rel="next" href="(\?[^"]*after=[^"]+)"', waiting)
        address = f"/approvals{html.unescape(later[1])}" if later else None
    assert shown == runs, "each once, longest waiting first"
    assert site.client.get("/approvals?after=nonsense").status_code == 422
    assert site.client.get("/approvals?after=1-1-1-x&before=1-1-1-x").status_code == 422
