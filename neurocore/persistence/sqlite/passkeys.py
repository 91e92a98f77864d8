"""Passkeys and challenges in SQLite, in the database of the accounts."""

from __future__ import annotations

import sqlite3

from neurocore.clock import iso
from neurocore.persistence import rows
from neurocore.persistence.contract.passkeys import Passkeys
from neurocore.persistence.inserts import execute
from neurocore.persistence.people import Entry, Passkey
from neurocore.persistence.sqlite.accounts import enter
from neurocore.persistence.sqlite.base import SQLiteBase


class SQLitePasskeys(SQLiteBase, Passkeys):
    """Keep passkeys and challenges. Every change of a passkey is synced, with its entry."""

    def add_passkey(self, passkey: Passkey, *, most: int, entry: Entry) -> bool:
        """Keep a passkey."""
        with self._db.write(sync=True) as connection:
            added = execute(
                connection, "insert_passkey", id=passkey.id, name=passkey.name, rp_id=passkey.rp_id,
                public_key=passkey.public_key, sign_count=passkey.sign_count,
                created_at=rows.micros(passkey.created_at), person_id=passkey.person, most=most,
            )  # fmt: skip
            if added.rowcount != 1:
                return False
            enter(connection, entry)
            return True

    def list_passkeys(self, person: str) -> list[Passkey]:
        """Return the passkeys of a person."""
        return [self._made(_passkey, row) for row in self._rows("list_passkeys", person_id=person)]

    def find_passkey(self, id: str) -> Passkey | None:
        """Return one passkey."""
        row = self._row("find_passkey", id=id)
        return None if row is None else self._made(_passkey, row)

    def use_passkey(self, id: str, *, sign_count: int, at: str, entry: Entry) -> bool:
        """Raise the counter by compare-and-set, or report that it did not rise."""
        with self._db.write(sync=True) as connection:
            if execute(connection, "use_passkey", id=id, sign_count=sign_count, at=rows.micros(at)).rowcount == 1:
                return True
            if execute(connection, "find_passkey", id=id).fetchone() is not None:
                enter(connection, entry)
            return False

    def remove_passkey(self, id: str, *, person: str, entry: Entry) -> bool:
        """Remove one passkey."""
        with self._db.write(sync=True) as connection:
            if execute(connection, "remove_passkey", id=id, person_id=person).rowcount != 1:
                return False
            enter(connection, entry)
            return True

    def reset_person(self, person: str, *, entry: Entry) -> int:
        """Remove passkeys and sessions in one transaction."""
        with self._db.write(sync=True) as connection:
            removed = execute(connection, "remove_passkeys", person_id=person).rowcount
            execute(connection, "end_sessions", person_id=person, but=None)
            enter(connection, entry)
            return removed

    def add_challenge(self, key: str, *, kind: str, person: str | None, now: str, expires_at: str, most: int) -> bool:
        """Keep a challenge."""
        with self._db.write() as connection:
            execute(connection, "forget_challenges", now=rows.micros(now))
            added = execute(
                connection, "insert_challenge", key=key, kind=kind, person_id=person,
                expires_at=rows.micros(expires_at), most=most,
            )  # fmt: skip
            return added.rowcount == 1

    def take_challenge(self, key: str, *, kind: str, person: str | None, now: str) -> bool:
        """Use a challenge up: of two who do, one does."""
        with self._db.write(sync=True) as connection:
            taken = execute(
                connection, "take_challenge", key=key, kind=kind, person_id=person, now=rows.micros(now)
            )  # fmt: skip
            return taken.rowcount == 1


def _passkey(row: sqlite3.Row) -> Passkey:
    return Passkey(
        id=row["id"], person=row["person_id"], name=row["name"], rp_id=row["rp_id"],
        public_key=bytes(row["public_key"]), sign_count=row["sign_count"], created_at=iso(row["created_at"]),
        used_at=None if row["used_at"] is None else iso(row["used_at"]),
    )  # fmt: skip
