"""Who sends a request. Until people sign in, that is what they say: typed into a form, or claimed by a program."""

from __future__ import annotations

from typing import cast

from flask import g, request

from neurocore.access.actor import Actor, Face, KnownBy, called
from webapp.security.sessions import remembered


def typed(name: object) -> Actor:
    """Return who signed in; without sign-in, who typed this name into a form, which the verb that is called checks."""
    if (actor := g.get("actor")) is not None:
        return cast("Actor", actor)
    return called(name, face=Face.WEB, known_by=KnownBy.TYPED)


def claimed(name: object) -> Actor:
    """Return whose token it is; without sign-in, who claims this name in a request to the API."""
    if (actor := g.get("actor")) is not None:
        return cast("Actor", actor)
    return called(name, face=Face.API)


def sender() -> Actor:
    """Return who sends this request, as far as it is known before its form or body is read."""
    if (actor := g.get("actor")) is not None:
        return cast("Actor", actor)
    if request.path.startswith("/api/"):
        return claimed("")
    return typed(remembered())
