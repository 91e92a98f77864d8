"""What is kept of a run, and the contract of a store that keeps it.

A backend that implements the six abstract methods of `RunStore` works with all of NeuroCore: gates, answers, the claim
and the activity live inside `RunRecord`. Everything a good backend can do better (one transaction for a step and its
run, claiming by compare-and-set, paging by key, look-up by prefix, counts) is a further method with a working default
built on those six; the defaults keep two writers apart within one process only.
"""

from __future__ import annotations

import hashlib
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, ClassVar, Self

import msgspec
from msgspec import Struct, field

from neurocore import codec
from neurocore.errors import ClaimLost


def utcnow_iso() -> str:
    """The current time in UTC, ISO 8601 with microseconds, so that text sorts as time does."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


class RunStatus(StrEnum):
    """Where a run stands."""

    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    SUSPENDED = "suspended"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """True when nothing happens any more unless a person asks for it."""
        return self in (RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED)


class StepStatus(StrEnum):
    """How one execution of a node ended (or that it waits)."""

    COMPLETED = "completed"
    FAILED = "failed"
    SKIPPED = "skipped"
    SUSPENDED = "suspended"


class FailureKind(StrEnum):
    """Of what kind a failed run is."""

    ERROR = "error"
    TIMEOUT = "timeout"
    REJECTED = "rejected"
    INTERRUPTED = "interrupted"
    LOST = "lost"


class GateStatus(StrEnum):
    """The life of one gate occurrence: open, decided, then done once the loop has consumed it; or voided."""

    OPEN = "open"
    DECIDED = "decided"
    DONE = "done"
    VOIDED = "voided"


class Owed(StrEnum):
    """Why a run that nobody drives must still be driven on."""

    START = "start"
    DECISION = "decision"
    RESUME = "resume"


class Failure(Struct, frozen=True, kw_only=True):
    """Why a run failed. `type` is the exception's class name."""

    kind: FailureKind
    message: str
    node: str | None = None
    type: str | None = None


class CurrentNode(Struct, frozen=True, kw_only=True):
    """A step that is being executed now; it gets its record when it ends."""

    node_id: str
    visit: int
    attempt: int
    started_at: str


class Changes(Struct, frozen=True, kw_only=True):
    """What one step did to the context: encoded values by key (`neurocore.codec`), and deleted keys."""

    set: dict[str, bytes] = {}
    deleted: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.set or self.deleted)


class LogLine(Struct, frozen=True, kw_only=True):
    """One line that a skill logged while its step ran."""

    at: str
    level: str
    message: str


class Event(Struct, frozen=True, kw_only=True):
    """One entry of a run's activity: `started`, `resumed`, `replayed`, `answered`, `cancelled`, `taken_over`, …

    `known_by` says how we know who it was: `claimed` (said so on a command line or by a caller), `typed` (in a form
    without sign-in), `system` (NeuroCore itself).
    """

    at: str
    kind: str
    who: str | None = None
    known_by: str | None = None
    data: dict[str, Any] = {}


class GatePolicy(Struct, frozen=True, kw_only=True):
    """The rules of a gate as they stood when it opened. `note`: `optional`, `required` or `on_reject`."""

    require: bool = True
    on_reject: str | None = None
    note: str = "optional"
    show: tuple[str, ...] | None = None


class Answer(Struct, frozen=True, kw_only=True):
    """One person's approve or reject at one gate occurrence, chained by hash to the run's answer before it.

    `digest` is the one the answer was given on, or None when the caller left it out (the occurrence as it stood).
    `data` holds what else was given (form fields, or `resume_data` at an input).
    """

    node_id: str
    visit: int
    approved: bool | None
    by: str
    known_by: str
    at: str
    note: str | None = None
    digest: str | None = None
    data: dict[str, Any] = {}
    prev_hash: str = ""
    hash: str = ""

    def sealed(self, run_id: str, prev_hash: str) -> Answer:
        """This answer with its place in the chain: SHA-256 over the run, the previous hash and every field."""
        body = [
            run_id, prev_hash, self.node_id, self.visit, self.approved, self.by, self.known_by, self.at, self.note,
            self.digest, self.data,
        ]  # fmt: skip
        digest = hashlib.sha256(codec.canonical(body)).hexdigest()
        return msgspec.structs.replace(self, prev_hash=prev_hash, hash=digest)


