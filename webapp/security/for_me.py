"""Which gates wait for whoever looks at a page: those that they may answer."""

from __future__ import annotations

from flask import g

from neurocore.access.permission import Action, Resource, allows
from neurocore.gates.ruling import GateNow
from neurocore.persistence.records import GateEntry
from webapp.security.identity import is_stranger, signed_in
from webapp.services import services

#: How many pages of open gates are looked through for those that wait for somebody.
MOST_PAGES = 10


def answerable() -> tuple[str, ...] | None:
    """Return the blueprints whose gates the sender of the request may answer; None stands for all."""
    if is_stranger():
        return ()
    actor = signed_in()
    if actor is None or actor.rights is None:
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


def waits_for_me(entry: GateEntry) -> bool:
    """Return whether the rules of an open gate let the sender of the request answer it, who has not answered yet."""
    gate, actor = entry.gate, signed_in()
    if actor is None or gate.kind != "gate" or not gate.policy.is_ruled:
        return True
    return GateNow(gate, entry.run, services().all_runs, actor).waits


def open_gates(*, mine: bool, blueprint: str | None, after: str | None, limit: int) -> list[GateEntry]:
    """Return open gates that wait for the sender of the request, or those that wait for others.

    Rules are asked gate by gate, so at most `MOST_PAGES` pages are looked through.
    """
    here, names = services(), answerable()
    found: list[GateEntry] = []
    for _ in range(MOST_PAGES):
        page = here.store.list_gates(blueprint=blueprint, after=after, limit=limit, narrow=True)
        found += [
            one for one in page
            if ((names is None or one.run.blueprint_name in names) and waits_for_me(one)) == mine
        ]  # fmt: skip
        if len(page) < limit or len(found) >= limit:
            break
        after = page[-1].cursor
    return found[:limit]


def count() -> int:
    """Return how many gates wait for the sender of the request."""
    mine = answerable()
    if mine is None:
        return services().open_gates()
    return services().all_runs.count_open_gates(blueprints=mine) if mine else 0
