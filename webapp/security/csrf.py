"""Prevent pages of other sites from acting here: a token in every form, and a check of the request's origin."""

from __future__ import annotations

from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from flask import Flask, abort, g, request, session
from flask_wtf.csrf import CSRFProtect
from itsdangerous import URLSafeTimedSerializer

from neurocore.config import NeuroCoreConfig
from webapp.security.permissions import SAFE_METHODS

#: How browsers send forms. What pages send is nothing else; the API takes JSON, which no form can send.
FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")


def init_app(app: Flask, config: NeuroCoreConfig) -> CSRFProtect:
    """Check the origin first, then the token. The JSON-only API exempts itself with `app.extensions["csrf"]`."""
    # The token of an open form is valid as long as the session.
    app.config["WTF_CSRF_TIME_LIMIT"] = None
    app.config["WTF_CSRF_FIELD_NAME"] = "csrf_token"
    app.config["WTF_CSRF_SSL_STRICT"] = False  # `same_origin` checks the referrer, and knows the public address

    public = origin_of(config.web.public_url)

    @app.before_request
    def check_origin() -> None:
        if request.method not in SAFE_METHODS and not same_origin(public):
            abort(403, _refusal(public))

    @app.before_request
    def know_token() -> None:
        """Use the token again that this session's pages had: it never expires, and signing it anew takes time."""
        raw = session.get("csrf_token")
        if isinstance(raw, str):
            g.csrf_token = _signed(app.secret_key, raw)

    @app.before_request
    def check_form() -> None:
        is_page, is_empty = not request.path.startswith("/api/"), not (request.mimetype or request.content_length)
        if request.method not in SAFE_METHODS and is_page and not is_empty and request.mimetype not in FORMS:
            abort(415, "Send this as a form; programs use the API, below /api/v1.")

    protection = CSRFProtect()
    protection.init_app(app)
    return protection


@lru_cache(maxsize=1000)
def _signed(secret: Any, raw: str) -> str:
    """Return the token of a session as Flask-WTF makes and checks it."""
    return str(URLSafeTimedSerializer(secret, salt="wtf-csrf-token").dumps(raw))


def same_origin(public: str | None = None) -> bool:
    """Return whether the request comes from our own pages. Programs do not say where they come from, and pass.

    If the browser itself compares the origins (it sends `Sec-Fetch-Site`, which no page can set), its answer counts: it
    knows the address that it shows, and proxies may not pass that on. Otherwise the origin must be that of the request,
    or `public`.
    """
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = request.headers.get("Origin") or _start_of(request.headers.get("Referer"))
    return origin is None or origin in (f"{request.scheme}://{request.host}", public)


def _start_of(page: str | None) -> str | None:
    """Return the origin of a page's address."""
    return "/".join(page.split("/", 3)[:3]) if page else None


def origin_of(url: str | None) -> str | None:
    """Return the origin of an address as browsers send it, without the default port of the scheme."""
    if not url:
        return None
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    port = f":{parts.port}" if parts.port not in (None, {"http": 80, "https": 443}.get(parts.scheme)) else ""
    return f"{parts.scheme}://{host}{port}"


def _refusal(public: str | None) -> str:
    here = f"{request.scheme}://{request.host}" + (f" and {public}" if public else "")
    return (
        f"Nothing was done, because this request came from another site than {here[:300]}; open the page here and try "
        "again. Behind a proxy, set web.public_url to the address that people open, and web.proxies."
    )
