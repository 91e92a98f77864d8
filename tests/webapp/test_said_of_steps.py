"""What the pages and the API say of steps: rejected is not completed, skipped is not done, tries are a step's."""

from __future__ import annotations

import contextlib
import re
from datetime import timedelta

import pytest

from neurocore.blueprint.load import parse_blueprint
from neurocore.clock import iso
from neurocore.errors import ExecutionError
from neurocore.readable import moment
from neurocore.runtime.executor import execute_blueprint_tracked

GATED = """
name: gated
components: [{{name: begin, type: say}}, {{name: end, type: say}}, {{name: never, type: say}}]
flow:
  steps:
    - component: begin
    - approval: {{name: review, message: "Go?"{policy}}}
    - {{component: never, condition: "context.data.never == 1"}}
    - component: end
"""
POLICIES = {"ends the run": "", "goes on": ", require: false", "goes another way": ", on_reject: end"}


@pytest.fixture(params=POLICIES)
def rejected(request, site):
    """A run whose gate was rejected; the flow ends, goes on or goes another way."""
    blueprint = parse_blueprint(GATED.format(policy=POLICIES[request.param]))
    execute_blueprint_tracked(blueprint, site.registry, site.config, run_store=site.store, run_id="r1", started_by="a")
    assert site.decide("r1", "reject", note="too much").status_code == 303
    return "r1"


def row_of(text, node):
    """The summary of a node's row in the timeline."""
    row = rf'<details class="step (\S+)" id="step-{node}-1-1">\n<summary[^>]*>(.*?)</summary>'
    found = re.search(row, text, re.DOTALL)
    assert found, f"there is no row of {node}"
    return found.group(1), found.group(2)


def test_a_rejected_gate_is_shown_as_rejected_on_every_face(site, rejected):
    page = site.page(f"/runs/{rejected}")
    state, row = row_of(page, "review")
    assert state == "rejected"
    assert 'class="chip rejected"' in row
    assert "chip completed" not in row
    picture = re.search(r'<svg class="flow".*?</svg>', page, re.DOTALL)
    assert picture
    assert re.search(
        r'class="node rejected gate".{0,80}?<title>review: approval, a gate, rejected', picture.group(), re.DOTALL
    )
    assert "1 rejected" in picture.group(), "the picture's name for screen readers counts it"
    index = next(one.step_index for one in site.store.step_summaries(rejected) if one.node_id == "review")
    assert 'class="chip rejected"' in site.page(f"/runs/{rejected}/steps/{index}")
    assert site.page(f"/runs/{rejected}/print").count('class="chip rejected"') == 1
    api = site.client.get(f"/api/v1/runs/{rejected}/steps").json["steps"]
    assert [one["decision"] for one in api if one["node"] == "review"] == ["rejected"]


def test_an_approved_gate_is_shown_as_completed(site):
    run_id = site.run()
    site.decide(run_id, "approve")
    state, row = row_of(site.page(f"/runs/{run_id}"), "review")
    assert state == "completed"
    assert "chip completed" in row
    steps = site.client.get(f"/api/v1/runs/{run_id}/steps").json["steps"]
    assert [one["decision"] for one in steps] == [None, "approved", None]


def test_two_runs_side_by_side_tell_a_rejected_gate_from_an_approved_one(site, rejected):
    blueprint = parse_blueprint(GATED.format(policy=""))
    execute_blueprint_tracked(blueprint, site.registry, site.config, run_store=site.store, run_id="r2", started_by="a")
    site.decide("r2", "approve")
    page = site.page("/runs/r1/compare/r2")
    row = re.search(r'<th scope="row">review.*?</tr>', page, re.DOTALL)
    assert row
    assert re.findall(r'class="chip (\w+)"', row.group()) == ["rejected", "completed"]
    found = site.client.get("/api/v1/runs/r1/compare/r2").json["steps"]
    (review,) = (one for one in found if one["node"] == "review")
    assert (review["before_status"], review["after_status"]) == ("rejected", "completed")


def test_skipped_nodes_are_said_to_be_skipped_and_not_done(site):
    blueprint = parse_blueprint(GATED.format(policy=", require: false"))
    execute_blueprint_tracked(blueprint, site.registry, site.config, run_store=site.store, run_id="r1", started_by="a")
    site.decide("r1", "approve")
    assert site.store.load_summary("r1").status == "completed"
    assert "3 of 4 nodes completed, 1 skipped" in site.page("/runs/r1")
    assert ">3 / 4<" in site.page("/runs")
    run = site.client.get("/api/v1/runs/r1").json
    assert (run["nodes_done"], run["nodes_total"]) == (3, 4)


def test_tries_are_said_of_the_step_that_was_tried(site):
    text = """
name: tried
components: [{name: fetch, type: say}, {name: other, type: say}]
flow: {steps: [{component: other}, {component: fetch, retry: {max: 2, delay: 0}}]}
"""
    with contextlib.suppress(ExecutionError):
        execute_blueprint_tracked(
            parse_blueprint(text), site.registry, site.config, run_store=site.store, run_id="r1",
            initial_data={"fail": "fetch"}, started_by="a",
        )  # fmt: skip
    status = re.search(r'<section id="status".*?</section>', site.page("/runs/r1"), re.DOTALL)
    assert status
    said = re.sub(r"<[^>]+>", "", status.group())
    assert "fetch was tried 3 times" in said
    assert "attempt 3" not in said
    assert "was tried" not in re.sub(r"<[^>]+>", "", site.page(f"/runs/{site.run()}"))


def test_the_axis_says_that_a_wait_is_drawn_short(site):
    run_id = site.run()
    assert "It is drawn shorter" not in site.page(f"/runs/{run_id}")
    gate = site.gate(run_id)
    opened = moment(gate.opened_at) - timedelta(hours=5)
    run = site.store.load_run(run_id)
    gate.opened_at = iso(int(opened.timestamp() * 1_000_000))
    run.created_at = iso(int(opened.timestamp() * 1_000_000) - 1_000_000)
    run.gates = [gate]
    site.store.save_run(run)
    page = site.page(f"/runs/{run_id}")
    axis = page.index('class="steps-head"')
    assert (
        axis
        < page.index("A break mark</span> stands for a time in which no step worked. It is drawn shorter")
        < page.index('<ol class="steps">')
    )
    assert 'class="break"' in page[page.index('<ol class="steps">') :], "the mark is drawn where it is said to be"


def test_a_cancellation_says_before_what_it_stops_at_once(site):
    run_id = site.run()
    page = site.page(f"/runs/{run_id}")
    assert (
        "A command, a request or another async skill is stopped at once; other Python code ends its step first." in page
    )
    assert "between two steps" not in page


def test_a_run_page_links_the_comparison_with_the_run_before(site):
    first, _, second = site.run(), site.run("two"), site.run(amount=200)
    assert "compare with the previous run" not in site.page(f"/runs/{first}")
    link = f'href="/runs/{first}/compare/{second}">compare with the previous run</a>'
    assert link in site.page(f"/runs/{second}")
    assert "200" in site.page(f"/runs/{first}/compare/{second}")