class GateRecord(Struct, kw_only=True):
    """One gate occurrence, addressed by (run, node, visit).

    `kind` is `gate` (approve or reject) or `input` (a skill called `context.suspend` and waits for data). `shown` is
    the encoded dict of the values shown; `values` decodes it. `digest` covers run, node, visit, message, policy and
    shown values.
    """

    run_id: str
    node_id: str
    visit: int
    kind: str = "gate"
    name: str = ""
    step_index: int = 0
    opened_at: str = ""
    message: str = ""
    shown: bytes = b"\x80"
    digest: str = ""
    policy: GatePolicy = GatePolicy()
    deadline: str | None = None
    status: GateStatus = GateStatus.OPEN
    closed_at: str | None = None
    void_reason: str | None = None
    answers: list[Answer] = []

    @property
    def values(self) -> dict[str, Any]:
        """The values shown to the person, decoded."""
        values = codec.decode(self.shown)
        return values if isinstance(values, dict) else {}

    @property
    def decision(self) -> Answer | None:
        """The answer that took effect, if there is one (the latest, where a step waited for data several times)."""
        return self.answers[-1] if self.answers else None


def gate_digest(gate: GateRecord) -> str:
    """SHA-256, hexadecimal, over run, node, visit, message, policy and the values shown, unmasked (promise 6)."""
    policy = gate.policy
    parts = [
        gate.run_id, gate.node_id, gate.visit, gate.message,
        [policy.require, policy.on_reject, policy.note, list(policy.show or ())], codec.decode(gate.shown),
    ]  # fmt: skip
    return hashlib.sha256(codec.canonical(parts)).hexdigest()


class Record(Struct, kw_only=True):
    """What run and step records share: a lossless form that `json.dumps` takes, for backends that store text."""

    def to_dict(self) -> dict[str, Any]:
        """This record as JSON-ready data; values JSON has no word for are tagged (`codec.to_jsonable`)."""
        document: dict[str, Any] = codec.to_jsonable(_builtins(self))
        return document

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Self:
        """The record that `to_dict` was called on; unknown fields are refused by msgspec.ValidationError."""
        return msgspec.convert(codec.from_jsonable(dict(document)), cls, strict=False)


def _builtins(record: Struct) -> dict[str, Any]:
    """Field by field, with nested structs as dicts and every other value left for the codec."""
    return {name: _plain(getattr(record, name)) for name in record.__struct_fields__}


def _plain(value: Any) -> Any:
    if isinstance(value, Struct) and type(value).__module__ == __name__:
        return _builtins(value)
    if isinstance(value, StrEnum) and type(value).__module__ == __name__:
        return value.value
    if type(value) is list and value and isinstance(value[0], Struct):
        return [_plain(item) for item in value]
    return value


class RunRecord(Record, kw_only=True):
    """The durable record of one run. Times are ISO 8601 in UTC; `duration_ms` is time worked, in milliseconds.

    Records from lists are narrow: `blueprint_snapshot`, `initial_data`, `final_context`, `gates` and `events` may be
    empty there. `final_context` is the context folded from the initial data and every step's changes.
    """

    run_id: str
    blueprint_name: str
    blueprint_version: str = "1.0"
    blueprint_path: str | None = None
    blueprint_snapshot: dict[str, Any] = {}
    blueprint_hash: str = ""
    flow_type: str = "sequential"
    title: str = ""
    status: RunStatus = RunStatus.RUNNING
    initial_data: dict[str, Any] = {}
    final_context: dict[str, Any] | None = None
    error: str | None = None
    failure: Failure | None = None
    suspended_at_node: str | None = None
    suspension_reason: str | None = None
    created_at: str = field(default_factory=utcnow_iso)
    updated_at: str = field(default_factory=utcnow_iso)
    finished_at: str | None = None
    duration_ms: float | None = None
    completed_nodes: list[str] = []
    current_nodes: list[CurrentNode] = []
    nodes_done: int = 0
    nodes_total: int = 0
    started_by: str | None = None
    known_by: str | None = None
    replay_of: str | None = None
    tags: list[str] = []
    epoch: int = 0
    owner: str | None = None
    lease_until: str | None = None
    owed: str | None = None
    deaths: int = 0
    cancel_requested: str | None = None
    version: int = 0
    legacy: str | None = None
    gates: list[GateRecord] = []
    events: list[Event] = []


