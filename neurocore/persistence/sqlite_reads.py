"""What is read from the SQLite file: whole runs, narrow ones, pages by key, gates, counts."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from neurocore.persistence import rows
from neurocore.persistence.base import (
    DayCount,
    Event,
    GateEntry,
    GateRecord,
    GateStatus,
    LogLine,
    RunFilter,
    RunPage,
    RunRecord,
    RunStatus,
    RunStore,
    Signals,
    StepRecord,
    Tombstone,
    complete,
)
from neurocore.persistence.database import Database

_Q = rows.queries()
_FROM = f"SELECT {rows.NARROW} FROM runs AS r JOIN blueprints AS b ON b.id = r.blueprint"
_DAY = 86_400_000_000

#: What a filter says in SQL; the only pieces a WHERE is put together from.
_FILTERS: dict[str, str] = {
    "blueprint": "r.blueprint_name = ?",
    "since": "r.created_at >= ?",
    "until": "r.created_at < ?",
    "tag": "r.run IN (SELECT run FROM run_tags WHERE tag = ?)",
    "started_by": "r.started_by = ?",
    "waiting": "r.open_gates > 0",
    "text": "(r.run IN (SELECT run FROM runs WHERE title >= ? COLLATE NOCASE AND title < ? COLLATE NOCASE) "
    "OR (r.run_id >= ? AND r.run_id < ?))",
}


class SQLiteReads(RunStore):
    """The reading half of `SQLiteRunStore`."""

    def __init__(self, database: Database) -> None:
        self._db = database

    # ---------------------------------------------------------------- one run

    def load_run(self, run_id: str) -> RunRecord | None:
        """The whole run: definition, data, folded context, gates with answers, activity."""
        row = self._db.row(_Q["load_run"], (run_id,))
        if row is None:
            return None
        run = rows.widen(rows.run_of(row), row)
        run.gates, run.events = self.load_gates(run_id), self.load_events(run_id)
        return complete(run, self._load_steps(run_id))

    def load_summary(self, run_id: str) -> RunRecord | None:
        """The run's row alone."""
        row = self._db.row(_Q["load_summary"], (run_id,))
        return None if row is None else rows.run_of(row)

    def load_steps(self, run_id: str) -> list[StepRecord]:
        """Every step with what it logged."""
        steps = self._load_steps(run_id)
        by_index = {step.step_index: step for step in steps}
        for row in self._db.rows(_Q["load_logs"], (run_id,)):
            step = by_index.get(row["step_index"])
            if step is not None:
                step.logs.append(rows.log_of(row))
        return steps

    def _load_steps(self, run_id: str) -> list[StepRecord]:
        found = self._db.rows(_Q["load_steps"], (run_id,))
        return [rows.widen_step(rows.step_of(run_id, row), row) for row in found]

    def load_step(self, run_id: str, step_index: int) -> StepRecord | None:
        """One step with what it logged."""
        row = self._db.row(_Q["load_step"], (run_id, step_index))
        if row is None:
            return None
        step = rows.widen_step(rows.step_of(run_id, row), row)
        step.logs = self.load_logs(run_id, step_index)
        return step

    def load_logs(self, run_id: str, step_index: int) -> list[LogLine]:
        """What one step logged."""
        return [rows.log_of(row) for row in self._db.rows(_Q["load_step_logs"], (run_id, step_index))]

    def step_summaries(self, run_id: str, *, after: int = -1, limit: int | None = None) -> list[StepRecord]:
        """Steps beyond an index without their wide columns."""
        found = self._db.rows(_Q["step_summaries"], (run_id, after, -1 if limit is None else limit))
        return [rows.step_of(run_id, row) for row in found]

    def load_events(self, run_id: str) -> list[Event]:
        """The run's activity."""
        return [rows.event_of(row) for row in self._db.rows(_Q["load_events"], (run_id,))]

    def load_gates(self, run_id: str) -> list[GateRecord]:
        """The run's gate occurrences with their answers."""
        with self._db.read() as connection:
            found = connection.execute(_Q["load_gates"], (run_id,)).fetchall()
            answers = connection.execute(_Q["load_answers"], (run_id,)).fetchall() if found else []
        return rows.gates_of(found, answers)

    def load_context(self, run_id: str) -> dict[str, bytes]:
        """The committed context, encoded values by key; nothing is decoded on the way."""
        row = self._db.row(_Q["load_initial_data"], (run_id,))
        if row is None:
            return {}
        context = dict(rows.initial_of(row["initial_data"]))
        for step in self._db.rows(_Q["load_changes"], (run_id,)):
            changes = rows.changes_of(step["changes"])
            for key in changes.deleted:
                context.pop(key, None)
            context.update(changes.set)
        return context

    def signals(self, run_id: str) -> Signals | None:
        """What the driver must notice: one row by its key."""
        row = self._db.row(_Q["signals"], (run_id,))
        if row is None:
            return None
        return Signals(
            epoch=row["epoch"], cancel_requested=row["cancel_requested"], owed=row["owed"], version=row["version"]
        )

    def load_tombstone(self, run_id: str) -> Tombstone | None:
        """What is left of a deleted run."""
        row = self._db.row(_Q["load_tombstone"], (run_id,))
        return None if row is None else Tombstone(**dict(row))

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
        """One page by key: (created_at, run), newest first."""
        wanted = filter or RunFilter()
        if len(wanted.status) > 1:
            return self._merged(wanted, before, after, limit)
        found = self._keyed(wanted, before=before, after=after, limit=limit + 1)
        more = len(found) > limit
        found = found[:limit]
        if after is not None:
            found.reverse()
        return self._page(wanted, found, before, after, more)

    def _merged(self, wanted: RunFilter, before: str | None, after: str | None, limit: int) -> RunPage:
        """Several statuses: a page of each by its own index, merged; an IN would have to sort all of them."""
        from msgspec import structs

        found: list[sqlite3.Row] = []
        for status in dict.fromkeys(wanted.status):
            one = structs.replace(wanted, status=(status,))
            found += self._keyed(one, before=before, after=after, limit=limit + 1)
        found.sort(key=lambda row: (row["created_at"], row["run"]), reverse=after is None)
        more = len(found) > limit
        found = found[:limit]
        if after is not None:
            found.reverse()
        return self._page(wanted, found, before, after, more)

    def _page(
        self, wanted: RunFilter, found: list[sqlite3.Row], before: str | None, after: str | None, more: bool
    ) -> RunPage:
        if not found:
            return RunPage(runs=[])
        first, last = _cursor(found[0]), _cursor(found[-1])
        older = more if after is None else True
        newer = more if after is not None else before is not None
        return RunPage(
            runs=[rows.run_of(row) for row in found], older=last if older else None, newer=first if newer else None
        )

    def _keyed(self, wanted: RunFilter, *, before: str | None, after: str | None, limit: int) -> list[sqlite3.Row]:
        clauses, values = _where(wanted)
        for cursor, comparison in ((before, "<"), (after, ">")):
            if cursor is not None:
                clauses.append(f"(r.created_at, r.run) {comparison} (?, ?)")
                values += _key(cursor)
        order = "ASC" if after is not None else "DESC"
        where = f" WHERE {' AND '.join(clauses)}" if clauses else ""
        sql = f"{_FROM}{where} ORDER BY r.created_at {order}, r.run {order} LIMIT ?"
        return self._db.rows(sql, (*values, limit))

    def find_runs(self, prefix: str, *, limit: int = 10) -> list[str]:
        """Ids that begin with `prefix`, by the index over ids."""
        found = self._db.rows(_Q["find_runs"], (prefix, prefix + "\U0010ffff", limit))
        return [row["run_id"] for row in found if row["run_id"].startswith(prefix)]

    def active_runs(self) -> list[RunRecord]:
        """Runs that are running or owed."""
        return [rows.run_of(row) for row in self._db.rows(_Q["active_runs"])]

    def status_counts(self, *, blueprint: str | None = None) -> dict[RunStatus, int]:
        """How many runs are in each status."""
        if blueprint is None:
            found = self._db.rows(_Q["status_counts"])
        else:
            found = self._db.rows(_Q["status_counts_of_blueprint"], (blueprint,))
        return {RunStatus(row[0]): row[1] for row in found}

    def blueprint_counts(self, *, status: RunStatus | None = None) -> dict[str, int]:
        """How many runs each blueprint has."""
        return {row[0]: row[1] for row in self._db.rows(_Q["blueprint_counts"], (status, status))}

    def day_counts(self, *, since: str, blueprint: str | None = None) -> list[DayCount]:
        """Runs by the day they started and by status."""
        first = rows.micros(f"{since[:10]}T00:00:00+00:00") // _DAY
        epoch = datetime(1970, 1, 1, tzinfo=UTC)
        return [
            DayCount(
                day=(epoch + timedelta(days=row["day"])).strftime("%Y-%m-%d"), status=RunStatus(row["status"]), count=row[2]
            )
            for row in self._db.rows(_Q["day_counts"], (first, blueprint, blueprint))
        ]

    # ---------------------------------------------------------------- gates of many runs

    def count_open_gates(self) -> int:
        """How many gates and inputs wait for a person."""
        row = self._db.row(_Q["count_open_gates"])
        return int(row[0]) if row is not None else 0

    def list_gates(
        self,
        *,
        status: tuple[GateStatus, ...] = (GateStatus.OPEN,),
        blueprint: str | None = None,
        by: str | None = None,
        before: str | None = None,
        limit: int = 50,
    ) -> list[GateEntry]:
        """Gate occurrences over all runs, by the index of their status."""
        marks = ", ".join("?" * len(status))
        clauses, values = [f"g.status IN ({marks})"], [one.value for one in status]
        for clause, value in (("r.blueprint_name = ?", blueprint), (_DECIDED_BY, by)):
            if value is not None:
                clauses.append(clause)
                values.append(value)
        if before is not None:
            clauses.append("g.closed_at < ?")
            values.append(rows.micros(before))  # type: ignore[arg-type]
        order = "g.opened_at" if GateStatus.OPEN in status else "g.closed_at DESC"
        sql = (
            f"SELECT g.*, r.run_id FROM gates AS g JOIN runs AS r ON r.run = g.run WHERE {' AND '.join(clauses)} "
            f"ORDER BY {order} LIMIT ?"
        )
        found = self._db.rows(sql, (*values, limit))
        return [entry for row in found if (entry := self._entry(row)) is not None]

    def _entry(self, row: sqlite3.Row) -> GateEntry | None:
        run = self.load_summary(row["run_id"])
        if run is None:
            return None
        (gate,) = rows.gates_of([row], self._db.rows(_Q["load_answers"], (row["run_id"],)))
        return GateEntry(run=run, gate=gate)


