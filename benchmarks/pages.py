"""What pages cost, against a bare Flask view in the same process. Both are asked as a WSGI server asks them."""

from __future__ import annotations

import html
import io
import re
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from flask import Flask
from werkzeug.test import EnvironBuilder

from benchmarks.history import fill
from benchmarks.measure import Row, p99, processor_milliseconds, side_by_side
from benchmarks.step import chain, registry
from neurocore.config import NeuroCoreConfig
from neurocore.drivers.dispatch import NullDispatcher
from neurocore.persistence import SQLiteRunStore
from neurocore.runtime.executor import execute_blueprint_tracked
from webapp import create_app
from webapp.html import live
from webapp.runs.listing import rows as listed
from webapp.runs.run_state import token
from webapp.services import Services

PARTIAL = {"HX-Request": "true", "HX-Request-Type": "partial"}


def asking(app: Flask, path: str, *, headers: Mapping[str, str] = {}, expect: int = 200) -> Callable[[], bytes]:
    """A function that has the app answer one request, and gives the body."""
    environ = EnvironBuilder(path=path, headers=dict(headers).items(), base_url="http://127.0.0.1/").get_environ()

    def ask() -> bytes:
        statuses = []

        def start(status: str, _headers: Any, _error: Any = None) -> Any:
            statuses.append(status)

        body = app({**environ, "wsgi.input": io.BytesIO()}, start)
        text = b"".join(body)
        if hasattr(body, "close"):
            body.close()
        assert statuses[0].startswith(str(expect)), f"{path}: {statuses[0]}"
        return text

    return ask


def bare(app: Flask, *, worded: bool) -> Flask:
    """A Flask app with one view: the same 50-row table by Jinja from a list in memory, of runs or of rows in words."""
    services: Services = app.extensions["neurocore"]
    row = (Path(app.root_path) / "templates" / "runs" / "_rows.html").read_text("utf-8")
    table = (Path(app.root_path) / "templates" / "runs" / "_table.html").read_text("utf-8")
    template = table.replace("{{ table }}", row)
    runs = services.store.page_runs().runs
    with app.test_request_context("/"):
        ready = listed(runs, services)
    made = Flask("bare", static_folder=None)
    compiled = made.jinja_env.from_string(template)

    @made.get("/")
    def index() -> str:
        return compiled.render(rows=ready if worded else listed(runs, services))

    return made


def rows(*, quick: bool) -> list[Row]:
    """The table's lines about pages."""
    count, times, rounds = (5_000, 20, 3) if quick else (1_000_000, 60, 9)
    with tempfile.TemporaryDirectory() as folder:
        config = NeuroCoreConfig(project_root=Path(folder))
        config.data_dir.mkdir()
        fill(config.runs_db_path, count, steps=False)
        store = SQLiteRunStore(config.runs_db_path)
        long = execute_blueprint_tracked(chain(50), registry(), config, run_store=store).metadata.run_id
        app = create_app(config, store=store, dispatcher=NullDispatcher())
        returning = {"Cookie": app.test_client().get(f"/runs/{long}").headers["Set-Cookie"].split(";")[0]}
        floor = asking(bare(app, worded=False), "/")
        found = [
            _against(floor, asking(app, path, headers=returning), name, aim, times, rounds)
            for name, path, aim in (
                (f"the list of runs, the newest 50 of {count:,}", "/runs", "≤ 2"),
                (f"the list of runs by status, 50 of {count:,}", "/runs?status=failed", "≤ 2"),
                ("the run page, 50 steps", f"/runs/{long}", "≤ 3"),
            )
        ]
        found.append(
            _against(floor, asking(bare(app, worded=True), "/"), "the floor itself, from text", "", times, rounds)
        )
        found.append(_never_seen(app, floor, returning, times))
        found.append(unchanged(app, long, returning, 60 if quick else 600))
        store.close()
    return found


def _against(
    floor: Callable[[], bytes], page: Callable[[], bytes], name: str, aim: str, times: int, rounds: int
) -> Row:
    floor()
    page()
    cost, least, ratio = side_by_side(lambda: median(page, times), lambda: median(floor, times), rounds=rounds)
    return Row(name, f"{cost:.2f} ms", f"{least:.2f} ms", f"{ratio:.1f}", aim)


def median(work: Callable[[], bytes], times: int) -> float:
    """The median cost of so many calls, in milliseconds of the processor."""
    return statistics.median(processor_milliseconds(work) for _ in range(times))


def _never_seen(app: Flask, floor: Callable[[], bytes], headers: Mapping[str, str], times: int) -> Row:
    """Pages of older and older runs, none of them asked for before."""
    costs, path = [], "/runs"
    for _ in range(times):
        ask = asking(app, path, headers=headers)
        began = time.thread_time()
        page = ask()
        costs.append((time.thread_time() - began) * 1e3)
        link = re.search(r'href="(\?[^"]*)" rel="next"', page.decode())
        assert link is not None
        path = f"/runs{html.unescape(link.group(1))}"
    cost, least = statistics.median(costs[1:]), median(floor, times)
    name = "pages of the list that nobody asked for before"
    return Row(name, f"{cost:.2f} ms", f"{least:.2f} ms", f"{cost / least:.1f}")


def unchanged(app: Flask, run_id: str, headers: Mapping[str, str], times: int) -> Row:
    """The question that an open run page asks every second."""
    services: Services = app.extensions["neurocore"]
    run = services.store.load_summary(run_id)
    assert run is not None
    with app.test_request_context():
        version = live.version(token(run, services))
    ask = asking(app, f"/runs/{run_id}?v={version}", headers={**PARTIAL, **headers}, expect=204)
    body = ask()
    return Row(
        f"refreshing an unchanged run, {len(body)} bytes of body (p99)",
        f"{p99(ask, times=times):.2f} ms",
        aim="< 2 ms, 0 bytes",
    )
