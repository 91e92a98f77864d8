"""The address of a server. Only addresses to which a token can be sent safely are accepted."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from msgspec import Struct

from neurocore.errors import UsageError
from neurocore.readable import safe

_PORTS = {"https": 443, "http": 80}


class Address(Struct, frozen=True):
    """Where a server is: scheme, host, port and path prefix. A token belongs to exactly one of these.

    `url` has no slash at its end. `is_loopback` says that no network is between this process and the server.
    """

    url: str
    is_loopback: bool

    @property
    def api(self) -> str:
        """Return the address of the API."""
        return f"{self.url}/api/v1"


def read_address(text: str) -> Address:
    """Return the address that a person gives. Raises UsageError, which does not repeat a password in it."""
    text = text.strip()
    try:
        parts = urlsplit(text)
        host, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError as error:
        raise UsageError("This is not the address of a server; give one such as https://runs.example.com.") from error
    if parts.username is not None or parts.password is not None:
        raise UsageError("Leave the user and the password out of --server; `neurocore login` asks for a token.")
    if parts.scheme not in _PORTS or not host or not _is_plain(text):
        raise UsageError(
            f"{safe(text[:100])!r} is not the address of a server; give one such as https://runs.example.com."
        )
    if parts.query or parts.fragment:
        raise UsageError("The address of a server has no ? and no #; give one such as https://runs.example.com.")
    is_loopback = _is_loopback(host)
    if parts.scheme == "http" and not is_loopback:
        raise UsageError(
            f"http://{host} is not encrypted, so everybody on the way could read the token; use https (http only for "
            "this machine)."
        )
    if any(part in (".", "..") for part in parts.path.split("/")):
        raise UsageError("The path of a server has no . and no .. in it; write it out.")
    name = f"[{host}]" if ":" in host else host
    place = name if port in (None, _PORTS[parts.scheme]) else f"{name}:{port}"
    return Address(f"{parts.scheme}://{place}{parts.path.rstrip('/')}", is_loopback)


def _is_plain(text: str) -> bool:
    """Return whether the text has only characters that mean the same to everybody who reads an address."""
    return text.isascii() and text.isprintable() and not set(text) & set(' "<>\\^`{|}')


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
