"""`/api/v1`: the verbs of the command line for programs, in the same JSON documents.

Each operation is declared once (`operations`): its address, what it takes and what it answers are read off its
function, checked when a request comes, and written into the OpenAPI document (`openapi`).
"""

from __future__ import annotations

from flask import Blueprint, Flask

from webapp.api import approvals, blueprints, description, operations, problems, runs, verbs, waiting

__all__ = ["init_app"]

#: The modules that declare operations; importing them is what fills `operations.OPERATIONS`.
AREAS = (runs, verbs, approvals, blueprints, description)


def init_app(app: Flask) -> None:
    """Add every operation, and answer every refusal below /api/ as a problem (RFC 9457)."""
    area = Blueprint("api", __name__, url_prefix=operations.PREFIX)
    operations.register(area)
    waiting.init_app(app)
    app.register_blueprint(area)
    app.extensions["neurocore.problem"] = problems.answer
    # JSON only, and a page of another site cannot send that unasked; where a request comes from is still checked.
    app.extensions["csrf"].exempt(area)
