"""Permissions are checked in one place, before every view; the factory refuses to start if a route names no action.

A view declares its action (`@action(Action.ANSWER)`). One that declares none may only be read, and its action is to
view. What belongs to nobody (static files, the health check) is declared `public`. Until people sign in, everybody who
reaches the dashboard may do everything; `neurocore serve` therefore binds to this machine only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from flask import Flask, abort, request

from neurocore.access.permission import Action, Resource, Verdict, require, sees
from webapp.security.actors import sender

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

View = TypeVar("View", bound=Callable[..., Any])


def action(name: Action) -> Callable[[View], View]:
    """Declare which action a view performs."""

    def declare(view: View) -> View:
        view.__dict__["neurocore_action"] = name
        return view

    return declare


def public(view: View) -> View:
    """Declare that whoever reaches the server may use a view: static files, the health check, signing in."""
    view.__dict__["neurocore_public"] = True
    return view


def refusal(verdict: Verdict) -> str:
    """Return why something is not allowed, and who may do it, in one sentence without its stop."""
    who = f"; {', '.join(verdict.who_can)} can" if verdict.who_can else ""
    return f"{(verdict.reason or 'You may not do this.').rstrip('.')}{who}"


def is_public(view: Callable[..., Any]) -> bool:
    """Return whether whoever reaches the server may use this view."""
    return bool(getattr(view, "neurocore_public", False))


def init_app(app: Flask) -> None:
    """Check the permission before every view, including views that only read."""

    @app.before_request
    def ask() -> None:
        if request.endpoint is None:
            return
        view = app.view_functions[request.endpoint]
        if is_public(view):
            return
        wanted, resource = action_of(view) or Action.VIEW, _resource()
        if resource.blueprint and not sees(sender(), resource.blueprint):
            abort(404, f"There is no blueprint {resource.blueprint[:200]!r}.")  # nor does it say that there is one
        require(sender(), wanted, resource)


def _resource() -> Resource:
    """Return the resource in the address of the request."""
    given = request.view_args or {}
    return Resource(blueprint=given.get("name"), run_id=given.get("run_id"))


def action_of(view: Callable[..., Any]) -> Action | None:
    """Return the action that a view declares, or None."""
    found = getattr(view, "neurocore_action", None)
    return found if isinstance(found, Action) else None


def check(app: Flask) -> None:
    """Raise RuntimeError, which names every route that changes something and declares no action."""
    nameless = sorted(
        f"{' '.join(sorted((rule.methods or set()) - SAFE_METHODS))} {rule.rule}"
        for rule in app.url_map.iter_rules()
        if (rule.methods or set()) - SAFE_METHODS
        and action_of(app.view_functions[rule.endpoint]) in (None, Action.VIEW)
        and not is_public(app.view_functions[rule.endpoint])
    )
    if nameless:
        raise RuntimeError(
            f"These routes change something, but declare no action for the permission function: {', '.join(nameless)}; "
            "decorate their views with @action(…), one of "
            f"{', '.join(sorted(one.value for one in Action if one is not Action.VIEW))}."
        )
