"""Passkeys of people, and the challenges that a browser must answer, each once."""

from __future__ import annotations

from neurocore.persistence.contract.accounts import refuse
from neurocore.persistence.people import Entry, Passkey


class Passkeys:
    """Keep the public keys of passkeys, and open challenges. Each default refuses, as those of `Accounts` do."""

    def add_passkey(self, passkey: Passkey, *, most: int, entry: Entry) -> bool:
        """Keep a new passkey of a person; False when its id is taken, or the person is gone or has `most` of them."""
        refuse()

    def list_passkeys(self, person: str) -> list[Passkey]:
        """Return the passkeys of a person, oldest first."""
        refuse()

    def find_passkey(self, id: str) -> Passkey | None:
        """Return the passkey with this id, or None."""
        refuse()

    def use_passkey(self, id: str, *, sign_count: int, at: str, entry: Entry) -> bool:
        """Note a use of a passkey and its new counter, if the counter rose (or is 0 as before).

        Otherwise nothing is noted but `entry`, which reports that the passkey may have been copied; returns False, as
        for a passkey that is gone, of which there is no entry.
        """
        refuse()

    def remove_passkey(self, id: str, *, person: str, entry: Entry) -> bool:
        """Remove a passkey of a person; False when they have no such passkey."""
        refuse()

    def reset_person(self, person: str, *, entry: Entry) -> int:
        """Remove all passkeys of a person and end all their sessions; returns how many passkeys there were."""
        refuse()

    def add_challenge(self, key: str, *, kind: str, person: str | None, now: str, expires_at: str, most: int) -> bool:
        """Keep a challenge that may be answered once, and forget those that have expired.

        `key` is the SHA-256 of the challenge. Returns False when `most` of this kind wait for this person, or (without
        a person) for anybody.
        """
        refuse()

    def take_challenge(self, key: str, *, kind: str, person: str | None, now: str) -> bool:
        """Use a challenge up: of two who do, one gets True. False if it is of another kind or person, or expired."""
        refuse()
