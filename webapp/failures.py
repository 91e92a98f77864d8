"""Every refusal as a page that says what went wrong and what to do. The sentence comes from where the error arose."""

from __future__ import annotations

import logging
from typing import Any

from flask import Flask, Response, current_app, g, make_response, render_template, request
from flask_wtf.csrf import CSRFError
from werkzeug.exceptions import HTTPException

from neurocore.errors import (
    BlueprintError,
    Forbidden,
    NeedsSignIn,
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
    400: "This request is not valid",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    409: "Nothing was done",
    410: "Deleted",
    413: "Too large",
    414: "Too long",
    415: "Not a form",
    422: "Something is wrong in the form",
    429: "Too much at once",
    500: "An error occurred",
    503: "The history cannot be read",
}


def status_of(error: NeuroCoreError) -> int:
    """Return the HTTP status for an error."""
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
    """Answer errors of NeuroCore, HTTP errors, and unexpected exceptions."""

    @app.errorhandler(NeuroCoreError)
    def ours(error: NeuroCoreError) -> Response:
        status = status_of(error)
        if status >= 500:
            _log.error("%s %s: %s", request.method, request.path, error)
        elif isinstance(error, Forbidden):
            _log.warning("%s %s from %s was refused: %s", request.method, request.path, request.remote_addr, error)
        return page(status, str(error), error, typed=_note(), **_more(error))

    @app.errorhandler(CSRFError)
    def token(_error: CSRFError) -> Response:
        return page(
            400,
            "Nothing was done, because this form belongs to another session (cookies were deleted, or the server has a "
            "new key); open the page again and send the form from there.",
            typed=_note(),
        )

    @app.errorhandler(HTTPException)
    def http(error: HTTPException) -> Response:
        status = error.code or 500
        sentence = str(error.description or "")
        if status == 404 and sentence == type(error).description:
            sentence = f"There is no page {request.path[:200]}; you can begin at the list of runs."
        response = page(status, sentence, error)
        if error.response is None and (retry := getattr(error, "retry_after", None)) is not None:
            response.headers["Retry-After"] = str(retry)
        if error.response is None and status == 405:
            response.headers["Allow"] = ", ".join(getattr(error, "valid_methods", None) or ("GET",))
        return response

    @app.errorhandler(Exception)
    def nobody_meant(_error: Exception) -> Response:
        _log.exception("%s %s failed.", request.method, request.path)
        return page(500, "This is an error in the dashboard. Its log contains the details. Nothing is half done.")


def page(status: int, sentence: str, error: Exception | None = None, **more: Any) -> Response:
    """Return the page of a refusal. Below /api/ the API answers instead (`app.extensions["neurocore.problem"]`)."""
    problem = current_app.extensions.get("neurocore.problem")
    if problem is not None and request.path.startswith("/api/"):
        answer: Response = problem(status, sentence, error)
        return answer
    if request.endpoint in ("ops.healthz", "ops.metrics"):
        return make_response((f"{sentence}\n", status, {"Content-Type": "text/plain; charset=utf-8"}))
    if isinstance(error, StoreError):
        g.open_gates = 0  # every page shows this number; reading it would fail too
    heading = HEADINGS.get(status, "This did not succeed")
    return make_response(
        render_template("failure.html", status=status, heading=heading, sentence=sentence, **more), status
    )


def _note() -> str:
    """Return the note of the refused form. The page shows it again, so that it is not lost."""
    return request.form.get("note", "").replace("\r\n", "\n")


def _more(error: NeuroCoreError) -> dict[str, Any]:
    if isinstance(error, RunAmbiguous):
        store = services().store
        runs = [run for run_id in error.candidates if (run := store.load_summary(run_id)) is not None]
        from webapp.runs.listing import rows

        return {"candidates": rows(runs, services())}
    if isinstance(error, RunNotFound):
        return {"tombstone": error.tombstone}
    if isinstance(error, NeedsSignIn):
        return {"sign_in": f"{request.script_root}/login?next=/account"}
    if isinstance(error, Forbidden):
        return {"who_can": error.who_can}
    if isinstance(error, BlueprintError):
        return {"problems": [str(problem) for problem in error.problems]}
    return {}
