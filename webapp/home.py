"""The first page: gates that wait for a decision, running and recently failed runs, and a chart of the last days."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

from flask import Blueprint, make_response, render_template, request
from werkzeug.wrappers import Response as AnyResponse

from neurocore.persistence.records import GateEntry, RunFilter, RunStatus
from webapp.html import chart, live
from webapp.runs import listing
from webapp.security import for_me
from webapp.services import Services, services

area = Blueprint("home", __name__)

WAITING, RUNNING, FAILED = 12, 10, 6

#: How many days a failed run is shown as recently failed.
JUST = 7


@area.get("/")
def index() -> AnyResponse:
    """Show the first page."""
    here = services()
    shown = _shown(here)
    token = _token(shown, here)
    if live.wants_block():
        if request.args.get("v") == token:
            return live.unchanged()
        return live.blocks("home/index.html", [], "now", _told(shown, token, here))
    return live.varying(make_response(render_template("home/index.html", **_told(shown, token, here))))


def _shown(here: Services) -> dict[str, Any]:
    store = here.store
    return {
        "gates": _waiting(here),
        "for_others": here.all_runs.count_open_gates(blueprints=for_me.of_others()) if for_me.of_others() else 0,
        "running": store.page_runs(RunFilter(status=(RunStatus.RUNNING,)), limit=RUNNING).runs,
        "failed": store.failed_runs(since=(datetime.now(UTC) - timedelta(days=JUST)).isoformat(), limit=FAILED),
        "days": store.day_counts(since=chart.first_day()),
    }


def _waiting(here: Services) -> list[GateEntry]:
    """Return the gates that whoever looks may answer, or all where nobody signs in."""
    names = for_me.answerable()
    if names is None:
        return here.store.list_gates(limit=WAITING + 1, narrow=True)
    return here.store.list_gates(blueprints=names, limit=WAITING + 1, narrow=True)


def _token(shown: dict[str, Any], here: Services) -> str:
    runs = [*shown["running"], *shown["failed"], *(entry.run for entry in shown["gates"])]
    days = "|".join(f"{day.day}{day.status}{day.count}" for day in shown["days"])
    shows = f"{listing.Listing(runs, here).token}{days}{shown['for_others']}"
    return live.version(hashlib.blake2b(shows.encode(), digest_size=9).hexdigest())


def _told(shown: dict[str, Any], token: str, here: Services) -> dict[str, Any]:
    days = chart.days(shown["days"])
    runs_url = f"{request.script_root}/runs"
    empty = not any(day.total for day in days) and not here.store.page_runs(limit=1).runs
    return {
        "token": token,
        "gates": shown["gates"][:WAITING],
        "for_others": shown["for_others"],
        "more_gates": len(shown["gates"]) > WAITING,
        "running": listing.rows(shown["running"], here),
        "failed": listing.rows(shown["failed"], here),
        "just": JUST,
        "days": days,
        "chart": chart.draw(days, runs_url),
        "statuses": chart.ORDER,
        "empty": empty,
        "config": here.config,
        "blueprints": sorted(here.blueprint_files())[:3] if empty else [],
    }
