"""People whom a provider (OpenID Connect) signs in: each has an account, known by issuer and subject."""

from __future__ import annotations

from collections.abc import Mapping
from shlex import quote
from typing import Any

from neurocore.access.actor import Actor, Face, KnownBy, name_problem
from neurocore.accounts.people import entry_of
from neurocore.accounts.proxied import username_from
from neurocore.auth import OidcSettings
from neurocore.errors import Forbidden, RefusedError, UsageError
from neurocore.persistence.base import RunStore
from neurocore.persistence.people import Person

MODE = "oidc"
#: The most groups of a person, and the most characters of a group.
MOST_GROUPS, LONGEST_GROUP = 1000, 100


def subject_of(settings: OidcSettings, subject: str) -> str:
    """Return under which subject somebody is kept: the same one of another issuer is another person."""
    return f"{settings.issuer} {subject}"


def arrive(claims: Mapping[str, Any], *, settings: OidcSettings, store: RunStore) -> Person:
    """Return the account of somebody whom the provider signed in, with the groups that it names now.

    The first time the account is made. Raises RefusedError where the username belongs to somebody else, or where no
    username can be made; Forbidden where the account is disabled.
    """
    subject = subject_of(settings, claims["sub"])
    groups, now = groups_in(claims.get(settings.groups_claim)), store.clock.now()
    found = store.find_identity(MODE, subject) or _added(claims, subject, groups, settings, store)
    if found.disabled_at is not None or found.service:
        raise Forbidden("This account is disabled; ask an admin.")
    entry = entry_of(store, _itself(found), "groups-seen", user=found.id, groups=list(groups))
    store.see_groups(found.id, groups, at=now, entry=entry)
    return found


def groups_in(claim: object) -> tuple[str, ...]:
    """Return the groups in a claim: a list of texts, or one text. What is no name of a group is left out."""
    listed = claim if isinstance(claim, list) else [claim]
    names = {one.strip() for one in listed if isinstance(one, str)}
    return tuple(sorted(one for one in names if one.isprintable() and 0 < len(one) <= LONGEST_GROUP)[:MOST_GROUPS])


def username_in(claims: Mapping[str, Any], settings: OidcSettings) -> str:
    """Return the username that the claims give. Raises RefusedError.

    An e-mail that the provider has not verified may be anybody's.
    """
    claim = settings.username_claim
    said = claims.get(claim)
    verified = claims.get("email_verified")
    is_mail = isinstance(said, str) and "@" in said
    if (claim == "email" and verified is not True) or (is_mail and verified not in (None, True)):
        raise RefusedError(
            f"{settings.name} has not verified your e-mail address, so it cannot be your username; verify it there, "
            "then sign in again."
        )
    username = username_from(said) if isinstance(said, str) else None
    if username is None:
        raise RefusedError(
            f"{settings.name} sends no {claim} from which a username can be made; an admin must set "
            "auth.oidc.username_claim or auth.oidc.scopes."
        )
    return username


def _added(
    claims: Mapping[str, Any], subject: str, groups: tuple[str, ...], settings: OidcSettings, store: RunStore
) -> Person:
    """Return the new account of somebody who came for the first time."""
    username, now, said = username_in(claims, settings), store.clock.now(), claims.get("name")
    label = str(said).strip() if name_problem(said) is None else username
    person = Person(
        id=store.ids.new(), username=username, label=label, created_at=now, groups=groups, groups_at=now
    )  # fmt: skip
    entry = entry_of(store, _itself(person), "user-came", user=person.id, username=username)
    try:
        store.save_person(person, entry=entry, identity=(MODE, subject))
    except UsageError as error:
        found = store.find_identity(MODE, subject)  # they may have come in two windows at the same moment
        if found is None:
            raise RefusedError(
                f"The username {username} belongs to another account; an admin must link the two: "
                f"neurocore users identity {username} --oidc {quote(claims['sub'])}"
            ) from error
        return found
    return person


def _itself(person: Person) -> Actor:
    return Actor(id=person.id, label=person.username, known_by=KnownBy.SESSION, face=Face.WEB)
