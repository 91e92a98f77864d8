"""`/api/v1`: the verbs of the command line for programs, in the same JSON documents.

Each operation is declared once (`operations`): its address, what it takes and what it answers are read off its
function, checked when a request comes, and written into the OpenAPI document (`openapi`).
"""

from __future__ import annotations

from flask import Blueprint, Flask, Response

from webapp.api import approvals, blueprints, description, operations, problems, runs, verbs, waiting
from webapp.html.text import line
from webapp.services import services

__all__ = ["init_app"]

#: The header in which an answer says that skills or settings changed on disk.
WARNING = "NeuroCore-Warning"

#: The modules that declare operations; importing them is what fills `operations.OPERATIONS`.
AREAS = (runs, verbs, approvals, blueprints, description)


def init_app(app: Flask) -> None:
    """Add every operation, and answer every refusal below /api/ as a problem (RFC 9457)."""
    area = Blueprint("api", __name__, url_prefix=operations.PREFIX)
    operations.register(area)
    waiting.init_app(app)
    area.after_request(_warn)
    app.register_blueprint(area)
    app.extensions["neurocore.problem"] = problems.answer
    # JSON only, and a page of another site cannot send that unasked; where a request comes from is still checked.
    app.extensions["csrf"].exempt(area)


def _warn(response: Response) -> Response:
    """Say with every answer that this server works with code that is not on the disk any more."""
    if stale := services().stale():
        response.headers[WARNING] = line(stale, 1000).encode("ascii", "backslashreplace").decode()
    return response
