"""`/api/v1`: the verbs of the command line for programs, with the same JSON documents.

Each operation is declared once (`operations`). Its address, input and output come from its function; they are checked
for every request, and written into the OpenAPI document (`openapi`).
"""

from __future__ import annotations

from flask import Blueprint, Flask, Response

from webapp.api import approvals, blueprints, description, gates, me, operations, problems, runs, verbs, waiting
from webapp.html.text import line
from webapp.security.identity import is_stranger
from webapp.services import services

__all__ = ["init_app"]

#: The header that says that skills or settings changed on disk.
WARNING = "NeuroCore-Warning"

#: The modules that declare operations; importing them fills `operations.OPERATIONS`.
AREAS = (runs, verbs, gates, approvals, blueprints, description, me)


def init_app(app: Flask) -> None:
    """Add every operation, and return every refusal below /api/ as a problem (RFC 9457)."""
    area = Blueprint("api", __name__, url_prefix=operations.PREFIX)
    operations.register(area)
    waiting.init_app(app)
    area.after_request(_warn)
    app.register_blueprint(area)
    app.extensions["neurocore.problem"] = problems.answer
    # The API accepts only JSON, which a page of another site cannot send. The origin of a request is still checked.
    app.extensions["csrf"].exempt(area)


def _warn(response: Response) -> Response:
    """Add a header to every answer if this server uses code that has changed on disk."""
    if not is_stranger() and (stale := services().stale()):
        response.headers[WARNING] = line(stale, 1000).encode("ascii", "backslashreplace").decode()
    return response
