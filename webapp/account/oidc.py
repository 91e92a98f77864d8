"""Sign in by a provider (OpenID Connect): leave for it and come back, sign out, and links for when it is down.

What a sign-in needs until the person comes back is in their own signed cookie: the answer is worth something in this
browser alone, and a restart of the server loses nothing. That an answer was used is in the run database.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from flask import Blueprint as Area
from flask import abort, current_app, make_response, redirect, render_template, request, session
from flask.blueprints import BlueprintSetupState
from werkzeug.wrappers import Response as AnyResponse

from neurocore.access.actor import Actor, Face, KnownBy
from neurocore.accounts import provided
from neurocore.accounts.people import entry_of
from neurocore.accounts.signin import open_session
from neurocore.errors import ConfigError, Forbidden, RefusedError
from neurocore.persistence.people import Person, key_of
from neurocore.readable import safe
from webapp.security import identity
from webapp.security.permissions import public
from webapp.services import Services, services

if TYPE_CHECKING:
    from neurocore.accounts.oidc import Provider, Secrets

_Found = TypeVar("_Found")

area = Area("oidc", __name__)
_log = logging.getLogger(__name__)

#: The key in the cookie of the sign-ins that this browser has begun: state → (when, where to go afterwards).
BEGUN = "oidc"
#: How long a person may stay at the provider, in seconds; how many sign-ins a browser may have begun; the longest
#: address to go to afterwards, since browsers keep no cookie of more than 4 KB.
HOLDS, MOST_BEGUN, LONGEST_TARGET = 600, 3, 600
#: The longest ID token that is kept: it is a part of an address when the person signs out.
LONGEST_HINT = 4096

_AGAIN = "sign in again."


class _Failed(Exception):
    """A sign-in that failed; the message is for the person, `status` for the browser."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


@area.record
def prepare(state: BlueprintSetupState) -> None:
    """Make the provider when the server starts. Raises ConfigError where its secret or a package is missing."""
    config = state.app.extensions["neurocore"].config
    if config.auth.mode != "oidc":
        return
    try:
        from neurocore.accounts.oidc import Provider
    except ImportError as error:
        raise ConfigError("auth.mode: oidc needs a package: pip install 'neurocore-ai[team]'.") from error
    state.app.extensions["neurocore-oidc"] = Provider(config)


def login_page(here: Services, target: str, problem: str | None = None, status: int = 200) -> AnyResponse:
    """Return the page with the button that leads to the provider."""
    name = here.config.auth.oidc.name
    return make_response(render_template("account/provider.html", next=target, name=name, problem=problem), status)


@area.post("/login/oidc")
@public
def leave() -> AnyResponse:
    """Begin a sign-in, and lead to the provider."""
    here, target = _here(), request.form.get("next", "/")
    state = secrets.token_urlsafe(32)
    try:
        place = _asked(lambda: _provider().authorization_url(state, _secrets(state), _back_to(here, "login/callback")))
    except _Failed as error:
        return login_page(here, target, str(error), error.status)
    target = target if len(target) <= LONGEST_TARGET else "/"
    begun = [*_begun().items()][-MOST_BEGUN + 1 :]
    session[BEGUN] = {**dict(begun), state: [here.all_runs.clock.now(), target]}
    return _leading_to(place, here)


@area.get("/login/callback")
@public
def come_back() -> AnyResponse:
    """Take the provider's answer: it works once, in the browser that began the sign-in, for ten minutes."""
    here, begun = _here(), _begun()
    state = request.args.get("state", "")
    newest = [target for _, target in begun.values()][-1:] or ["/"]  # where to go if the person tries again
    since, target = begun.pop(state, ("", newest[0]))
    session[BEGUN] = begun
    try:
        _use_up(state, since, here)
        person, id_token = _signed_in(state, here)
    except _Failed as error:
        return login_page(here, target, str(error), error.status)
    _enter(person, here, "the provider", id_token if len(id_token) <= LONGEST_HINT else None)
    return redirect(identity.inside(target), 303)


def sign_out(here: Services, id_token: str | None) -> AnyResponse | None:
    """Lead to the provider's own sign-out; None where it has none, or cannot be reached."""
    try:
        place = _asked(lambda: _provider().end_session_url(id_token, _back_to(here, "login")))
    except _Failed:
        return None
    return None if place is None else _leading_to(place, here)


# -------------------------------------------------------------------- what is checked


