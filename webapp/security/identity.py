"""Who signed in: a session cookie for people, a bearer token for programs. Each request asks the run database again.

What an account loses (its role, its password, itself) it loses with the next request.
"""

from __future__ import annotations

import re
from urllib.parse import quote, unquote

from flask import Flask, Response, abort, g, redirect, request, session
from msgspec import structs

from neurocore.access.actor import Actor, Face, KnownBy
from neurocore.access.permission import Action
from neurocore.access.roles import Rights
from neurocore.accounts.people import actor_of, is_over, token_is_over
from neurocore.accounts.proxied import is_trusted, keep, person_of
from neurocore.accounts.tokens import PREFIX
from neurocore.errors import UsageError
from neurocore.persistence.people import Person, SessionRecord, key_of
from neurocore.persistence.visible import VisibleRuns
from webapp.security.permissions import SAFE_METHODS, is_public
from webapp.services import Services, services

#: The session's secret, in the signed cookie.
SECRET = "sid"  # noqa: S105 - a key of the cookie
#: Names that have signed in by this browser: they pass the limits that strangers reach.
KNOWN = "known"
#: "Last seen" is written at most so often, in seconds.
SEEN_EVERY = 60
#: A token in an address, encoded or not.
IN_ADDRESS = re.compile(rf"{PREFIX}[\w-]{{20,}}")


def init_app(app: Flask, here: Services) -> None:
    """Find out who sends each request. Raises UsageError where the store keeps no accounts."""
    here.all_runs.open_groups = here.config.auth.groups  # a store that somebody else opened may not know them
    if here.config.auth.mode == "open":
        return
    if not here.store.keeps_accounts:
        raise UsageError("This store keeps no accounts; set auth.mode: open, or use the sqlite backend.")
    here.all_runs.auth_mode = here.config.auth.mode  # a store that somebody else opened may not know it

    @app.before_request
    def identify() -> Response | None:
        address = f"{request.path}?{request.query_string.decode('latin-1')}"
        if ("%" in address or PREFIX in address) and IN_ADDRESS.search(unquote(address)):
            abort(400, "A token stands in this address, where logs keep it: revoke it, and send another as a header.")
        view = app.view_functions.get(request.endpoint or "")
        g.actor = None
        bearer = request.headers.get("Authorization", "")
        if bearer:
            if session.get(SECRET):
                abort(400, "Send either a token or the cookie of a session, not both.")
            g.actor = _by_token(bearer, here)
            other = _by_proxy(here) if here.config.auth.mode == "proxy" else None
            if other is not None and other.person != g.actor.person:
                abort(400, "The token and the proxy's header name two people; send one of them.")
        elif here.config.auth.mode == "proxy":
            is_page = request.method in SAFE_METHODS or not request.path.startswith("/api/")
            g.actor = _by_proxy(here) if is_page else None
        elif request.method in SAFE_METHODS or not request.path.startswith("/api/"):
            g.actor = _by_session(here)
        if g.actor is None and not (view is not None and is_public(view)):
            return _ask_to_sign_in()
        if g.actor is not None and not g.actor.rights.sees_everything:
            g.visible_runs = VisibleRuns(here.all_runs, g.actor.rights.sees)
        return None


def _sees_everything(rights: Rights) -> bool:
    """Return whether no run has to be left out: neither the grants nor, of a token, its blueprints leave one out."""
    return "*" in rights.only and any(grant.pattern == "*" for grant in rights.grants)


def signed_in() -> Actor | None:
    """Return who sends this request, where people sign in; else None."""
    found: Actor | None = g.get("actor")
    return found


def is_stranger() -> bool:
    """Return whether people sign in here, but not who sends this request: they learn nothing about the project."""
    return services().config.auth.mode != "open" and signed_in() is None


def current_session() -> SessionRecord | None:
    """Return the session that this request came with."""
    found: SessionRecord | None = g.get("session_record")
    return found


