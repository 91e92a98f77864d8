"""Runs and their steps: the six methods that a backend must have, and what is built on them alone."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import ClassVar, Self

from neurocore import codec, forks
from neurocore.clock import RANDOM_IDS, SYSTEM_CLOCK, Clock, Ids
from neurocore.persistence.contract.ownership import Ownership
from neurocore.persistence.projections import fold, goes_on, is_there, was_deleted
from neurocore.persistence.records import Event, RunRecord, RunStatus, StepRecord, Tombstone

#: The defaults of the contract keep the writers of one process apart with this lock; a transaction does it better. A
#: backend that overrides only some of the writes uses it too.
defaults_lock = forks.rlock()

#: How long an idempotency key is kept, in seconds.
A_DAY = 24 * 3600

#: A limit that does not limit.
MANY = 2**31 - 1


class Runs(ABC):
    """Store runs with their steps, and read a run whole or in part."""

    #: True when two processes that write to one store are kept apart (promises 3 to 5 across processes).
    multi_process: ClassVar[bool] = False

    #: False when the runs are gone with the process.
    durable: ClassVar[bool] = True

    #: The clock and the source of ids for everything that uses this store.
    clock: Clock = SYSTEM_CLOCK
    ids: Ids = RANDOM_IDS

    #: How people are known who work on this store (`auth.mode`).
    auth_mode: str = "open"

    #: In mode `open`, the names of the members of each group (`auth.groups`).
    open_groups: Mapping[str, Collection[str]] = MappingProxyType({})

    #: Who drives runs of this store; None: locks on files below `paths.data`.
    owners: Ownership | None = None

    @property
    def whole(self) -> Self:
        """Return the store itself: what shows somebody a part of it (`VisibleRuns`) leads to all of it so."""
        return self

    # ---------------------------------------------------------------- the six

    @abstractmethod
    def save_run(self, run: RunRecord) -> str:
        """Insert or replace a run by `run_id`; return it."""

    @abstractmethod
    def save_step(self, step: StepRecord) -> None:
        """Insert or replace a step by (`run_id`, `step_index`)."""

    @abstractmethod
    def load_run(self, run_id: str) -> RunRecord | None:
        """Return the whole run, or None."""

    @abstractmethod
    def load_steps(self, run_id: str) -> list[StepRecord]:
        """Return every step of a run in the order of `step_index`."""

    @abstractmethod
    def list_runs(
        self, *, status: RunStatus | None = None, blueprint: str | None = None, limit: int = 50
    ) -> list[RunRecord]:
        """Return runs, newest first."""

    @abstractmethod
    def delete_run(self, run_id: str) -> None:
        """Remove a run and its steps; a missing run is not an error."""

    # ---------------------------------------------------------------- the beginning and the end of a run

    def create_run(self, run: RunRecord) -> None:
        """Add a new run, synced to disk. Raises `RunExists` when the id is taken, or a deleted run had it."""
        with defaults_lock:
            if self.load_run(run.run_id) is not None:
                raise is_there(run.run_id)
            if self.load_tombstone(run.run_id) is not None:
                raise was_deleted(run.run_id)
            self.save_run(run)

    def bury_run(self, run_id: str, tombstone: Tombstone) -> None:
        """Delete a run and, if the backend can, leave `tombstone`. Raises RefusedError when it has not ended."""
        with defaults_lock:
            run = self.load_summary(run_id)
            if run is not None and not run.status.ended:
                raise goes_on(run_id)
            self.delete_run(run_id)

    def load_tombstone(self, run_id: str) -> Tombstone | None:
        """Return what remains of a deleted run (its whole id is needed), or None."""
        return None

    # ---------------------------------------------------------------- parts of a run

    def load_summary(self, run_id: str) -> RunRecord | None:
        """Return the run without its wide columns (snapshot, data, context, gates, events): what a refresh needs."""
        return self.load_run(run_id)

    def load_step(self, run_id: str, step_index: int) -> StepRecord | None:
        """Return one step, or None."""
        return next((step for step in self.load_steps(run_id) if step.step_index == step_index), None)

    def step_summaries(self, run_id: str, *, after: int = -1, limit: int | None = None) -> list[StepRecord]:
        """Return steps after index `after`, without wide columns (changes' values, traceback, config, snapshot, logs).

        `output_keys` says what each changed.
        """
        steps = [step for step in self.load_steps(run_id) if step.step_index > after]
        return steps if limit is None else steps[:limit]

    def load_events(self, run_id: str) -> list[Event]:
        """Return the run's activity, oldest first."""
        run = self.load_run(run_id)
        return list(run.events) if run else []

    def load_context(self, run_id: str) -> dict[str, bytes]:
        """Return the committed context: initial data with every step's changes folded in, encoded values by key."""
        return fold(self.load_inputs(run_id), self.load_steps(run_id))

    def load_values(self, run_id: str, keys: Collection[str]) -> dict[str, bytes]:
        """Return the encoded values of the committed context at these keys; unset keys are left out."""
        context = self.load_context(run_id)
        return {key: context[key] for key in keys if key in context}

    def load_inputs(self, run_id: str) -> dict[str, bytes]:
        """Return a run's inputs, encoded values by key; empty for a missing run."""
        run = self.load_run(run_id)
        return {} if run is None else {key: codec.encode(value) for key, value in run.initial_data.items()}

    def load_definition(self, run_id: str) -> str:
        """Return the stored definition of a run as JSON text (`codec.to_jsonable`); empty for a missing run."""
        run = self.load_run(run_id)
        return "" if run is None else json.dumps(codec.to_jsonable(run.blueprint_snapshot))

    # ---------------------------------------------------------------- requests that may come twice

    def load_request(self, key: str) -> tuple[str, bytes] | None:
        """Return the digest and the response stored with an idempotency key within the last day, or None."""
        with defaults_lock:
            kept = self._requests().get(key)
            return None if kept is None or kept[0] < self.clock.after(-A_DAY) else kept[1:]

    def keep_request(self, key: str, digest: str, answer: bytes) -> None:
        """Store for a day how a request was answered; the first response under a key counts."""
        with defaults_lock:
            kept = self._requests()
            for old in [one for one, (at, _, _) in kept.items() if at < self.clock.after(-A_DAY)]:
                del kept[old]
            kept.setdefault(key, (self.clock.now(), digest, answer))

    def forget_request(self, key: str, digest: str) -> None:
        """Remove what is stored under `key`, if it belongs to the request with this digest."""
        with defaults_lock:
            kept = self._requests()
            if key in kept and kept[key][1] == digest:
                del kept[key]

    def _requests(self) -> dict[str, tuple[str, str, bytes]]:
        kept: dict[str, tuple[str, str, bytes]] = self.__dict__.setdefault("_kept_requests", {})
        return kept

    def close(self) -> None:  # noqa: B027 (most backends have nothing to close)
        """Release files and connections. May be called twice."""
