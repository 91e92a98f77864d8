"""A page of another site cannot make a browser act here: a token in every form, and where the request came from."""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import Flask, abort, request
from flask_wtf.csrf import CSRFProtect

from neurocore.config import NeuroCoreConfig
from webapp.security.permissions import SAFE_METHODS


def init_app(app: Flask, config: NeuroCoreConfig) -> CSRFProtect:
    """Check origin first, then the token. `app.extensions["csrf"]` is where the JSON-only API exempts itself."""
    # An open form keeps the token it was sent with for as long as the session lasts.
    app.config["WTF_CSRF_TIME_LIMIT"] = None
    app.config["WTF_CSRF_FIELD_NAME"] = "csrf_token"
    app.config["WTF_CSRF_SSL_STRICT"] = False  # `same_origin` looks at the referrer, and knows the public address

    public = origin_of(config.web.public_url)

    @app.before_request
    def check_origin() -> None:
        if request.method not in SAFE_METHODS and not same_origin(public):
            abort(403, _refusal(public))

    protection = CSRFProtect()
    protection.init_app(app)
    return protection


def same_origin(public: str | None = None) -> bool:
    """Whether the request comes from our own pages. Programs, which say nothing of it, pass: they hold no cookie.

    A browser that compares by itself (it says so by `Sec-Fetch-Site`, which no page can set) is believed: it knows the
    address that it shows, and proxies may not pass it on. Else the origin must be that of the request, or `public`.
    """
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = request.headers.get("Origin") or _start_of(request.headers.get("Referer"))
    return origin is None or origin in (f"{request.scheme}://{request.host}", public)


def _start_of(page: str | None) -> str | None:
    """The origin of the page that asks, where a browser says no more than its address."""
    return "/".join(page.split("/", 3)[:3]) if page else None


def origin_of(url: str | None) -> str | None:
    """The origin of an address as browsers say it: without the port that the scheme has anyway."""
    if not url:
        return None
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    port = f":{parts.port}" if parts.port not in (None, {"http": 80, "https": 443}.get(parts.scheme)) else ""
    return f"{parts.scheme}://{host}{port}"


def _refusal(public: str | None) -> str:
    here = f"{request.scheme}://{request.host}" + (f" and {public}" if public else "")
    return (
        f"This request came from another site than {here[:300]}, and nothing was done; open the page here and try "
        "again. Behind a proxy, set web.public_url to the address that people open, and web.proxies."
    )
