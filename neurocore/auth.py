"""The section `auth` of neurocore.yaml: how people sign in, and what they may do by configuration."""

from __future__ import annotations

from typing import Annotated, Literal

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


class Auth(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How people are known. `open`: by what they type; `local`: by a password; `proxy`: by a proxy that signs them in.

    `grants` give roles beside those that the accounts have.
    """

    mode: Literal["open", "local", "proxy"] = "open"
    grants: list[GrantSettings] = field(default_factory=list)
    session: SessionSettings = SessionSettings()
    tokens: TokenSettings = TokenSettings()
    proxy: ProxySettings = ProxySettings()
    limits: LimitSettings = LimitSettings()


def seconds(duration: str) -> int:
    """The length of a duration such as `12h`, in seconds."""
    number = duration.rstrip("smindhw")
    return int(number) * _SECONDS[duration.removeprefix(number)]