class StepRecord(Record, kw_only=True):
    """One execution of one node: one record per visit and attempt, in the order of `step_index`.

    `commit_index` is the place of its last write in the run's history: folding `changes` in that order gives the
    context. `edges_taken` are the indexes, in the plan, of the edges this outcome took; None in records of 0.4.
    `config` has secrets as references. `logs` are kept by stores that can.
    """

    run_id: str
    step_index: int
    component: str
    node_id: str = ""
    visit: int = 1
    attempt: int = 1
    skill_type: str | None = None
    skill_version: str | None = None
    status: StepStatus = StepStatus.COMPLETED
    reason: str | None = None
    port: str | None = None
    edges_taken: list[int] | None = None
    started_at: str = field(default_factory=utcnow_iso)
    duration_ms: float | None = None
    error: str | None = None
    error_type: str | None = None
    traceback: str | None = None
    config: dict[str, Any] = {}
    output_keys: list[str] = []
    changes: Changes = Changes()
    commit_index: int = 0
    context_snapshot: dict[str, Any] | None = None
    logs: list[LogLine] = []


class Tombstone(Struct, frozen=True, kw_only=True):
    """What is left of a deleted run."""

    run_id: str
    blueprint_name: str
    deleted_at: str
    deleted_by: str
    last_hash: str = ""


class Signals(Struct, frozen=True, kw_only=True):
    """What the one who drives a run must notice between two steps."""

    epoch: int
    cancel_requested: str | None = None
    owed: str | None = None
    version: int = 0


class Commit(Struct, kw_only=True):
    """Everything one turn of the loop writes, in one transaction where the backend has one.

    `run` carries the row's new values and the epoch of the writer. `steps`, `gates` and `events` are added or, at the
    same key, replaced. `sync` asks for a disk sync. With `unless_decided`, nothing is written when a decided gate of
    this run waits to be consumed, and the returned signals say so.
    """

    run: RunRecord
    steps: list[StepRecord] = []
    gates: list[GateRecord] = []
    events: list[Event] = []
    sync: bool = False
    unless_decided: bool = False


class RunFilter(Struct, frozen=True, kw_only=True):
    """Which runs a list shows; everything given must hold. `text` is a prefix of the title or of the id.

    `since` (inclusive) and `until` (exclusive) are ISO times compared with `created_at`; `waiting` keeps runs with an
    open gate or input, running ones too.
    """

    status: tuple[RunStatus, ...] = ()
    blueprint: str | None = None
    text: str | None = None
    since: str | None = None
    until: str | None = None
    tag: str | None = None
    started_by: str | None = None
    waiting: bool = False


class RunPage(Struct, frozen=True, kw_only=True):
    """One page, newest first. `older` and `newer` are cursors for `RunStore.page_runs`, None where nothing is."""

    runs: list[RunRecord]
    older: str | None = None
    newer: str | None = None


class GateEntry(Struct, frozen=True, kw_only=True):
    """A gate occurrence with the (narrow) run it belongs to."""

    run: RunRecord
    gate: GateRecord


class DayCount(Struct, frozen=True, kw_only=True):
    """How many runs that started on `day` (YYYY-MM-DD, UTC) are in `status`."""

    day: str
    status: RunStatus
    count: int


# The defaults of RunStore keep writers of one process apart with this lock; a backend with transactions does not use it.
_defaults_lock = threading.RLock()


