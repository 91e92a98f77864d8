"""Tokens of the API: the smaller of their own and their owner's present rights."""

from __future__ import annotations

import secrets
from collections.abc import Iterable

from msgspec import Struct

from neurocore import numerals
from neurocore.access.actor import Actor
from neurocore.access.permission import Action
from neurocore.accounts.people import entry_of, require_own
from neurocore.auth import seconds
from neurocore.config import NeuroCoreConfig
from neurocore.errors import InputError
from neurocore.persistence.base import RunStore
from neurocore.persistence.people import Person, TokenRecord, key_of

#: What is no scope: tokens may do none of it, except that every token may ask whose it is.
NEVER = frozenset({Action.ADMINISTER, Action.ADOPT, Action.OWN, Action.IDENTIFY})
PREFIX = "nrc_"
_DAY = 86_400


class Made(Struct, frozen=True):
    """A new token: its secret, which is shown once, and its record."""

    secret: str
    token: TokenRecord


def create(
    person: Person,
    *,
    name: str,
    scopes: Iterable[str],
    blueprints: Iterable[str],
    days: str,
    store: RunStore,
    config: NeuroCoreConfig,
    actor: Actor,
) -> Made:
    """Make a token. Raises InputError, with a sentence for each field that is wrong."""
    require_own(actor, person)
    problems = {}
    name = name.strip()
    if not 0 < len(name) <= 100 or any(ord(one) < 32 for one in name):
        problems["name"] = "Give the token a name of 1 to 100 characters, by which you know it again."
    allowed = {one.value for one in Action if one not in NEVER}
    wanted = tuple(dict.fromkeys(scopes))
    if not wanted or set(wanted) - allowed:
        problems["scope"] = f"Say what the token is for: {', '.join(sorted(allowed))}."
    most = max(1, seconds(config.auth.tokens.max_age) // _DAY)
    valid = numerals.whole(days[:10]) if days.strip() else most
    if valid is None or not 1 <= valid <= most:
        problems["days"] = f"A token is valid for 1 to {most} days."
    if problems or valid is None:
        raise InputError(" ".join(problems.values()), problems)
    secret = f"{PREFIX}{secrets.token_urlsafe(32)}"
    now, until = store.clock.now(), store.clock.after(valid * _DAY)
    token = TokenRecord(
        key=key_of(secret), id=store.ids.new()[:16], person=person.id, name=name, scopes=wanted,
        blueprints=tuple(blueprints) or ("*",), created_at=now, expires_at=until,
    )  # fmt: skip
    told = {"token": token.id, "user": person.id, "scopes": list(wanted), "expires": token.expires_at}
    store.add_token(token, entry=entry_of(store, actor, "token-created", **told))
    return Made(secret, token)
