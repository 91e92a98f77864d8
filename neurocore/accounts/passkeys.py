"""Passkeys: enrol them, sign in by them, and find out which of them signed a challenge.

A ceremony has two halves. `ask` keeps a challenge and the browser gets it; `answered` reads what the browser sends, and
uses the challenge up. `signed_by` then says which passkey of a person signed, wherever a signature is needed.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
from typing import Any

from neurocore.access.actor import Actor, Face, KnownBy
from neurocore.accounts import credentials
from neurocore.accounts.credentials import Answer, NotValid, Site
from neurocore.accounts.people import entry_of, require_own
from neurocore.accounts.signin import PER_ACCOUNT, PER_ADDRESS, WINDOW, TooMany
from neurocore.errors import InputError, NeedsSignIn, RefusedError
from neurocore.persistence.base import RunStore
from neurocore.persistence.people import Passkey, Person, SessionRecord
from neurocore.readable import safe

#: Kinds of challenges.
ENROL, SIGN_IN = "passkey-enrol", "passkey-sign-in"
#: How long a challenge may be answered, and how old a sign-in may be that adds a passkey, in seconds.
CHALLENGE_HOLDS, FRESH = 5 * 60, 5 * 60
#: How many challenges of a kind may wait, for one person and for those who are not signed in.
WAITING_OF_ONE, WAITING = 20, 5_000
#: How many challenges one browser, or one address, may ask for within a quarter of an hour without signing in.
MOST_ASKED = 300
#: How many passkeys a person may have.
MOST = 20

NOT_ACCEPTED = "This passkey does not sign in here; sign in by your password, or ask an admin."
_ASK_AGAIN = "This request is older than five minutes, or was answered already; press the button again."

_log = logging.getLogger(__name__)


class Over(RefusedError):
    """The challenge has expired, was answered already, or is not one of this person."""


class MaybeCopied(RefusedError):
    """The counter of a passkey did not rise, so that somebody may have a copy of it."""


# -------------------------------------------------------------------- challenges and signatures


def ask(kind: str, *, store: RunStore, person: Person | None = None, challenge: bytes | None = None) -> bytes:
    """Keep a challenge (a random one by default) that may be answered once, within five minutes, and return it.

    Raises TooMany when too many of this kind wait.
    """
    challenge = challenge or secrets.token_bytes(32)
    clock, whose = store.clock, None if person is None else person.id
    kept = store.add_challenge(
        _key(challenge), kind=kind, person=whose, now=clock.now(), expires_at=clock.after(CHALLENGE_HOLDS),
        most=WAITING if person is None else WAITING_OF_ONE,
    )  # fmt: skip
    if not kept:
        raise TooMany("Too many requests for a passkey wait for an answer; try again in five minutes.")
    return challenge


def answered(text: str, kind: str, *, store: RunStore, person: Person | None = None) -> Answer:
    """Read what a browser answered, and use its challenge up. Raises NotValid or Over."""
    answer = credentials.read(text)
    whose = None if person is None else person.id
    if not store.take_challenge(_key(answer.challenge), kind=kind, person=whose, now=store.clock.now()):
        raise Over(_ASK_AGAIN)
    return answer


def signed_by(answer: Answer, person: Person, *, challenge: bytes, store: RunStore, site: Site) -> Passkey:
    """Return the passkey of this person that signed this challenge at this site, and note its use.

    Raises NotValid when none of them did, and MaybeCopied when its counter did not rise, of which an entry is kept.
    """
    passkey = store.find_passkey(answer.id)
    if passkey is None or passkey.person != person.id:
        raise NotValid("this person has no such passkey")
    if answer.user not in (None, person.id):
        raise NotValid("it names another person")
    count = credentials.verified_count(answer, passkey, challenge=challenge, site=site)
    told = {"user": person.id, "passkey": passkey.id, "counter": count, "before": passkey.sign_count}
    entry = entry_of(store, _itself(person), "passkey-maybe-copied", **told)
    if not store.use_passkey(passkey.id, sign_count=count, at=store.clock.now(), entry=entry):
        if store.find_passkey(passkey.id) is None:
            raise NotValid("its passkey was removed at the same moment")
        _log.warning(
            "A passkey of the user %s may have been copied: its counter is %d, and was %d before.",
            person.username, count, passkey.sign_count,
        )  # fmt: skip
        raise MaybeCopied(
            "This passkey was refused, because its counter did not rise: somebody may have a copy of it. Sign in by "
            "your password, remove the passkey, and tell an admin."
        )
    return passkey


# -------------------------------------------------------------------- one's own passkeys


def check_fresh(session: SessionRecord | None, *, mode: str, store: RunStore) -> None:
    """Raise NeedsSignIn unless somebody signed in within five minutes. A proxy does not say when people signed in."""
    if mode == "proxy":
        return
    if session is None or session.signed_in_at < store.clock.after(-FRESH):
        raise NeedsSignIn("Sign in again to add a passkey: it can be added within five minutes of signing in.")


def checked_name(name: str) -> str:
    """Return the name of a passkey, stripped. Raises InputError for an invalid one."""
    name = name.strip()
    if not 0 < len(name) <= 100 or any(ord(one) < 32 for one in name):
        sentence = "Give the passkey a name of 1 to 100 characters, such as the name of the device."
        raise InputError(sentence, {"passkey": sentence})
    return name


def enrolment_options(person: Person, name: str, *, store: RunStore, site: Site) -> dict[str, Any]:
    """Return what a browser needs to make a passkey.

    Raises InputError for an invalid name, and RefusedError when the person has as many as they may have, or TooMany.
    """
    checked_name(name)
    there = store.list_passkeys(person.id)
    if len(there) >= MOST:
        raise RefusedError(f"You have {MOST} passkeys, which is the most; remove one first.")
    exclude = [one.id for one in there if one.rp_id == site.rp_id]
    challenge = ask(ENROL, store=store, person=person)
    return credentials.creation_options(person, challenge=challenge, exclude=exclude, site=site)


def enrol(person: Person, name: str, text: str, *, store: RunStore, site: Site, actor: Actor) -> Passkey:
    """Keep the passkey that a browser made. Raises InputError for an invalid name, RefusedError for anything else."""
    require_own(actor, person)
    name = checked_name(name)
    try:
        answer = answered(text, ENROL, store=store, person=person)
        key, count = credentials.verified_key(answer, site=site)
    except NotValid as error:
        _log.info("A new passkey was refused: %s", safe(str(error)))
        raise RefusedError("The answer of this browser is not valid, so no passkey was added; try again.") from error
    passkey = Passkey(
        id=answer.id, person=person.id, name=name, rp_id=site.rp_id, public_key=key, sign_count=count,
        created_at=store.clock.now(),
    )  # fmt: skip
    told = {"user": person.id, "passkey": passkey.id, "rp_id": site.rp_id, "public_key": credentials.text_of(key)}
    if not store.add_passkey(passkey, most=MOST, entry=entry_of(store, actor, "passkey-added", **told)):
        raise RefusedError("This passkey was added before, or you have as many as you may have.")
    return passkey


def remove(person: Person, id: str, *, store: RunStore, actor: Actor) -> bool:
    """Remove a passkey of a person; False when they have no such passkey."""
    require_own(actor, person)
    entry = entry_of(store, actor, "passkey-removed", user=person.id, passkey=id)
    return store.remove_passkey(id, person=person.id, entry=entry)


# -------------------------------------------------------------------- signing in


def sign_in_options(*, store: RunStore, site: Site, address: str, known: str | None) -> dict[str, Any]:
    """Return what a browser needs to sign in; it is the same for everybody. Raises TooMany.

    `known` is a user who has signed in by this browser before: it then has limits of its own.
    """
    _check_attempts(store, address, known)
    place = f"asked:{_whose(address, known)}"
    if store.count_attempt(place, now=store.clock.now(), since=store.clock.after(-WINDOW)) > MOST_ASKED:
        raise TooMany("Too many requests for a passkey; wait for a quarter of an hour, then try again.")
    return credentials.request_options(challenge=ask(SIGN_IN, store=store), site=site)


def sign_in(text: str, *, store: RunStore, site: Site, address: str, known: str | None) -> tuple[Person, Passkey]:
    """Return whose passkey answered, and the passkey. Each refusal counts as a failed attempt to sign in.

    Raises RefusedError with the same sentence whatever is wrong, except for what only the owner of a passkey sees
    (MaybeCopied) or what is about no passkey (Over, TooMany).
    """
    _check_attempts(store, address, known)
    try:
        answer = answered(text, SIGN_IN, store=store)
        passkey = store.find_passkey(answer.id)
        person = None if passkey is None else store.load_person(id=passkey.person)
        if person is None or person.disabled_at is not None or person.service or answer.user != person.id:
            raise NotValid("there is no such passkey, its account is disabled, or it names another person")
        passkey = signed_by(answer, person, challenge=answer.challenge, store=store, site=site)
    except RefusedError as error:
        since = store.clock.after(-WINDOW)
        store.count_attempt(_failed(address, known), now=store.clock.now(), since=since)
        if not isinstance(error, NotValid):
            raise
        _log.info("A passkey was refused: %s", safe(str(error)))
        raise RefusedError(NOT_ACCEPTED) from error
    if known:
        store.clear_attempts(_failed(address, known))
    return person, passkey


def _check_attempts(store: RunStore, address: str, known: str | None) -> None:
    most = PER_ACCOUNT if known else PER_ADDRESS
    if store.attempts(_failed(address, known), since=store.clock.after(-WINDOW)) >= most:
        raise TooMany("Too many attempts to sign in failed; wait for a quarter of an hour, then try again.")


def _failed(address: str, known: str | None) -> str:
    """Return where failed attempts count: for a browser that has signed in before, else with those by password."""
    return f"passkey:{known}" if known else f"address:{address}"


def _whose(address: str, known: str | None) -> str:
    return f"browser:{known}" if known else f"address:{address}"


def _itself(person: Person) -> Actor:
    return Actor(id=person.id, label=person.username, known_by=KnownBy.PASSKEY, face=Face.WEB)


def _key(challenge: bytes) -> str:
    """Return the key under which a challenge is kept."""
    return hashlib.sha256(challenge).hexdigest()
