"""Accounts: add, change, disable; who has which role."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cache

from msgspec import structs

from neurocore.access.actor import Actor, Face, KnownBy
from neurocore.access.permission import Action, require
from neurocore.access.roles import Grant, Holder, Rights, Role, merged
from neurocore.accounts.passwords import check_password, hashed
from neurocore.auth import seconds
from neurocore.clock import SYSTEM_CLOCK, Clock
from neurocore.config import NeuroCoreConfig
from neurocore.errors import Forbidden, InputError, NotFoundError, RefusedError, UsageError
from neurocore.persistence.base import RunStore
from neurocore.persistence.people import Entry, Person, SessionRecord, TokenRecord, key_of

USERNAME = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,99}")
#: How long a one-time link is valid, in seconds.
LINK_HOLDS = 3600


def entry_of(store: RunStore, actor: Actor, kind: str, **data: object) -> Entry:
    """Return an entry of what somebody did about accounts."""
    return Entry(at=store.clock.now(), kind=kind, actor=actor.id, data={"by": actor.label, **data})


def require_own(actor: Actor, person: Person) -> None:
    """Raise Forbidden unless the account is the actor's own, or the actor owns the files."""
    if actor.rights is None:
        return
    require(actor, Action.OWN)
    if actor.person != person.id:
        raise Forbidden("Only its owner may change this of an account.")


def find_person(username: str, store: RunStore) -> Person:
    """Return the person of this username. Raises NotFoundError."""
    person = store.load_person(username=username)
    if person is None:
        raise NotFoundError(f"There is no user {username[:100]!r}; `neurocore users list` shows who there is.")
    return person


def add_person(
    username: str,
    *,
    store: RunStore,
    actor: Actor,
    label: str | None = None,
    grants: Iterable[Grant] = (),
    groups: Sequence[str] = (),
    service: bool = False,
    password: str | None = None,
) -> Person:
    """Add an account. Raises InputError for what is no username or no good password, UsageError when it is taken."""
    require(actor, Action.ADMINISTER)
    check_account(username, password, label=label, store=store)
    person = Person(
        id=store.ids.new(), username=username, label=(label or username).strip()[:200], service=service,
        password=None if password is None else hashed(password), created_at=store.clock.now(), groups=tuple(groups),
        grants=merged(grants),
    )  # fmt: skip
    told = {"user": person.id, "username": username, "roles": _told(person.grants), "groups": list(groups)}
    store.save_person(person, entry=entry_of(store, actor, "user-added", **told))
    return person


def check_account(username: str, password: str | None, *, store: RunStore, label: str | None = None) -> None:
    """Raise InputError for what is no username or no good password, UsageError for a name that is taken."""
    if not USERNAME.fullmatch(username):
        sentence = "A username has 1 to 100 of a-z, 0-9 and . _ @ + -, and begins with a letter or a digit."
        raise InputError(sentence, {"username": sentence})
    if password is not None:
        check_password(password, about=(username, label or ""))
    if store.load_person(username=username) is not None:
        raise UsageError(f"The username {username} is taken; choose another.")


def grant(username: str, grants: Iterable[Grant], *, store: RunStore, actor: Actor) -> Person:
    """Give somebody roles."""
    person = find_person(username, store)
    return _regrant(person, merged([*person.grants, *grants]), store, actor)


def revoke(username: str, grants: Iterable[Grant], *, store: RunStore, actor: Actor) -> Person:
    """Take roles from somebody. Raises RefusedError where nobody could manage accounts then."""
    person = find_person(username, store)
    gone = set(grants)
    return _regrant(person, merged(one for one in person.grants if one not in gone), store, actor)


def _regrant(person: Person, grants: tuple[Grant, ...], store: RunStore, actor: Actor) -> Person:
    require(actor, Action.ADMINISTER)
    changed = structs.replace(person, grants=grants)
    told = {"user": person.id, "from": _told(person.grants), "to": _told(grants)}
    store.save_person(changed, was=person, entry=entry_of(store, actor, "roles-changed", **told))
    return changed


def set_groups(username: str, groups: Sequence[str], *, store: RunStore, actor: Actor) -> Person:
    """Give somebody these groups, and no others."""
    require(actor, Action.ADMINISTER)
    person = find_person(username, store)
    changed = structs.replace(person, groups=tuple(sorted(set(groups))), groups_at=None)
    told = {"user": person.id, "from": list(person.groups), "to": list(changed.groups)}
    store.save_person(changed, was=person, entry=entry_of(store, actor, "groups-changed", **told))
    return changed


def disable(username: str, *, store: RunStore, actor: Actor) -> Person:
    """Let somebody sign in no more; their sessions end at once. Raises RefusedError for the last admin."""
    require(actor, Action.ADMINISTER)
    person = find_person(username, store)
    changed = structs.replace(person, disabled_at=store.clock.now(), disabled_by=actor.label)
    entry = entry_of(store, actor, "user-disabled", user=person.id)
    store.save_person(changed, was=person, entry=entry, ends_sessions=True)
    return changed


def enable(username: str, *, store: RunStore, actor: Actor) -> Person:
    """Let somebody sign in again."""
    require(actor, Action.ADMINISTER)
    person = find_person(username, store)
    changed = structs.replace(person, disabled_at=None, disabled_by=None)
    store.save_person(changed, was=person, entry=entry_of(store, actor, "user-enabled", user=person.id))
    return changed


