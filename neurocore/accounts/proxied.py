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


def is_trusted(peer: str | None, settings: ProxySettings) -> bool:
    """Return whether the address that a request came from is one of a proxy that is believed."""
    try:
        address = ip_address(peer or "")
        return any(address in ip_network(one, strict=False) for one in settings.trusted)
    except ValueError:
        return False


def person_of(subject: str, groups: tuple[str, ...], store: RunStore) -> tuple[Person, bool]:
    """Return the account of whom a proxy names, and whether it is new and is still to be kept.

    Its groups are those that the proxy sends now. Raises RefusedError where the username belongs to somebody who is
    known otherwise: an admin must link the two.
    """
    found = store.find_identity(MODE, subject)
    if found is not None:
        return structs.replace(found, groups=groups), False
    username = re.sub(r"[^a-z0-9._@+-]", "-", subject.strip().lower())[:100]
    if not USERNAME.fullmatch(username):
        raise RefusedError("The proxy sends a user name from which no username can be made; ask who runs it.")
    if store.load_person(username=username) is not None:
        raise RefusedError(f"The username {username} belongs to another account; an admin must link the two.")
    identity = hashlib.sha256(f"{MODE}:{subject}".encode()).hexdigest()[:32]
    return Person(
        id=identity, username=username, label=subject[:200], created_at=store.clock.now(), groups=groups
    ), True


def keep(person: Person, subject: str, store: RunStore) -> None:
    """Keep the account of somebody who came for the first time."""
    itself = Actor(id=person.id, label=person.username, known_by=KnownBy.PROXY, face=Face.WEB)
    entry = entry_of(store, itself, "user-came", user=person.id, username=person.username)
    store.save_person(structs.replace(person, groups=()), entry=entry, identity=(MODE, subject))
