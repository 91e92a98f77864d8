"""The host names of the dashboard. Requests with other names are refused, which prevents DNS rebinding."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from flask import Flask, abort, request

from neurocore.config import NeuroCoreConfig

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
WILDCARDS = frozenset({"", "0.0.0.0", "::"})  # noqa: S104 - these names are *not* accepted


def init_app(app: Flask, config: NeuroCoreConfig) -> None:
    """Refuse requests whose Host header has another name."""
    known = allowed_names(config)

    @app.before_request
    def check_host() -> None:
        name = host_name(request.environ.get("HTTP_HOST") or request.environ.get("SERVER_NAME", ""))
        if name not in known and not any(name.endswith(suffix) for suffix in known if suffix.startswith(".")):
            if not name:
                abort(400, "The Host header of this request is not a valid host name.")
            abort(
                400,
                f"This dashboard does not answer to the name {name[:200]!r}; "
                "if it should, add the name to web.allowed_hosts in neurocore.yaml, or set web.public_url.",
            )


def allowed_names(config: NeuroCoreConfig) -> frozenset[str]:
    """Return loopback, `web.allowed_hosts` (a leading dot allows all names below) and the host of `web.public_url`."""
    names = {*LOOPBACK, *(_configured(name) for name in config.web.allowed_hosts)}
    if config.web.host not in WILDCARDS:
        names.add(_configured(config.web.host))
    if config.web.public_url:
        names.add((urlsplit(config.web.public_url).hostname or "").lower())
    return frozenset(names - WILDCARDS)


#: A Host header: an IPv6 address in brackets or a name, and an optional port.
_HOST = re.compile(r"(?:\[([0-9a-f:.]{2,45})\]|([a-z0-9_][a-z0-9_.-]*?)\.?)(?::[0-9]{0,5})?", re.IGNORECASE | re.ASCII)


def host_name(host: str) -> str:
    """Return the name in a Host header in lower case, without port, brackets and final dot; "" if it is not valid."""
    found = _HOST.fullmatch(host.strip(" \t"))
    return (found.group(1) or found.group(2)).lower() if found else ""


def _configured(host: str) -> str:
    """Return a name from the configuration as `host_name` does; it may also be ".domain" or an IPv6 address."""
    host = host.strip().lower()
    return host if host.startswith(".") or (host.count(":") > 1 and "[" not in host) else host_name(host)


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach this address."""
    import ipaddress

    name = _configured(host)
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
