"""Lists over all runs in SQLite: pages by key, searches, gates, counts."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Collection, Sequence
from functools import lru_cache
from itertools import product
from typing import Any

from neurocore.forms import spellings
from neurocore.persistence import rows
from neurocore.persistence.contract.lists import Lists
from neurocore.persistence.projections import search_key, single_filters, summed
from neurocore.persistence.queries import Query, queries
from neurocore.persistence.records import (
    DayCount,
    GateEntry,
    GateStatus,
    RunFilter,
    RunPage,
    RunRecord,
    RunStatus,
)
from neurocore.persistence.sqlite.cursors import cursor, gate_key, gate_place, key, place
from neurocore.persistence.sqlite.decisions import SQLiteDecisions

_Q = queries()
_DAY = 86_400_000_000
_END = "\U0010ffff"
#: How many runs of a list a search reads before it uses the indexes of titles and ids, and up to how many titles
#: these find and sort as quickly; first if other filters need the whole rows, then if the indexes contain everything.
_WINDOW, _WIDE_WINDOW = 1_500, 8_000
_FEW, _MANY = 500, 4_000
#: For somebody who may see some blueprints: how many runs of a list are read before each blueprint is read by its own
#: index, and up to how many blueprints that comes first.
_SEEN_WINDOW, _FEW_NAMES = 1_000, 20
#: Filters that the index of one blueprint, or of one status of it, is in the order of.
_INDEXED = {"status", "since", "until", "before", "after"}

#: What a filter is in SQL; a WHERE consists only of these pieces.
_FILTERS: dict[str, str] = {
    "status": "r.status = :status",
    "blueprint": "r.blueprint_name = :blueprint",
    "since": "r.created_at >= :since",
    "until": "r.created_at < :until",
    "tag": "t.tag = :tag",
    "tag_of_run": "EXISTS (SELECT 1 FROM run_tags AS t WHERE t.run = r.run AND t.tag = :tag)",
    "started_by": "r.started_by = :started_by",
    # The plus keeps SQLite from reading all runs of these blueprints, to sort them.
    "blueprints": "+r.blueprint_name IN (SELECT value FROM json_each(:blueprints))",
    "waiting": "r.open_gates > 0 AND r.held IS NULL",
    "before": "(r.created_at, r.run) < (:created_at, :run)",
    "after": "(r.created_at, r.run) > (:created_at, :run)",
    "before_tagged": "(t.created_at, t.run) < (:created_at, :run)",
    "after_tagged": "(t.created_at, t.run) > (:created_at, :run)",
}
_GATE_FILTERS: dict[str, str] = {
    "open": "g.status = 'open' AND r.held IS NULL",
    "blueprints": "+g.blueprint_name IN (SELECT value FROM json_each(:blueprints))",
    "closed": "g.closed_at IS NOT NULL AND g.status = :status",
    "blueprint": "g.blueprint_name = :blueprint",
    "by": "g.decided_by = :by",
    "before": "g.closed_at < :before",
    "after_open": "(g.opened_at, g.run, g.node_id, g.visit) > (:at, :run, :node_id, :visit)",
    "after_closed": "(g.closed_at, g.run, g.node_id, g.visit) < (:at, :run, :node_id, :visit)",
}
_GATE_ORDERS = {
    "open": "g.opened_at, g.run, g.node_id, g.visit",
    "closed": "g.closed_at DESC, g.run DESC, g.node_id DESC, g.visit DESC",
}


class SQLiteLists(SQLiteDecisions, Lists):
    """List, find and count, each by an index."""

    def list_runs(
        self, *, status: RunStatus | None = None, blueprint: str | None = None, limit: int = 50
    ) -> list[RunRecord]:
        """Return narrow runs, newest first."""
        wanted = RunFilter(status=(status,) if status else (), blueprint=blueprint)
        return self.page_runs(wanted, limit=limit).runs

    def page_runs(
        self, filter: RunFilter | None = None, *, before: str | None = None, after: str | None = None, limit: int = 50
    ) -> RunPage:
        """Return one page by key: (created_at, run), newest first. Raises InputError for a cursor of no page."""
        wanted = filter or RunFilter()
        if after is not None:
            before = None
        found: list[sqlite3.Row] = []
        singles = single_filters(wanted)
        for one in singles:  # each by its own index, then merged: an IN would have to sort all matches
            found += self._keyed(one, before, after, limit + 1)
        if len(singles) > 1:  # a run may have a tag in two forms
            found = list({place(row): row for row in found}.values())
        found.sort(key=place, reverse=after is None)
        more = len(found) > limit
        found = found[:limit]
        if after is not None:
            found.reverse()
        if not found:
            return RunPage(runs=[])
        first, last = cursor(found[0]), cursor(found[-1])
        older = more if after is None else True
        newer = more if after is not None else before is not None
        return RunPage(
            runs=self._runs(found),
            older=last if older else None,
            newer=first if newer else None,
        )

    def _keyed(self, wanted: RunFilter, before: str | None, after: str | None, limit: int) -> list[sqlite3.Row]:
        """Return rows of one list (one status at most) from a key on, in the order of reading."""
        if wanted.waiting and self._db.copy is not None:
            return []
        asked = _asked(wanted)
        order = "DESC"
        values: dict[str, Any] = {**asked, "limit": limit}
        cursor = after if after is not None else before
        if cursor is not None:
            name = "after" if after is not None else "before"
            values |= key(name, cursor)
            asked[name] = None
            order = "ASC" if after is not None else "DESC"
        if wanted.blueprints is not None and not wanted.text and asked.keys() - {"blueprints"} <= _INDEXED:
            return self._visible(len(wanted.blueprints), asked, values, order)
        if wanted.text:
            return self._search(wanted.text, asked, values, order)
        if wanted.tag is not None:
            names = [f"{name}_tagged" if name in ("before", "after") else name for name in asked]
            return self._filled("page_tagged", [_FILTERS[name] for name in names], order, values)
        return self._filled("page_runs", [_FILTERS[name] for name in asked], order, values)

    def _visible(self, names: int, asked: dict[str, Any], values: dict[str, Any], order: str) -> list[sqlite3.Row]:
        """Return the next runs of some blueprints: soon found if there are many, else by the index of each."""
        clauses = [_FILTERS[name] for name in asked if name != "blueprints"]
        values = {**values, "window": _SEEN_WINDOW}
        if names > _FEW_NAMES:
            found = self._filled("page_near", clauses, order, values)
            if len(found) == values["limit"]:
                return found
        return self._filled("page_by_names", clauses or ["TRUE"], order, values)

    def _search(self, text: str, asked: dict[str, Any], values: dict[str, Any], order: str) -> list[sqlite3.Row]:
        """Find titles and ids that begin with `text`. A common beginning is found soon, a rare one has few matches."""
        title = search_key(text)
        filtered = bool(asked.keys() - {"before", "after"})
        few = _FEW if filtered else _MANY
        values = {
            **values, "title": title, "title_end": title + _END, "id": text, "id_end": text + _END, "few": few,
            "window": _WINDOW if filtered else _WIDE_WINDOW,
        }  # fmt: skip
        clauses = [_FILTERS["tag_of_run" if name == "tag" else name] for name in asked]
        counted = self._db.row(*_Q["begin_so"].bind_some(values))
        if counted is not None and counted["n"] == few:
            found = self._filled("search_near", clauses, order, values)
            if len(found) == values["limit"]:
                return found
            looked_at = self._filled("window", clauses, order, values)
            if looked_at and looked_at[0]["n"] < values["window"]:
                return found  # that was the whole list
        return self._filled("search_all", clauses, order, values)

    def _filled(self, name: str, clauses: Sequence[str], order: str, values: dict[str, Any]) -> list[sqlite3.Row]:
        return self._db.rows(*_filled(name, tuple(clauses), order).bind_some(values))

    def find_runs(self, prefix: str, *, limit: int = 10, blueprints: Collection[str] | None = None) -> list[str]:
        """Return ids that begin with `prefix`, by the index over ids."""
        given: dict[str, Any] = {"first": prefix, "end": prefix + _END, "limit": limit}
        name = "find_runs"
        if blueprints is not None:
            name, given["blueprints"] = "find_visible_runs", _names(blueprints)
        return [row["run_id"] for row in self._rows(name, **given)]

    def failed_runs(self, *, since: str, limit: int = 50, blueprints: Collection[str] | None = None) -> list[RunRecord]:
        """Return the runs that failed last, by the index of their end."""
        seen = _names(blueprints)
        return self._runs(self._rows("failed_runs", since=rows.micros(since), limit=limit, blueprints=seen))

    def list_gates(
        self,
        *,
        status: tuple[GateStatus, ...] = (GateStatus.OPEN,),
        blueprint: str | None = None,
        by: str | None = None,
        before: str | None = None,
        after: str | None = None,
        limit: int = 50,
        narrow: bool = False,
        blueprints: Collection[str] | None = None,
    ) -> list[GateEntry]:
        """Return gate occurrences of all runs, by the index of their order."""
        few = blueprints is not None and blueprint is None and len(blueprints) <= _FEW_NAMES
        order = "open" if GateStatus.OPEN in status else "closed"
        values: dict[str, Any] = {
            "blueprint": blueprint, "by": by, "before": None if before is None else rows.micros(before), "limit": limit,
            "blueprints": None if few else _names(blueprints),
        }  # fmt: skip
        asked = [_GATE_FILTERS[name] for name in ("by", "before", "blueprints") if values[name] is not None]
        if few or blueprint is not None:
            asked.append(_GATE_FILTERS["blueprint"])
        names = list(blueprints or ()) if few else spellings(blueprint)
        if after is not None:
            values |= gate_key(after)
            asked.append(_GATE_FILTERS[f"after_{order}"])
        found: list[sqlite3.Row] = []
        for one in dict.fromkeys(status):
            if one is GateStatus.OPEN and self._db.copy is not None:
                continue
            kind = _GATE_FILTERS["open" if one is GateStatus.OPEN else "closed"]
            name = "list_gates_narrow" if narrow else "list_gates"
            for written, who in product(names, spellings(by)):
                given = {**values, "status": one.value, "blueprint": written, "by": who}
                found += self._filled(name, [kind, *asked], _GATE_ORDERS[order], given)
        found.sort(key=lambda row: gate_place(row, order), reverse=order == "closed")
        return [entry for row in found[:limit] if (entry := self._entry(row, order)) is not None]

    def _entry(self, row: sqlite3.Row, order: str) -> GateEntry | None:
        run = self.load_summary(row["run_id"])
        gate, at = self._gate(row), row["opened_at" if order == "open" else "closed_at"]
        cursor = f"{at:x}-{row['run']:x}-{row['visit']:x}-{row['node_id']}"
        return None if run is None else GateEntry(run=run, gate=gate, cursor=cursor)

    def count_open_gates(self, *, blueprints: Collection[str] | None = None) -> int:
        """Return how many gates and inputs wait for a person."""
        if self._db.copy is not None:
            return 0
        row = (
            self._row("count_open_gates")
            if blueprints is None
            else self._row("count_visible_open_gates", blueprints=_names(blueprints))
        )
        return int(row["n"]) if row is not None else 0

    def count_held_runs(self, *, blueprints: Collection[str] | None = None) -> int:
        """Return how many runs are held, by their index."""
        row = self._row("count_held_runs", is_copy=self._db.copy is not None, blueprints=_names(blueprints))
        return int(row["n"]) if row is not None else 0

    def status_counts(
        self, *, blueprint: str | None = None, blueprints: Collection[str] | None = None
    ) -> dict[RunStatus, int]:
        """Return how many runs have each status."""
        if blueprint is None and blueprints is not None:
            found = self._rows("visible_status_counts", blueprints=_names(blueprints))
        elif blueprint is None:
            found = self._rows("status_counts")
        else:
            names = [one for one in spellings(blueprint) if blueprints is None or one in blueprints]
            found = [row for one in names for row in self._rows("status_counts_of_blueprint", blueprint=one)]
        counts = Counter[RunStatus]()
        for row in found:
            counts[self._made(RunStatus, row["status"])] += row["n"]
        return dict(counts)

    def blueprint_counts(self, *, status: RunStatus | None = None) -> dict[str, int]:
        """Return how many runs each blueprint has."""
        return {row["blueprint_name"]: row["n"] for row in self._rows("blueprint_counts", status=status)}

    def day_counts(
        self, *, since: str, blueprint: str | None = None, blueprints: Collection[str] | None = None
    ) -> list[DayCount]:
        """Count runs by the day they started and by status."""
        first = rows.micros(f"{since[:10]}T00:00:00+00:00") // _DAY
        names, seen = spellings(blueprint), _names(blueprints)
        found = [
            row for one in names for row in self._rows("day_counts", first_day=first, blueprint=one, blueprints=seen)
        ]
        return summed(self._made(lambda: list(map(rows.day_of, found))))


def _asked(wanted: RunFilter) -> dict[str, Any]:
    """Return the given filters, by name, with their values."""
    given = {
        "status": wanted.status[0].value if wanted.status else None,
        "blueprint": wanted.blueprint,
        "since": None if wanted.since is None else rows.micros(wanted.since),
        "until": None if wanted.until is None else rows.micros(wanted.until),
        "tag": wanted.tag,
        "started_by": wanted.started_by,
        "blueprints": None if wanted.blueprints is None else json.dumps(wanted.blueprints),
        "waiting": wanted.waiting or None,
    }
    return {name: value for name, value in given.items() if value is not None}


def _names(blueprints: Collection[str] | None) -> str | None:
    """Return names as the parameter of a query."""
    return None if blueprints is None else json.dumps(list(blueprints))


@lru_cache(maxsize=256)
def _filled(name: str, clauses: tuple[str, ...], order: str) -> Query:
    """Return a named query with pieces of the tables above filled in."""
    return _Q[name].filled(filters=" AND ".join(clauses) or "TRUE", order=order)
