"""The runs that somebody may see, as a store: what they may not see is not there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import structs

from neurocore.persistence.base import RunStore
from neurocore.persistence.records import DayCount, GateEntry, RunFilter, RunPage, RunRecord, RunStatus, Tombstone

#: Methods whose first argument is a run's id, and what they return for a run that is not there.
_OF_A_RUN: dict[str, Callable[[], Any]] = {
    "load_run": lambda: None, "load_summary": lambda: None, "load_steps": list, "load_step": lambda: None,
    "step_summaries": list, "load_events": list, "load_context": dict, "load_values": dict, "load_inputs": dict,
    "load_definition": str, "load_gates": list, "load_gate": lambda: None, "load_ended": list,
}  # fmt: skip

#: Lists are read in pages of so many, until enough of what is visible is found.
_PAGE = 200


class VisibleRuns:
    """A store seen by somebody who may not see every blueprint. Whatever is not about reading goes to the store."""

    def __init__(self, store: RunStore, sees: Callable[[str], bool]) -> None:
        self._store = store
        self.sees = sees
        self._known: dict[str, bool] = {}
        self._names: list[str] | None = None

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        if name not in _OF_A_RUN:
            return found

        def seen(run_id: str, *args: Any, **options: Any) -> Any:
            return found(run_id, *args, **options) if self._is_seen(run_id) else _OF_A_RUN[name]()

        return seen

    def _is_seen(self, run_id: str) -> bool:
        if run_id not in self._known:
            run = self._store.load_summary(run_id)
            self._known[run_id] = run is not None and self.sees(run.blueprint_name)
        return self._known[run_id]

    def _blueprints(self) -> list[str]:
        if self._names is None:
            self._names = [name for name in self._store.blueprint_counts() if self.sees(name)]
        return self._names

    # ---------------------------------------------------------------- lists and counts

    def page_runs(
        self, filter: RunFilter | None = None, *, before: str | None = None, after: str | None = None, limit: int = 50
    ) -> RunPage:
        """Return one page of the runs that are visible."""
        wanted = structs.replace(filter or RunFilter(), blueprints=tuple(self._blueprints()))
        return self._store.page_runs(wanted, before=before, after=after, limit=limit)

    def list_runs(
        self, *, status: RunStatus | None = None, blueprint: str | None = None, limit: int = 50
    ) -> list[RunRecord]:
        """Return the newest visible runs."""
        names = [blueprint] if blueprint is not None else self._blueprints()
        found = [
            run for name in names if self.sees(name)
            for run in self._store.list_runs(status=status, blueprint=name, limit=limit)
        ]  # fmt: skip
        return sorted(found, key=lambda run: run.created_at, reverse=True)[:limit]

    def find_runs(self, prefix: str, *, limit: int = 10) -> list[str]:
        """Return the visible ids that begin with `prefix`: a prefix need be unique among these only."""
        found = (run_id for run_id in self._store.find_runs(prefix, limit=10_000) if self._is_seen(run_id))
        return [run_id for run_id, _ in zip(found, range(limit), strict=False)]

    def list_gates(self, *, limit: int = 50, **options: Any) -> list[GateEntry]:
        """Return the visible gate occurrences."""
        blueprint = options.pop("blueprint", None)
        names = [blueprint] if blueprint is not None else self._blueprints()
        found = [
            entry for name in names if self.sees(name)
            for entry in self._store.list_gates(blueprint=name, limit=limit, **options)
        ]  # fmt: skip
        is_open = any(entry.gate.closed_at is None for entry in found)
        found.sort(
            key=lambda entry: entry.gate.opened_at if is_open else entry.gate.closed_at or "", reverse=not is_open
        )
        return found[:limit]

    def count_open_gates(self) -> int:
        """Return how many visible gates wait."""
        return len(self.list_gates(limit=10_000, narrow=True))

    def failed_runs(self, *, since: str, limit: int = 50) -> list[RunRecord]:
        """Return the visible runs that failed lately."""
        found = self._store.failed_runs(since=since, limit=10_000)
        return [run for run in found if self.sees(run.blueprint_name)][:limit]

    def active_runs(self) -> list[RunRecord]:
        """Return the visible runs that are running or owed."""
        return [run for run in self._store.active_runs() if self.sees(run.blueprint_name)]

    def status_counts(self, *, blueprint: str | None = None) -> dict[RunStatus, int]:
        """Return how many visible runs are in each status."""
        counts: dict[RunStatus, int] = {}
        for name in [blueprint] if blueprint is not None else self._blueprints():
            for status, count in self._store.status_counts(blueprint=name).items() if self.sees(name) else ():
                counts[status] = counts.get(status, 0) + count
        return counts

    def blueprint_counts(self, *, status: RunStatus | None = None) -> dict[str, int]:
        """Return how many runs each visible blueprint has."""
        return {name: n for name, n in self._store.blueprint_counts(status=status).items() if self.sees(name)}

    def day_counts(self, *, since: str, blueprint: str | None = None) -> list[DayCount]:
        """Return visible runs by day and status."""
        counts: dict[tuple[str, RunStatus], int] = {}
        for name in [blueprint] if blueprint is not None else self._blueprints():
            for one in self._store.day_counts(since=since, blueprint=name) if self.sees(name) else ():
                counts[one.day, one.status] = counts.get((one.day, one.status), 0) + one.count
        return [DayCount(day=day, status=status, count=count) for (day, status), count in sorted(counts.items())]

    def load_tombstone(self, run_id: str) -> Tombstone | None:
        """Return the tombstone of a run whose blueprint is visible."""
        found = self._store.load_tombstone(run_id)
        return found if found is not None and self.sees(found.blueprint_name) else None
