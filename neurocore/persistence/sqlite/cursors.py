"""The places of rows in a list, and the cursors of its pages."""

from __future__ import annotations

import re
import sqlite3
from typing import Any

from neurocore.persistence.projections import no_cursor


def place(row: sqlite3.Row) -> tuple[int, int]:
    """Return the place of a run in lists."""
    return row["created_at"], row["run"]


def cursor(row: sqlite3.Row) -> str:
    """Return the same as text."""
    return f"{row['created_at']:x}-{row['run']:x}"


def key(name: str, given: str) -> dict[str, int]:
    """Return the key in a cursor. Raises InputError for one that `cursor` did not make."""
    match = _CURSOR.fullmatch(given)
    if match is None:
        raise no_cursor(name, given)
    return {"created_at": int(match.group(1), 16), "run": int(match.group(2), 16)}


_CURSOR = re.compile(r"(-?[0-9a-f]{1,15})-([0-9a-f]{1,15})")


def gate_place(row: sqlite3.Row, order: str) -> tuple[int, int, str, int]:
    """Return the place of a gate occurrence in a list of this order."""
    return row["opened_at" if order == "open" else "closed_at"], row["run"], row["node_id"], row["visit"]


def gate_key(given: str) -> dict[str, Any]:
    """Return the key in an entry's cursor. Raises InputError for one that no entry had."""
    match = _GATE_CURSOR.fullmatch(given)
    if match is None:
        raise no_cursor("after", given)
    at, run, visit = (int(match.group(place), 16) for place in (1, 2, 3))
    return {"at": at, "run": run, "visit": visit, "node_id": match.group(4)}


_GATE_CURSOR = re.compile(rf"{_CURSOR.pattern}-([0-9a-f]{{1,8}})-(.*)", re.DOTALL)
