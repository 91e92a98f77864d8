"""Add, remove and use passkeys. A script fetches options for the browser, and sends its answer as a plain form."""

from __future__ import annotations

from flask import Blueprint as Area
from flask import abort, flash, jsonify, redirect, request
from werkzeug.wrappers import Response as AnyResponse

from neurocore.access.actor import Actor
from neurocore.access.permission import Action
from neurocore.accounts import passkeys
from neurocore.accounts.signin import TooMany, open_session
from neurocore.errors import InputError, NeedsSignIn, NeuroCoreError, RefusedError, UsageError
from webapp.account.offers import site_here
from webapp.account.views import account_page, login_page, needs_accounts, needs_passwords, own
from webapp.security import identity
from webapp.security.permissions import action, public
from webapp.services import Services

area = Area("passkeys", __name__)


@area.post("/login/passkey/options")
@public
def sign_in_options() -> AnyResponse:
    """Give the browser what it needs to sign in: the same for everybody."""
    here = needs_passwords()
    try:
        found = passkeys.sign_in_options(
            store=here.all_runs, site=site_here(here), address=_address(), known=identity.known_user()
        )
    except (RefusedError, UsageError) as error:
        return _problem(error)
    return jsonify(found)


@area.post("/login/passkey")
@public
def sign_in() -> AnyResponse:
    """Sign in by the passkey that answered, and go to the page that was asked for."""
    here, form = needs_passwords(), request.form
    target = form.get("next", "/")
    try:
        person, passkey = passkeys.sign_in(
            form.get("credential", ""), store=here.all_runs, site=site_here(here), address=_address(),
            known=identity.known_user(),
        )  # fmt: skip
        secret = open_session(person, store=here.all_runs, agent=request.user_agent.string, passkey=passkey)
    except RefusedError as error:
        return login_page(here, target, status=429 if isinstance(error, TooMany) else 422, refused=str(error))
    identity.remember_session(secret, person)
    return redirect(identity.inside(target), 303)


@area.post("/account/passkeys/options")
@action(Action.OWN)
def enrolment_options() -> AnyResponse:
    """Give the browser what it needs to make a passkey."""
    here = needs_accounts()
    try:
        _check_fresh(here)
        name = request.form.get("passkey", "")
        found = passkeys.enrolment_options(own(here), name, store=here.all_runs, site=site_here(here))
    except (RefusedError, UsageError) as error:
        return _problem(error)
    return jsonify(found)


@area.post("/account/passkeys")
@action(Action.OWN)
def add() -> AnyResponse:
    """Keep the passkey that the browser made."""
    here, form = needs_accounts(), request.form
    _check_fresh(here)
    try:
        passkeys.enrol(
            own(here), form.get("passkey", ""), form.get("credential", ""), store=here.all_runs,
            site=site_here(here), actor=_actor(),
        )  # fmt: skip
    except (RefusedError, InputError) as error:
        return account_page(here, {"passkey": str(error)}, 422)
    flash("The passkey is added.", "ok")
    return _back()


@area.post("/account/passkeys/<passkey_id>/removal")
@action(Action.OWN)
def remove(passkey_id: str) -> AnyResponse:
    """Remove one of one's own passkeys."""
    here = needs_accounts()
    if not passkeys.remove(own(here), passkey_id, store=here.all_runs, actor=_actor()):
        abort(404, "You have no such passkey.")
    flash("The passkey is removed. Delete it on your device as well.", "ok")
    return _back()


def _check_fresh(here: Services) -> None:
    passkeys.check_fresh(identity.current_session(), mode=here.config.auth.mode, store=here.all_runs)


def _problem(error: NeuroCoreError) -> AnyResponse:
    """Return a refusal that the script shows beside the button."""
    told = {"type": "refused", "detail": str(error)}
    if isinstance(error, NeedsSignIn):
        told |= {"type": "needs-sign-in", "sign_in": f"{request.script_root}/login?next=/account"}
    answer = jsonify(told)
    statuses = ((NeedsSignIn, 403), (TooMany, 429), (UsageError, 422))
    answer.status_code = next((status for family, status in statuses if isinstance(error, family)), 409)
    answer.content_type = "application/problem+json"
    return answer


def _actor() -> Actor:
    actor = identity.signed_in()
    assert actor is not None
    return actor


def _address() -> str:
    return request.remote_addr or "?"


def _back() -> AnyResponse:
    return redirect(f"{request.script_root}/account#passkeys", 303)