def _use_up(state: str, since: str, here: Services) -> None:
    """Refuse an answer to no sign-in of this browser, an old one, or one that was used. Raises _Failed."""
    name, clock = here.config.auth.oidc.name, here.all_runs.clock
    if not since:
        raise _Failed(f"This answer of {name} belongs to no sign-in that this browser has begun; {_AGAIN}", 400)
    if since < clock.after(-HOLDS):
        raise _Failed(f"You were away for more than {HOLDS // 60} minutes; {_AGAIN}", 400)
    if not here.all_runs.use_once(key_of(state), kind="oidc", now=clock.now(), expires_at=clock.after(HOLDS)):
        raise _Failed(f"This answer of {name} was used already; {_AGAIN}", 400)


def _signed_in(state: str, here: Services) -> tuple[Person, str]:
    """Return whom the provider signed in, and its ID token. Raises _Failed."""
    settings, asked, provider = here.config.auth.oidc, request.args, _provider()
    _asked(lambda: provider.check_issuer(asked.get("iss")))
    if "error" in asked:
        said = ": ".join(safe(asked[one])[:200] for one in ("error", "error_description") if asked.get(one))
        raise _Failed(f"{settings.name} did not sign you in ({said}); {_AGAIN}", 403)
    now = here.all_runs.clock.micros() // 1_000_000
    claims, id_token = _asked(
        lambda: provider.claims(asked.get("code", ""), _secrets(state), _back_to(here, "login/callback"), now)
    )
    try:
        return provided.arrive(claims, settings=settings, store=here.all_runs), id_token
    except RefusedError as error:
        raise _Failed(str(error), 403 if isinstance(error, Forbidden) else 409) from error


def _asked(question: Callable[[], _Found]) -> _Found:
    """Return what the provider answers. Raises _Failed: the log says what is wrong, the page only what to do."""
    from neurocore.accounts.fetching import Unreachable

    name = services().config.auth.oidc.name
    try:
        return question()
    except Unreachable as error:
        _log.warning("The provider %s cannot be used: %s.", services().config.auth.oidc.issuer, error)
        raise _Failed(f"{name} cannot be reached at the moment; try again later.", 503) from error
    except RefusedError as error:
        _log.warning("A sign-in by %s is refused: %s.", services().config.auth.oidc.issuer, error)
        raise _Failed(f"{name} gave an answer that is not valid, so nobody is signed in; {_AGAIN}", 403) from error


# -------------------------------------------------------------------- one-time links


def link_page(person: Person | None) -> AnyResponse:
    """Return the form of a one-time link: the provider may be down, so the link is enough."""
    if not _may_enter(person):
        abort(410, "This link is for no account that can sign in; ask an admin.")
    return make_response(render_template("account/enter.html", person=person))


def enter_by_link(secret: str, whose: str | None, here: Services) -> AnyResponse:
    """Use a one-time link up, and sign its person in."""
    store = here.all_runs
    person = store.load_person(id=whose) if whose is not None else None
    if person is None or not _may_enter(person):
        return link_page(None)
    own = Actor(id=person.id, label=person.username, known_by=KnownBy.SESSION, face=Face.WEB)
    entry = entry_of(store, own, "link-used", user=person.id)
    if not store.take_link(key_of(secret), now=store.clock.now(), entry=entry):
        abort(410, "This link was used, or its hour is over; ask for a new one.")
    _enter(person, here, "a one-time link")
    return redirect(f"{request.script_root}/", 303)


# -------------------------------------------------------------------- parts


def _may_enter(person: Person | None) -> bool:
    return person is not None and person.disabled_at is None and not person.service


def _enter(person: Person, here: Services, way: str, id_token: str | None = None) -> None:
    secret = open_session(person, store=here.all_runs, agent=request.user_agent.string, id_token=id_token, way=way)
    identity.remember_session(secret, person)


def _leading_to(place: str, here: Services) -> AnyResponse:
    """Return a page that leads to the provider at once.

    A redirect would not do: browsers apply `form-action` to the redirects of a form too, and a provider may lead on to
    sites that nobody can list.
    """
    return make_response(render_template("account/leaving.html", place=place, name=here.config.auth.oidc.name))


def _begun() -> dict[str, tuple[str, str]]:
    """Return the sign-ins that this browser has begun, the newest last (a cookie has them in another order)."""
    kept = session.get(BEGUN, {})
    return {state: (since, target) for state, (since, target) in sorted(kept.items(), key=lambda one: one[1][0])}


def _secrets(state: str) -> Secrets:
    from neurocore.accounts.oidc import secrets_of

    key = current_app.secret_key
    return secrets_of(state, key if isinstance(key, bytes) else str(key).encode())


def _back_to(here: Services, path: str) -> str:
    return f"{(here.config.web.public_url or request.url_root).rstrip('/')}/{path}"


def _provider() -> Provider:
    found: Provider = current_app.extensions["neurocore-oidc"]
    return found


def _here() -> Services:
    here = services()
    if here.config.auth.mode != "oidc":
        abort(404, f"No provider signs people in here: auth.mode is {here.config.auth.mode}.")
    return here
