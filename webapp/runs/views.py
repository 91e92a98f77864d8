"""The pages of runs: the list, one run, one step, two runs side by side. No view here changes anything."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from flask import Blueprint, Response, abort, make_response, redirect, render_template, request
from jinja2_fragments.flask import render_block
from markupsafe import Markup
from werkzeug.wrappers import Response as AnyResponse

from neurocore.errors import InputError
from neurocore.forms import folded
from neurocore.persistence.records import RunRecord, RunStatus
from neurocore.runs.find import load_run, resolve_run_id
from webapp.html import live
from webapp.html.helpers import run_url
from webapp.html.rendering import Page
from webapp.html.text import html, line
from webapp.runs import listing, steps
from webapp.runs.comparing import Comparing
from webapp.runs.filters import Filter
from webapp.runs.run_page import RunPage
from webapp.services import Services, services

area = Blueprint("runs", __name__)

PRINTED_STEPS = 200
PRINTED_VALUES = 400_000

LIVE_BLOCKS = ("status", "decided", "timeline")


@area.get("/runs")
def index() -> AnyResponse:
    """List the runs that match a filter, newest first."""
    here = services()
    wanted = Filter.of(request.args.to_dict(flat=False), here.config.clock)
    if wanted.problems:
        return _refused(here, wanted)
    try:
        page = here.store.page_runs(wanted.runs, before=wanted.before, after=wanted.after, limit=wanted.limit)
    except InputError as error:  # only the store knows its cursors
        wanted.problems |= error.problems
        return _refused(here, wanted)
    found = listing.Listing(page.runs, here)
    version = live.version(found.token)
    if live.wants_block() and request.args.get("v") == version:
        return live.unchanged()
    context = {"page": page, "table": found.table, "token": version}
    if live.wants_block():
        context |= _counts(here, wanted)
        return live.blocks("runs/list.html", ["filter_counts"], "rows", {**context, "wanted": wanted})
    return live.varying(make_response(_list(here, wanted, context)))


def _refused(here: Services, wanted: Filter) -> AnyResponse:
    empty: dict[str, Any] = {"page": None, "table": "", "token": ""}
    return live.varying(make_response(_list(here, wanted, empty), 422))


def _list(here: Services, wanted: Filter, context: dict[str, Any]) -> str:
    return render_template("runs/list.html", wanted=wanted, **context, **_counts(here, wanted))


def _counts(here: Services, wanted: Filter) -> dict[str, Any]:
    """Count for each filter the runs that it would show; status and blueprint are taken into account."""
    one = wanted.runs.status[0] if len(wanted.runs.status) == 1 else None
    counts = here.store.status_counts(blueprint=wanted.runs.blueprint)
    chosen = wanted.runs.blueprint
    blueprints = folded(here.store.blueprint_counts(status=one), [chosen] if chosen else [])
    if chosen and chosen not in blueprints:
        blueprints = {**blueprints, chosen: 0}
    return {
        "statuses": [(status, counts.get(status, 0)) for status in RunStatus],
        "total": sum(counts.values()),
        "blueprint_options": _options(tuple(sorted(blueprints.items())), chosen),
    }


#: How many blueprints the field offers, and how long their names may be.
MOST_OPTIONS, MOST_OPTION = 500, 200

_SELECTED = Markup(" selected")


@lru_cache(maxsize=100)
def _options(blueprints: tuple[tuple[str, int], ...], chosen: str | None) -> Markup:
    """Return the options of the blueprint field. They are cached while the counts are the same."""
    form = '<option value="{}"{}>{} ({:,})</option>'
    there = [(name, count) for name, count in blueprints if len(name) <= MOST_OPTION]
    options = [
        html(form, name, _SELECTED if name == chosen else "", line(name, 60), count)
        for place, (name, count) in enumerate(there)
        if place < MOST_OPTIONS or name == chosen
    ]
    if len(blueprints) > len(options):
        options.append(
            html("<option disabled>… {:,} more: name one in the address</option>", len(blueprints) - len(options))
        )
    return Markup("\n").join(options)


@area.get("/runs/<run_id>")
def show(run_id: str) -> AnyResponse:
    """Show one run. A unique prefix of an id redirects to the whole id."""
    here = services()
    run = here.store.load_summary(run_id)
    if run is None:
        return redirect(_keeping_query(run_url(resolve_run_id(run_id, here.store))))
    asked = request.args
    if live.wants_block() and "v" in asked:
        return refresh(run, here)
    page = _run_page(run, here)
    if live.wants_block() and asked.get("part") in ("tab", "timeline"):
        return live.varying(make_response(render_block("runs/run.html", asked["part"], page=page)))
    return whole_page(page)


def _run_page(run: RunRecord, here: Services) -> RunPage:
    asked = request.args
    everything = asked.get("steps") == "all"
    return RunPage(run, here, tab=asked.get("tab", ""), all_steps=everything, picture="picture" in asked)


def whole_page(page: RunPage, status: int = 200) -> Response:
    """Return the whole page. A refused form gets it too."""
    return live.varying(make_response(render_template("runs/run.html", page=page), status))


def refresh(run: RunRecord, here: Services) -> Response:
    """Return what changed since version `v`: nothing (204), or the live blocks, and the panels if `g` differs.

    If only the gates of other runs have changed, the answer contains only the number of open gates.
    """
    asked = request.args
    page = _run_page(run, here)
    if asked["v"] == page.token:
        return live.unchanged()
    if live.is_of(asked["v"], page.seen):
        return live.blocks("runs/run.html", [], "live", {"page": page})
    names = list(LIVE_BLOCKS)
    if asked.get("g") != page.gates_token:
        names.append("gates")
    # The whole context is read, so it is sent when the run stops or ends, not after every step.
    settled = run.status is not RunStatus.RUNNING
    if asked.get("tab") == "activity" or (asked.get("tab") == "context" and settled):
        names.append("tab")
    return live.blocks("runs/run.html", names, "live", {"page": page})


def _keeping_query(url: str) -> str:
    query = request.query_string.decode("ascii", "replace")
    return f"{url}?{query}" if query else url


@area.get("/runs/<run_id>/steps/<int(max=2147483647):index>")
def step(run_id: str, index: int) -> AnyResponse:
    """Show all data of one step: as a page, or as the content of an opened row."""
    here = services()
    run, found = summary(run_id, here), None
    found = here.store.load_step(run.run_id, index)
    if found is None:
        abort(404, f"Run {run.run_id} has no step {index}; the page of the run lists its steps.")
    view = steps.view(run, found, here)
    if live.wants_block():
        return live.varying(make_response(render_block("runs/step.html", "body", view=view, alone=False)))
    return live.varying(make_response(render_template("runs/step.html", view=view, alone=True)))


@area.get("/runs/<run_id>/print")
def whole_record(run_id: str) -> AnyResponse:
    """Show all data of a run on one page, for printing and audit files."""
    here = services()
    run = summary(run_id, here)
    page = RunPage(run, here)
    found = here.store.load_steps(run.run_id)
    values = Page(budget=PRINTED_VALUES, more=run_url(run.run_id, "download", "context"))
    views = steps.views(run, found, here, limit=PRINTED_STEPS, page=values)
    context = {"page": page, "views": views, "left_out": len(found) - len(views), "now": here.store.clock.now()}
    return make_response(render_template("runs/print.html", **context))


@area.get("/runs/<run_id>/compare/<other_id>")
def compare(run_id: str, other_id: str) -> AnyResponse:
    """Show the differences between two runs."""
    here = services()
    first, second = summary(run_id, here), summary(other_id, here)
    if (first.run_id, second.run_id) != (run_id, other_id):
        return redirect(run_url(first.run_id, "compare", second.run_id))
    return make_response(render_template("runs/compare.html", both=Comparing(first, second, here)))


@area.get("/runs/<run_id>/compare")
def compare_with(run_id: str) -> AnyResponse:
    """Redirect the form "Compare with run" to the page of both runs."""
    here = services()
    first = summary(run_id, here)
    second = summary(request.args.get("with", "").strip() or "-", here)
    return redirect(run_url(first.run_id, "compare", second.run_id))


def summary(run_id: str, here: Services) -> RunRecord:
    """Return the narrow run by id or prefix. Raises RunNotFound or RunAmbiguous."""
    run = here.store.load_summary(run_id) or here.store.load_summary(resolve_run_id(run_id, here.store))
    return run if run is not None else load_run(run_id, here.store)
