"""Sign in and out, one-time links, and one's own account: password, sessions, tokens."""

from __future__ import annotations

from flask import Blueprint as Area
from flask import abort, flash, g, make_response, redirect, render_template, request
from werkzeug.wrappers import Response as AnyResponse

from neurocore.access.actor import Actor, Face, KnownBy
from neurocore.access.permission import Action
from neurocore.access.roles import Grant, Role
from neurocore.accounts import tokens
from neurocore.accounts.passwords import check_password
from neurocore.accounts.people import add_person, check_account, entry_of, set_password
from neurocore.accounts.signin import WRONG, TooMany, authenticate, open_session
from neurocore.errors import InputError, RefusedError, UsageError
from neurocore.persistence.people import Person, key_of
from neurocore.persistence.records import GateEntry, GateStatus
from webapp.account import oidc
from webapp.account.offers import offer, offer_to_strangers
from webapp.security import identity
from webapp.security.permissions import action, public
from webapp.services import Services, services

area = Area("account", __name__)

#: How many of one's own decisions the account shows.
DECISIONS = 10


@area.get("/login")
@public
def login() -> AnyResponse:
    """Show the form to sign in, or the button that leads to the provider."""
    if services().config.auth.mode == "oidc":
        return oidc.login_page(services(), request.args.get("next", "/"))
    return login_page(services(), request.args.get("next", "/"))


@area.post("/login")
@public
def signing_in() -> AnyResponse:
    """Sign in by password, and go to the page that was asked for."""
    here, form = needs_passwords(), request.form
    username, target = form.get("username", ""), form.get("next", "/")
    try:
        person = authenticate(
            username, form.get("password", ""), store=here.all_runs, address=request.remote_addr or "?",
            known=identity.is_known(username),
        )  # fmt: skip
    except TooMany as error:
        return login_page(here, target, username, str(error), 429)
    if person is None:
        return login_page(here, target, username, WRONG, 422)
    _enter(person, here)
    return redirect(identity.inside(target), 303)


@area.post("/logout")
@public
def signing_out() -> AnyResponse:
    """End this session; where a provider signs people in, lead to its own sign-out."""
    here = needs_accounts()
    record = identity.current_session()
    if record is not None:
        here.all_runs.end_sessions(record.person, only=[record.id])
    identity.forget_session()
    if record is not None and here.config.auth.mode == "oidc":
        leading = oidc.sign_out(here, record.id_token)
        if leading is not None:
            return leading
    return redirect(f"{request.script_root}/login", 303)


def _enter(person: Person, here: Services) -> None:
    """Open a session in this browser for somebody who has shown who they are."""
    secret = open_session(person, store=here.all_runs, agent=request.user_agent.string)
    identity.remember_session(secret, person)


def login_page(
    here: Services,
    target: str,
    username: str = "",
    problem: str | None = None,
    status: int = 200,
    *,
    refused: str | None = None,
) -> AnyResponse:
    """Return the page to sign in; `refused` says why a passkey did not."""
    if here.config.auth.mode != "local":
        abort(404, f"Nobody signs in by a password here: auth.mode is {here.config.auth.mode}.")
    page = render_template(
        "account/login.html", next=target, username=username, problem=problem, refused=refused,
        passkeys=offer_to_strangers(here),
    )  # fmt: skip
    return make_response(page, status)


# -------------------------------------------------------------------- one-time links


@area.get("/link/<secret>")
@public
def link(secret: str) -> AnyResponse:
    """Show the form of a one-time link. Looking at it uses nothing up."""
    return _link_page(_needs_links(), secret)


@area.post("/link/<secret>")
@public
def link_used(secret: str) -> AnyResponse:
    """Set a password (and, for the first admin, make the account), and sign in. The link is used up.

    Where a provider signs people in, there is no password to set.
    """
    here, form = _needs_links(), request.form
    store = here.all_runs
    found = store.find_link(key_of(secret), now=store.clock.now())
    if found is None:
        return _link_page(here, secret)
    if here.config.auth.mode == "oidc":
        return oidc.enter_by_link(secret, found[0], here)
    password, again = form.get("password", ""), form.get("again", "")
    try:
        if password != again:
            sentence = "The two passwords differ."
            raise InputError(sentence, {"again": sentence})
        _check(found[0], form.get("username", ""), password, here)
    except (InputError, UsageError) as error:
        problems = error.problems if isinstance(error, InputError) else {}
        return _link_page(here, secret, problems or {"username": str(error)}, form.get("username", ""), 422)
    if not store.take_link(key_of(secret), now=store.clock.now()):
        return _link_page(here, secret)
    person = _person_of(found[0], form.get("username", ""), password, here)
    _enter(person, here)
    return redirect(f"{request.script_root}/", 303)


def _check(whose: str | None, username: str, password: str, here: Services) -> None:
    """Refuse what a link cannot set, before it is used up."""
    store = here.all_runs
    if whose is None:
        if store.count_admins() > 0:
            raise UsageError("There is an admin already; ask them for a link.")
        check_account(username, password, store=store)
        return
    person = store.load_person(id=whose)
    if person is None or person.disabled_at is not None:
        raise UsageError("This account is disabled; ask an admin.")
    check_password(password, about=(person.username, person.label))


def _person_of(whose: str | None, username: str, password: str, here: Services) -> Person:
    """Return the person of a link that is used up, with the new password."""
    store = here.all_runs
    if whose is None:
        first = Actor(id="link", label="the first sign-in link", known_by=KnownBy.SYSTEM, face=Face.WEB)
        return add_person(username, store=store, actor=first, grants=[Grant(Role.ADMIN)], password=password)
    person = store.load_person(id=whose)
    assert person is not None
    own = Actor(id=person.id, label=person.username, known_by=KnownBy.SESSION, face=Face.WEB)
    return set_password(person, password, store=store, actor=own)


