"""What waits for people, and what they decided."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, make_response, render_template, request
from msgspec import Struct
from werkzeug.wrappers import Response as AnyResponse

from neurocore.errors import InputError
from neurocore.persistence.base import GateEntry, GateStatus, RunStore
from webapp import live
from webapp.services import services

area = Blueprint("approvals", __name__)

WAITING = 200
DECIDED = 50


class Approvals(Struct, frozen=True, kw_only=True):
    """A page of them, for people and programs.

    `more` says that others wait besides those here; `older` is the `before` of the next page, None on the last.
    """

    waiting: list[GateEntry]
    more: bool
    decided: list[GateEntry]
    older: str | None

    @classmethod
    def of(cls, store: RunStore, blueprint: str | None, by: str | None, before: str | None) -> Approvals:
        """Open ones (none beyond the first page), and those that `by` decided. Raises InputError."""
        if before is not None:
            _check_time(before)
        waiting = store.list_gates(blueprint=blueprint, limit=WAITING + 1) if before is None else []
        closed = (GateStatus.DECIDED, GateStatus.DONE)
        decided = store.list_gates(status=closed, blueprint=blueprint, by=by, before=before, limit=DECIDED + 1)
        older = decided[DECIDED - 1].gate.closed_at if len(decided) > DECIDED else None
        more = len(waiting) > WAITING
        return cls(waiting=waiting[:WAITING], more=more, decided=decided[:DECIDED], older=older)


def _check_time(text: str) -> None:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        sentence = f"before takes the time of a decision, such as 2026-03-31T12:00:00+00:00, not {text[:50]!r}."
        raise InputError(sentence, {"before": sentence}) from None


@area.get("/approvals")
def index() -> AnyResponse:
    """Waiting ones, longest first; decided ones, newest first, by whom and of which blueprint."""
    here, asked = services(), request.args
    blueprint, by = (asked.get(name, "").strip()[:500] or None for name in ("blueprint", "by"))
    before = asked.get("before", "").strip()[:100] or None
    found = Approvals.of(here.store, blueprint, by, before)
    token = _token([*found.waiting, *found.decided])
    if live.wants_block() and asked.get("v") == token:
        return live.unchanged()
    context: dict[str, Any] = {
        "waiting": found.waiting,
        "more": found.more,
        "decided": found.decided,
        "older": found.older and _query(blueprint, by, found.older),
        "blueprint": blueprint,
        "by": by,
        "before": before,
        "newest": _query(blueprint, by, None),
        "by_query": lambda name: _query(blueprint, name, None),
        "token": token,
        "query": _query(blueprint, by, before),
        "blueprints": sorted(here.store.blueprint_counts())[:500],
    }
    if live.wants_block():
        return live.blocks("approvals/index.html", [], "lists", context)
    return live.varying(make_response(render_template("approvals/index.html", **context)))


def _query(blueprint: str | None, by: str | None, before: str | None) -> str:
    fields = {"blueprint": blueprint, "by": by, "before": before}
    return urlencode({name: text for name, text in fields.items() if text}, errors="replace")


def _token(entries: list[GateEntry]) -> str:
    parts = (f"{one.run.run_id}{one.run.version}{one.gate.node_id}{one.gate.visit}{one.gate.status}" for one in entries)
    shows = "|".join(parts).encode("utf-8", "surrogatepass")
    return live.version(hashlib.blake2b(shows, digest_size=9).hexdigest())