def _by_session(here: Services) -> Actor | None:
    secret = session.get(SECRET)
    found = here.all_runs.load_session(key_of(secret)) if isinstance(secret, str) and secret else None
    if found is None:
        return None
    record, person = found
    if person.disabled_at is not None or is_over(record, here.config, here.all_runs):
        return None
    g.session_record = record
    if record.seen_at < here.all_runs.clock.after(-SEEN_EVERY):
        here.later(here.all_runs.touch_session, record.key, here.all_runs.clock.now())
    return actor_of(
        person, here.config, here.all_runs, known_by=KnownBy(record.known_by), face=Face.WEB,
        signed_in_at=record.signed_in_at,
    )  # fmt: skip


def _by_proxy(here: Services) -> Actor | None:
    """Return whom the proxy names. A header from anybody else is refused, not ignored: it may be a lie."""
    settings = here.config.auth.proxy
    subject = request.headers.get(settings.user, "").strip()
    if not subject:
        return None
    original = request.environ.get("werkzeug.proxy_fix.orig", {})
    if not is_trusted(original.get("REMOTE_ADDR", request.environ.get("REMOTE_ADDR")), settings):
        abort(403, f"{settings.user} is believed only from the proxies in auth.proxy.trusted; this is none of them.")
    groups = tuple(one.strip() for one in request.headers.get(settings.groups, "").split(",") if one.strip())
    person, is_new, is_due = person_of(subject, groups, here.all_runs)
    if person.disabled_at is not None:
        abort(403, "This account is disabled; ask an admin.")
    if is_due:
        here.later(keep, person, subject, is_new, here.all_runs)
    return actor_of(person, here.config, here.all_runs, known_by=KnownBy.PROXY, face=Face.WEB)


def _by_token(bearer: str, here: Services) -> Actor:
    scheme, _, secret = bearer.partition(" ")
    found = here.all_runs.load_token(key_of(secret.strip())) if scheme.lower() == "bearer" else None
    if found is None or token_is_over(found[0], here.all_runs) or found[1].disabled_at is not None:
        abort(401, "This token is not valid: it is wrong, revoked, expired, or its owner is disabled.")
    token, person = found
    actor = actor_of(person, here.config, here.all_runs, known_by=KnownBy.TOKEN, face=Face.API)
    assert actor.rights is not None
    rights = structs.replace(actor.rights, scopes=tuple(map(Action, token.scopes)), only=token.blueprints)
    return structs.replace(actor, token=token.id, rights=rights)


def _ask_to_sign_in() -> Response:
    if request.path.startswith("/api/"):
        abort(
            401, "Send a token: `Authorization: Bearer nrc_…`; make one on /account or with `neurocore tokens create`."
        )
    if request.headers.get("HX-Request") or request.method not in SAFE_METHODS:
        abort(401, "You are signed out; sign in in another tab, then try again. What you typed is still here.")
    if services().config.auth.mode == "proxy":
        abort(401, f"Nobody is signed in: the proxy in front sends no {services().config.auth.proxy.user}.")
    target = request.full_path if request.query_string else request.path
    return redirect(f"{request.script_root}/login?next={quote(target, safe='/')}", 303)  # type: ignore[return-value]


def remember_session(secret: str, person: Person) -> None:
    """Put a new session into the browser. Its session before has ended, and what was in its cookie is gone."""
    if (old := current_session()) is not None:
        services().all_runs.end_sessions(old.person, only=[old.id])
    known = [name for name in session.get(KNOWN, []) if isinstance(name, str)]
    session.clear()
    session.permanent = True
    session[SECRET] = secret
    session[KNOWN] = [person.username, *(name for name in known if name != person.username)][:5]


def forget_session() -> None:
    """Take the session out of the browser; that it was here is kept, for the limits of signing in."""
    known = session.get(KNOWN, [])
    session.clear()
    session[KNOWN] = known


def known_user() -> str | None:
    """Return who signed in by this browser last, or None."""
    known = session.get(KNOWN) or [None]
    return known[0] if isinstance(known[0], str) else None


def is_known(username: str) -> bool:
    """Return whether this browser has signed in as this user before."""
    return username.strip().lower() in session.get(KNOWN, [])


def inside(target: str) -> str:
    """Return where to go after signing in: a path of this site, whatever was asked for."""
    is_path = target.startswith("/") and not target.startswith("//") and "\\" not in target
    clean = is_path and all(ord(letter) > 31 for letter in target) and len(target) < 2000
    return f"{request.script_root}{target}" if clean else f"{request.script_root}/"