def set_password(person: Person, password: str, *, store: RunStore, actor: Actor) -> Person:
    """Set somebody's password; all their sessions end. Raises InputError for one that is not good enough."""
    require_own(actor, person)
    check_password(password, about=(person.username, person.label))
    changed = structs.replace(person, password=hashed(password))
    entry = entry_of(store, actor, "password-set", user=person.id)
    store.save_person(changed, was=person, entry=entry, ends_sessions=True)
    return changed


def reset(username: str, *, store: RunStore, actor: Actor) -> str:
    """End somebody's sessions, remove their passkeys, and return the secret of a link that sets a new password."""
    require(actor, Action.ADMINISTER)
    person = find_person(username, store)
    removed = [one.id for one in store.list_passkeys(person.id)]
    store.reset_person(person.id, entry=entry_of(store, actor, "user-reset", user=person.id, passkeys=removed))
    return make_link(person, store=store, actor=actor)


def make_link(person: Person | None, *, store: RunStore, actor: Actor) -> str:
    """Make a one-time link, valid for an hour, for a person or (None) for the first admin; return its secret."""
    if person is not None:
        require(actor, Action.ADMINISTER)
    secret, clock = f"{store.ids.new()}{store.ids.new()}", store.clock
    whose = None if person is None else person.id
    entry = entry_of(store, actor, "link-made", user=whose)
    store.add_link(key_of(secret), person=whose, now=clock.now(), expires_at=clock.after(LINK_HOLDS), entry=entry)
    return secret


def link_identity(username: str, mode: str, subject: str, *, store: RunStore, actor: Actor) -> Person:
    """Let whom a proxy or a provider knows by this subject be this person from now on.

    Raises RefusedError when the subject is somebody else's.
    """
    require(actor, Action.ADMINISTER)
    person, found = find_person(username, store), store.find_identity(mode, subject)
    if found is not None and found.id != person.id:
        raise RefusedError(f"This subject belongs to {found.username} already; it cannot be two people.")
    entry = entry_of(store, actor, "identity-linked", user=person.id, mode=mode)
    store.save_person(person, was=person, entry=entry, identity=(mode, subject))
    return person


def _told(grants: Iterable[Grant]) -> list[str]:
    return [f"{one.role.value}@{one.pattern}" for one in grants]


# -------------------------------------------------------------------- who acts


def groups_of(person: Person, config: NeuroCoreConfig, clock: Clock = SYSTEM_CLOCK) -> tuple[str, ...]:
    """Return the groups of somebody that count: none that a provider or a proxy named too long ago."""
    is_old = person.groups_at is not None and person.groups_at < clock.after(-seconds(config.auth.groups_max_age))
    return () if is_old else person.groups


def grants_of(person: Person, config: NeuroCoreConfig, clock: Clock = SYSTEM_CLOCK) -> tuple[Grant, ...]:
    """Return what somebody may do: their own grants, and those that the configuration gives them or their groups."""
    names = {person.username, *(f"group:{name}" for name in groups_of(person, config, clock))}
    fitting = [one for one in config.auth.grants if names & set(one.to)]
    configured = [Grant(Role(one.role), pattern) for one in fitting for pattern in one.blueprints]
    return merged([*person.grants, *configured])


def rights_of(person: Person, config: NeuroCoreConfig, store: RunStore) -> Rights:
    """Return the rights of a person, with everybody else's for the sentence that says who can."""

    @cache
    def holders() -> list[Holder]:
        people = [one for one in store.list_people() if not one.disabled_at]
        return [
            Holder(
                one.username, grants_of(one, config, store.clock), person=one.id,
                groups=groups_of(one, config, store.clock), service=one.service,
            )
            for one in people
        ]  # fmt: skip

    def now(stored: Person) -> tuple[Grant, ...]:
        known = structs.replace(stored, groups=person.groups) if config.auth.mode == "proxy" else stored
        return grants_of(known, config, store.clock)

    return Rights(grants_of(person, config, store.clock), holders, now=now)


def actor_of(
    person: Person,
    config: NeuroCoreConfig,
    store: RunStore,
    *,
    known_by: KnownBy,
    face: Face,
    signed_in_at: str | None = None,
) -> Actor:
    """Return the actor for somebody who signed in, at `signed_in_at` if it was in a session."""
    return Actor(
        id=person.id, label=person.username, known_by=known_by, face=face, person=person.id,
        groups=groups_of(person, config, store.clock), rights=rights_of(person, config, store),
        signed_in_at=signed_in_at, service=person.service,
    )  # fmt: skip


def is_over(session: SessionRecord, config: NeuroCoreConfig, store: RunStore) -> bool:
    """Return whether a session has lasted too long, or was not used for too long."""
    settings, clock = config.auth.session, store.clock
    too_long = session.signed_in_at < clock.after(-seconds(settings.max))
    return too_long or session.seen_at < clock.after(-seconds(settings.idle))


def token_is_over(token: TokenRecord, store: RunStore) -> bool:
    """Return whether a token is revoked or has expired."""
    return token.revoked_at is not None or token.expires_at <= store.clock.now()
