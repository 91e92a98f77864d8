"""What is kept of a run, and the contract of a store that keeps it.

A backend that implements the six abstract methods of `RunStore` works with all of NeuroCore: gates, answers, the claim
and the activity live inside `RunRecord`. Everything a good backend can do better (one transaction for a step and its
run, claiming by compare-and-set, paging by key, look-up by prefix, counts) is a further method with a working default
built on those six; the defaults keep two writers apart within one process only.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, ClassVar

import msgspec

from neurocore import codec, forks
from neurocore.forms import same, spellings
from neurocore.persistence.projections import (
    check_cursor,
    complete,
    cursor,
    fold,
    gate_entries,
    goes_on,
    is_there,
    last_hash,
    matches,
    merge_gates,
    merged,
    progress_of,
    refuse_if_held,
    was_deleted,
    without_shown,
)
from neurocore.persistence.records import (
    Answer,
    Commit,
    DayCount,
    Ended,
    Event,
    GateEntry,
    GateRecord,
    GateStatus,
    Owed,
    Recorded,
    RunFilter,
    RunPage,
    RunRecord,
    RunStatus,
    Signals,
    StepRecord,
    Tombstone,
    a_day_ago,
    signals_of,
    utcnow_iso,
)

if TYPE_CHECKING:
    from neurocore.persistence.owners import Owners

#: The defaults of RunStore keep the writers of one process apart with this lock; a transaction does it better. Who does
#: some of what writes better, but not all of it, writes with it too.
defaults_lock = forks.rlock()


class RunStore(ABC):
    """A durable store of runs. Six abstract methods make a backend; the rest is there to be done better.

    Every method may be called from several threads. What cannot be read or written raises `StoreError`.
    """

    #: True when two processes that write to one store are kept apart (promises 3 to 5 across processes).
    multi_process: ClassVar[bool] = False

    #: The locks of those who drive runs of this store, where they lie beside its file; None: below `paths.data`.
    owners: Owners | None = None

    # ---------------------------------------------------------------- the six

    @abstractmethod
    def save_run(self, run: RunRecord) -> str:
        """Insert or replace a run by `run_id`; returns it."""

    @abstractmethod
    def save_step(self, step: StepRecord) -> None:
        """Insert or replace a step by (`run_id`, `step_index`)."""

    @abstractmethod
    def load_run(self, run_id: str) -> RunRecord | None:
        """The whole run, or None."""

    @abstractmethod
    def load_steps(self, run_id: str) -> list[StepRecord]:
        """Every step of a run in the order of `step_index`."""

    @abstractmethod
    def list_runs(
        self, *, status: RunStatus | None = None, blueprint: str | None = None, limit: int = 50
    ) -> list[RunRecord]:
        """Runs, newest first."""

    @abstractmethod
    def delete_run(self, run_id: str) -> None:
        """Remove a run and its steps; a run that is not there is no error."""

    # ---------------------------------------------------------------- driving a run

    def create_run(self, run: RunRecord) -> None:
        """Add a new run, synced to disk; raises `RunExists` when the id is taken, or a deleted run had it."""
        with defaults_lock:
            if self.load_run(run.run_id) is not None:
                raise is_there(run.run_id)
            if self.load_tombstone(run.run_id) is not None:
                raise was_deleted(run.run_id)
            self.save_run(run)

    def claim(self, run_id: str, *, owner: str, expected_epoch: int, expected_owner: str | None = None) -> int | None:
        """Take the right to drive the run: compare-and-set on its epoch and owner, raising the epoch by one.

        Also sets `status` to running and `owner`, and clears `owed` and what a failure left (`error`, `failure`,
        `finished_at`, and a `cancel_requested` that came too late; that of a run that has not ended stands). Returns
        the new epoch, or None when somebody else claimed first. Whether an owner still lives is the caller's question
        (`neurocore.runtime.claim`). Raises RunHeld for a run that stands still, as whatever else moves a run does.
        """
        with defaults_lock:
            run = self.load_run(run_id)
            if run is None or (run.epoch, run.owner) != (expected_epoch, expected_owner):
                return None
            refuse_if_held(run_id, run.held)
            run.epoch += 1
            run.owner = owner
            run.owed = None
            run.cancel_requested = None if run.status.ended else run.cancel_requested
            run.status = RunStatus.RUNNING
            run.finished_at = run.error = run.failure = None
            run.updated_at = utcnow_iso()
            run.version += 1
            self.save_run(run)
            return run.epoch

    def commit(self, commit: Commit) -> Signals:
        """Write one turn of the loop. Raises `ClaimLost` when the run's epoch or owner is no longer the commit's.

        Steps are saved before the run row, later ones first, so that a death in between leaves rows that do not fit
        the run yet and are ignored, never a run that claims a step it has not.
        """
        with defaults_lock:
            stored = self.load_run(commit.run.run_id)
            run = merged(stored, commit)
            if run is None:
                return Signals(
                    epoch=commit.run.epoch,
                    owner=commit.owner,
                    cancel_requested=stored.cancel_requested if stored else None,
                    owed=Owed.DECISION,
                    version=stored.version if stored else 0,
                )
            for step in sorted(commit.steps, key=lambda step: -step.step_index):
                self.save_step(step)
            if run.status is not RunStatus.RUNNING:
                complete(run, self.load_steps(run.run_id))
            self.save_run(run)
            return signals_of(run)

    def signals(self, run_id: str) -> Signals | None:
        """What the driver must notice, as cheaply as the backend can; None when the run is gone."""
        run = self.load_run(run_id)
        if run is None:
            return None
        return signals_of(run)

    def request_cancel(self, run_id: str, *, event: Event) -> bool:
        """Ask whoever drives the run to stop; `event.who` stands in `cancel_requested`.

        Returns False, and changes nothing, when the run has ended.
        """
        with defaults_lock:
            run = self.load_run(run_id)
            if run is None or run.status.ended:
                return False
            refuse_if_held(run_id, run.held)
            run.cancel_requested = event.who or "?"
            run.events = [*run.events, event]
            run.version += 1
            self.save_run(run)
            return True

    def set_owed(
        self,
        run_id: str,
        owed: Owed | None,
        *,
        event: Event | None = None,
        claim: tuple[int, str | None] | None = None,
    ) -> None:
        """Mark a run as owed (or not), outside the loop; one that is completed or cancelled is left alone.

        With `claim` (an epoch and an owner) the run is left alone as well when it is no longer under that claim.
        """
        with defaults_lock:
            run = self.load_run(run_id)
            if (
                run is not None
                and run.status not in (RunStatus.COMPLETED, RunStatus.CANCELLED)
                and claim in (None, (run.epoch, run.owner))
            ):
                refuse_if_held(run_id, run.held)
                run.owed = owed
                run.events = [*run.events, event] if event else run.events
                run.version += 1
                self.save_run(run)

    # ---------------------------------------------------------------- gates

    def answer_gate(self, run_id: str, answer: Answer, *, event: Event, digest: str) -> Answer | None:
        """Let one answer take effect: compare-and-set of its occurrence from open to decided (promise 4).

        `digest` is that of the occurrence that was checked; `answer.digest` only records what the person named. In one
        synced transaction the answer is sealed into the run's chain, the gate is decided, the run is owed and the event
        is added. Returns the answer as it is recorded, or None, and changes nothing, when the occurrence is not open
        any more or has another digest.
        """
        with defaults_lock:
            run = self.load_run(run_id)
            if run is None:
                return None
            refuse_if_held(run_id, run.held)
            for place, gate in enumerate(run.gates):
                if (gate.node_id, gate.visit) == (answer.node_id, answer.visit) and gate.status == GateStatus.OPEN:
                    if digest != gate.digest:
                        return None
                    sealed = answer.sealed(run_id, last_hash(run.gates))
                    run.gates = list(run.gates)
                    run.gates[place] = msgspec.structs.replace(
                        gate, status=GateStatus.DECIDED, closed_at=answer.at, answers=[*gate.answers, sealed]
                    )
                    run.owed = Owed.DECISION
                    run.events = [*run.events, event]
                    run.version += 1
                    run.updated_at = answer.at
                    self.save_run(run)
                    return sealed
            return None

    def replace_gate(
        self, run_id: str, old: GateRecord, new: GateRecord, *steps: StepRecord, event: Event, expected_epoch: int
    ) -> bool:
        """Void an open occurrence and open another in its place, outside the loop (promise 6).

        `steps` are the rows of both visits: of the old one, which waits no more, and of the new one. Returns False, and
        changes nothing, when the occurrence is not open any more, or when the run is not suspended at this epoch: who
        drives a run numbers its steps, and replaces its gates.
        """
        with defaults_lock:
            run = self.load_run(run_id)
            if run is None or (run.status, run.epoch) != (RunStatus.SUSPENDED, expected_epoch):
                return False
            key = (old.node_id, old.visit, GateStatus.OPEN)
            if all((gate.node_id, gate.visit, gate.status) != key for gate in run.gates):
                return False
            for step in steps:
                self.save_step(step)
            run.gates = merge_gates(run.gates, [old, new])
            run.events = [*run.events, event]
            run.version += 1
            self.save_run(run)
            return True

    def load_gates(self, run_id: str, *, narrow: bool = False) -> list[GateRecord]:
        """Every gate occurrence of a run with its answers, in the order they opened; `narrow`: without its values."""
        run = self.load_run(run_id)
        return [without_shown(gate) if narrow else gate for gate in run.gates] if run else []

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
        """Gate occurrences over all runs. Open ones oldest first; others newest decision first.

        The open ones of runs that stand still wait for nobody, and are left out. `by` keeps those this person decided,
        `before` (an ISO time) those decided earlier. `after` is the cursor of an entry of this list: those that come
        after it. `narrow` leaves out what the gates show. Raises InputError for a cursor that no entry had.
        """
        found = [
            (run, gate)
            for run in self._runs_of(blueprint)
            for gate in self.load_gates(run.run_id)
            if gate.status in status
            and (run.held is None or gate.status is not GateStatus.OPEN)
            and (by is None or (gate.decision is not None and same(gate.decision.by, by)))
        ]
        oldest_first = GateStatus.OPEN in status
        return gate_entries(found, oldest_first=oldest_first, before=before, after=after, narrow=narrow)[:limit]

    def load_gate(self, run_id: str, node_id: str, visit: int) -> GateRecord | None:
        """One gate occurrence with its answers, or None."""
        gates = self.load_gates(run_id)
        return next((gate for gate in gates if (gate.node_id, gate.visit) == (node_id, visit)), None)

    def count_open_gates(self) -> int:
        """How many gates and inputs wait for a person."""
        return len(self.list_gates(limit=_MANY))

    # ---------------------------------------------------------------- looking

    def load_summary(self, run_id: str) -> RunRecord | None:
        """The run without its wide columns (snapshot, data, context, gates, events): what a refresh needs."""
        return self.load_run(run_id)

    def load_step(self, run_id: str, step_index: int) -> StepRecord | None:
        """One step, or None."""
        return next((step for step in self.load_steps(run_id) if step.step_index == step_index), None)

    def step_summaries(self, run_id: str, *, after: int = -1, limit: int | None = None) -> list[StepRecord]:
        """Steps beyond index `after` without their wide columns (changes' values, traceback, config, snapshot, logs).

        `output_keys` says what each changed.
        """
        steps = [step for step in self.load_steps(run_id) if step.step_index > after]
        return steps if limit is None else steps[:limit]

    def load_events(self, run_id: str) -> list[Event]:
        """The run's activity, oldest first."""
        run = self.load_run(run_id)
        return list(run.events) if run else []

    def load_context(self, run_id: str) -> dict[str, bytes]:
        """The committed context: initial data with every step's changes folded in, encoded values by key."""
        return fold(self.load_inputs(run_id), self.load_steps(run_id))

    def load_values(self, run_id: str, keys: Collection[str]) -> dict[str, bytes]:
        """The encoded values of the committed context at these keys; keys that are not set are left out."""
        context = self.load_context(run_id)
        return {key: context[key] for key in keys if key in context}

    def load_inputs(self, run_id: str) -> dict[str, bytes]:
        """What a run was given, encoded values by key; empty for a run that is not there."""
        run = self.load_run(run_id)
        return {} if run is None else {key: codec.encode(value) for key, value in run.initial_data.items()}

    def load_definition(self, run_id: str) -> str:
        """The stored definition of a run as JSON text (`codec.to_jsonable`); empty for a run that is not there."""
        run = self.load_run(run_id)
        return "" if run is None else json.dumps(codec.to_jsonable(run.blueprint_snapshot))

    def load_ended(self, run_id: str) -> list[Ended]:
        """The steps that ended their visit, in the order of commits: where a run stands in its plan."""
        return progress_of(self.load_steps(run_id))[0]

    def load_recorded(self, run_id: str) -> Recorded:
        """All that a driver goes on from; empty for a run that is not there."""
        inputs, steps = self.load_inputs(run_id), self.load_steps(run_id)
        ended, others = progress_of(steps)
        return Recorded(inputs=inputs, context=fold(inputs, steps), ended=ended, others=others)

    def page_runs(
        self, filter: RunFilter | None = None, *, before: str | None = None, after: str | None = None, limit: int = 50
    ) -> RunPage:
        """One page of (narrow) runs, newest first: those older than cursor `before`, or newer than cursor `after`.

        Raises InputError for a cursor that no page gave.
        """
        check_cursor("before", before)
        check_cursor("after", after)
        wanted = [run for run in self.list_runs(limit=_MANY) if matches(run, filter or RunFilter())]
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

    def find_runs(self, prefix: str, *, limit: int = 10) -> list[str]:
        """Ids that begin with `prefix`, over the whole history, at most `limit`."""
        ids = sorted(run.run_id for run in self.list_runs(limit=_MANY) if run.run_id.startswith(prefix))
        return ids[:limit]

    def active_runs(self) -> list[RunRecord]:
        """Runs that are running or owed (narrow) and do not stand still: what a sweep looks through."""
        runs = self.list_runs(limit=_MANY)
        return [run for run in runs if (run.status == RunStatus.RUNNING or run.owed) and run.held is None]

    def count_held_runs(self) -> int:
        """How many runs stand still until somebody adopts them."""
        return sum(run.held is not None for run in self.list_runs(limit=_MANY))

    def adopt_runs(self, run_ids: Iterable[str] | None, *, event: Event) -> int:
        """Let runs that stand still go on here (all of them where none is named); returns how many did stand still."""
        adopted = 0
        with defaults_lock:
            for run_id in [run.run_id for run in self.list_runs(limit=_MANY)] if run_ids is None else run_ids:
                run = self.load_run(run_id)
                if run is not None and run.held is not None:
                    run.held = run.owner = None
                    run.events = [*run.events, event]
                    run.version += 1
                    self.save_run(run)
                    adopted += 1
        return adopted

    def failed_runs(self, *, since: str, limit: int = 50) -> list[RunRecord]:
        """Failed runs (narrow) that ended at `since` (an ISO time) or later, what ended last first."""
        failed = [
            run
            for run in self.list_runs(status=RunStatus.FAILED, limit=_MANY)
            if run.finished_at is not None and run.finished_at >= since
        ]
        failed.sort(key=lambda run: run.finished_at or "", reverse=True)
        return failed[:limit]

    def status_counts(self, *, blueprint: str | None = None) -> dict[RunStatus, int]:
        """How many runs are in each status."""
        counts: dict[RunStatus, int] = {}
        for run in self._runs_of(blueprint):
            counts[run.status] = counts.get(run.status, 0) + 1
        return counts

    def blueprint_counts(self, *, status: RunStatus | None = None) -> dict[str, int]:
        """How many runs each blueprint has, by name."""
        counts: dict[str, int] = {}
        for run in self.list_runs(status=status, limit=_MANY):
            counts[run.blueprint_name] = counts.get(run.blueprint_name, 0) + 1
        return counts

    def day_counts(self, *, since: str, blueprint: str | None = None) -> list[DayCount]:
        """Runs by the day they started (YYYY-MM-DD, from `since` on) and status, days ascending."""
        counts: dict[tuple[str, RunStatus], int] = {}
        for run in self._runs_of(blueprint):
            day = run.created_at[:10]
            if day >= since[:10]:
                counts[day, run.status] = counts.get((day, run.status), 0) + 1
        return [DayCount(day=day, status=status, count=n) for (day, status), n in sorted(counts.items())]

    def _runs_of(self, blueprint: str | None) -> list[RunRecord]:
        """Every run of a blueprint, in whatever Unicode form its name is recorded."""
        runs = (run for name in spellings(blueprint) for run in self.list_runs(blueprint=name, limit=_MANY))
        return list({run.run_id: run for run in runs}.values())

    # ---------------------------------------------------------------- requests that may come twice

    def load_request(self, key: str) -> tuple[str, bytes] | None:
        """The digest and the answer that an idempotency key was kept with within the last day, or None."""
        with defaults_lock:
            kept = self._requests().get(key)
            return None if kept is None or kept[0] < a_day_ago() else kept[1:]

    def keep_request(self, key: str, digest: str, answer: bytes) -> None:
        """Remember for a day how a request was answered; the first answer under a key counts."""
        with defaults_lock:
            kept = self._requests()
            for old in [one for one, (at, _, _) in kept.items() if at < a_day_ago()]:
                del kept[old]
            kept.setdefault(key, (utcnow_iso(), digest, answer))

    def forget_request(self, key: str, digest: str) -> None:
        """Forget what is kept under `key`, if it is of the request with this digest."""
        with defaults_lock:
            kept = self._requests()
            if key in kept and kept[key][1] == digest:
                del kept[key]

    def _requests(self) -> dict[str, tuple[str, str, bytes]]:
        kept: dict[str, tuple[str, str, bytes]] = self.__dict__.setdefault("_kept_requests", {})
        return kept

    # ---------------------------------------------------------------- the end of a run's history

    def bury_run(self, run_id: str, tombstone: Tombstone) -> None:
        """Delete a run and, where the backend can, leave `tombstone`. Raises RefusedError when it has not ended."""
        with defaults_lock:
            run = self.load_summary(run_id)
            if run is not None and not run.status.ended:
                raise goes_on(run_id)
            self.delete_run(run_id)

    def load_tombstone(self, run_id: str) -> Tombstone | None:
        """What is left of a deleted run (its whole id is needed), or None."""
        return None

    def close(self) -> None:  # noqa: B027 (most backends have nothing to close)
        """Release files and connections; calling it twice is no error."""

    @classmethod
    def abilities(cls) -> dict[str, bool]:
        """Which of the further abilities this backend does itself: method name to whether it overrides the default."""
        return {name: getattr(cls, name) is not getattr(RunStore, name) for name in FURTHER_ABILITIES}


FURTHER_ABILITIES = (
    "create_run", "claim", "commit", "signals", "request_cancel", "set_owed", "answer_gate", "replace_gate",
    "load_gates", "load_gate", "list_gates", "count_open_gates", "load_summary", "load_step", "step_summaries",
    "load_events", "load_context", "load_values", "load_inputs", "load_definition", "load_ended", "load_recorded",
    "page_runs", "find_runs", "active_runs", "count_held_runs", "adopt_runs", "failed_runs", "status_counts",
    "blueprint_counts", "day_counts", "load_request", "keep_request", "forget_request", "bury_run", "load_tombstone",
)  # fmt: skip

_MANY = 2**31 - 1
