"""Lists over all runs: pages, gates, and counts."""

from __future__ import annotations

from collections.abc import Collection

from neurocore.forms import same, spellings
from neurocore.persistence.contract.decisions import Decisions
from neurocore.persistence.contract.runs import MANY
from neurocore.persistence.projections import check_cursor, cursor, gate_entries, matches
from neurocore.persistence.records import DayCount, GateEntry, GateStatus, RunFilter, RunPage, RunRecord, RunStatus


class Lists(Decisions):
    """List, find and count runs and gates.

    `blueprints`, where it is given, are the names of those whose runs may be seen; None stands for every one.
    """

    def page_runs(
        self, filter: RunFilter | None = None, *, before: str | None = None, after: str | None = None, limit: int = 50
    ) -> RunPage:
        """Return one page of (narrow) runs, newest first: older than cursor `before`, or newer than cursor `after`.

        Raises InputError for a cursor that no page returned.
        """
        check_cursor("before", before)
        check_cursor("after", after)
        wanted = [run for run in self.list_runs(limit=MANY) if matches(run, filter or RunFilter())]
        wanted.sort(key=cursor, reverse=True)
        if after is not None:
            newer = [run for run in wanted if cursor(run) > after]
            page = newer[-limit:]
        else:
            page = [run for run in wanted if before is None or cursor(run) < before][:limit]
        if not page:
            return RunPage(runs=[])
        first, last = cursor(page[0]), cursor(page[-1])
        return RunPage(
            runs=page,
            older=last if any(cursor(run) < last for run in wanted) else None,
            newer=first if any(cursor(run) > first for run in wanted) else None,
        )

    def find_runs(self, prefix: str, *, limit: int = 10, blueprints: Collection[str] | None = None) -> list[str]:
        """Return at most `limit` ids that begin with `prefix`, from the whole history."""
        found = (run for run in self.list_runs(limit=MANY) if run.run_id.startswith(prefix))
        return sorted(run.run_id for run in found if blueprints is None or run.blueprint_name in blueprints)[:limit]

    def failed_runs(self, *, since: str, limit: int = 50, blueprints: Collection[str] | None = None) -> list[RunRecord]:
        """Return failed runs (narrow) that ended at `since` (an ISO time) or later, the latest end first."""
        failed = [
            run
            for run in self.list_runs(status=RunStatus.FAILED, limit=MANY)
            if run.finished_at is not None
            and run.finished_at >= since
            and (blueprints is None or run.blueprint_name in blueprints)
        ]
        failed.sort(key=lambda run: run.finished_at or "", reverse=True)
        return failed[:limit]

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
        """Return gate occurrences of all runs. Open ones come oldest first; others by their decision, newest first.

        Open ones of held runs wait for nobody, and are left out. `by` keeps those that this person decided, `before`
        (an ISO time) those decided earlier. `after` is the cursor of an entry of this list: those that come after it.
        `narrow` leaves out what the gates show. Raises InputError for a cursor that no entry had.
        """
        found = [
            (run, gate)
            for run in self._runs_of(blueprint)
            for gate in self.load_gates(run.run_id)
            if gate.status in status
            and (blueprints is None or run.blueprint_name in blueprints)
            and (run.held is None or gate.status is not GateStatus.OPEN)
            and (by is None or (gate.decision is not None and same(gate.decision.by, by)))
        ]
        oldest_first = GateStatus.OPEN in status
        return gate_entries(found, oldest_first=oldest_first, before=before, after=after, narrow=narrow)[:limit]

    def count_open_gates(self, *, blueprints: Collection[str] | None = None) -> int:
        """Return how many gates and inputs wait for a person."""
        return len(self.list_gates(limit=MANY, blueprints=blueprints))

    def count_held_runs(self, *, blueprints: Collection[str] | None = None) -> int:
        """Return how many runs are held until somebody adopts them."""
        found = (run for run in self.list_runs(limit=MANY) if blueprints is None or run.blueprint_name in blueprints)
        return sum(run.held is not None for run in found)

    def status_counts(
        self, *, blueprint: str | None = None, blueprints: Collection[str] | None = None
    ) -> dict[RunStatus, int]:
        """Return how many runs have each status."""
        counts: dict[RunStatus, int] = {}
        for run in self._runs_of(blueprint, blueprints):
            counts[run.status] = counts.get(run.status, 0) + 1
        return counts

    def blueprint_counts(self, *, status: RunStatus | None = None) -> dict[str, int]:
        """Return how many runs each blueprint has, by name."""
        counts: dict[str, int] = {}
        for run in self.list_runs(status=status, limit=MANY):
            counts[run.blueprint_name] = counts.get(run.blueprint_name, 0) + 1
        return counts

    def day_counts(
        self, *, since: str, blueprint: str | None = None, blueprints: Collection[str] | None = None
    ) -> list[DayCount]:
        """Count runs by the day they started (YYYY-MM-DD, from `since` on) and status, days ascending."""
        counts: dict[tuple[str, RunStatus], int] = {}
        for run in self._runs_of(blueprint, blueprints):
            day = run.created_at[:10]
            if day >= since[:10]:
                counts[day, run.status] = counts.get((day, run.status), 0) + 1
        return [DayCount(day=day, status=status, count=n) for (day, status), n in sorted(counts.items())]

    def _runs_of(self, blueprint: str | None, visible: Collection[str] | None = None) -> list[RunRecord]:
        """Return every run of a blueprint, in any Unicode form of its name, if it may be seen."""
        runs = (run for name in spellings(blueprint) for run in self.list_runs(blueprint=name, limit=MANY))
        found = {run.run_id: run for run in runs if visible is None or run.blueprint_name in visible}
        return list(found.values())
