"""Accounts: people who sign in, their sessions, tokens and one-time links. A store without them offers `open` only."""

from __future__ import annotations

from collections.abc import Collection
from typing import ClassVar, NoReturn

from neurocore.errors import UsageError
from neurocore.persistence.people import Entry, Person, SessionRecord, TokenRecord


class Accounts:
    """Keep people and what they sign in with. Each default refuses: there is nothing safe to fall back to."""

    #: True when the store keeps accounts, so that `auth.mode` may be another than `open`.
    keeps_accounts: ClassVar[bool] = False

    def save_person(
        self,
        person: Person,
        *,
        was: Person | None = None,
        entry: Entry,
        ends_sessions: bool = False,
        identity: tuple[str, str] | None = None,
    ) -> None:
        """Add a person, or replace `was`, with groups and grants. Adding somebody who is there changes nothing.

        Raises UsageError when the username is taken, and RefusedError when the account is no longer `was`, or when
        nobody could manage accounts afterwards: a change never undoes one that it did not see. `identity` is a mode
        and a subject by which the person is known from then on.
        """
        refuse()

    def load_person(self, *, id: str | None = None, username: str | None = None) -> Person | None:
        """Return the person with this id or username, or None."""
        refuse()

    def find_identity(self, mode: str, subject: str) -> Person | None:
        """Return the person who is known so in this mode, or None."""
        refuse()

    def see_groups(self, person: str, groups: Collection[str], *, at: str, entry: Entry) -> None:
        """Note in which groups a provider or a proxy says somebody is; the entry is kept when they have changed."""
        refuse()

    def list_people(self) -> list[Person]:
        """Return everybody, by username."""
        refuse()

    def count_admins(self) -> int:
        """Return how many people who are not disabled have the role admin for everything."""
        refuse()

    def open_session(self, session: SessionRecord, *, password: str | None, passkey: str | None = None) -> bool:
        """Keep a new session, and when its person signed in.

        Returns False when the account is disabled, or has another password than this hash by now, or no longer has the
        passkey with this id.
        """
        refuse()

    def load_session(self, key: str) -> tuple[SessionRecord, Person] | None:
        """Return the session under this key with its person, or None."""
        refuse()

    def list_sessions(self, person: str) -> list[SessionRecord]:
        """Return the sessions of a person, newest first."""
        refuse()

    def touch_session(self, key: str, at: str) -> None:
        """Note when a session was used last."""
        refuse()

    def end_sessions(self, person: str, *, only: Collection[str] | None = None, but: str | None = None) -> int:
        """End the sessions of a person: those with these ids, or all but one; returns how many."""
        refuse()

    def add_token(self, token: TokenRecord, *, entry: Entry) -> None:
        """Keep a new token."""
        refuse()

    def load_token(self, key: str) -> tuple[TokenRecord, Person] | None:
        """Return the token under this key with its person, or None."""
        refuse()

    def list_tokens(self, person: str | None = None) -> list[TokenRecord]:
        """Return the tokens of a person, or of everybody, newest first."""
        refuse()

    def revoke_token(self, id: str, *, at: str, entry: Entry) -> bool:
        """End a token; False when there is no such token, or it has ended."""
        refuse()

    def add_link(self, key: str, *, person: str | None, now: str, expires_at: str, entry: Entry | None = None) -> None:
        """Keep a one-time link; without a person it is for the first admin."""
        refuse()

    def find_link(self, key: str, *, now: str) -> tuple[str | None] | None:
        """Return the person of a link that is valid at this time, in a tuple; None when there is no such link."""
        refuse()

    def take_link(self, key: str, *, now: str, entry: Entry | None = None) -> bool:
        """Use a link up, and all others of its person, or for the first admin; False when it was used, or is over."""
        refuse()

    def use_once(self, key: str, *, kind: str, now: str, expires_at: str) -> bool:
        """Note that something is used that works once, until it expires; False when it was used before."""
        refuse()

    def count_attempt(self, place: str, *, now: str, since: str) -> int:
        """Count a failed attempt to sign in at a place; returns how many there were since then.

        Attempts before that, at every place, may be forgotten: all who count look back equally far.
        """
        refuse()

    def attempts(self, place: str, *, since: str) -> int:
        """Return how many failed attempts there were at a place since then."""
        refuse()

    def clear_attempts(self, place: str) -> None:
        """Forget the failed attempts at a place."""
        refuse()

    def disabled_since(self, person: str, *, after: str) -> str | None:
        """Return when a person was first disabled after an ISO time, or None; being enabled again changes nothing."""
        return None

    def list_entries(self) -> list[Entry]:
        """Return the entries of who changed what about accounts, oldest first."""
        refuse()


def refuse() -> NoReturn:
    """Raise UsageError: this store keeps no accounts."""
    raise UsageError("This store keeps no accounts; set auth.mode: open, or use the sqlite backend.")
