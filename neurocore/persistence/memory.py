"""A store that lives and ends with its process: for tests, and for runs that need not be stored."""

from __future__ import annotations

from typing import Any, ClassVar

from msgspec import Struct, structs

from neurocore import codec
from neurocore.errors import RunNotFound
from neurocore.forms import same
from neurocore.persistence.base import RunStore
from neurocore.persistence.contract.runs import defaults_lock
from neurocore.persistence.projections import complete, fold, goes_on, merged, without_shown
from neurocore.persistence.records import (
    GateRecord,
    Owed,
    RunRecord,
    RunStatus,
    Signals,
    StepRecord,
    Tombstone,
    Transition,
    signals_of,
)


class InMemoryRunStore(RunStore):
    """Stores everything in dicts. It takes and returns copies, as a database does."""

    durable: ClassVar[bool] = False

    def __init__(self) -> None:
        self._lock = defaults_lock  # no commit may come between the read and the write of a default method
        self._kept: dict[str, _Kept] = {}
        self._tombstones: dict[str, Tombstone] = {}

    # ---------------------------------------------------------------- the six

    def save_run(self, run: RunRecord) -> str:
        """Store a copy of the run."""
        initial = {key: codec.encode(value) for key, value in run.initial_data.items()}
        snapshot = codec.encode(run.blueprint_snapshot)
        with self._lock:
            before = self._kept.get(run.run_id)
            steps = before.steps if before is not None else {}
            version = run.version if before is None else max(run.version, before.run.version + 1)
            narrow = structs.replace(_narrow(run), version=version)
            self._kept[run.run_id] = _Kept(narrow, initial, snapshot, steps)
        return run.run_id

    def save_step(self, step: StepRecord) -> None:
        """Store a copy of the step. Raises RunNotFound when there is no such run."""
        with self._lock:
            kept = self._kept.get(step.run_id)
            if kept is None:
                raise RunNotFound(f"There is no run {step.run_id} that a step could belong to.", run_id=step.run_id)
            kept.steps[step.step_index] = _copied(step)

    def load_run(self, run_id: str) -> RunRecord | None:
        """Return a copy of the run, with its context folded."""
        with self._lock:
            kept = self._kept.get(run_id)
            if kept is None:
                return None
            run = _narrow(kept.run)
            run.initial_data = {key: codec.restore(data) for key, data in kept.initial.items()}
            run.blueprint_snapshot = codec.decode(kept.snapshot)
            return complete(run, self.load_steps(run_id))

    def load_steps(self, run_id: str) -> list[StepRecord]:
        """Return copies of the run's steps, in order."""
        with self._lock:
            kept = self._kept.get(run_id)
            return [_copied(step) for _, step in sorted(kept.steps.items())] if kept is not None else []

    def list_runs(
        self, *, status: RunStatus | None = None, blueprint: str | None = None, limit: int = 50
    ) -> list[RunRecord]:
        """Return narrow runs, newest first."""
        with self._lock:
            runs = [
                _narrow(kept.run)
                for kept in self._kept.values()
                if (status is None or kept.run.status == status)
                and (blueprint is None or same(kept.run.blueprint_name, blueprint))
            ]
        runs.sort(key=lambda run: (run.created_at, run.run_id), reverse=True)
        return runs[:limit]

    def delete_run(self, run_id: str) -> None:
        """Remove the run and its steps."""
        with self._lock:
            self._kept.pop(run_id, None)

    # ---------------------------------------------------------------- what would be slow without

    def commit(self, transition: Transition) -> Signals:
        """Write a transition, at a cost that does not grow with the run."""
        with self._lock:
            kept = self._kept.get(transition.run.run_id)
            run = merged(kept.run if kept is not None else None, transition)
            if kept is None or run is None:
                signals = self.signals(transition.run.run_id) or Signals(
                    epoch=transition.run.epoch, owner=transition.owner
                )
                return structs.replace(signals, owed=Owed.DECISION)
            for step in transition.steps:
                kept.steps[step.step_index] = _copied(step)
            if run.blueprint_hash != kept.run.blueprint_hash:
                kept.snapshot = codec.encode(run.blueprint_snapshot)
            kept.run = _narrow(run)
            return signals_of(run)

    def signals(self, run_id: str) -> Signals | None:
        """Return what the driver must notice."""
        run = self.load_summary(run_id)
        return None if run is None else signals_of(run)

    def load_summary(self, run_id: str) -> RunRecord | None:
        """Return the run without its data."""
        with self._lock:
            kept = self._kept.get(run_id)
            return None if kept is None else _narrow(kept.run)

    def load_gates(self, run_id: str, *, narrow: bool = False) -> list[GateRecord]:
        """Return the run's gate occurrences."""
        run = self.load_summary(run_id)
        return [without_shown(gate) if narrow else gate for gate in run.gates] if run is not None else []

    def load_context(self, run_id: str) -> dict[str, bytes]:
        """Return the committed context, encoded values by key."""
        with self._lock:
            kept = self._kept.get(run_id)
            return fold(kept.initial, kept.steps.values()) if kept is not None else {}

    def bury_run(self, run_id: str, tombstone: Tombstone) -> None:
        """Remove an ended run and store its tombstone."""
        with self._lock:
            kept = self._kept.get(run_id)
            if kept is not None and not kept.run.status.ended:
                raise goes_on(run_id)
            self.delete_run(run_id)
            self._tombstones.setdefault(run_id, tombstone)

    def load_tombstone(self, run_id: str) -> Tombstone | None:
        """Return the tombstone of a deleted run."""
        return self._tombstones.get(run_id)


class _Kept(Struct):
    run: RunRecord
    initial: dict[str, bytes]
    snapshot: bytes
    steps: dict[int, StepRecord]


def _narrow(run: RunRecord) -> RunRecord:
    """Return a copy of a run without its data and with its own gates, lists and activity."""
    return structs.replace(
        run,
        initial_data={},
        blueprint_snapshot={},
        final_context=None,
        completed_nodes=[],
        current_nodes=list(run.current_nodes),
        tags=list(run.tags),
        gates=[structs.replace(gate, answers=list(gate.answers)) for gate in run.gates],
        events=list(run.events),
    )


def _copied(step: StepRecord) -> StepRecord:
    def fresh(value: Any) -> Any:
        return codec.restore(codec.encode(value)) if value else value

    return structs.replace(
        step,
        config=fresh(step.config),
        context_snapshot=fresh(step.context_snapshot),
        output_keys=list(step.output_keys),
        edges_taken=None if step.edges_taken is None else list(step.edges_taken),
        logs=list(step.logs),
    )
