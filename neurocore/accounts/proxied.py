"""People whom a proxy signs in: it names them in a header, and NeuroCore keeps an account for each."""

from __future__ import annotations

import hashlib
import re
from ipaddress import ip_address, ip_network

from msgspec import structs

from neurocore.access.actor import Actor, Face, KnownBy
from neurocore.accounts.people import USERNAME, entry_of
from neurocore.auth import ProxySettings
from neurocore.errors import RefusedError
from neurocore.persistence.base import RunStore
from neurocore.persistence.people import Person

MODE = "proxy"
#: That somebody is in the same groups as before is written at most so often, in seconds.
SEEN_EVERY = 60


def is_trusted(peer: str | None, settings: ProxySettings) -> bool:
    """Return whether the address that a request came from is one of a proxy that is believed."""
    try:
        address = ip_address(peer or "")
        return any(address in ip_network(one, strict=False) for one in settings.trusted)
    except ValueError:
        return False


def person_of(subject: str, groups: tuple[str, ...], store: RunStore) -> tuple[Person, bool, bool]:
    """Return the account of whom a proxy names, whether it is new, and whether it or its groups are still to be kept.

    Its groups are those that the proxy sends now. Raises RefusedError where the username belongs to somebody who is
    known otherwise: an admin must link the two.
    """
    found = store.find_identity(MODE, subject)
    now, groups = store.clock.now(), tuple(sorted(set(groups)))
    if found is not None:
        is_kept = set(found.groups) == set(groups) and (found.groups_at or "") > store.clock.after(-SEEN_EVERY)
        return structs.replace(found, groups=groups, groups_at=now), False, not is_kept
    username = username_from(subject)
    if username is None:
        raise RefusedError("The proxy sends a user name from which no username can be made; ask who runs it.")
    if store.load_person(username=username) is not None:
        raise RefusedError(f"The username {username} belongs to another account; an admin must link the two.")
    identity = hashlib.sha256(f"{MODE}:{subject}".encode()).hexdigest()[:32]
    return Person(
        id=identity, username=username, label=subject[:200], created_at=now, groups=groups, groups_at=now
    ), True, True  # fmt: skip


def username_from(text: str) -> str | None:
    """Return the username that is made from what somebody is called elsewhere, or None."""
    username = re.sub(r"[^a-z0-9._@+-]", "-", text.strip().lower())[:100]
    return username if USERNAME.fullmatch(username) else None


def keep(person: Person, subject: str, is_new: bool, store: RunStore) -> None:
    """Keep the account of somebody who came for the first time, or the groups that the proxy names now."""
    itself = Actor(id=person.id, label=person.username, known_by=KnownBy.PROXY, face=Face.WEB)
    if is_new:
        entry = entry_of(store, itself, "user-came", user=person.id, username=person.username)
        store.save_person(person, entry=entry, identity=(MODE, subject))
        return
    entry = entry_of(store, itself, "groups-seen", user=person.id, groups=list(person.groups))
    store.see_groups(person.id, person.groups, at=person.groups_at or store.clock.now(), entry=entry)
