"""For operators: alive or not, figures for Prometheus, and what this is."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from flask import Blueprint, Flask, Response, g, jsonify, make_response, render_template, request
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector
from werkzeug.wrappers import Response as AnyResponse

from neurocore import __version__
from neurocore.errors import NeuroCoreError
from neurocore.persistence.records import RunStatus
from webapp.html.assets import Assets
from webapp.security.permissions import public
from webapp.services import Services, services

area = Blueprint("ops", __name__)


@area.get("/healthz")
@public
def healthz() -> AnyResponse:
    """200 while the history can be read, else 503 with the sentence."""
    try:
        services().store.signals("-")
    except NeuroCoreError as error:
        return make_response(jsonify(status="failing", reason=str(error), version=__version__), 503)
    stale = services().stale()
    return make_response(jsonify(status="ok", version=__version__, warnings=[stale] if stale else []))


@area.get("/metrics")
def metrics() -> AnyResponse:
    """The figures in Prometheus' text format."""
    from flask import current_app

    registry: CollectorRegistry = current_app.extensions["neurocore.metrics"]
    return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


@area.get("/about")
def about() -> AnyResponse:
    """Version, promises, and the licences of what is shipped."""
    here = services()
    return make_response(
        render_template(
            "ops/about.html", version=__version__, parts=_parts(), promises=PROMISES, config=here.config,
            store=type(here.store).__name__, multi_process=here.store.multi_process,
        )
    )  # fmt: skip


def init_app(app: Flask, here: Services) -> None:
    """Count requests, and make the registry that `/metrics` shows."""
    registry = CollectorRegistry()
    registry.register(_Runs(here))
    requests = Counter(
        "neurocore_http_requests_total", "Requests answered.", ("method", "endpoint", "code"), registry=registry
    )
    seconds = Histogram(
        "neurocore_http_request_duration_seconds", "Time to answer, without sending.", ("endpoint",), registry=registry,
        buckets=(0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
    )  # fmt: skip
    app.extensions["neurocore.metrics"] = registry

    @app.before_request
    def begin() -> None:
        g.began = time.perf_counter()

    @app.after_request
    def count(response: Response) -> Response:
        endpoint = request.endpoint or "none"
        method = request.method if request.method in ("GET", "HEAD", "POST") else "other"
        requests.labels(method, endpoint, response.status_code).inc()
        if "began" in g:
            seconds.labels(endpoint).observe(time.perf_counter() - g.began)
        return response


class _Runs(Collector):
    """What the store knows, asked when somebody looks."""

    def __init__(self, here: Services) -> None:
        self._here = here

    def collect(self) -> Iterable[Metric]:
        """The families."""
        store = self._here.store
        runs = GaugeMetricFamily("neurocore_runs", "Runs in the history by status.", labels=["status"])
        counts = store.status_counts()
        for status in RunStatus:
            runs.add_metric([status.value], counts.get(status, 0))
        yield runs
        yield GaugeMetricFamily("neurocore_open_gates", "Gates that wait for people.", value=store.count_open_gates())
        active = store.active_runs()
        owed = sum(run.owed is not None for run in active)
        states = [self._here.liveness(run) for run in active]
        yield GaugeMetricFamily(
            "neurocore_owed_runs", "Runs that must be driven on and that nobody drives.", value=owed
        )
        yield GaugeMetricFamily("neurocore_lost_runs", "Runs whose process died.", value=states.count("lost"))
        yield GaugeMetricFamily(
            "neurocore_cannot_tell_runs", "Runs left alone: whether their process lives cannot be told.",
            value=states.count("cannot_tell"),
        )  # fmt: skip
        yield GaugeMetricFamily(
            "neurocore_held_runs", "Runs that stand still until somebody adopts them.", value=store.count_held_runs()
        )
        info = GaugeMetricFamily("neurocore_build_info", "The version that runs.", labels=["version"])
        info.add_metric([__version__], 1)
        yield info


@cache
def _parts() -> list[dict[str, Any]]:
    """What the wheel ships that others wrote, and what it stands on."""
    shipped = [
        {
            "name": "htmx",
            "licence": "Zero-Clause BSD",
            "what": "in the browser: keeps pages up to date",
            "version": _version_of_htmx(),
            "text": "vendor/htmx.LICENSE.txt",
        }
    ]
    for name, licence, what in _STANDS_ON:
        try:
            shipped.append({"name": name, "licence": licence, "what": what, "version": version(name)})
        except PackageNotFoundError:
            continue
    return shipped


def _version_of_htmx() -> str:
    """What the shipped file says of itself."""
    file = Assets().find("vendor/htmx.min.js")
    said = re.search(r'version="([\d.]+)"', file.path.read_text("utf-8")) if file is not None else None
    return said[1] if said else ""


_STANDS_ON = (
    ("Flask", "BSD-3-Clause", "the web framework"),
    ("Jinja2", "BSD-3-Clause", "the templates"),
    ("jinja2-fragments", "MIT", "parts of templates"),
    ("htmx-Flask", "MIT", "knows htmx's requests"),
    ("Flask-WTF", "BSD-3-Clause", "the token in every form"),
    ("waitress", "ZPL-2.1", "the server"),
    ("prometheus-client", "Apache-2.0", "the figures"),
    ("msgspec", "BSD-3-Clause", "records and values"),
    ("PyYAML", "MIT", "reads blueprints"),
    ("click", "BSD-3-Clause", "the command line"),
)

PROMISES = (
    "A step recorded as completed is never executed again in its run, and its outputs are restored exactly.",
    "A step runs at least once; if the process dies inside it, it runs again with the same idempotency key.",
    "A run is never stuck because its process died: it is seen as lost and goes on by resume or by the sweep.",
    "Many may answer at a gate; one outcome takes effect, and everybody is told which.",
    "A decision that was recorded is never lost; decision and resume are two facts, shown as two facts.",
    "What takes effect is what was approved: if it changed since you looked, you are asked again.",
    "An approval opens one gate once, never the next one, the next visit, or a replay.",
    "History is only added to; a deleted run leaves a tombstone.",
    "A value that could not be restored as it was is refused by name; nothing is turned into text silently.",
    "Secrets stay out of the history, the logs and these pages.",
    "Looking never changes anything; link previews cannot decide.",
    "Bad input gets one clear sentence that says what, where and what to do.",
)
