"""The page of approvals: gates that wait for a decision, and decided gates."""

from __future__ import annotations

import contextlib
import hashlib
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, make_response, render_template, request
from msgspec import Struct
from werkzeug.wrappers import Response as AnyResponse

from neurocore.errors import InputError
from neurocore.forms import folded
from neurocore.moments import TAKEN, Clock
from neurocore.persistence.base import RunStore
from neurocore.persistence.records import GateEntry, GateStatus
from webapp.html import live
from webapp.services import services

area = Blueprint("approvals", __name__)

WAITING = 200
DECIDED = 50


class Approvals(Struct, frozen=True, kw_only=True):
    """One page of gates, for people and programs, without the values that the gates show.

    `later` is the `after` of the next page of waiting gates, `older` the `before` of the next page of decided gates;
    each is None on the last page. A later page contains only the kind of gates that was asked for.
    """

    waiting: list[GateEntry]
    later: str | None
    decided: list[GateEntry]
    older: str | None

    @classmethod
    def of(
        cls, store: RunStore, blueprint: str | None, by: str | None, before: str | None, after: str | None, clock: Clock
    ) -> Approvals:
        """Read the open gates, and those that `by` decided; `clock` parses a time. Raises InputError."""
        if before is not None and after is not None:
            sentence = "Give either before or after, not both."
            raise InputError(sentence, {"before": sentence})
        waiting, decided = [], []
        if before is None:
            waiting = store.list_gates(blueprint=blueprint, after=after, limit=WAITING + 1, narrow=True)
        if after is None:
            decided = _decided(store, blueprint, by, before, clock)
        return cls(
            waiting=waiting[:WAITING],
            later=waiting[WAITING - 1].cursor if len(waiting) > WAITING else None,
            decided=decided[:DECIDED],
            older=decided[DECIDED - 1].cursor if len(decided) > DECIDED else None,
        )


def _decided(
    store: RunStore, blueprint: str | None, by: str | None, before: str | None, clock: Clock
) -> list[GateEntry]:
    """Read decided gates before a time, or from a cursor on."""
    start = {"after": before}
    with contextlib.suppress(ValueError):
        start = {"before": clock.read(before or "")}
    try:
        return store.list_gates(
            status=(GateStatus.DECIDED, GateStatus.DONE), blueprint=blueprint, by=by, limit=DECIDED + 1, narrow=True,
            **start,
        )  # fmt: skip
    except InputError:
        sentence = f"before takes {TAKEN}, or the `older` of a page, not {before!r:.60}."
        raise InputError(sentence, {"before": sentence}) from None


@area.get("/approvals")
def index() -> AnyResponse:
    """List waiting gates, longest first, and decided gates, newest first; filter by person and blueprint."""
    here, asked = services(), request.args
    blueprint, by = (asked.get(name, "").strip()[:500] or None for name in ("blueprint", "by"))
    before, after = (asked.get(name, "").strip()[:1000] or None for name in ("before", "after"))
    found = Approvals.of(here.store, blueprint, by, before, after, here.config.clock)
    token = _token([*found.waiting, *found.decided])
    if live.wants_block() and asked.get("v") == token:
        return live.unchanged()
    context: dict[str, Any] = {
        "waiting": found.waiting,
        "later": found.later and _query(blueprint, by, after=found.later),
        "decided": found.decided,
        "older": found.older and _query(blueprint, by, found.older),
        "blueprint": blueprint,
        "by": by,
        "before": before,
        "after": after,
        "first": _query(blueprint, by),
        "by_query": lambda name: _query(blueprint, name),
        "token": token,
        "query": _query(blueprint, by, before, after),
        "blueprints": sorted(folded(here.store.blueprint_counts(), [blueprint] if blueprint else [])),
    }
    if live.wants_block():
        return live.blocks("approvals/index.html", [], "lists", context)
    return live.varying(make_response(render_template("approvals/index.html", **context)))


def _query(blueprint: str | None, by: str | None, before: str | None = None, after: str | None = None) -> str:
    fields = {"blueprint": blueprint, "by": by, "before": before, "after": after}
    return urlencode({name: text for name, text in fields.items() if text}, errors="replace")


def _token(entries: list[GateEntry]) -> str:
    parts = (f"{one.run.run_id}{one.run.version}{one.gate.node_id}{one.gate.visit}{one.gate.status}" for one in entries)
    shows = "|".join(parts).encode("utf-8", "surrogatepass")
    return live.version(hashlib.blake2b(shows, digest_size=9).hexdigest())