class RunStore(ABC):
    """A durable store of runs. Six abstract methods make a backend; the rest is there to be done better.

    Every method may be called from several threads. What cannot be read or written raises `StoreError`.
    """

    #: True when two processes that write to one store are kept apart (promises 3 to 5 across processes).
    multi_process: ClassVar[bool] = False

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
        """Add a new run, synced to disk; raises `ValueError` when the id is taken."""
        with _defaults_lock:
            if self.load_run(run.run_id) is not None:
                raise ValueError(f"A run with the id {run.run_id} exists already.")
            self.save_run(run)

    def claim(self, run_id: str, *, owner: str, expected_epoch: int) -> int | None:
        """Take the right to drive the run: compare-and-set on its epoch, raising it by one.

        Also sets `status` to running, `owner`, clears `owed`, `cancel_requested`. Returns the new epoch, or None when
        somebody else claimed first. Whether an owner still lives is the caller's question (`neurocore.runtime.claim`).
        """
        with _defaults_lock:
            run = self.load_run(run_id)
            if run is None or run.epoch != expected_epoch:
                return None
            run.epoch += 1
            run.owner = owner
            run.owed = None
            run.cancel_requested = None
            run.status = RunStatus.RUNNING
            run.updated_at = utcnow_iso()
            run.version += 1
            self.save_run(run)
            return run.epoch

    def commit(self, commit: Commit) -> Signals:
        """Write one turn of the loop. Raises `ClaimLost` when the run's epoch is no longer `commit.run.epoch`.

        Steps are saved before the run row, later ones first, so that a death in between leaves rows that do not fit
        the run yet and are ignored, never a run that claims a step it has not.
        """
        with _defaults_lock:
            stored = self.load_run(commit.run.run_id)
            if stored is None or stored.epoch != commit.run.epoch:
                raise ClaimLost(f"Run {commit.run.run_id} was taken over by another process; nothing was written.")
            decided = any(gate.status == GateStatus.DECIDED for gate in stored.gates)
            owed = Owed.DECISION if decided else None
            if commit.unless_decided and owed:
                return Signals(epoch=stored.epoch, cancel_requested=stored.cancel_requested, owed=owed)
            for step in sorted(commit.steps, key=lambda step: -step.step_index):
                self.save_step(step)
            run = msgspec.structs.replace(
                commit.run,
                gates=_merge_gates(stored.gates, commit.gates),
                events=[*stored.events, *commit.events],
                version=stored.version + 1,
                cancel_requested=stored.cancel_requested,
            )
            if run.status is not RunStatus.RUNNING:
                complete(run, self.load_steps(run.run_id))
            if not run.status.ended and any(gate.status == GateStatus.DECIDED for gate in run.gates):
                run.owed = Owed.DECISION
            self.save_run(run)
            return Signals(
                epoch=run.epoch, cancel_requested=run.cancel_requested, owed=run.owed, version=run.version
            )

    def signals(self, run_id: str) -> Signals | None:
        """What the driver must notice, as cheaply as the backend can; None when the run is gone."""
        run = self.load_run(run_id)
        if run is None:
            return None
        return Signals(epoch=run.epoch, cancel_requested=run.cancel_requested, owed=run.owed, version=run.version)

    def request_cancel(self, run_id: str, *, event: Event) -> None:
        """Ask whoever drives the run to stop between steps; `event.who` stands in `cancel_requested`."""
        with _defaults_lock:
            run = self.load_run(run_id)
            if run is not None:
                run.cancel_requested = event.who or "?"
                run.events = [*run.events, event]
                run.version += 1
                self.save_run(run)

    def set_owed(self, run_id: str, owed: Owed | None, *, event: Event | None = None) -> None:
        """Mark a run as owed (or not), outside the loop."""
        with _defaults_lock:
            run = self.load_run(run_id)
            if run is not None:
                run.owed = owed
                run.events = [*run.events, event] if event else run.events
                run.version += 1
                self.save_run(run)

    # ---------------------------------------------------------------- gates

    def answer_gate(self, run_id: str, answer: Answer, *, event: Event) -> bool:
        """Let one answer take effect: compare-and-set of its occurrence from open to decided (promise 4).

        In one synced transaction the answer is sealed into the run's chain, the gate is decided, the run is owed and
        the event is added. Returns False, and changes nothing, when the occurrence is not open any more or shows
        another digest than `answer.digest` (when that is given).
        """
        with _defaults_lock:
            run = self.load_run(run_id)
            if run is None:
                return False
            for place, gate in enumerate(run.gates):
                if (gate.node_id, gate.visit) == (answer.node_id, answer.visit) and gate.status == GateStatus.OPEN:
                    if answer.digest is not None and answer.digest != gate.digest:
                        return False
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
                    return True
            return False

    def replace_gate(self, run_id: str, old: GateRecord, new: GateRecord, step: StepRecord, *, event: Event) -> bool:
        """Void an open occurrence and open another in its place, outside the loop; False when it is open no more.

        `step` is the suspended step's record with the new visit. Used when what a gate shows no longer matches what
        the committed context gives (promise 6).
        """
        with _defaults_lock:
            run = self.load_run(run_id)
            current = next((g for g in run.gates if (g.node_id, g.visit) == (old.node_id, old.visit)), None) if run else None
            if run is None or current is None or current.status != GateStatus.OPEN:
                return False
            self.save_step(step)
            run.gates = _merge_gates(run.gates, [old, new])
            run.events = [*run.events, event]
            run.version += 1
            self.save_run(run)
            return True

    def load_gates(self, run_id: str) -> list[GateRecord]:
        """Every gate occurrence of a run with its answers, in the order they opened."""
        run = self.load_run(run_id)
        return list(run.gates) if run else []

    def list_gates(
        self,
        *,
        status: tuple[GateStatus, ...] = (GateStatus.OPEN,),
        blueprint: str | None = None,
        by: str | None = None,
        before: str | None = None,
        limit: int = 50,
    ) -> list[GateEntry]:
        """Gate occurrences over all runs. Open ones oldest first; others newest decision first.

        `by` keeps those this person decided; `before` (an ISO time) pages back through decided ones.
        """
        entries = [
            GateEntry(run=run, gate=gate)
            for run in self.list_runs(blueprint=blueprint, limit=_MANY)
            for gate in self.load_gates(run.run_id)
            if gate.status in status
            and (by is None or (gate.decision is not None and gate.decision.by == by))
            and (before is None or (gate.closed_at or "") < before)
        ]
        if GateStatus.OPEN in status:
            entries.sort(key=lambda entry: entry.gate.opened_at)
        else:
            entries.sort(key=lambda entry: entry.gate.closed_at or "", reverse=True)
        return entries[:limit]

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
        run = self.load_run(run_id)
        if run is None:
            return {}
        initial = {key: codec.encode(value) for key, value in run.initial_data.items()}
        return fold(initial, self.load_steps(run_id))

    def page_runs(
        self, filter: RunFilter | None = None, *, before: str | None = None, after: str | None = None, limit: int = 50
    ) -> RunPage:
        """One page of (narrow) runs, newest first: those older than cursor `before`, or newer than cursor `after`."""
        wanted = [run for run in self.list_runs(limit=_MANY) if matches(run, filter or RunFilter())]
        wanted.sort(key=_cursor, reverse=True)
        if after is not None:
            newer = [run for run in wanted if _cursor(run) > after]
            page = newer[-limit:]
        else:
            page = [run for run in wanted if before is None or _cursor(run) < before][:limit]
        if not page:
            return RunPage(runs=[])
        first, last = _cursor(page[0]), _cursor(page[-1])
        return RunPage(
            runs=page,
            older=last if any(_cursor(run) < last for run in wanted) else None,
            newer=first if any(_cursor(run) > first for run in wanted) else None,
        )

    def find_runs(self, prefix: str, *, limit: int = 10) -> list[str]:
        """Ids that begin with `prefix`, over the whole history, at most `limit`."""
        ids = sorted(run.run_id for run in self.list_runs(limit=_MANY) if run.run_id.startswith(prefix))
        return ids[:limit]

    def active_runs(self) -> list[RunRecord]:
        """Runs that are running or owed (narrow): what a sweep looks through."""
        return [run for run in self.list_runs(limit=_MANY) if run.status == RunStatus.RUNNING or run.owed]

    def status_counts(self, *, blueprint: str | None = None) -> dict[RunStatus, int]:
        """How many runs are in each status."""
        counts: dict[RunStatus, int] = {}
        for run in self.list_runs(blueprint=blueprint, limit=_MANY):
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
        for run in self.list_runs(blueprint=blueprint, limit=_MANY):
            day = run.created_at[:10]
            if day >= since[:10]:
                counts[day, run.status] = counts.get((day, run.status), 0) + 1
        return [DayCount(day=day, status=status, count=n) for (day, status), n in sorted(counts.items())]

    # ---------------------------------------------------------------- the end of a run's history

    def bury_run(self, run_id: str, tombstone: Tombstone) -> None:
        """Delete a run and, where the backend can, leave `tombstone`."""
        self.delete_run(run_id)

    def load_tombstone(self, run_id: str) -> Tombstone | None:
        """What is left of a deleted run (its whole id is needed), or None."""
        return None

    def close(self) -> None:
        """Release files and connections; calling it twice is no error."""

    @classmethod
    def abilities(cls) -> dict[str, bool]:
        """Which of the further abilities this backend does itself: method name to whether it overrides the default."""
        return {name: getattr(cls, name) is not getattr(RunStore, name) for name in FURTHER_ABILITIES}


