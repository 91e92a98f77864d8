"""Who acts: the type `Actor`, and the rules for the names of people."""

from __future__ import annotations

import getpass
import os
import unicodedata
from enum import StrEnum

from msgspec import Struct

from neurocore.access.roles import Rights
from neurocore.errors import InputError
from neurocore.readable import safe, unsafe, visible

MAX_NAME = 200

#: Invisible marks that people who write from right to left type in names.
_DIRECTION_MARKS = "\u061c\u200e\u200f"


def name_problem(name: object) -> str | None:
    """Return why this (stripped) text is not a valid name of a person, else None.

    No name may imitate another one: hidden and control characters are refused.
    """
    text = name.strip() if isinstance(name, str) else ""
    if not visible(text) or len(text) > MAX_NAME or any(ord(one) < 32 for one in text):
        return f"Say who you are, in 1 to {MAX_NAME} characters on one line."
    hidden = unsafe().search(text.translate(dict.fromkeys(map(ord, _DIRECTION_MARKS))))
    if hidden is not None:
        return f"This name has an invisible character ({safe(hidden.group())}); remove it."
    return None


def person(name: object) -> str:
    """Return the name, stripped. Raises InputError for an invalid one."""
    problem = name_problem(name)
    if problem is not None:
        raise InputError(problem, {"by": problem})
    return str(name).strip()


class KnownBy(StrEnum):
    """How the identity of an actor is known."""

    CLAIMED = "claimed"  # named on a command line, in a request or by a caller
    TYPED = "typed"  # typed into a form without sign-in
    OS = "os"  # the user of the operating system who owns the files
    PROXY = "proxy"  # a proxy says so that signs people in
    SESSION = "session"  # signed in by a password
    PASSKEY = "passkey"  # signed in by a passkey
    TOKEN = "token"  # noqa: S105 - a token of the API
    APPLICATION = "application"  # authenticated by the application that embeds the library
    SYSTEM = "system"  # NeuroCore itself


class Face(StrEnum):
    """The interface through which somebody acts."""

    CLI = "cli"
    WEB = "web"
    API = "api"
    LIBRARY = "library"
    SYSTEM = "system"


class Actor(Struct, frozen=True, kw_only=True):
    """A person or program that acts: its identity, how that is known, and the face through which it acts.

    `id` is the identity, `label` the name that people see; a label is never compared. `person`, `groups` and `token`
    are set where people sign in.
    """

    id: str
    label: str
    known_by: KnownBy
    face: Face
    person: str | None = None
    groups: tuple[str, ...] = ()
    token: str | None = None
    #: When the actor last proved who they are in the session that they use; None without a session.
    signed_in_at: str | None = None
    #: Whether the account is for a program.
    service: bool = False
    #: What the actor may do; None: everything.
    rights: Rights | None = None


def identity_of(name: str) -> str:
    """Return the identity of a typed name: stripped, NFKC, casefolded, so that it is the same on every face."""
    return unicodedata.normalize("NFKC", name.strip()).casefold()


def called(name: object, *, face: Face, known_by: KnownBy = KnownBy.CLAIMED) -> Actor:
    """Return the actor for a claimed name; the verb checks whether the name is valid (`name_problem`)."""
    label = name.strip() if isinstance(name, str) else ""
    return Actor(id=identity_of(label), label=label, known_by=known_by, face=face)


def system_user() -> str:
    """Return the operating system's name for the user of this process."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid()) if hasattr(os, "getuid") else "unknown"


def this_user(face: Face = Face.LIBRARY) -> Actor:
    """Return the actor who runs this process, by the operating system's name."""
    return called(system_user(), face=face)


def acting(name: str | None, actor: Actor | None, *, face: Face = Face.LIBRARY) -> Actor:
    """Return the given actor, else the one of this name, else the user of this process.

    Raises InputError if a claimed name is invalid.
    """
    if actor is None and name is None:
        return this_user(face)
    actor = actor if actor is not None else called(name, face=face)
    if actor.known_by in (KnownBy.CLAIMED, KnownBy.TYPED):
        person(actor.label)
    return actor
