"""A page of another site cannot make a browser act here: a token in every form, and where the request came from."""

from __future__ import annotations

from flask import Flask, abort, request
from flask_wtf.csrf import CSRFProtect

from webapp.permissions import SAFE_METHODS


def init_app(app: Flask) -> CSRFProtect:
    """Check origin first, then the token. `app.extensions["csrf"]` is where the JSON-only API exempts itself."""
    # An open form keeps the token it was sent with for as long as the session lasts.
    app.config["WTF_CSRF_TIME_LIMIT"] = None
    app.config["WTF_CSRF_FIELD_NAME"] = "csrf_token"

    @app.before_request
    def check_origin() -> None:
        if request.method not in SAFE_METHODS and not same_origin():
            abort(403, "This request came from another site, and nothing was done; open the page here and try again.")

    protection = CSRFProtect()
    protection.init_app(app)
    return protection


def same_origin() -> bool:
    """Whether the request comes from our own pages. Programs, which say nothing of it, pass: they hold no cookie."""
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None and site not in ("same-origin", "none"):
        return False
    origin = request.headers.get("Origin")
    return origin is None or origin == f"{request.scheme}://{request.host}"