FURTHER_ABILITIES = (
    "create_run", "claim", "commit", "signals", "request_cancel", "set_owed", "answer_gate", "replace_gate",
    "load_gates", "list_gates", "count_open_gates", "load_summary", "load_step", "step_summaries", "load_events",
    "load_context", "page_runs", "find_runs", "active_runs", "status_counts", "blueprint_counts", "day_counts",
    "bury_run", "load_tombstone",
)  # fmt: skip

_MANY = 2**31 - 1


def fold(initial: Mapping[str, bytes], steps: Iterable[StepRecord]) -> dict[str, bytes]:
    """The context that `steps` leave behind, as encoded values by key; failed steps changed nothing."""
    context = dict(initial)
    for step in sorted(steps, key=lambda step: step.commit_index):
        for key in step.changes.deleted:
            context.pop(key, None)
        context.update(step.changes.set)
    return context


def complete(run: RunRecord, steps: Sequence[StepRecord]) -> RunRecord:
    """Fill in what follows from the steps: `completed_nodes`, and `final_context` as data and metadata."""
    done = sorted((step for step in steps if step.status is StepStatus.COMPLETED), key=lambda step: step.commit_index)
    run.completed_nodes = [step.node_id or step.component for step in done]
    initial = {key: codec.encode(value) for key, value in run.initial_data.items()}
    data = {}
    for key, value in fold(initial, steps).items():
        try:
            data[key] = codec.decode(value)
        except codec.CodecError as error:  # a class that is gone must not hide the rest of the run
            data[key] = f"(unreadable: {error})"
    run.final_context = {
        "data": data,
        "metadata": {
            "run_id": run.run_id,
            "status": run.status.value,
            "suspended": run.status is RunStatus.SUSPENDED,
            "suspended_at_node": run.suspended_at_node,
            "suspension_reason": run.suspension_reason,
            "completed_nodes": run.completed_nodes,
        },
    }
    return run


