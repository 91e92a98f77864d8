"""What waits for people, and what they decided."""

from __future__ import annotations

import hashlib
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, make_response, render_template, request
from werkzeug.wrappers import Response as AnyResponse

from neurocore.persistence.base import GateEntry, GateStatus
from webapp import live
from webapp.services import services

area = Blueprint("approvals", __name__)

WAITING = 200
DECIDED = 50


@area.get("/approvals")
def index() -> AnyResponse:
    """Waiting ones, longest first; decided ones, newest first, by whom and of which blueprint."""
    here, asked = services(), request.args
    blueprint, by = (asked.get(name, "").strip()[:500] or None for name in ("blueprint", "by"))
    before = asked.get("before", "").strip()[:100] or None
    waiting = here.store.list_gates(blueprint=blueprint, limit=WAITING) if before is None else []
    closed = (GateStatus.DECIDED, GateStatus.DONE)
    decided = here.store.list_gates(status=closed, blueprint=blueprint, by=by, before=before, limit=DECIDED + 1)
    token = _token([*waiting, *decided])
    if live.wants_block() and asked.get("v") == token:
        return live.unchanged()
    context: dict[str, Any] = {
        "waiting": waiting,
        "decided": decided[:DECIDED],
        "older": _older(decided, blueprint, by),
        "blueprint": blueprint,
        "by": by,
        "before": before,
        "token": token,
        "query": urlencode({"blueprint": blueprint or "", "by": by or "", "before": before or ""}, errors="replace"),
        "blueprints": sorted(here.store.blueprint_counts())[:500],
    }
    if live.wants_block():
        return live.blocks("approvals/index.html", [], "lists", context)
    return live.varying(make_response(render_template("approvals/index.html", **context)))


def _older(decided: list[GateEntry], blueprint: str | None, by: str | None) -> str | None:
    if len(decided) <= DECIDED:
        return None
    last = decided[DECIDED - 1].gate.closed_at or ""
    return urlencode({"blueprint": blueprint or "", "by": by or "", "before": last}, errors="replace")


def _token(entries: list[GateEntry]) -> str:
    parts = (f"{one.run.run_id}{one.run.version}{one.gate.node_id}{one.gate.visit}{one.gate.status}" for one in entries)
    return hashlib.blake2b("|".join(parts).encode("utf-8", "surrogatepass"), digest_size=9).hexdigest()
