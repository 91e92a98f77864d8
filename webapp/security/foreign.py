"""Keep pages of other sites from making this server work: a browser sends its cookies with their requests, too.

A page of another site can read no answer, but what it asks for takes a thread (a request that waits for a run) or much
time (a comparison). Browsers say where a request comes from in `Sec-Fetch-…`, which no page can set; programs do not
send these headers, and pass.
"""

from __future__ import annotations

from flask import Flask, abort, request

from webapp.security.permissions import SAFE_METHODS, is_public

REFUSED = (
    "Nothing was done, because a page of another site asked for this in the background; open the address itself "
    "in the browser."
)


def init_app(app: Flask) -> None:
    """Refuse what pages of other sites load, unless somebody follows a link to a page. `csrf` checks what changes."""

    @app.before_request
    def check_site() -> None:
        view = app.view_functions.get(request.endpoint or "")
        is_open = view is not None and is_public(view)
        if request.method in SAFE_METHODS and not is_open and is_foreign() and not follows_a_link():
            abort(403, REFUSED)


def is_foreign() -> bool:
    """Return whether the browser says that the request comes from a page of another origin."""
    return request.headers.get("Sec-Fetch-Site", "none") not in ("same-origin", "none")


def follows_a_link() -> bool:
    """Return whether this opens a page in a tab of its own, and the page does not wait for anything."""
    is_tab = request.headers.get("Sec-Fetch-Mode") == "navigate" and request.headers.get("Sec-Fetch-Dest") == "document"
    return is_tab and not (request.path.startswith("/api/") and "wait" in request.args)
