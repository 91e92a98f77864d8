"""Pages for operators: the health check, metrics for Prometheus, and the page about this version."""

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
from neurocore.errors import Forbidden, NeuroCoreError
from neurocore.persistence.records import RunStatus
from webapp.html.assets import Assets
from webapp.security.identity import is_stranger, signed_in
from webapp.security.permissions import public
from webapp.services import Services, services

area = Blueprint("ops", __name__)


@area.get("/healthz")
@public
def healthz() -> AnyResponse:
    """Answer 200 if the history can be read, otherwise 503 with the reason; who has not signed in learns no more."""
    tells = not is_stranger()
    try:
        services().store.signals("-")
    except NeuroCoreError as error:
        told = {"reason": str(error), "version": __version__} if tells else {}
        return make_response(jsonify(status="failing", **told), 503)
    if not tells:
        return make_response(jsonify(status="ok"))
    stale = services().stale()
    return make_response(jsonify(status="ok", version=__version__, warnings=[stale] if stale else []))


@area.get("/metrics")
def metrics() -> AnyResponse:
    """Return the metrics in the text format of Prometheus, to those who may see every run: they are of all runs."""
    from flask import current_app

    actor = signed_in()
    if actor is not None and actor.rights is not None and not actor.rights.sees_everything:
        raise Forbidden("The metrics are for whoever may see every run; use a token of somebody who may.")
    registry: CollectorRegistry = current_app.extensions["neurocore.metrics"]
    return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


@area.get("/about")
def about() -> AnyResponse:
    """Show the version, the promises, and the licences of the shipped parts."""
    here = services()
    return make_response(
        render_template(
            "ops/about.html", version=__version__, parts=_parts(), promises=PROMISES, config=here.config,
            store=type(here.store).__name__, multi_process=here.store.multi_process,
        )
    )  # fmt: skip


def init_app(app: Flask, here: Services) -> None:
    """Count requests, and make the registry for `/metrics`."""
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
    """The numbers of the store, read when Prometheus asks."""

    def __init__(self, here: Services) -> None:
        self._here = here

    def collect(self) -> Iterable[Metric]:
        """Yield the metrics."""
        store = self._here.store
        runs = GaugeMetricFamily("neurocore_runs", "Runs in the history by status.", labels=["status"])
        counts = store.status_counts()
        for status in RunStatus:
            runs.add_metric([status.value], counts.get(status, 0))
        yield runs
        yield GaugeMetricFamily(
            "neurocore_open_gates", "Gates that wait for a decision.", value=store.count_open_gates()
        )
        active = store.active_runs()
        owed = sum(run.owed is not None for run in active)
        states = [self._here.liveness(run) for run in active]
        yield GaugeMetricFamily(
            "neurocore_owed_runs", "Pending runs: they must continue, and no process drives them.", value=owed
        )
        yield GaugeMetricFamily("neurocore_lost_runs", "Runs whose process died.", value=states.count("lost"))
        yield GaugeMetricFamily(
            "neurocore_cannot_tell_runs", "Runs left alone: nobody can tell if their process is alive.",
            value=states.count("cannot_tell"),
        )  # fmt: skip
        yield GaugeMetricFamily(
            "neurocore_held_runs", "Runs that are held until somebody adopts them.", value=store.count_held_runs()
        )
        info = GaugeMetricFamily("neurocore_build_info", "The running version.", labels=["version"])
        info.add_metric([__version__], 1)
        yield info


@cache
def _parts() -> list[dict[str, Any]]:
    """Return the parts from other projects: those in the wheel and those it depends on."""
    shipped = [
        {
            "name": "htmx",
            "licence": "Zero-Clause BSD",
            "what": "updates pages in the browser",
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
    """Return the version in the shipped file."""
    file = Assets().find("vendor/htmx.min.js")
    said = re.search(r'version="([\d.]+)"', file.path.read_text("utf-8")) if file is not None else None
    return said[1] if said else ""


_STANDS_ON = (
    ("Flask", "BSD-3-Clause", "the web framework"),
    ("Jinja2", "BSD-3-Clause", "page templates"),
    ("jinja2-fragments", "MIT", "renders parts of templates"),
    ("htmx-Flask", "MIT", "recognizes requests of htmx"),
    ("Flask-WTF", "BSD-3-Clause", "the CSRF token of every form"),
    ("waitress", "ZPL-2.1", "the server"),
    ("prometheus-client", "Apache-2.0", "metrics"),
    ("msgspec", "BSD-3-Clause", "records and values"),
    ("PyYAML", "MIT", "reads blueprints"),
    ("click", "BSD-3-Clause", "the command line"),
)

PROMISES = (
    "A step recorded as completed is never executed again in its run, and its outputs are restored exactly.",
    "A step runs at least once; if the process dies inside it, it runs again with the same idempotency key.",
    "A run is never stuck because its process died: it is detected as lost, and continues by resume or by the sweep.",
    "Many people may answer at a gate; one outcome takes effect, and everybody sees which.",
    "A recorded decision is never lost; decision and resume are two facts, and are shown as two facts.",
    "What takes effect is what was approved: if it changed since you opened the page, you are asked again.",
    "An approval opens one gate once: not the next gate, not the next visit, and not a replay.",
    "History is append-only; a deleted run leaves a tombstone.",
    "A value that cannot be restored exactly is refused by name; nothing is silently turned into text.",
    "Secrets are never written to the history, the logs or these pages.",
    "GET and HEAD never change anything; link previews cannot decide.",
    "Bad input is refused with one sentence that says what is wrong, where, and what to do.",
)
