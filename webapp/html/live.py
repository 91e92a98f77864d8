"""Keeping a page up to date: a block asks for the page it is part of, with the version it shows, and mostly gets a 204.

A refresh is made of blocks of the page's own template, so the first load and the refresh cannot drift apart. Each block
goes to the element of its name; what a person is doing (a note being typed) is in no block that comes every second.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from flask import Response, g, make_response, render_template, request
from jinja2_fragments.flask import render_block

from webapp.services import services


def wants_block() -> bool:
    """Whether htmx asks for a part of the page (a boosted or restored page is a whole one)."""
    return request.headers.get("HX-Request") == "true" and request.headers.get("HX-Request-Type") == "partial"


def version(token: str) -> str:
    """The version of a page that shows `token`, with the figure that stands above every page."""
    return f"{token}.{open_gates()}"


def is_of(version: str, token: str) -> bool:
    """Whether a page of this version shows `token`, with whichever figure."""
    return version.rpartition(".")[0] == token


def open_gates() -> int:
    """How many gates wait: in one answer always the same figure, so that its version is that of what it shows."""
    if "open_gates" not in g:
        g.open_gates = services().open_gates()
    found: int = g.open_gates
    return found


def unchanged() -> Response:
    """Nothing to tell: no body, the page stays as it is."""
    response = Response(status=204)
    del response.headers["Content-Type"]
    response.headers["Vary"] = VARY
    return response


def blocks(template: str, names: Iterable[str], main: str, context: Mapping[str, Any]) -> Response:
    """The blocks `names`, each for the element of its name (with - for _), and `main`, the block that asked.

    How many gates wait stands above every page, so it comes with every refresh that has something to tell.
    """
    parts = [
        f'<hx-partial hx-target="#{name.replace("_", "-")}" hx-swap="outerMorph">'
        f"{render_block(template, name, **context)}</hx-partial>"
        for name in names
    ]
    badge = render_template("badge.html")
    parts.append(f'<hx-partial hx-target="#open-gates" hx-swap="innerHTML">{badge}</hx-partial>')
    parts.append(render_block(template, main, **context))
    return varying(make_response("\n".join(parts)))


def varying(response: Response) -> Response:
    """One address gives a page or a part of it: say so to caches."""
    response.vary.update(VARY.split(", "))
    return response


VARY = "HX-Request, HX-Request-Type"
