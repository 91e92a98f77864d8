"""Sign in by password, with limits that survive a restart and lock nobody out who has signed in before."""

from __future__ import annotations

import logging

from neurocore.access.actor import KnownBy
from neurocore.accounts.passwords import LONGEST, fits
from neurocore.errors import RefusedError
from neurocore.persistence.base import RunStore
from neurocore.persistence.people import Passkey, Person, SessionRecord, key_of
from neurocore.readable import safe

#: Failed attempts within a quarter of an hour: for an account from one address, and from one address in all.
WINDOW, PER_ACCOUNT, PER_ADDRESS = 15 * 60, 10, 100

WRONG = "The user name or the password is wrong."

_log = logging.getLogger(__name__)


class TooMany(RefusedError):
    """Too many failed attempts to sign in."""


def authenticate(username: str, password: str, *, store: RunStore, address: str, known: bool) -> Person | None:
    """Return whose name and password these are, or None: neither the answer nor its time tells which was wrong.

    `known` says that this browser has signed in before as this user, and passes the limit that strangers reach. Raises
    TooMany.
    """
    username = username.strip().lower()[:100]
    since = store.clock.after(-WINDOW)
    place = f"browser:{username}" if known else f"account:{address}:{username}"
    everywhere = f"address:{address}"
    if store.attempts(place, since=since) >= PER_ACCOUNT or (
        not known and store.attempts(everywhere, since=since) >= PER_ADDRESS
    ):
        _log.warning("A sign-in as %s from %s was refused: too many attempts failed.", safe(username), address)
        raise TooMany("Too many attempts to sign in failed; wait for a quarter of an hour, then try again.")
    person = store.load_person(username=username)
    is_right = len(password) <= LONGEST and fits(password, person.password if person is not None else None)
    if not is_right or person is None or person.disabled_at is not None or person.service:
        store.count_attempt(place, now=store.clock.now(), since=since)
        store.count_attempt(everywhere, now=store.clock.now(), since=since)
        _log.warning("A sign-in as %s from %s failed: the user name or the password is wrong.", safe(username), address)
        return None
    store.clear_attempts(place)
    return person


def open_session(
    person: Person,
    *,
    store: RunStore,
    agent: str,
    passkey: Passkey | None = None,
    id_token: str | None = None,
    way: str = "a password",
) -> str:
    """Open a session for somebody who has shown who they are, and return its secret, for the browser alone.

    `passkey` is the one by which they did, else `way` says how; `id_token` is the provider's, with which the person
    signs out there. Raises RefusedError if the account changed meanwhile.
    """
    secret, now = f"{store.ids.new()}{store.ids.new()}", store.clock.now()
    session = SessionRecord(
        key=key_of(secret), id=store.ids.new()[:16], person=person.id, signed_in_at=now, seen_at=now, agent=agent[:200],
        known_by=(KnownBy.SESSION if passkey is None else KnownBy.PASSKEY).value, id_token=id_token,
    )  # fmt: skip
    by = None if passkey is None else passkey.id
    if not store.open_session(session, password=person.password, passkey=by):
        raise RefusedError("This account was changed at the same moment; sign in again.")
    _log.info("%s signed in by %s.", person.username, way if passkey is None else "a passkey")
    return secret