def _link_page(
    here: Services, secret: str, problems: dict[str, str] | None = None, username: str = "", status: int = 200
) -> AnyResponse:
    store = here.all_runs
    found = store.find_link(key_of(secret), now=store.clock.now())
    if found is None:
        abort(410, "This link was used, or its hour is over; ask an admin for a new one.")
    person = store.load_person(id=found[0]) if found[0] is not None else None
    if here.config.auth.mode == "oidc":
        return oidc.link_page(person)
    page = render_template("account/link.html", person=person, problems=problems or {}, username=username)
    return make_response(page, status)


# -------------------------------------------------------------------- one's own account


@area.get("/account")
@action(Action.OWN)
def account() -> AnyResponse:
    """Show one's own account."""
    return account_page(needs_accounts())


@area.post("/account/password")
@action(Action.OWN)
def password() -> AnyResponse:
    """Change one's own password; all other sessions end."""
    here, form = needs_passwords(), request.form
    person, actor = own(here), identity.signed_in()
    assert actor is not None
    current = form.get("current", "")
    address = request.remote_addr or "?"
    if authenticate(person.username, current, store=here.all_runs, address=address, known=True) is None:
        return account_page(here, {"current": "This is not your password."}, 422)
    try:
        person = set_password(person, form.get("password", ""), store=here.all_runs, actor=actor)
    except InputError as error:
        return account_page(here, error.problems, 422)
    _enter(person, here)
    flash("Your password is changed, and your other sessions have ended.", "ok")
    return redirect(f"{request.script_root}/account", 303)


@area.post("/account/sessions/<session_id>/ending")
@action(Action.OWN)
def end_session(session_id: str) -> AnyResponse:
    """End one of one's own sessions."""
    here = needs_accounts()
    if here.all_runs.end_sessions(own(here).id, only=[session_id]):
        flash("The session has ended.", "ok")
    return redirect(f"{request.script_root}/account", 303)


@area.post("/account/tokens")
@action(Action.OWN)
def create_token() -> AnyResponse:
    """Make a token; it is shown this once."""
    here, form = needs_accounts(), request.form
    actor = identity.signed_in()
    assert actor is not None
    try:
        made = tokens.create(
            own(here), name=form.get("name", ""), scopes=form.getlist("scope"),
            blueprints=[one.strip() for one in form.get("blueprints", "").split(",") if one.strip()],
            days=form.get("days", ""), store=here.all_runs, config=here.config, actor=actor,
        )  # fmt: skip
    except InputError as error:
        return account_page(here, error.problems, 422)
    return account_page(here, made=made.secret)


@area.post("/account/tokens/<token_id>/revocation")
@action(Action.OWN)
def revoke_token(token_id: str) -> AnyResponse:
    """End one of one's own tokens."""
    here, actor = needs_accounts(), identity.signed_in()
    assert actor is not None
    if token_id not in {one.id for one in here.all_runs.list_tokens(own(here).id)}:
        abort(404, "You have no such token.")
    store = here.all_runs
    entry = entry_of(store, actor, "token-revoked", token=token_id)
    if not store.revoke_token(token_id, at=store.clock.now(), entry=entry):
        raise RefusedError("This token has ended already.")
    flash("The token is revoked.", "ok")
    return redirect(f"{request.script_root}/account", 303)


def account_page(
    here: Services, problems: dict[str, str] | None = None, status: int = 200, *, made: str | None = None
) -> AnyResponse:
    """Return the page of one's own account; `made` is a new token, shown this once."""
    person = own(here)
    page = render_template(
        "account/account.html", person=person, problems=problems or {}, made=made,
        sessions=here.all_runs.list_sessions(person.id), this=identity.current_session(),
        tokens=here.all_runs.list_tokens(person.id), now=here.all_runs.clock.now(),
        by_password=here.config.auth.mode == "local", old_groups=not g.actor.groups,
        scopes=[one for one in Action if one not in tokens.NEVER], typed=request.form,
        decisions=_decisions(person, here),
        grants=[f"{one.role.value} {one.pattern}" for one in g.actor.rights.grants], passkeys=offer(here, person),
    )  # fmt: skip
    return make_response(page, status)


def _decisions(person: Person, here: Services) -> list[GateEntry]:
    """Return the gates that somebody decided last."""
    decided = (GateStatus.DECIDED, GateStatus.DONE)
    return here.store.list_gates(status=decided, by=person.username, limit=DECISIONS, narrow=True)


def own(here: Services) -> Person:
    """Return the account of who is signed in; answer 401 where it is not there."""
    actor = identity.signed_in()
    person = here.all_runs.load_person(id=actor.person) if actor is not None and actor.person else None
    if person is None:
        abort(401, "Sign in to see your account.")
    return person


def needs_accounts() -> Services:
    """Return the services where people sign in; where nobody does, answer 404."""
    here = services()
    if here.config.auth.mode == "open":
        abort(404, "Nobody signs in here: auth.mode is open.")
    return here


def _needs_links() -> Services:
    here = services()
    return here if here.config.auth.mode == "oidc" else needs_passwords()


def needs_passwords() -> Services:
    """Return the services where people sign in here, and not elsewhere; else answer 404."""
    here = needs_accounts()
    if here.config.auth.mode != "local":
        abort(404, f"Nobody signs in by a password here: auth.mode is {here.config.auth.mode}.")
    return here
