"""Who does something: an `Actor`, and the rules for the names of people."""

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
    """Return the sentence that says why this (trimmed) is no name of a person; None for a name.

    A name that looks like another's must not pass for another: hidden and steering characters are refused.
    """
    text = name.strip() if isinstance(name, str) else ""
    if not visible(text) or len(text) > MAX_NAME or any(ord(one) < 32 for one in text):
        return f"Say who you are, in 1 to {MAX_NAME} characters on one line."
    hidden = unsafe().search(text.translate(dict.fromkeys(map(ord, _DIRECTION_MARKS))))
    if hidden is not None:
        return f"This name has a character that cannot be seen ({safe(hidden.group())}); write it without."
    return None


def person(name: object) -> str:
    """The name, trimmed. Raises InputError for what is none."""
    problem = name_problem(name)
    if problem is not None:
        raise InputError(problem, {"by": problem})
    return str(name).strip()


class KnownBy(StrEnum):
    """How the identity of an actor is known."""

    CLAIMED = "claimed"  # said on a command line, in a request or by a caller
    TYPED = "typed"  # typed into a form without sign-in
    OS = "os"  # the user of the operating system who owns the files
    SESSION = "session"  # signed in by a password
    TOKEN = "token"  # noqa: S105 - a token of the API
    APPLICATION = "application"  # the application that embeds the library vouches for it
    SYSTEM = "system"  # NeuroCore itself


class Face(StrEnum):
    """The interface through which somebody acts."""

    CLI = "cli"
    WEB = "web"
    API = "api"
    LIBRARY = "library"
    SYSTEM = "system"


class Actor(Struct, frozen=True, kw_only=True):
    """Somebody who does something: who it is, how that is known, and through which face it is done.

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
    #: What the actor may do; None: everything.
    rights: Rights | None = None


def identity_of(name: str) -> str:
    """The identity of a typed name: trimmed, NFKC, casefolded, so that it is the same on every face."""
    return unicodedata.normalize("NFKC", name.strip()).casefold()


def called(name: object, *, face: Face, known_by: KnownBy = KnownBy.CLAIMED) -> Actor:
    """The actor who says to be called so; whether that is a name at all is for the verb to check (`name_problem`)."""
    label = name.strip() if isinstance(name, str) else ""
    return Actor(id=identity_of(label), label=label, known_by=known_by, face=face)


def system_user() -> str:
    """The operating system's name of who runs this process."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid()) if hasattr(os, "getuid") else "unknown"


def this_user(face: Face = Face.LIBRARY) -> Actor:
    """The actor who runs this process, by the operating system's name."""
    return called(system_user(), face=face)


def acting(name: str | None, actor: Actor | None, *, face: Face = Face.LIBRARY) -> Actor:
    """The actor that was given, else the one of this name, else who runs this process.

    Raises InputError where somebody only says who they are, and says what is no name.
    """
    if actor is None and name is None:
        return this_user(face)
    actor = actor if actor is not None else called(name, face=face)
    if actor.known_by in (KnownBy.CLAIMED, KnownBy.TYPED):
        person(actor.label)
    return actor
