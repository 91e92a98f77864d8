"""The research example, whole: cleaned, counted, drawn, read, published."""

from __future__ import annotations

import json
import signal
import xml.etree.ElementTree as ET

import pytest


def at_the_gate(research, *data: str) -> str:
    research.neurocore("run", "cars", *data)
    run = research.runs()[-1]
    assert (run.status, run.suspended_at_node) == ("suspended", "review")
    return run.run_id


def values(research, run_id: str) -> dict:
    return json.loads(research.neurocore("runs", "inspect", run_id, "--full", "--json"))["gates"][-1]["shown"]


def test_the_blueprint_is_sound(research):
    assert "no problems" in research.neurocore("validate", "blueprints/cars.yaml")


def test_the_set_is_cleaned_and_says_what_was_done(research):
    assert values(research, at_the_gate(research))["cleaning"] == {
        "kept": 398, "outside_years": 0, "without_consumption": 8, "spelling_mended": 15
    }  # fmt: skip


def test_the_reviewer_reads_what_the_figures_say(research):
    shown = values(research, at_the_gate(research))
    usa = next(one for one in shown["statistics"] if one["origin"] == "USA")
    assert (usa["first"], usa["last"], usa["change"]) == (16.3, 8.5, -48)
    assert "USA: 1970 16.3 l/100 km, 1982 8.5 l/100 km (-48 %)." in shown["summary"]


def test_nothing_is_published_before_somebody_has_read_it(research):
    at_the_gate(research)
    assert not (research.folder / "site").exists()


def test_an_approved_report_is_a_page_with_two_charts_and_no_script(research):
    research.neurocore("runs", "approve", at_the_gate(research), "--by", "ann", "--note", "<b>fine</b>")
    page = (research.folder / "site" / "cars-1970-1982.html").read_text("utf-8")
    charts = page.split("<svg")[1:]
    assert len(charts) == 2
    for chart in charts:
        drawing = ET.fromstring(f"<svg{chart.split('</svg>')[0]}</svg>")
        assert len(list(drawing.iter())) > 20
    assert "<script" not in page
    assert "Read and approved by ann" in page
    assert "&lt;b&gt;fine&lt;/b&gt;" in page, "a note is text, never HTML"
    assert 'href="cars-1970-1982.html"' in (research.folder / "site" / "index.html").read_text("utf-8")


def test_the_branches_run_side_by_side(research):
    run_id = at_the_gate(research)
    steps = json.loads(research.neurocore("runs", "inspect", run_id, "--json"))["steps"]
    began = {step["node"]: step["started_at"] for step in steps}
    ended_in_order = [step["node"] for step in steps]
    first_end = min(ended_in_order.index(name) for name in ("statistics", "chart_years", "chart_weight"))
    assert max(began[name] for name in ("statistics", "chart_years", "chart_weight")) < began["summary"]
    assert ended_in_order[first_end - 1] == "clean"


def test_years_that_the_set_does_not_have_are_a_clear_failure(research):
    research.neurocore("run", "cars", "--data", "since=2001", "--data", "until=2002", code=1)
    assert "There are 0 cars from 2001 to 2002; the set has 1970 to 1982." in research.runs()[-1].error


@pytest.mark.parametrize("failpoint", ["step.after_run", "step.after_commit"])
def test_killed_while_publishing_it_is_published_once_and_whole(research, failpoint):
    run_id = at_the_gate(research)
    research.neurocore("runs", "approve", run_id, code=-signal.SIGKILL, NEUROCORE_FAILPOINT=failpoint)
    research.neurocore("runs", "sweep")
    assert research.runs()[-1].status == "completed"
    assert sorted(path.name for path in (research.folder / "site").iterdir()) == ["cars-1970-1982.html", "index.html"]
