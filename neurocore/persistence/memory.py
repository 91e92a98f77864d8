"""A store that lives and dies with its process: for tests, and for runs that nobody wants kept."""

from __future__ import annotations

import threading

from msgspec import structs

from neurocore import codec
from neurocore.persistence.base import RunRecord, RunStatus, RunStore, StepRecord, Tombstone, complete


class InMemoryRunStore(RunStore):
    """Everything in dicts; what goes in and comes out is copied."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._runs: dict[str, RunRecord] = {}
        self._steps: dict[str, dict[int, StepRecord]] = {}
        self._tombstones: dict[str, Tombstone] = {}

    def save_run(self, run: RunRecord) -> str:
        """Keep a copy of the run."""
        with self._lock:
            self._runs[run.run_id] = structs.replace(run, final_context=None)
        return run.run_id

    def save_step(self, step: StepRecord) -> None:
        """Keep a copy of the step."""
        with self._lock:
            self._steps.setdefault(step.run_id, {})[step.step_index] = structs.replace(step)

    def load_run(self, run_id: str) -> RunRecord | None:
        """A copy of the run, its context folded."""
        run = self.load_summary(run_id)
        if run is None:
            return None
        run.initial_data = codec.decode(codec.encode(run.initial_data))
        run.gates, run.events = list(run.gates), list(run.events)
        return complete(run, self.load_steps(run_id))

    def load_summary(self, run_id: str) -> RunRecord | None:
        """A shallow copy of the run."""
        with self._lock:
            run = self._runs.get(run_id)
            return None if run is None else structs.replace(run)

    def load_steps(self, run_id: str) -> list[StepRecord]:
        """Copies of the run's steps in order."""
        with self._lock:
            return [structs.replace(step) for _, step in sorted(self._steps.get(run_id, {}).items())]

    def list_runs(
        self, *, status: RunStatus | None = None, blueprint: str | None = None, limit: int = 50
    ) -> list[RunRecord]:
        """Runs, newest first."""
        with self._lock:
            runs = [
                structs.replace(run)
                for run in self._runs.values()
                if (status is None or run.status == status) and (blueprint is None or run.blueprint_name == blueprint)
            ]
        runs.sort(key=lambda run: (run.created_at, run.run_id), reverse=True)
        return runs[:limit]

    def delete_run(self, run_id: str) -> None:
        """Forget the run and its steps."""
        with self._lock:
            self._runs.pop(run_id, None)
            self._steps.pop(run_id, None)

    def bury_run(self, run_id: str, tombstone: Tombstone) -> None:
        """Forget the run and keep its tombstone."""
        with self._lock:
            self.delete_run(run_id)
            self._tombstones[run_id] = tombstone

    def load_tombstone(self, run_id: str) -> Tombstone | None:
        """The tombstone of a deleted run."""
        return self._tombstones.get(run_id)
