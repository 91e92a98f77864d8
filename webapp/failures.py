"""Every refusal as a page that says what went wrong and what to do, in the words of where it was known."""

from __future__ import annotations

import logging
from typing import Any

from flask import Flask, Response, current_app, g, make_response, render_template, request
from flask_wtf.csrf import CSRFError
from werkzeug.exceptions import HTTPException

from neurocore.errors import (
    BlueprintError,
    Forbidden,
    NeuroCoreError,
    NotFoundError,
    RefusedError,
    RunAmbiguous,
    RunNotFound,
    StoreError,
    UsageError,
)
from webapp.services import services

_log = logging.getLogger(__name__)

HEADINGS = {
    300: "Several runs begin like this",
    400: "This request cannot be answered",
    403: "Not allowed",
    404: "Not found",
    405: "Not this way",
    409: "Not done",
    410: "Deleted",
    413: "Too large",
    414: "Too long",
    422: "Something is missing",
    500: "Something went wrong here",
    503: "The history cannot be read",
}


def status_of(error: NeuroCoreError) -> int:
    """The HTTP status of an error's family."""
    if isinstance(error, RunAmbiguous):
        return 300
    if isinstance(error, RunNotFound) and error.tombstone is not None:
        return 410
    for family, status in (
        (NotFoundError, 404),
        (Forbidden, 403),
        (RefusedError, 409),
        (StoreError, 503),
        (UsageError, 422),
    ):
        if isinstance(error, family):
            return status
    return 500


def init_app(app: Flask) -> None:
    """Answer errors of ours, of HTTP, and those nobody meant."""

    @app.errorhandler(NeuroCoreError)
    def ours(error: NeuroCoreError) -> Response:
        status = status_of(error)
        if status >= 500:
            _log.error("%s %s: %s", request.method, request.path, error)
        return page(status, str(error), error, typed=_note(), **_more(error))

    @app.errorhandler(CSRFError)
    def token(_error: CSRFError) -> Response:
        return page(
            400,
            "This form was opened in another session (cookies were cleared, or the server has a new key), and nothing "
            "was done; open the page again and send it from there.",
            typed=_note(),
        )

    @app.errorhandler(HTTPException)
    def http(error: HTTPException) -> Response:
        status = error.code or 500
        sentence = str(error.description or "")
        if status == 404 and sentence == type(error).description:
            sentence = f"There is no page {request.path[:200]}; the list of runs is where most things begin."
        response = page(status, sentence, error)
        if error.response is None and (retry := getattr(error, "retry_after", None)) is not None:
            response.headers["Retry-After"] = str(retry)
        if error.response is None and status == 405:
            response.headers["Allow"] = ", ".join(getattr(error, "valid_methods", None) or ("GET",))
        return response

    @app.errorhandler(Exception)
    def nobody_meant(_error: Exception) -> Response:
        _log.exception("%s %s failed.", request.method, request.path)
        return page(500, "This is an error of the dashboard; its log says more. Nothing was changed half-way.")


def page(status: int, sentence: str, error: Exception | None = None, **more: Any) -> Response:
    """The page of a refusal; below /api/ the API says it in its own form (`app.extensions["neurocore.problem"]`)."""
    problem = current_app.extensions.get("neurocore.problem")
    if problem is not None and request.path.startswith("/api/"):
        answer: Response = problem(status, sentence, error)
        return answer
    if request.endpoint in ("ops.healthz", "ops.metrics"):
        return make_response((f"{sentence}\n", status, {"Content-Type": "text/plain; charset=utf-8"}))
    if isinstance(error, StoreError):
        g.open_gates = 0  # the figure above every page; asking for it would fail as well
    heading = HEADINGS.get(status, "This did not work")
    return make_response(
        render_template("failure.html", status=status, heading=heading, sentence=sentence, **more), status
    )


def _note() -> str:
    """The note of the form that is refused: shown again, so that it is not lost with its page."""
    return request.form.get("note", "").replace("\r\n", "\n")


def _more(error: NeuroCoreError) -> dict[str, Any]:
    if isinstance(error, RunAmbiguous):
        store = services().store
        runs = [run for run_id in error.candidates if (run := store.load_summary(run_id)) is not None]
        from webapp.runs.listing import rows

        return {"candidates": rows(runs, services())}
    if isinstance(error, RunNotFound):
        return {"tombstone": error.tombstone}
    if isinstance(error, Forbidden):
        return {"who_can": error.who_can}
    if isinstance(error, BlueprintError):
        return {"problems": [str(problem) for problem in error.problems]}
    return {}
