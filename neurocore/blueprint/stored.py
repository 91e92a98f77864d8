"""Definitions as they are stored with runs, read and compiled once for many runs of one definition."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

from neurocore import codec
from neurocore.blueprint.model import Blueprint
from neurocore.blueprint.plan import Plan, compile_plan

#: How many compiled definitions are cached; the plan of 10,000 nodes takes about 10 MB.
KEPT = 16


@lru_cache(maxsize=KEPT)
def stored_blueprint(text: str) -> Blueprint:
    """Return the blueprint of a stored definition. Raises BlueprintError for an invalid one.

    The cache uses the text itself, never a hash that is stored beside it: anybody may have written that.
    """
    return Blueprint.from_snapshot(stored_snapshot(text))


def stored_snapshot(text: str) -> dict[str, Any]:
    """Return the snapshot of a stored definition, including invalid parts."""
    snapshot: dict[str, Any] = codec.from_jsonable(json.loads(text)) if text else {}
    return snapshot


@lru_cache(maxsize=KEPT)
def stored_plan(text: str) -> Plan:
    """Return the plan of a stored definition, with the gates that are stored with it. Raises BlueprintError."""
    return compile_plan(stored_blueprint(text))
