"""The section `auth` of neurocore.yaml: how people sign in, and what they may do by configuration."""

from __future__ import annotations

import re
from typing import Annotated, Literal
from urllib.parse import urlsplit

from msgspec import Meta, Struct, field

#: A duration such as `12h`, `7d` or `90min`, as on the command line.
Duration = Annotated[str, Meta(pattern=r"^[0-9]{1,6}(s|min|h|d|w)$")]
RoleName = Literal["viewer", "operator", "approver", "admin"]
#: A username.
Username = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9._@+-]{0,99}$")]
#: A username, or `group:NAME`.
Grantee = Annotated[str, Meta(pattern=r"^(group:[^\s:]{1,100}|[a-z0-9][a-z0-9._@+-]{0,99})$")]

_SECONDS = {"s": 1, "min": 60, "h": 3600, "d": 86_400, "w": 604_800}


class GrantSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A role for people or groups, for the blueprints that fit one of the patterns."""

    role: RoleName
    to: list[Grantee]
    blueprints: list[str] = field(default_factory=lambda: ["*"])


class SessionSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long a session lasts: without a request (`idle`), and in all (`max`)."""

    idle: Duration = "12h"
    max: Duration = "7d"


class TokenSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long a token may be valid."""

    max_age: Duration = "90d"


class ProxySettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The headers by which a proxy says who sends a request, and the addresses of the proxies that are believed."""

    user: str = "X-Forwarded-User"
    groups: str = "X-Forwarded-Groups"
    trusted: list[str] = field(default_factory=lambda: ["127.0.0.1"])


class LimitSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one person may use at once: requests that wait for runs, and started runs that wait to begin."""

    waits: Annotated[int, Meta(ge=1, le=1000)] = 4
    starts: Annotated[int, Meta(ge=1, le=1_000_000)] = 100


class OidcSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The provider (OpenID Connect) that signs people in, this client of it, and the claims that are used.

    `client_secret` may be a reference, `${NAME}`; `name` is what the button on the sign-in page says.
    """

    issuer: str = ""
    client_id: str = ""
    client_secret: str = ""
    scopes: list[Annotated[str, Meta(pattern=r"^[!#-\[\]-~]{1,100}$")]] = field(
        default_factory=lambda: ["openid", "profile", "email"]
    )
    groups_claim: str = "groups"
    username_claim: str = "preferred_username"
    name: Annotated[str, Meta(min_length=1, max_length=60)] = "OpenID Connect"

    def __repr__(self) -> str:
        return f"OidcSettings(issuer={self.issuer!r}, client_id={self.client_id!r})"


class Auth(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How people are known: by what they type, or by who signs them in.

    `open`: nobody does; `local`: a password; `proxy`: a proxy in front; `oidc`: a provider (OpenID Connect). `grants`
    give roles beside those that the accounts have. Groups that a provider or a proxy named longer ago than
    `groups_max_age` give no rights.
    """

    mode: Literal["open", "local", "proxy", "oidc"] = "open"
    grants: list[GrantSettings] = field(default_factory=list)
    session: SessionSettings = SessionSettings()
    tokens: TokenSettings = TokenSettings()
    proxy: ProxySettings = ProxySettings()
    groups_max_age: Duration = "24h"
    oidc: OidcSettings = OidcSettings()
    limits: LimitSettings = LimitSettings()
    #: The members of groups in mode `open`, by the names that they type; elsewhere groups come with people.
    groups: dict[Annotated[str, Meta(min_length=1, max_length=100)], list[str]] = field(default_factory=dict)


def seconds(duration: str) -> int:
    """Return the length of a duration such as `12h`, in seconds."""
    number = duration.rstrip("smindhw")
    return int(number) * _SECONDS[duration.removeprefix(number)]


def problem(auth: Auth, *, host: str, public_url: str | None) -> str | None:
    """Return why people cannot sign in with these settings, in one sentence, or None."""
    if auth.mode != "oidc":
        return None
    missing = [f"auth.oidc.{one}" for one in ("issuer", "client_id") if not getattr(auth.oidc, one)]
    if missing:
        return f"auth.mode: oidc needs {' and '.join(missing)}."
    if not is_safe_address(auth.oidc.issuer):
        return (
            f"auth.oidc.issuer must be an https:// address (http:// only on localhost) without ? and #, not "
            f"{auth.oidc.issuer[:200]!r}."
        )
    if public_url is None and host not in _LOCAL:
        return (
            "auth.mode: oidc needs web.public_url, the address that people open: the provider sends them back to "
            "/login/callback below it."
        )
    return None


_LOCAL = ("localhost", "127.0.0.1", "::1")


def is_safe_address(url: str) -> bool:
    """Return whether an address is one of https, or of http on this machine, and plain: no blanks, quotes, ? or #."""
    if not re.fullmatch(r"[!$%&(-;=@-\[\]_a-z~]{1,2000}", url):
        return False
    try:
        parts = urlsplit(url)
        return (
            bool(parts.hostname)
            and parts.username is None
            and parts.port != 0
            and (parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOCAL))
        )
    except ValueError:  # an invalid port, an unclosed bracket
        return False
