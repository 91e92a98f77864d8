"""Which gates wait for whoever looks at a page: those that they may answer."""

from __future__ import annotations

from flask import g

from neurocore.access.permission import Action, Resource, allows
from webapp.security.identity import is_stranger, signed_in
from webapp.services import services


def answerable() -> tuple[str, ...] | None:
    """Return the blueprints whose gates the sender of the request may answer; None stands for all."""
    if is_stranger():
        return ()
    actor = signed_in()
    if actor is None or actor.rights is None:
        return None
    if "answerable" not in g:
        names = services().store.blueprint_counts()
        may = tuple(name for name in names if allows(actor, Action.ANSWER, Resource(blueprint=name)))
        g.answerable = None if len(may) == len(services().all_runs.blueprint_counts()) else may
    found: tuple[str, ...] | None = g.answerable
    return found


def of_others() -> tuple[str, ...]:
    """Return the visible blueprints whose gates wait for others."""
    mine = answerable()
    return () if mine is None else tuple(name for name in services().store.blueprint_counts() if name not in mine)


def count() -> int:
    """Return how many gates wait for the sender of the request."""
    mine = answerable()
    return services().open_gates() if mine is None else services().all_runs.count_open_gates(blueprints=mine)
