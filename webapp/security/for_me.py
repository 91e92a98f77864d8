"""Which gates wait for whoever looks at a page: those that they may answer."""

from __future__ import annotations

from flask import g

from neurocore.access.permission import Action, Resource, allows
from webapp.security.identity import signed_in
from webapp.services import services


def answerable() -> tuple[str, ...] | None:
    """Return the blueprints whose gates the sender of the request may answer; None stands for all."""
    actor = signed_in()
    if actor is None:  # nobody signs in here, or this one has not yet
        return None if services().config.auth.mode == "open" else ()
    if actor.rights is None:
        return None
    if actor.rights.allow_all(Action.ANSWER):
        return None
    if not allows(actor, Action.ANSWER):
        return ()
    if "answerable" not in g:
        names = services().store.blueprint_counts()
        g.answerable = tuple(name for name in names if allows(actor, Action.ANSWER, Resource(blueprint=name)))
    found: tuple[str, ...] = g.answerable
    return found


def of_others() -> tuple[str, ...]:
    """Return the visible blueprints whose gates wait for others."""
    mine = answerable()
    return () if mine is None else tuple(name for name in services().store.blueprint_counts() if name not in mine)


def count() -> int:
    """Return how many gates wait for the sender of the request."""
    mine = answerable()
    if mine is None:
        return services().open_gates()
    return services().all_runs.count_open_gates(blueprints=mine) if mine else 0
