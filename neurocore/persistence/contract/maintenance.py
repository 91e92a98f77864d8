"""Maintain a history as a whole: check it, measure it, copy it, prune it, move it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import ClassVar

from msgspec import Struct

from neurocore.errors import UsageError
from neurocore.persistence.contract.lists import Lists
from neurocore.persistence.contract.runs import MANY, Runs, defaults_lock
from neurocore.persistence.projections import last_hash, with_events
from neurocore.persistence.records import Event, RunRecord, StepRecord, Tombstone

#: How long `vacuum` waits for others that write or read at the moment, in seconds.
PATIENCE = 30.0


class Stats(Struct, kw_only=True):
    """The size of a history. `steps`, `bytes`, `unused` and `schema_version` are None where the backend cannot tell."""

    runs: int
    steps: int | None
    open_gates: int
    oldest: str | None
    newest: str | None
    bytes: int | None
    unused: int | None
    schema_version: int | None


class Vacuumed(Struct, kw_only=True):
    """How many bytes a history took on the disk before and after. `waits`: others still read the old file."""

    before: int
    after: int
    waits: bool = False


class Importer:
    """Adds the records of an export to a store, through the methods that every backend has."""

    #: Whether an import that fails leaves nothing in the store, however much was added before.
    atomic: ClassVar[bool] = False

    def __init__(self, store: Runs) -> None:
        self._store = store

    def has(self, run_id: str) -> bool:
        """Return whether the run exists, or was deleted here: an id is never reused."""
        return self._store.load_summary(run_id) is not None or self._store.load_tombstone(run_id) is not None

    def add_run(self, run: RunRecord) -> None:
        """Add a run that does not exist yet."""
        self._store.save_run(run)

    def add_step(self, step: StepRecord) -> None:
        """Add a step of the run that was added last."""
        self._store.save_step(step)

    def add_tombstone(self, tombstone: Tombstone) -> None:
        """Add what remains of a deleted run, unless that run exists."""
        if not self.has(tombstone.run_id):
            self._store.bury_run(tombstone.run_id, tombstone)


class Maintenance(Lists):
    """Check, measure, copy, prune and move a history. A backend refuses what it cannot do."""

    # ---------------------------------------------------------------- checking

    def damage(self) -> list[str]:
        """Return a sentence for each problem with the storage itself."""
        return []

    def counts_hold(self) -> bool:
        """Return whether the backend's counts agree with the runs."""
        return True

    def recount(self) -> None:
        """Rebuild the backend's counts from the runs."""

    def runs_with_gaps(self) -> list[str]:
        """List the runs whose step numbers have gaps."""
        found = []
        for run_id in self.all_run_ids():
            indexes = [step.step_index for step in self.step_summaries(run_id)]
            if indexes != list(range(len(indexes))):
                found.append(run_id)
        return found

    def runs_with_answers(self) -> list[str]:
        """List the runs that may have answers."""
        return self.all_run_ids()

    def all_events(self) -> Iterator[tuple[str, list[Event]]]:
        """Return each run's id with its events."""
        for run_id in self.all_run_ids():
            yield run_id, self.load_events(run_id)

    # ---------------------------------------------------------------- measuring and copying

    def stats(self) -> Stats:
        """Return how large the history is."""
        times = [run.created_at for run in self.list_runs(limit=MANY)]
        return Stats(
            runs=sum(self.status_counts().values()), steps=None, open_gates=self.count_open_gates(),
            oldest=min(times, default=None), newest=max(times, default=None), bytes=None, unused=None,
            schema_version=self.schema_version(),
        )  # fmt: skip

    def schema_version(self) -> int | None:
        """Return the version of the schema, or None for a backend without one."""
        return None

    def backup(self, target: Path) -> int:
        """Copy the history to a file while it is in use, consistently; return the copy's size in bytes.

        Raises UsageError if the backend cannot do that or `target` exists, StoreError if it cannot be written.
        """
        raise UsageError("Only SQLite histories can be copied as a file; use `neurocore db export` for others.")

    def vacuum(self, *, patience: float = PATIENCE) -> Vacuumed:
        """Rewrite the file of the history without its unused room.

        Others may read meanwhile; their writes wait. Raises UsageError if the backend cannot do that, StoreInUse if
        much is to be written while others drive runs, and StoreError if there is no room, or if others keep writing;
        the history is then unchanged.
        """
        raise UsageError("Only SQLite histories are files that can be made smaller.")

    # ---------------------------------------------------------------- pruning

    def ended_runs(self, *, before: str, keep_last: int = 0, limit: int | None = None) -> list[tuple[str, str]]:
        """List ended runs that started before an ISO time, oldest first: ids and times of start.

        The `keep_last` newest runs are left out.
        """
        runs = self.list_runs(limit=MANY)
        runs.sort(key=lambda run: run.created_at, reverse=True)
        wanted = [run for run in reversed(runs[keep_last:]) if run.status.ended and run.created_at < before]
        return [(run.run_id, run.created_at) for run in wanted[:limit]]

    def bury_ended(self, run_ids: Iterable[str], *, by: str) -> list[str]:
        """Delete those of these runs that have ended and are not owed, each with a tombstone; return their ids."""
        buried = []
        for run_id in run_ids:
            run = self.load_summary(run_id)
            if run is not None and run.status.ended and run.owed is None:
                self.bury_run(run_id, self._tombstone(run_id, run.blueprint_name, by))
                buried.append(run_id)
        return buried

    def drop_unused_definitions(self) -> None:
        """Delete the definitions that no run uses any more, if the backend stores them separately."""

    def _tombstone(self, run_id: str, blueprint_name: str, by: str) -> Tombstone:
        return Tombstone(
            run_id=run_id, blueprint_name=blueprint_name, deleted_at=self.clock.now(), deleted_by=by,
            last_hash=last_hash(self.load_gates(run_id)),
        )  # fmt: skip

    # ---------------------------------------------------------------- moving

    def snapshot(self) -> contextlib.AbstractContextManager[None]:
        """Return a block whose reads see the history as it was at the first of them, if the backend can do that."""
        return contextlib.nullcontext()

    def all_run_ids(self) -> list[str]:
        """List every run, oldest first."""
        return [run.run_id for run in reversed(self.list_runs(limit=MANY))]

    def all_tombstones(self) -> list[Tombstone]:
        """List what remains of deleted runs, if the backend has such a list."""
        return []

    def importer(self) -> contextlib.AbstractContextManager[Importer]:
        """Return a block that adds the records of an export."""
        return contextlib.nullcontext(Importer(self))

    def adopt_runs(self, run_ids: Iterable[str] | None, *, event: Event) -> int:
        """Let held runs continue here (all of them if none is named); return how many were held."""
        adopted = 0
        with defaults_lock:
            for run_id in [run.run_id for run in self.list_runs(limit=MANY)] if run_ids is None else run_ids:
                run = self.load_run(run_id)
                if run is not None and run.held is not None:
                    run.held = run.owner = None
                    run.events = with_events(run, event)
                    run.version += 1
                    self.save_run(run)
                    adopted += 1
        return adopted
