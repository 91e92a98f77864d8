"""Under which names the dashboard answers. A name that is not ours is refused: DNS rebinding leads nowhere."""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import Flask, abort, request
from werkzeug.middleware.proxy_fix import ProxyFix

from neurocore.config import NeuroCoreConfig

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
WILDCARDS = frozenset({"", "0.0.0.0", "::"})  # noqa: S104 - these are names that are *not* accepted


def init_app(app: Flask, config: NeuroCoreConfig) -> None:
    """Refuse requests whose Host header names somebody else; trust proxies' headers only as far as configured."""
    known = allowed_names(config)
    if config.web.proxies:
        count = config.web.proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=count, x_proto=count, x_host=count)  # type: ignore[method-assign]

    @app.before_request
    def check_host() -> None:
        name = host_name(request.environ.get("HTTP_HOST") or request.environ.get("SERVER_NAME", ""))
        if name not in known and not any(name.endswith(suffix) for suffix in known if suffix.startswith(".")):
            abort(
                400,
                f"This dashboard does not answer to the name {name[:200]!r}; "
                "add it to web.allowed_hosts in neurocore.yaml if it should.",
            )


def allowed_names(config: NeuroCoreConfig) -> frozenset[str]:
    """Loopback, `web.allowed_hosts` (a leading dot allows all below it), and the host of `web.public_url`."""
    names = {*LOOPBACK, *(host_name(name) for name in config.web.allowed_hosts)}
    if config.web.host not in WILDCARDS:
        names.add(host_name(config.web.host))
    if config.web.public_url:
        names.add((urlsplit(config.web.public_url).hostname or "").lower())
    return frozenset(names - WILDCARDS)


def host_name(host: str) -> str:
    """The name in a Host header, without port, brackets, case and the root's dot."""
    host = host.strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    name, colon, port = host.rpartition(":")
    if colon and port.isdigit() and ":" not in name:
        host = name
    return host.rstrip(".") if not host.startswith(".") else host


def is_loopback(host: str) -> bool:
    """Whether binding to this address reaches this machine only."""
    import ipaddress

    name = host_name(host) if host.count(":") < 2 else host.strip("[]")
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
