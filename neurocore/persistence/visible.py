"""The runs that somebody may see, as a store: what they may not see is not there."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from msgspec import structs

from neurocore.forms import spellings
from neurocore.persistence.base import RunStore
from neurocore.persistence.records import (
    DayCount,
    Event,
    GateEntry,
    RunFilter,
    RunPage,
    RunRecord,
    RunStatus,
    Tombstone,
)

#: Methods whose first argument is a run's id, and what they return for a run that is not there.
_OF_A_RUN: dict[str, Callable[[], Any]] = {
    "load_run": lambda: None, "load_summary": lambda: None, "load_steps": list, "load_step": lambda: None,
    "step_summaries": list, "load_events": list, "load_context": dict, "load_values": dict, "load_inputs": dict,
    "load_definition": str, "load_gates": list, "load_gate": lambda: None, "load_ended": list,
}  # fmt: skip


#: Those of them whose records may name another run.
_NAMES_A_RUN = ("load_run", "load_summary", "load_events")
#: The kinds of events that may name another run: the original of a replay, or the run whose step started this one.
_NAMES_ANOTHER = ("started", "replayed")


class VisibleRuns:
    """A store seen by somebody who may not see every blueprint. Whatever is not about reading goes to the store.

    Rules are never applied to what somebody sees, but to `whole`, which is the store.
    """

    def __init__(self, store: RunStore, sees: Callable[[str], bool]) -> None:
        self._store = store
        self.sees = sees
        self._known: dict[str, bool] = {}
        self._names: tuple[str, ...] | None = None

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        if name not in _OF_A_RUN:
            return found

        def seen(run_id: str, *args: Any, **options: Any) -> Any:
            if not self._is_seen(run_id):
                return _OF_A_RUN[name]()
            value = found(run_id, *args, **options)
            return self._without_unseen(value) if name in _NAMES_A_RUN else value

        return seen

    def _without_unseen(self, value: Any) -> Any:
        """Return a record, or a list of them, without the id of an unseen run that a replay repeats."""
        if isinstance(value, list):
            return [self._without_unseen(one) for one in value]
        if isinstance(value, RunRecord) and value.replay_of is not None and not self._is_seen(value.replay_of):
            return structs.replace(value, replay_of=None)
        if isinstance(value, GateEntry):
            return structs.replace(value, run=self._without_unseen(value.run))
        if isinstance(value, Event) and value.kind in _NAMES_ANOTHER:
            unseen = [key for key in ("from", "parent") if not self._is_seen(str(value.data.get(key, "")))]
            return structs.replace(value, data={key: one for key, one in value.data.items() if key not in unseen})
        return value

    def _is_seen(self, run_id: str) -> bool:
        if run_id not in self._known:
            run = self._store.load_summary(run_id)
            self._known[run_id] = run is not None and self.sees(run.blueprint_name)
        return self._known[run_id]

    def _blueprints(self, blueprint: str | None = None) -> tuple[str, ...] | None:
        """Return the visible names; None where one visible blueprint is asked for, which needs no further filter."""
        if blueprint is not None and all(self.sees(one or "") for one in spellings(blueprint)):
            return None
        if self._names is None:
            self._names = tuple(name for name in self._store.blueprint_counts() if self.sees(name))
        return self._names

    # ---------------------------------------------------------------- lists and counts

    def page_runs(
        self, filter: RunFilter | None = None, *, before: str | None = None, after: str | None = None, limit: int = 50
    ) -> RunPage:
        """Return one page of the runs that are visible."""
        wanted = structs.replace(
            filter or RunFilter(), blueprints=self._blueprints(filter.blueprint if filter else None)
        )
        page = self._store.page_runs(wanted, before=before, after=after, limit=limit)
        return structs.replace(page, runs=self._without_unseen(page.runs))

    def list_runs(
        self, *, status: RunStatus | None = None, blueprint: str | None = None, limit: int = 50
    ) -> list[RunRecord]:
        """Return the newest visible runs."""
        wanted = RunFilter(status=(status,) if status else (), blueprint=blueprint)
        return self.page_runs(wanted, limit=limit).runs

    def find_runs(self, prefix: str, *, limit: int = 10) -> list[str]:
        """Return the visible ids that begin with `prefix`: a prefix need be unique among these only."""
        return self._store.find_runs(prefix, limit=limit, blueprints=self._blueprints())

    def list_gates(
        self, *, blueprint: str | None = None, blueprints: Iterable[str] | None = None, **options: Any
    ) -> list[GateEntry]:
        """Return the visible gate occurrences, of some blueprints where they are given."""
        names = self._blueprints(blueprint) if blueprints is None else tuple(filter(self.sees, blueprints))
        found = self._store.list_gates(blueprint=blueprint, blueprints=names, **options)
        return [self._without_unseen(entry) for entry in found]

    def count_open_gates(self) -> int:
        """Return how many visible gates wait."""
        return self._store.count_open_gates(blueprints=self._blueprints())

    def count_held_runs(self) -> int:
        """Return how many visible runs are held."""
        return self._store.count_held_runs(blueprints=self._blueprints())

    def failed_runs(self, *, since: str, limit: int = 50) -> list[RunRecord]:
        """Return the visible runs that failed lately."""
        found = self._store.failed_runs(since=since, limit=limit, blueprints=self._blueprints())
        return [self._without_unseen(run) for run in found]

    def active_runs(self) -> list[RunRecord]:
        """Return the visible runs that are running or owed."""
        return [self._without_unseen(run) for run in self._store.active_runs() if self.sees(run.blueprint_name)]

    def status_counts(self, *, blueprint: str | None = None) -> dict[RunStatus, int]:
        """Return how many visible runs are in each status."""
        return self._store.status_counts(blueprint=blueprint, blueprints=self._blueprints(blueprint))

    def blueprint_counts(self, *, status: RunStatus | None = None) -> dict[str, int]:
        """Return how many runs each visible blueprint has."""
        return {name: n for name, n in self._store.blueprint_counts(status=status).items() if self.sees(name)}

    def day_counts(self, *, since: str, blueprint: str | None = None) -> list[DayCount]:
        """Return visible runs by day and status."""
        return self._store.day_counts(since=since, blueprint=blueprint, blueprints=self._blueprints(blueprint))

    def load_tombstone(self, run_id: str) -> Tombstone | None:
        """Return the tombstone of a run whose blueprint is visible."""
        found = self._store.load_tombstone(run_id)
        return found if found is not None and self.sees(found.blueprint_name) else None
