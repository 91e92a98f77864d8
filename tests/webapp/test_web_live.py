"""Live without surprise: the cheapest request, blocks of the same template, and a form that no refresh touches."""

from __future__ import annotations

import html
import os
import re

import pytest


def test_an_unchanged_run_answers_204_without_a_body(site, helpers):
    run_id = site.run()
    address = helpers.refresh_of(site.page(f"/runs/{run_id}"))
    answer = site.client.get(f"{address}&tab=activity", headers=helpers.partial)
    assert (answer.status_code, answer.data) == (204, b"")
    assert "Content-Type" not in answer.headers
    assert "HX-Request" in answer.headers["Vary"]


def test_a_changed_run_sends_its_blocks_and_the_panels_only_when_a_gate_opened_or_closed(site, helpers):
    run_id = site.run()
    address = helpers.refresh_of(site.page(f"/runs/{run_id}"))
    stale = re.sub(r"v=[^&]+", "v=0", address)
    answer = site.client.get(f"{stale}&tab=activity", headers=helpers.partial)
    assert 'hx-target="#status"' in answer.text
    assert 'hx-target="#timeline"' in answer.text
    assert 'hx-target="#tab"' in answer.text
    assert 'hx-target="#gates"' not in answer.text, "a note that is being typed stands there"
    assert "<textarea" not in answer.text.replace('id="cancel-note"', "").partition('class="answer"')[2]
    site.decide(run_id, "approve")
    answer = site.client.get(f"{address}&tab=inputs", headers=helpers.partial)
    assert 'hx-target="#gates"' in answer.text
    assert 'hx-target="#tab"' not in answer.text, "what does not change is left alone"
    answer = site.client.get(f"{address}&tab=context", headers=helpers.partial)
    assert "at the end of the run" in answer.text, "the context is the one that the status beside it means"


def test_an_ended_run_asks_no_more(site, helpers):
    run_id = site.run()
    address = helpers.refresh_of(site.page(f"/runs/{run_id}"))
    site.decide(run_id, "approve")
    answer = site.client.get(address, headers=helpers.partial)
    assert '<div id="live" hidden></div>' in answer.text
    assert helpers.refresh_of(site.page(f"/runs/{run_id}")) is None


def test_a_refresh_is_made_of_the_same_blocks_as_the_page(site, helpers):
    run_id = site.run()
    page = site.page(f"/runs/{run_id}")
    part = site.client.get(f"/runs/{run_id}?v=0&g=0&tab=activity", headers=helpers.partial).text
    for name in ("gates", "decided", "tab"):
        block = re.search(
            rf'<hx-partial hx-target="#{name}" hx-swap="outerMorph">(.*?)</hx-partial>', part, re.DOTALL
        ).group(1)
        strip = re.compile(r'name="csrf_token" value="[^"]+"|>[\d.]+ (s|ms|min)[^<]*<|just now')
        assert strip.sub("", block.strip()) in strip.sub("", page), name


def test_lists_refresh_the_same_way(site, helpers):
    site.run()
    for path in ("/", "/runs", "/approvals", "/blueprints", "/blueprints?start=payout"):
        text = site.page(path)
        address = re.search(r'hx-get="([^"]+[?;]v=[^"]+)" hx-trigger="every', text).group(1).replace("&amp;", "&")
        assert site.client.get(address, headers=helpers.partial).status_code == 204, path
    site.run()
    for path in ("/", "/runs", "/approvals", "/blueprints"):
        answer = site.client.get(f"{path}?v=old", headers=helpers.partial)
        assert answer.status_code == 200
        assert "<html" not in answer.text
        assert 'title="2 gates waiting"' in answer.text, "the figure above the page is as new as the list"


@pytest.mark.parametrize(
    "path", ["/", "/runs?status=failed", "/approvals?blueprint=asking", "/blueprints?start=zzz", "/runs/{run_id}"]
)
def test_the_figure_of_waiting_gates_is_kept_right_where_nothing_else_has_changed(site, helpers, path):
    run_id = site.run()
    text = site.page(path.format(run_id=run_id))
    address = html.unescape(re.search(r'hx-get="([^"]+[?;]v=[^"]+)" hx-trigger="every', text)[1])
    assert site.client.get(address, headers=helpers.partial).status_code == 204
    site.run()
    answer = site.client.get(address, headers=helpers.partial)
    assert answer.status_code == 200
    assert 'title="2 gates waiting"' in answer.text
    for block in ("gates", "status", "timeline", "tab"):
        assert f'hx-target="#{block}"' not in answer.text, "of a run's page nothing else has changed"
    address = html.unescape(re.search(r'hx-get="([^"]+[?;]v=[^"]+)" hx-trigger="every', answer.text)[1])
    again = site.client.get(address, headers=helpers.partial)
    assert (again.status_code, again.data) == (204, b"")


def test_the_list_of_blueprints_tells_what_changes_in_it_and_looks_at_little_until_then(site, helpers, monkeypatch):
    site.run(fail="read")

    def address():
        return html.unescape(re.search(r'hx-get="(/blueprints[^"]+)"', site.page("/blueprints"))[1])

    def asked(path):
        return site.client.get(path, headers=helpers.partial)

    before, limits = address(), []
    page_runs = type(site.store).page_runs

    def looking(store, *given, limit=50, **more):
        limits.append(limit)
        return page_runs(store, *given, limit=limit, **more)

    monkeypatch.setattr(type(site.store), "page_runs", looking)
    assert asked(before).status_code == 204
    assert set(limits) == {1}, "an unchanged list reads the last run of each and no more"
    run_id = site.run()
    site.decide(run_id, "approve")
    assert "50%" in asked(before).text, "of two ended runs one completed"
    before = address()
    (site.root / "blueprints" / "new.yaml").write_text(
        "name: brand-new\ncomponents: [{name: a, type: say}]\nflow: {steps: [{component: a}]}\n"
    )
    assert "brand-new" in asked(before).text
    before = address()
    (site.root / "blueprints" / "new.yaml").write_text("name: [")
    os.utime(site.root / "blueprints" / "new.yaml", ns=(1, 1))
    assert 'class="bad"' in asked(before).text


def test_a_boosted_or_restored_request_gets_the_whole_page(site):
    run_id = site.run()
    headers = {"HX-Request": "true", "HX-Request-Type": "full"}
    assert "<html" in site.page(f"/runs/{run_id}?v=0", headers=headers)


def test_no_form_stands_in_a_block_that_comes_every_second_but_the_buttons(site):
    text = site.page(f"/runs/{site.run()}")
    gates = text[text.index('id="gates"') : text.index('id="kept"')]
    assert 'name="note"' in gates
    timeline = text[text.index('id="timeline"') : text.index('id="tab"')]
    assert "<form" not in timeline


def test_opened_steps_are_skipped_by_a_morph(site):
    text = site.page(f"/runs/{site.run()}")
    assert re.search(r'<div class="body" id="body-0-1" data-src="[^"]+" hx-morph-skip>', text)
    assert '"morphIgnore":["data-htmx-powered","open"]' in text