_DECIDED_BY = (
    "EXISTS (SELECT 1 FROM answers AS a WHERE a.run = g.run AND a.node_id = g.node_id AND a.visit = g.visit AND a.by = ?)"
)


def _where(wanted: RunFilter) -> tuple[list[str], list[Any]]:
    clauses, values = [], []
    if wanted.status:
        clauses.append("r.status = ?")
        values.append(wanted.status[0].value)
    given: list[tuple[str, Any, Callable[[Any], list[Any]]]] = [
        ("blueprint", wanted.blueprint, lambda value: [value]),
        ("since", wanted.since, lambda value: [rows.micros(value)]),
        ("until", wanted.until, lambda value: [rows.micros(value)]),
        ("tag", wanted.tag, lambda value: [value]),
        ("started_by", wanted.started_by, lambda value: [value]),
        ("waiting", wanted.waiting or None, lambda value: []),
        ("text", wanted.text or None, lambda value: [value, value + "\U0010ffff"] * 2),
    ]
    for name, value, parameters in given:
        if value is not None:
            clauses.append(_FILTERS[name])
            values += parameters(value)
    return clauses, values


def _cursor(row: sqlite3.Row) -> str:
    return f"{row['created_at']:x}-{row['run']:x}"


def _key(cursor: str) -> list[int]:
    """The key in a cursor; one that nobody made is the end of the list."""
    try:
        created, _, run = cursor.partition("-")
        values = [int(created, 16), int(run, 16)]
    except ValueError:
        return [0, 0]
    return [min(value, 2**62) for value in values]