def last_hash(gates: Iterable[GateRecord]) -> str:
    """The end of a run's chain of answers: the hash that no other answer names as the one before it."""
    answers = [answer for gate in gates for answer in gate.answers]
    named = {answer.prev_hash for answer in answers}
    return next((answer.hash for answer in answers if answer.hash not in named), "")


def matches(run: RunRecord, wanted: RunFilter) -> bool:
    """Whether `run` passes the filter; what SQL stores say in a WHERE."""
    text = wanted.text
    return (
        (not wanted.status or run.status in wanted.status)
        and (wanted.blueprint is None or run.blueprint_name == wanted.blueprint)
        and (text is None or run.run_id.startswith(text) or run.title.casefold().startswith(text.casefold()))
        and (wanted.since is None or run.created_at >= wanted.since)
        and (wanted.until is None or run.created_at < wanted.until)
        and (wanted.tag is None or wanted.tag in run.tags)
        and (wanted.started_by is None or run.started_by == wanted.started_by)
        and (not wanted.waiting or any(gate.status == GateStatus.OPEN for gate in run.gates))
    )


def _cursor(run: RunRecord) -> str:
    return f"{run.created_at}~{run.run_id}"


def _merge_gates(stored: list[GateRecord], new: list[GateRecord]) -> list[GateRecord]:
    """`new` over `stored` by (node, visit). An answer that is stored is never lost to a writer that had not seen it."""
    merged = {(gate.node_id, gate.visit): gate for gate in stored}
    for gate in new:
        before = merged.get((gate.node_id, gate.visit))
        if before is not None and before.answers and not gate.answers:
            gate = msgspec.structs.replace(gate, answers=before.answers)
        merged[gate.node_id, gate.visit] = gate
    return list(merged.values())
