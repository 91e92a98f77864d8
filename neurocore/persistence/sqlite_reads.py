"""What is read from the SQLite file: whole runs, narrow ones, pages by key, gates, counts."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from functools import lru_cache
from itertools import product
from typing import Any, TypeVar

import msgspec

from neurocore.forms import spellings
from neurocore.persistence import rows
from neurocore.persistence.base import RunStore
from neurocore.persistence.database import Database
from neurocore.persistence.folding import changes
from neurocore.persistence.projections import complete, search_key, single_filters, summed, unfinished
from neurocore.persistence.records import (
    DayCount,
    Ended,
    Event,
    GateEntry,
    GateRecord,
    GateStatus,
    LogLine,
    Recorded,
    RunFilter,
    RunPage,
    RunRecord,
    RunStatus,
    Signals,
    StepRecord,
    Tombstone,
    a_day_ago,
)
from neurocore.persistence.sqlite_cursors import cursor, gate_key, gate_place, key, place
from neurocore.persistence.troubles import Damaged, TranslateErrors

_Q = rows.queries()
_DAY = 86_400_000_000
_END = "\U0010ffff"
_Made = TypeVar("_Made")
#: How many runs of a list a search looks at before it asks the indexes of titles and ids, and how few titles are found
#: and sorted as quickly by these; first where other filters ask for the whole rows, then where the indexes have all.
_WINDOW, _WIDE_WINDOW = 1_500, 8_000
_FEW, _MANY = 500, 4_000

#: What a filter says in SQL; the only pieces a WHERE is put together from.
_FILTERS: dict[str, str] = {
    "status": "r.status = :status",
    "blueprint": "r.blueprint_name = :blueprint",
    "since": "r.created_at >= :since",
    "until": "r.created_at < :until",
    "tag": "t.tag = :tag",
    "tag_of_run": "EXISTS (SELECT 1 FROM run_tags AS t WHERE t.run = r.run AND t.tag = :tag)",
    "started_by": "r.started_by = :started_by",
    "waiting": "r.open_gates > 0 AND r.held IS NULL",
    "before": "(r.created_at, r.run) < (:created_at, :run)",
    "after": "(r.created_at, r.run) > (:created_at, :run)",
    "before_tagged": "(t.created_at, t.run) < (:created_at, :run)",
    "after_tagged": "(t.created_at, t.run) > (:created_at, :run)",
}
_GATE_FILTERS: dict[str, str] = {
    "open": "g.status = 'open' AND r.held IS NULL",
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


class SQLiteReads(RunStore):
    """The reading half of `SQLiteRunStore`."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def _made(self, make: Callable[..., _Made], *given: Any) -> _Made:
        """What `make` makes of rows. Raises StoreError for one that nothing of ours has written."""
        with TranslateErrors(self._db.path):
            try:
                return make(*given)
            except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError, msgspec.MsgspecError) as error:
                raise Damaged(str(error)) from error

    def _runs(self, found: list[sqlite3.Row]) -> list[RunRecord]:
        return self._made(lambda: list(map(self._run_of, found)))

    def _run_of(self, row: sqlite3.Row) -> RunRecord:
        """A narrow run; where nothing can be written into a copy, what is unfinished stands still all the same."""
        run = rows.run_of(row)
        if self._db.copy is not None and run.held is None and unfinished(run):
            run.held = self._db.copy
        return run

    @property
    def database(self) -> Database:
        """The file, for those who look after it (`neurocore.persistence.admin`)."""
        return self._db

    # ---------------------------------------------------------------- one run

    def load_run(self, run_id: str) -> RunRecord | None:
        """The whole run: definition, data, folded context, gates with answers, activity."""
        with self._db.snapshot():
            row = self._db.row(_Q["load_run"], (run_id,))
            if row is None:
                return None
            run = self._made(rows.widen, self._made(self._run_of, row), row)
            run.gates, run.events = self.load_gates(run_id), self.load_events(run_id)
            return complete(run, self._load_steps(run_id))

    def load_summary(self, run_id: str) -> RunRecord | None:
        """The run's row alone."""
        row = self._db.row(_Q["load_summary"], (run_id,))
        return None if row is None else self._made(self._run_of, row)

    def load_steps(self, run_id: str) -> list[StepRecord]:
        """Every step with what it logged."""
        with self._db.snapshot():
            steps = self._load_steps(run_id)
            by_index = {step.step_index: step for step in steps}
            for row in self._db.rows(_Q["load_logs"], (run_id,)):
                by_index[row["step_index"]].logs.append(self._made(rows.log_of, row))
            return steps

    def _load_steps(self, run_id: str) -> list[StepRecord]:
        found = self._db.rows(_Q["load_steps"], (run_id,))
        return self._made(lambda: [rows.widen_step(rows.step_of(run_id, row), row) for row in found])

    def load_step(self, run_id: str, step_index: int) -> StepRecord | None:
        """One step with what it logged."""
        with self._db.snapshot():
            row = self._db.row(_Q["load_step"], (run_id, step_index))
            if row is None:
                return None
            step = self._made(rows.widen_step, self._made(rows.step_of, run_id, row), row)
            step.logs = self.load_logs(run_id, step_index)
            return step

    def load_logs(self, run_id: str, step_index: int) -> list[LogLine]:
        """What one step logged."""
        return [self._made(rows.log_of, row) for row in self._db.rows(_Q["load_step_logs"], (run_id, step_index))]

    def step_summaries(self, run_id: str, *, after: int = -1, limit: int | None = None) -> list[StepRecord]:
        """Steps beyond an index without their wide columns."""
        found = self._db.rows(_Q["step_summaries"], (run_id, after, -1 if limit is None else limit))
        return self._made(lambda: [rows.step_of(run_id, row) for row in found])

    def load_events(self, run_id: str) -> list[Event]:
        """The run's activity."""
        found = self._db.rows(_Q["load_events"], (run_id,))
        return self._made(lambda: [rows.event_of(row) for row in found])

    def load_gates(self, run_id: str, *, narrow: bool = False) -> list[GateRecord]:
        """The run's gate occurrences with their answers."""
        return self._made(rows.gates_of, self._db.rows(_Q["load_gates_narrow" if narrow else "load_gates"], (run_id,)))

    def load_context(self, run_id: str) -> dict[str, bytes]:
        """The committed context, encoded values by key; nothing is decoded on the way."""
        return self._made(rows.fold_changes, changes(self._db, run_id))

    def load_values(self, run_id: str, keys: Collection[str]) -> dict[str, bytes]:
        """Some values of the committed context; changes in which no key's name stands are not even unpacked."""
        wanted = frozenset(keys)
        if not wanted:
            return {}
        names = [key.encode("utf-8", "surrogatepass") for key in wanted]
        touching = (row for row in changes(self._db, run_id) if any(name in row[1] for name in names))
        context = self._made(rows.fold_changes, touching)
        return {key: data for key, data in context.items() if key in wanted}

    def load_inputs(self, run_id: str) -> dict[str, bytes]:
        """What a run was given, encoded values by key."""
        row = self._db.row(_Q["load_initial_data"], (run_id,))
        return {} if row is None else dict(self._made(rows.initial_of, row["initial_data"]))

    def load_definition(self, run_id: str) -> str:
        """The stored definition of a run."""
        row = self._db.row(_Q["load_definition"], (run_id,))
        return "" if row is None else str(row["definition"])

    def load_ended(self, run_id: str) -> list[Ended]:
        """The steps that ended their visit, read narrow."""
        return self._made(rows.ended_of, self._db.rows(_Q["load_ended"], (run_id,)))

    def load_recorded(self, run_id: str) -> Recorded:
        """All that a driver goes on from, in one walk over the steps; what has ended no visit is read whole."""
        with self._db.snapshot():
            found = self._db.rows(_Q["load_recorded"], {"run_id": run_id})
            steps = [row for row in found if row["step_index"] >= 0]
            inputs = next((row["changes"] for row in found if row["step_index"] < 0), None)
            ended = [row for row in steps if row["edges_taken"] is not None]
            others = self._db.rows(_Q["open_steps"], (run_id,)) if len(ended) < len(steps) else []
        changes = [(row["commit_index"], row["changes"]) for row in found if row["changes"] is not None]
        return Recorded(
            inputs={} if inputs is None else dict(self._made(rows.initial_of, inputs)),
            context=self._made(rows.fold_changes, sorted(changes, key=rows.first)),
            ended=self._made(rows.ended_of, ended),
            others=[self._made(rows.open_step_of, run_id, row) for row in others],
        )

    def signals(self, run_id: str) -> Signals | None:
        """What the driver must notice: one row by its key."""
        row = self._db.row(_Q["signals"], (run_id,))
        if row is None:
            return None
        return Signals(
            epoch=row["epoch"], owner=row["owner"], cancel_requested=row["cancel_requested"], owed=row["owed"],
            version=row["version"],
        )  # fmt: skip

    def load_tombstone(self, run_id: str) -> Tombstone | None:
        """What is left of a deleted run."""
        row = self._db.row(_Q["load_tombstone"], (run_id,))
        return None if row is None else Tombstone(**dict(row))

    def load_request(self, key: str) -> tuple[str, bytes] | None:
        """What an idempotency key was answered with, within the last day."""
        row = self._db.row(_Q["load_request"], (key, rows.micros(a_day_ago())))
        return None if row is None else (row["digest"], row["answer"])

    # ---------------------------------------------------------------- many runs

    def list_runs(
        self, *, status: RunStatus | None = None, blueprint: str | None = None, limit: int = 50
    ) -> list[RunRecord]:
        """Narrow runs, newest first."""
        wanted = RunFilter(status=(status,) if status else (), blueprint=blueprint)
        return self.page_runs(wanted, limit=limit).runs

    def page_runs(
        self, filter: RunFilter | None = None, *, before: str | None = None, after: str | None = None, limit: int = 50
    ) -> RunPage:
        """One page by key: (created_at, run), newest first. Raises InputError for a cursor that no page gave."""
        wanted = filter or RunFilter()
        if after is not None:
            before = None
        found: list[sqlite3.Row] = []
        singles = single_filters(wanted)
        for one in singles:  # each by its own index, then merged: an IN would have to sort all that it finds
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
        """Rows of one list (one status at most) from a key on, in the order of reading."""
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
        if wanted.text:
            return self._search(wanted.text, asked, values, order)
        if wanted.tag is not None:
            names = [f"{name}_tagged" if name in ("before", "after") else name for name in asked]
            return self._db.rows(_filled("page_tagged", [_FILTERS[name] for name in names], order), values)
        return self._db.rows(_filled("page_runs", [_FILTERS[name] for name in asked], order), values)

    def _search(self, text: str, asked: dict[str, Any], values: dict[str, Any], order: str) -> list[sqlite3.Row]:
        """Titles and ids that begin with `text`: a common beginning is near, a rare one has few; both are quick."""
        title = search_key(text)
        filtered = bool(asked.keys() - {"before", "after"})
        few = _FEW if filtered else _MANY
        values = {
            **values, "title": title, "title_end": title + _END, "id": text, "id_end": text + _END, "few": few,
            "window": _WINDOW if filtered else _WIDE_WINDOW,
        }  # fmt: skip
        clauses = [_FILTERS["tag_of_run" if name == "tag" else name] for name in asked]
        counted = self._db.row(_Q["begin_so"], values)
        if counted is not None and counted[0] == few:
            found = self._db.rows(_filled("search_near", clauses, order), values)
            if len(found) == values["limit"]:
                return found
            looked_at = self._db.row(_filled("window", clauses, order), values)
            if looked_at is not None and looked_at[0] < values["window"]:
                return found  # that was the whole list
        return self._db.rows(_filled("search_all", clauses, order), values)

    def find_runs(self, prefix: str, *, limit: int = 10) -> list[str]:
        """Ids that begin with `prefix`, by the index over ids."""
        return [row["run_id"] for row in self._db.rows(_Q["find_runs"], (prefix, prefix + _END, limit))]

    def active_runs(self) -> list[RunRecord]:
        """Runs that are running or owed and do not stand still."""
        return self._runs(self._db.rows(_Q["active_runs"])) if self._db.copy is None else []

    def count_held_runs(self) -> int:
        """How many runs stand still, by their index."""
        row = self._db.row(_Q["count_held_runs"], (self._db.copy is not None,))
        return int(row[0]) if row is not None else 0

    def failed_runs(self, *, since: str, limit: int = 50) -> list[RunRecord]:
        """What failed last, by the index of when it ended."""
        return self._runs(self._db.rows(_Q["failed_runs"], (rows.micros(since), limit)))

    def status_counts(self, *, blueprint: str | None = None) -> dict[RunStatus, int]:
        """How many runs are in each status."""
        if blueprint is None:
            found = self._db.rows(_Q["status_counts"])
        else:
            names = spellings(blueprint)
            found = [row for one in names for row in self._db.rows(_Q["status_counts_of_blueprint"], (one,))]
        counts = Counter[RunStatus]()
        for status, count in found:
            counts[self._made(RunStatus, status)] += count
        return dict(counts)

    def blueprint_counts(self, *, status: RunStatus | None = None) -> dict[str, int]:
        """How many runs each blueprint has."""
        return {row[0]: row[1] for row in self._db.rows(_Q["blueprint_counts"], (status, status))}

    def day_counts(self, *, since: str, blueprint: str | None = None) -> list[DayCount]:
        """Runs by the day they started and by status."""
        first = rows.micros(f"{since[:10]}T00:00:00+00:00") // _DAY
        names = spellings(blueprint)
        found = [row for one in names for row in self._db.rows(_Q["day_counts"], (first, one, one))]
        return summed(self._made(lambda: list(map(rows.day_of, found))))

    # ---------------------------------------------------------------- gates of many runs

    def count_open_gates(self) -> int:
        """How many gates and inputs wait for a person."""
        row = self._db.row(_Q["count_open_gates"]) if self._db.copy is None else None
        return int(row[0]) if row is not None else 0

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
    ) -> list[GateEntry]:
        """Gate occurrences over all runs, by the index of their order."""
        order = "open" if GateStatus.OPEN in status else "closed"
        values: dict[str, Any] = {
            "blueprint": blueprint, "by": by, "before": None if before is None else rows.micros(before), "limit": limit,
        }  # fmt: skip
        asked = [_GATE_FILTERS[name] for name in ("blueprint", "by", "before") if values[name] is not None]
        if after is not None:
            values |= gate_key(after)
            asked.append(_GATE_FILTERS[f"after_{order}"])
        found: list[sqlite3.Row] = []
        for one in dict.fromkeys(status):
            if one is GateStatus.OPEN and self._db.copy is not None:
                continue
            kind = _GATE_FILTERS["open" if one is GateStatus.OPEN else "closed"]
            sql = _filled("list_gates_narrow" if narrow else "list_gates", [kind, *asked], _GATE_ORDERS[order])
            for name, who in product(spellings(blueprint), spellings(by)):
                found += self._db.rows(sql, {**values, "status": one.value, "blueprint": name, "by": who})
        found.sort(key=lambda row: gate_place(row, order), reverse=order == "closed")
        return [entry for row in found[:limit] if (entry := self._entry(row, order)) is not None]

    def _entry(self, row: sqlite3.Row, order: str) -> GateEntry | None:
        run = self.load_summary(row["run_id"])
        gate, at = self._gate(row), row["opened_at" if order == "open" else "closed_at"]
        cursor = f"{at:x}-{row['run']:x}-{row['visit']:x}-{row['node_id']}"
        return None if run is None else GateEntry(run=run, gate=gate, cursor=cursor)

    def _gate(self, row: sqlite3.Row) -> GateRecord:
        gate = self._made(rows.gate_of, row)
        answers = self._db.rows(_Q["gate_answers"], (row["run"], row["node_id"], row["visit"]))
        gate.answers = [self._made(rows.answer_of, answer) for answer in answers]
        return gate

    def load_gate(self, run_id: str, node_id: str, visit: int) -> GateRecord | None:
        """One gate occurrence with its answers."""
        with self._db.snapshot():
            row = self._db.row(_Q["load_gate"], (run_id, node_id, visit))
            return None if row is None else self._gate(row)


def _asked(wanted: RunFilter) -> dict[str, Any]:
    """The filters that are given, by name, with their values."""
    given = {
        "status": wanted.status[0].value if wanted.status else None,
        "blueprint": wanted.blueprint,
        "since": None if wanted.since is None else rows.micros(wanted.since),
        "until": None if wanted.until is None else rows.micros(wanted.until),
        "tag": wanted.tag,
        "started_by": wanted.started_by,
        "waiting": wanted.waiting or None,
    }
    return {name: value for name, value in given.items() if value is not None}


@lru_cache(maxsize=256)
def _sql(name: str, clauses: tuple[str, ...], order: str) -> str:
    return _Q[name].replace("{filters}", " AND ".join(clauses) or "TRUE").replace("{order}", order)


def _filled(name: str, clauses: Sequence[str], order: str) -> str:
    """A named query with pieces of the tables above in its places."""
    return _sql(name, tuple(clauses), order)
