"""Accounts in SQLite: in the database of the runs, so that they are in the transaction of what they decide."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection
from typing import ClassVar

from msgspec import structs

from neurocore.access.roles import Grant, Role
from neurocore.clock import iso
from neurocore.errors import RefusedError, UsageError
from neurocore.persistence import rows
from neurocore.persistence.contract.accounts import Accounts
from neurocore.persistence.inserts import execute
from neurocore.persistence.people import Entry, Person, SessionRecord, TokenRecord
from neurocore.persistence.sqlite.base import SQLiteBase


class SQLiteAccounts(SQLiteBase, Accounts):
    """Keep people and what they sign in with. Every change of an account is synced, with its entry."""

    keeps_accounts: ClassVar[bool] = True

    def save_person(
        self,
        person: Person,
        *,
        was: Person | None = None,
        entry: Entry,
        ends_sessions: bool = False,
        identity: tuple[str, str] | None = None,
    ) -> None:
        """Add or replace a person with groups and grants, in one transaction with the entry."""
        with self._db.write(sync=True) as connection:
            taken = execute(connection, "load_person", id="", username=person.username).fetchone()
            if taken is not None and taken["id"] != person.id:
                raise UsageError(f"The username {person.username} is taken; choose another.")
            now = execute(connection, "load_person", id=person.id, username=None).fetchone()
            if was is None and now is not None:
                return
            if was is not None and (now is None or not _same(_person(now), was)):
                raise RefusedError(
                    f"The account {person.username} was changed at the same moment; look at it again, then repeat this."
                )
            saved = execute(
                connection, "save_person", id=person.id, username=person.username, label=person.label,
                service=person.service, password=person.password, created_at=rows.micros(person.created_at),
                signed_in_at=_micros(person.signed_in_at), disabled_at=_micros(person.disabled_at),
                disabled_by=person.disabled_by, groups_at=_micros(person.groups_at),
            ).fetchone()  # fmt: skip
            place = saved["person"]
            execute(connection, "clear_grants", person=place)
            execute(connection, "clear_memberships", person=place)
            for grant in person.grants:
                execute(connection, "insert_grant", person=place, role=grant.role.value, pattern=grant.pattern)
            for name in person.groups:
                execute(connection, "insert_membership", person=place, name=name)
            if identity is not None:
                execute(connection, "insert_identity", mode=identity[0], subject=identity[1], person=place)
            if ends_sessions:
                execute(connection, "end_sessions", person_id=person.id, but=None)
            if was is not None and _manages(was) and execute(connection, "count_admins").fetchone()["count"] == 0:
                raise RefusedError(f"{person.username} is the last admin; make somebody else an admin first.")
            enter(connection, entry)

    def load_person(self, *, id: str | None = None, username: str | None = None) -> Person | None:
        """Return one row with its grants and groups."""
        row = self._row("load_person", id=id, username=username)
        return None if row is None else self._made(_person, row)

    def find_identity(self, mode: str, subject: str) -> Person | None:
        """Return the person by two keys."""
        row = self._row("find_identity", mode=mode, subject=subject)
        return None if row is None else self.load_person(id=row["id"])

    def see_groups(self, person: str, groups: Collection[str], *, at: str, entry: Entry) -> None:
        """Replace the groups if they are others, with the entry, and note when they were seen."""
        with self._db.write(sync=True) as connection:
            row = execute(connection, "load_person", id=person, username=None).fetchone()
            if row is None:
                return
            if set(json.loads(row["groups"])) != set(groups):
                execute(connection, "clear_memberships", person=row["person"])
                for name in sorted(set(groups)):
                    execute(connection, "insert_membership", person=row["person"], name=name)
                enter(connection, entry)
            execute(connection, "note_groups", at=rows.micros(at), id=person)

    def list_people(self) -> list[Person]:
        """Return everybody, in one query."""
        return [self._made(_person, row) for row in self._rows("list_people")]

    def count_admins(self) -> int:
        """Return how many may manage accounts."""
        row = self._row("count_admins")
        return 0 if row is None else int(row["count"])

    def open_session(self, session: SessionRecord, *, password: str | None, passkey: str | None = None) -> bool:
        """Keep a session, and that its person signed in, if the account is still the one that was checked."""
        at = rows.micros(session.signed_in_at)
        with self._db.write(sync=True) as connection:
            opened = execute(
                connection, "insert_session", key=session.key, id=session.id, signed_in_at=at, agent=session.agent,
                known_by=session.known_by, person_id=session.person, password=password, passkey=passkey,
                id_token=session.id_token,
            )  # fmt: skip
            if opened.rowcount != 1:
                return False
            execute(connection, "note_sign_in", at=at, id=session.person)
            return True

    def load_session(self, key: str) -> tuple[SessionRecord, Person] | None:
        """Return the session and its person."""
        row = self._row("load_session", key=key)
        return None if row is None else (self._made(_session, row), self._made(_person, row))

    def list_sessions(self, person: str) -> list[SessionRecord]:
        """Return the sessions of a person."""
        return [self._made(_session, row) for row in self._rows("list_sessions", person_id=person)]

    def touch_session(self, key: str, at: str) -> None:
        """Note when a session was used last."""
        with self._db.write() as connection:
            execute(connection, "touch_session", at=rows.micros(at), key=key)

    def end_sessions(self, person: str, *, only: Collection[str] | None = None, but: str | None = None) -> int:
        """End sessions at once: the next request finds none."""
        with self._db.write(sync=True) as connection:
            if only is None:
                return execute(connection, "end_sessions", person_id=person, but=but).rowcount
            return sum(execute(connection, "end_session", id=one, person_id=person).rowcount for one in only)

    def add_token(self, token: TokenRecord, *, entry: Entry) -> None:
        """Keep a token."""
        with self._db.write(sync=True) as connection:
            execute(
                connection, "insert_token", key=token.key, id=token.id, name=token.name,
                scopes=json.dumps(token.scopes), blueprints=json.dumps(token.blueprints),
                created_at=rows.micros(token.created_at), expires_at=rows.micros(token.expires_at),
                person_id=token.person,
            )  # fmt: skip
            enter(connection, entry)

    def load_token(self, key: str) -> tuple[TokenRecord, Person] | None:
        """Return the token and its person."""
        row = self._row("load_token", key=key)
        person = None if row is None else self.load_person(id=row["person_id"])
        return None if row is None or person is None else (self._made(_token, row), person)

    def list_tokens(self, person: str | None = None) -> list[TokenRecord]:
        """Return the tokens of a person, or of everybody."""
        return [self._made(_token, row) for row in self._rows("list_tokens", person_id=person)]

    def revoke_token(self, id: str, *, at: str, entry: Entry) -> bool:
        """End a token."""
        with self._db.write(sync=True) as connection:
            if execute(connection, "revoke_token", at=rows.micros(at), id=id).rowcount != 1:
                return False
            enter(connection, entry)
            return True

    def add_link(self, key: str, *, person: str | None, now: str, expires_at: str, entry: Entry | None = None) -> None:
        """Keep a one-time link."""
        with self._db.write(sync=True) as connection:
            execute(connection, "forget_links", now=rows.micros(now))
            execute(connection, "insert_link", key=key, person_id=person, expires_at=rows.micros(expires_at))
            if entry is not None:
                enter(connection, entry)

    def find_link(self, key: str, *, now: str) -> tuple[str | None] | None:
        """Return whose link it is, without using it up."""
        row = self._row("find_link", key=key, now=rows.micros(now))
        return None if row is None else (row["person_id"],)

    def take_link(self, key: str, *, now: str, entry: Entry | None = None) -> bool:
        """Use a link up: of two who do, one does."""
        with self._db.write(sync=True) as connection:
            taken = execute(connection, "take_link", key=key, now=rows.micros(now)).rowcount > 0
            if taken and entry is not None:
                enter(connection, entry)
            return taken

    def use_once(self, key: str, *, kind: str, now: str, expires_at: str) -> bool:
        """Keep a row for what is used: of two who use it, one does."""
        with self._db.write(sync=True) as connection:
            execute(connection, "forget_used", now=rows.micros(now))
            used = execute(connection, "use_once", key=key, kind=kind, expires_at=rows.micros(expires_at))
            return used.rowcount == 1

    def count_attempt(self, place: str, *, now: str, since: str) -> int:
        """Count a failed attempt, and forget those that are over."""
        with self._db.write() as connection:
            values = {"place": place, "now": rows.micros(now), "from": rows.micros(since)}
            execute(connection, "forget_attempts", **{"place": place, "from": values["from"]})
            return int(execute(connection, "count_attempt", **values).fetchone()["count"])

    def attempts(self, place: str, *, since: str) -> int:
        """Return how many attempts failed at a place."""
        row = self._row("attempts", **{"place": place, "from": rows.micros(since)})
        return 0 if row is None else int(row["count"])

    def clear_attempts(self, place: str) -> None:
        """Forget the failed attempts."""
        with self._db.write() as connection:
            execute(connection, "clear_attempts", place=place)

    def disabled_since(self, person: str, *, after: str) -> str | None:
        """Return the first entry that says so."""
        row = self._row("disabled_since", person_id=person, after=rows.micros(after))
        return None if row is None else _iso(row["at"])

    def list_entries(self) -> list[Entry]:
        """Return the chain of entries."""
        return [self._made(_entry, row) for row in self._rows("list_entries")]


def enter(connection: sqlite3.Connection, entry: Entry) -> None:
    """Add an entry to the chain, within the transaction of what it tells."""
    last = execute(connection, "last_entry").fetchone()
    sealed = entry.sealed((last["number"] if last else 0) + 1, last["hash"] if last else "")
    execute(
        connection, "insert_entry", number=sealed.number, at=rows.micros(sealed.at), kind=sealed.kind,
        actor=sealed.actor, data=json.dumps(sealed.data, sort_keys=True), prev_hash=sealed.prev_hash, hash=sealed.hash,
    )  # fmt: skip


def _same(one: Person, other: Person) -> bool:
    """Return whether an account is unchanged; when somebody was seen last is no change."""
    first, second = (structs.replace(person, signed_in_at=None, groups_at=None) for person in (one, other))
    return first == second


def _manages(person: Person) -> bool:
    return Grant(Role.ADMIN) in person.grants and person.disabled_at is None


def _micros(at: str | None) -> int | None:
    return None if at is None else rows.micros(at)


def _iso(at: int | None) -> str | None:
    return None if at is None else iso(at)


def _person(row: sqlite3.Row) -> Person:
    return Person(
        id=row["id"], username=row["username"], label=row["label"], service=bool(row["service"]),
        password=row["password"], created_at=iso(row["created_at"]), signed_in_at=_iso(row["signed_in_at"]),
        disabled_at=_iso(row["disabled_at"]), disabled_by=row["disabled_by"],
        groups=tuple(sorted(json.loads(row["groups"]))), groups_at=_iso(row["groups_at"]),
        grants=tuple(sorted(Grant(Role(role), pattern) for role, pattern in json.loads(row["grants"]))),
    )  # fmt: skip


def _session(row: sqlite3.Row) -> SessionRecord:
    return SessionRecord(
        key=row["key"], id=row["session_id"], person=row["person_id"], signed_in_at=iso(row["opened_at"]),
        seen_at=iso(row["seen_at"]), agent=row["agent"], known_by=row["known_by"], id_token=row["id_token"],
    )  # fmt: skip


def _token(row: sqlite3.Row) -> TokenRecord:
    return TokenRecord(
        key=row["key"], id=row["id"], person=row["person_id"], name=row["name"],
        scopes=tuple(json.loads(row["scopes"])), blueprints=tuple(json.loads(row["blueprints"])),
        created_at=iso(row["created_at"]), expires_at=iso(row["expires_at"]), used_at=_iso(row["used_at"]),
        revoked_at=_iso(row["revoked_at"]),
    )  # fmt: skip


def _entry(row: sqlite3.Row) -> Entry:
    return Entry(
        number=row["number"], at=iso(row["at"]), kind=row["kind"], actor=row["actor"], data=json.loads(row["data"]),
        prev_hash=row["prev_hash"], hash=row["hash"],
    )  # fmt: skip
