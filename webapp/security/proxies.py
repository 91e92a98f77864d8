"""Proxies in front of the dashboard: the client's address, the public address, and the path of the dashboard.

`web.proxies` is the number of proxies whose headers are trusted. A proxy may remove the path (`web.root_path`, or
`X-Forwarded-Prefix`) from the request or keep it: both work.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import urlsplit

from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

from neurocore.config import NeuroCoreConfig

#: A path with which links can begin: it must not lead to another host, or upwards by dots.
_PREFIX = re.compile(r"(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9._~-]+)+", re.ASCII)
_STANDARD = {"http": "80", "https": "443"}

Wsgi = Callable[[dict[str, Any], Any], Iterable[bytes]]


def init_app(app: Flask, config: NeuroCoreConfig) -> None:
    """Let the app see every request as the browser sent it."""
    below = Below(app.wsgi_app, root_path(config), config.web.proxies)
    app.wsgi_app = below  # type: ignore[method-assign]
    if count := config.web.proxies:
        app.wsgi_app = ProxyFix(below, x_for=count, x_proto=count, x_host=count)  # type: ignore[method-assign]


def root_path(config: NeuroCoreConfig) -> str:
    """Return the path of the dashboard: `web.root_path`, or the path in `web.public_url`, or ""."""
    if config.web.root_path is not None:
        return config.web.root_path.rstrip("/")
    found = urlsplit(config.web.public_url or "").path.rstrip("/")
    return found if _PREFIX.fullmatch(found) else ""


class Below:
    """Removes the path of the dashboard from each request's path, and adds a missing port."""

    def __init__(self, app: Wsgi, root: str, proxies: int) -> None:
        self._app = app
        self._root = root
        self._proxies = proxies

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Answer a request."""
        said = self._said(environ, "HTTP_X_FORWARDED_PREFIX").rstrip("/")
        prefix = said if _PREFIX.fullmatch(said) else self._root
        if prefix:
            path = environ.get("PATH_INFO", "")
            if path == prefix or path.startswith(f"{prefix}/"):
                environ["PATH_INFO"] = path[len(prefix) :] or "/"
            environ["SCRIPT_NAME"] = prefix
        self._complete_port(environ)
        return self._app(environ, start_response)

    def _complete_port(self, environ: dict[str, Any]) -> None:
        """Add the port that a proxy sends to a host without a port (nginx's `$host`)."""
        host, port = environ.get("HTTP_HOST", ""), self._said(environ, "HTTP_X_FORWARDED_PORT")
        names_port = re.search(r":\d*\Z", host) is not None and not host.endswith("]")
        is_port = re.fullmatch(r"[0-9]{1,5}", port) is not None
        if host and is_port and not names_port and port != _STANDARD.get(environ.get("wsgi.url_scheme", "")):
            environ["HTTP_HOST"] = f"{host}:{port}"

    def _said(self, environ: dict[str, Any], name: str) -> str:
        """Return the value from the outermost of our own proxies, or ""."""
        values = [one.strip() for one in environ.get(name, "").split(",")] if self._proxies else []
        return values[-min(self._proxies, len(values))] if values else ""
