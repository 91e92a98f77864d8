"""What the API says about itself."""

from __future__ import annotations

from typing import Any

from flask import request
from msgspec import Struct

from webapp.api.operations import get
from webapp.api.problems import KINDS


class KindDocument(Struct, kw_only=True):
    """A kind of problem: the status it comes with, its title, and what to do about it."""

    name: str
    status: int
    title: str
    meaning: str


class KindsDocument(Struct, kw_only=True):
    """All kinds of problems. The `type` of a problem is the address of this document, # and the name of its kind."""

    problems: list[KindDocument]


@get("/openapi.json")
def show_openapi() -> dict[str, Any]:
    """Return this API as an OpenAPI 3.1 document."""
    from webapp.api.openapi import document

    return document(request.script_root)


@get("/problems")
def list_problems() -> KindsDocument:
    """List the kinds of problems that this API returns."""
    return KindsDocument(
        problems=[
            KindDocument(name=name, status=kind.status, title=kind.title, meaning=kind.meaning)
            for name, kind in KINDS.items()
        ]
    )
