"""The security headers of every answer: scripts may only come from files of this server, and much is forbidden."""

from __future__ import annotations

from flask import Flask, Response, request

#: No inline script or style, no eval, nothing from other servers, not in a frame of another page.
DIRECTIVES = (
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self'",
    "font-src 'self'",
    "connect-src 'self'",
    "manifest-src 'self'",
    "form-action 'self'",
    "base-uri 'none'",
    "frame-ancestors 'none'",
)
POLICY = "; ".join(DIRECTIVES)

HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}

ONE_YEAR = 31_536_000


def init_app(app: Flask) -> None:
    """Set the headers on every answer. Caches must not store pages, because pages show the current state."""

    @app.after_request
    def tell(response: Response) -> Response:
        there = {name.lower() for name, _ in response.headers}
        for name, value in HEADERS.items():
            if name.lower() not in there:
                response.headers.add(name, value)
        if request.is_secure:
            response.headers.setdefault("Strict-Transport-Security", f"max-age={ONE_YEAR}; includeSubDomains")
        if "Cache-Control" not in response.headers:
            response.headers["Cache-Control"] = "no-store"
        return response
