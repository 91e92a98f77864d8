"""Live pages: a block requests its page with the version it shows, and usually gets a 204.

A refresh consists of blocks of the page's own template, so that the first load and the refresh cannot differ. Each
block replaces the element of its name. What a person works on (a note being typed) is in no block that comes every
second.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from flask import Response, g, make_response, render_template, request
from jinja2_fragments.flask import render_block

from webapp.security import for_me


def wants_block() -> bool:
    """Return whether htmx requests a part of the page (a boosted or restored page is a whole one)."""
    return request.headers.get("HX-Request") == "true" and request.headers.get("HX-Request-Type") == "partial"


def version(token: str) -> str:
    """Return the version of a page that shows `token`, including the number of open gates above every page."""
    return f"{token}.{open_gates()}"


def is_of(version: str, token: str) -> bool:
    """Return whether a page of this version shows `token`, whatever the number of open gates is."""
    return version.rpartition(".")[0] == token


def open_gates() -> int:
    """Return how many gates wait for whoever looks. It is read once per answer, so that the version fits the page."""
    if "open_gates" not in g:
        g.open_gates = for_me.count()
    found: int = g.open_gates
    return found


def unchanged() -> Response:
    """Return an answer without a body: the page stays as it is."""
    response = Response(status=204)
    del response.headers["Content-Type"]
    response.headers["Vary"] = VARY
    return response


def blocks(template: str, names: Iterable[str], main: str, context: Mapping[str, Any]) -> Response:
    """Return the blocks `names`, each for the element of its name (with - for _), and `main`, the block that asked.

    The number of open gates is above every page, so every refresh with changes contains it.
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
    """Tell caches that one address returns a page or a part of it."""
    response.vary.update(VARY.split(", "))
    return response


VARY = "HX-Request, HX-Request-Type"
