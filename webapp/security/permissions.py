"""Who may do what: one function, asked in one place; the factory refuses to start over a route that names no action.

A view that changes something declares its action (`@action("decide")`). Until sign-in comes everybody who reaches the
dashboard may do everything; `neurocore serve` therefore binds to this machine only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeVar, get_args

from flask import Flask, abort, request

Action = Literal["decide", "resume", "replay", "cancel", "delete", "start"]
ACTIONS = frozenset(get_args(Action))
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

View = TypeVar("View", bound=Callable[..., Any])


def action(name: Action) -> Callable[[View], View]:
    """Declare which action a view carries out."""

    def declare(view: View) -> View:
        view.__dict__["neurocore_action"] = name
        return view

    return declare


def allowed(name: str) -> bool:
    """Whether whoever asks may carry out this action."""
    return name in ACTIONS


def init_app(app: Flask) -> None:
    """Ask before every view that changes something."""

    @app.before_request
    def ask() -> None:
        if request.method in SAFE_METHODS or request.endpoint is None:
            return
        name = action_of(app.view_functions[request.endpoint])
        if name is None or not allowed(name):
            abort(403)


def action_of(view: Callable[..., Any]) -> str | None:
    """The action that a view declares, or None."""
    found = getattr(view, "neurocore_action", None)
    return found if isinstance(found, str) else None


def check(app: Flask) -> None:
    """Raise RuntimeError naming every route that takes another method than GET or HEAD and declares no known action."""
    nameless = sorted(
        f"{' '.join(sorted((rule.methods or set()) - SAFE_METHODS))} {rule.rule}"
        for rule in app.url_map.iter_rules()
        if (rule.methods or set()) - SAFE_METHODS and action_of(app.view_functions[rule.endpoint]) not in ACTIONS
    )
    if nameless:
        raise RuntimeError(
            f"These routes change something and declare no action for the permission function: {', '.join(nameless)}; "
            f"decorate their views with @action(…), one of {', '.join(sorted(ACTIONS))}."
        )
