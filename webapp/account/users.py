"""Everybody's accounts, for admins."""

from __future__ import annotations

from collections.abc import Iterable

from flask import Blueprint as Area
from flask import abort, flash, make_response, redirect, render_template, request
from werkzeug.wrappers import Response as AnyResponse

from neurocore.access.actor import Actor
from neurocore.access.permission import Action
from neurocore.access.roles import Grant, Role, read_grant
from neurocore.accounts import people
from neurocore.errors import InputError, RefusedError, UsageError
from webapp.security import identity
from webapp.security.permissions import action
from webapp.services import Services, services

area = Area("users", __name__)


@area.get("/users")
@action(Action.ADMINISTER)
def show() -> AnyResponse:
    """Show everybody."""
    return _page(_here())


@area.post("/users")
@action(Action.ADMINISTER)
def add() -> AnyResponse:
    """Add an account; its one-time link is shown this once, where people sign in by a password."""
    here, form = _here(), request.form
    try:
        person = people.add_person(
            form.get("username", "").strip(), store=here.all_runs, actor=_actor(), label=form.get("label") or None,
            grants=_grants(form.getlist("role"), form.get("pattern", "")), groups=_groups(form.get("groups", "")),
        )  # fmt: skip
    except (InputError, UsageError) as error:
        problems = error.problems if isinstance(error, InputError) and error.problems else {"username": str(error)}
        return _page(here, problems, 422)
    if here.config.auth.mode != "local":
        return _back(f"{person.username} is added.")
    return _page(here, link=people.make_link(person, store=here.all_runs, actor=_actor()), whose=person.username)


@area.post("/users/<username>/disabling")
@action(Action.ADMINISTER)
def disable(username: str) -> AnyResponse:
    """Let somebody sign in no more."""
    people.disable(username, store=_here().all_runs, actor=_actor())
    return _back(f"{username} is disabled; every session of theirs has ended.")


@area.post("/users/<username>/enabling")
@action(Action.ADMINISTER)
def enable(username: str) -> AnyResponse:
    """Let somebody sign in again."""
    people.enable(username, store=_here().all_runs, actor=_actor())
    return _back(f"{username} can sign in again.")


@area.post("/users/<username>/link")
@action(Action.ADMINISTER)
def reset(username: str) -> AnyResponse:
    """End somebody's sessions, remove their passkeys, and make a link with which they set a new password."""
    here = _here()
    if here.config.auth.mode != "local":
        raise RefusedError(
            "People here sign in elsewhere, not by a password; when that is impossible, whoever owns the files runs "
            "`neurocore users link NAME`."
        )
    return _page(here, link=people.reset(username, store=here.all_runs, actor=_actor()), whose=username)


@area.post("/users/<username>/roles")
@action(Action.ADMINISTER)
def save(username: str) -> AnyResponse:
    """Give somebody exactly these roles and groups."""
    here, form = _here(), request.form
    try:
        wanted = [read_grant(one) for one in form.get("grants", "").replace(",", " ").split()]
    except ValueError:
        raise UsageError(
            f"Roles are {', '.join(role.value for role in Role)}, alone or as ROLE@PATTERN; separate them by blanks."
        ) from None
    person = people.find_person(username, here.all_runs)
    people.revoke(username, set(person.grants) - set(wanted), store=here.all_runs, actor=_actor())
    people.grant(username, wanted, store=here.all_runs, actor=_actor())
    people.set_groups(username, _groups(form.get("groups", "")), store=here.all_runs, actor=_actor())
    return _back(f"The roles of {username} are saved.")


def _page(
    here: Services, problems: dict[str, str] | None = None, status: int = 200, *, link: str = "", whose: str = ""
) -> AnyResponse:
    page = render_template(
        "account/users.html", people=here.all_runs.list_people(), roles=list(Role), problems=problems or {},
        link=link, whose=whose, typed=request.form,
        by_password=here.config.auth.mode == "local",
        base=(here.config.web.public_url or request.url_root).rstrip("/"),
    )  # fmt: skip
    return make_response(page, status)


def _grants(roles: Iterable[str], pattern: str) -> list[Grant]:
    try:
        return [Grant(Role(role), pattern.strip() or "*") for role in roles]
    except ValueError:
        raise UsageError(f"Roles are {', '.join(role.value for role in Role)}.") from None


def _groups(text: str) -> list[str]:
    return [one for one in text.replace(",", " ").split() if len(one) <= 100]


def _back(sentence: str) -> AnyResponse:
    flash(sentence, "ok")
    return redirect(f"{request.script_root}/users", 303)


def _actor() -> Actor:
    actor = identity.signed_in()
    assert actor is not None
    return actor


def _here() -> Services:
    here = services()
    if here.config.auth.mode == "open":
        abort(404, "Nobody signs in here: auth.mode is open.")
    return here
