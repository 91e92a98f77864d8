"""Who sends a request. Until people sign in, that is what they say: typed into a form, or claimed by a program."""

from __future__ import annotations

from flask import request

from neurocore.access.actor import Actor, Face, KnownBy, called
from webapp.security.sessions import remembered


def typed(name: object) -> Actor:
    """Who typed this name into a form; the verb that is called checks the name."""
    return called(name, face=Face.WEB, known_by=KnownBy.TYPED)


def claimed(name: object) -> Actor:
    """Who claims this name in a request to the API; the verb that is called checks the name."""
    return called(name, face=Face.API)


def sender() -> Actor:
    """Who sends this request, as far as it is known before its form or body is read."""
    if request.path.startswith("/api/"):
        return claimed("")
    return typed(remembered())
