"""Records of people who sign in: accounts, sessions, tokens, passkeys, and the entries of what changed about them."""

from __future__ import annotations

import hashlib
from typing import Any

from msgspec import Struct

from neurocore import codec
from neurocore.access.roles import Grant


class Person(Struct, kw_only=True):
    """An account. `id` never changes; `label` is for people and is never compared; `password` is an Argon2id hash."""

    id: str
    username: str
    label: str
    service: bool = False
    password: str | None = None
    created_at: str = ""
    signed_in_at: str | None = None
    disabled_at: str | None = None
    disabled_by: str | None = None
    groups: tuple[str, ...] = ()
    #: When a provider or a proxy named the groups last; None where an admin gave them.
    groups_at: str | None = None
    grants: tuple[Grant, ...] = ()


class SessionRecord(Struct, frozen=True, kw_only=True):
    """A browser that is signed in. `key` is the SHA-256 of its secret; `agent` says which browser it is.

    `known_by` says how its person signed in; `id_token` is the provider's, to sign out there.
    """

    key: str
    id: str
    person: str
    signed_in_at: str
    seen_at: str
    agent: str = ""
    known_by: str = "session"
    id_token: str | None = None


class TokenRecord(Struct, frozen=True, kw_only=True):
    """A token of the API. `key` is its SHA-256; `scopes` are actions, `blueprints` patterns."""

    key: str
    id: str
    person: str
    name: str
    scopes: tuple[str, ...]
    blueprints: tuple[str, ...]
    created_at: str
    expires_at: str
    used_at: str | None = None
    revoked_at: str | None = None


class Passkey(Struct, frozen=True, kw_only=True):
    """A passkey of a person. `id` is the credential's in base64url, `rp_id` the host for which it was made.

    `public_key` is in COSE; `sign_count` is the counter that the passkey sent last, 0 for one that does not count.
    """

    id: str
    person: str
    name: str
    rp_id: str
    public_key: bytes
    sign_count: int
    created_at: str
    used_at: str | None = None


class Entry(Struct, frozen=True, kw_only=True):
    """Who did what to accounts. `hash` covers the entry and the hash of the one before it."""

    at: str
    kind: str
    actor: str
    data: dict[str, Any]
    number: int = 0
    prev_hash: str = ""
    hash: str = ""

    def sealed(self, number: int, prev_hash: str) -> Entry:
        """Return the entry at its place in the chain."""
        body = codec.canonical(["entry", 1, number, self.at, self.kind, self.actor, self.data, prev_hash])
        return Entry(
            at=self.at, kind=self.kind, actor=self.actor, data=self.data, number=number, prev_hash=prev_hash,
            hash=hashlib.sha256(body).hexdigest(),
        )  # fmt: skip


def key_of(secret: str) -> str:
    """Return the key under which a secret (of a session, a token or a link) is kept."""
    return hashlib.sha256(secret.encode()).hexdigest()
