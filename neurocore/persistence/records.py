"""What is kept: the records of runs, steps, gates and answers, and the questions and answers of a store."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any, Self

import msgspec
from msgspec import Struct, field

from neurocore import codec, typed
from neurocore.access.actor import Actor
from neurocore.clock import utcnow_iso
from neurocore.persistence import seals


def storable(text: str) -> str:
    """The text with lone surrogates, which UTF-8 cannot hold, written as escapes; for words, never for values."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


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
    CANCELLED = "cancelled"


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


class CurrentNode(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """A step that is being executed now, or waits for its next try; it gets its record when it ends.

    `not_before` is when the next try may start, for one that waits; `attempt` and `started_at` are that try's then.
    `first_started_at` is when the first try of this visit started, where that was another.
    """

    node_id: str
    visit: int
    attempt: int
    started_at: str
    not_before: str | None = None
    first_started_at: str | None = None

    @property
    def is_paused(self) -> bool:
        """Whether it waits for its next try."""
        return self.not_before is not None


class Changes(Struct, frozen=True, kw_only=True):
    """What one step did to the context: encoded values by key (`neurocore.codec`), and deleted keys."""

    set: dict[str, bytes] = {}
    deleted: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.set or self.deleted)


class LogLine(Struct, frozen=True, kw_only=True, gc=False):
    """One line that a skill logged while its step ran."""

    at: str
    level: str
    message: str


#: The key of an entry's data under which it keeps a definition.
DEFINITION = "definition"


class Event(Struct, frozen=True, kw_only=True):
    """One entry of a run's activity, of a kind like `started`, `resumed`, `answered`, `cancelled` or `taken_over`.

    `known_by` says how we know who it was: `claimed` (said so on a command line or by a caller), `typed` (in a form
    without sign-in), `system` (NeuroCore itself).
    """

    at: str
    kind: str
    who: str | None = None
    known_by: str | None = None
    data: dict[str, Any] = {}

    @property
    def definition(self) -> str | None:
        """The stored definition that a `resumed` entry asks to continue with, as JSON text; else None."""
        found = self.data.get(DEFINITION)
        return found if isinstance(found, str) else None

    @property
    def facts(self) -> dict[str, Any]:
        """What was given, for people: all but the definition, which may be long."""
        return {key: value for key, value in self.data.items() if key != DEFINITION}


def event_of(actor: Actor, kind: str, data: dict[str, Any] | None = None, *, at: str) -> Event:
    """An entry of what somebody did."""
    return Event(
        at=at, kind=kind, who=actor.label, known_by=actor.known_by.value, data=data or {}
    )  # fmt: skip


def own_event(kind: str, data: dict[str, Any], *, at: str) -> Event:
    """An entry of the activity that nobody but NeuroCore itself made."""
    return Event(at=at, kind=kind, who="NeuroCore", known_by="system", data=data)


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
        """This answer with its place in the chain behind `prev_hash` (`neurocore.persistence.seals`).

        Raises StoreError when that hash is of a newer version.
        """
        seals.version_of(prev_hash)
        answer = msgspec.structs.replace(
            self, by=storable(self.by), note=None if self.note is None else storable(self.note), prev_hash=prev_hash
        )
        return msgspec.structs.replace(answer, hash=seals.answer_seal(answer, run_id, prev_hash))

    def is_sealed(self, run_id: str, prev_hash: str) -> bool:
        """Whether this answer is what was sealed behind the one with `prev_hash`, by the rules of its own version."""
        return seals.is_sealed(self, run_id, prev_hash)


class GateRecord(Struct, kw_only=True):
    """One gate occurrence, addressed by (run, node, visit).

    `kind` is `gate` (approve or reject) or `input` (a skill called `context.suspend` and waits for data). `shown` is
    the encoded dict of the values shown; `values` decodes it. What `digest` covers is said by its version
    (`neurocore.persistence.seals`).
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
        values = codec.restore(self.shown)
        return values if isinstance(values, dict) else {}

    @property
    def decision(self) -> Answer | None:
        """The answer that took effect, if there is one (the latest, where a step waited for data several times)."""
        return self.answers[-1] if self.answers else None


class Record(Struct, kw_only=True):
    """What run and step records share: a lossless form that `json.dumps` takes, for backends that store text."""

    def to_dict(self) -> dict[str, Any]:
        """This record as JSON-ready data; values JSON has no word for are tagged (`codec.to_jsonable`)."""
        document: dict[str, Any] = codec.to_jsonable(_builtins(self))
        return document

    @classmethod
    def from_dict(cls, document: Mapping[str, Any], *, objects: bool = True) -> Self:
        """The record that `to_dict` was called on; unknown fields are refused by msgspec.ValidationError.

        Without `objects`, values of classes are left as they are kept (`codec.from_jsonable`).
        """
        return typed.convert(codec.from_jsonable(dict(document), objects=objects), cls, strict=False)


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
    empty there. `nodes_done` counts the nodes that have completed; skipped and failed ones are not among them.
    `final_context` is the context folded from the initial data and every step's changes. `legacy` says
    what an older NeuroCore did not keep; `replay_only`, why the run cannot be resumed although it has not completed;
    `held`, why it stands still until somebody adopts it (it came with a copy of a history, or by an import).
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
    replay_only: str | None = None
    held: str | None = None
    gates: list[GateRecord] = []
    events: list[Event] = []

    @property
    def working_nodes(self) -> list[CurrentNode]:
        """What is being executed now, without what waits for its next try."""
        return [node for node in self.current_nodes if not node.is_paused]


#: How the reason begins of a step whose gate was voided.
VOIDED = "voided: "


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

    @property
    def is_voided(self) -> bool:
        """Whether it waited for a person until nobody was asked any more."""
        return self.status is StepStatus.SKIPPED and (self.reason or "").startswith(VOIDED)

    @property
    def decision(self) -> str | None:
        """`approved` or `rejected` for the step of a gate that was decided, else None."""
        if self.status is StepStatus.COMPLETED and self.reason in ("approved", "rejected"):
            return self.reason
        return "rejected" if self.status is StepStatus.FAILED and self.error_type == "GateRejected" else None

    @property
    def outcome(self) -> str:
        """How it ended, for people: its status, or `rejected` where a person rejected at a gate."""
        return "rejected" if self.decision == "rejected" else self.status.value


class Ended(Struct, frozen=True, gc=False):
    """What the loop needs of a step that ended its visit: the narrowest form of a `StepRecord` with `edges_taken`."""

    step_index: int
    commit_index: int
    node_id: str
    visit: int
    is_completed: bool
    edges_taken: tuple[int, ...]
    output_keys: list[str]
    skill_version: str | None


class Recorded(Struct, frozen=True, kw_only=True):
    """What a driver goes on from: inputs and committed context (encoded values by key), and the steps.

    `ended` are the steps that ended their visit. `others` are whole: they have failed, or wait, and a later step may
    have ended their visit. Both are in the order of commits.
    """

    inputs: dict[str, bytes]
    context: dict[str, bytes]
    ended: list[Ended]
    others: list[StepRecord]


class Tombstone(Struct, frozen=True, kw_only=True):
    """What is left of a deleted run."""

    run_id: str
    blueprint_name: str
    deleted_at: str
    deleted_by: str
    last_hash: str = ""


class Signals(Struct, frozen=True, kw_only=True, gc=False):
    """What the one who drives a run must notice between two steps."""

    epoch: int
    owner: str | None = None
    cancel_requested: str | None = None
    owed: str | None = None
    version: int = 0


def signals_of(run: RunRecord) -> Signals:
    """The signals that a run's record holds."""
    return Signals(
        epoch=run.epoch, owner=run.owner, cancel_requested=run.cancel_requested, owed=run.owed, version=run.version
    )


class Transition(Struct, kw_only=True):
    """Everything that changes a run at once, in one transaction where the backend has one.

    `run` carries the row's new values. `epoch` and `owner` are the writer's claim: both must still be those of the
    stored run. Without `epoch` it is that of `run`; a transition that also claims the run names the epoch before.
    `steps`, `gates` and `events` are added or, at the same key, replaced. `sync` asks for a disk sync. With
    `unless_decided`, nothing is written when a decided gate of this run waits to be consumed that is not done by this
    transition itself, and the returned signals say so.
    """

    run: RunRecord
    owner: str | None
    epoch: int | None = None
    steps: list[StepRecord] = []
    gates: list[GateRecord] = []
    events: list[Event] = []
    sync: bool = False
    unless_decided: bool = False

    @property
    def claim(self) -> tuple[int, str | None]:
        """The epoch and the owner that the stored run must have."""
        return (self.run.epoch if self.epoch is None else self.epoch), self.owner

    def is_held_back_by(self, decided: Iterable[tuple[str, int]]) -> bool:
        """Whether `unless_decided` forbids to write this, where these gates (node, visit) are decided."""
        done = {(gate.node_id, gate.visit) for gate in self.gates if gate.status is GateStatus.DONE}
        return self.unless_decided and not done.issuperset(decided)


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
    #: The blueprints whose runs may be seen; None: every one.
    blueprints: tuple[str, ...] | None = None


class RunPage(Struct, frozen=True, kw_only=True):
    """One page, newest first. `older` and `newer` are cursors for `RunStore.page_runs`, None where nothing is."""

    runs: list[RunRecord]
    older: str | None = None
    newer: str | None = None


class GateEntry(Struct, frozen=True, kw_only=True):
    """A gate occurrence with the (narrow) run it belongs to. `cursor` is where it stands in its list."""

    run: RunRecord
    gate: GateRecord
    cursor: str = ""


class DayCount(Struct, frozen=True, kw_only=True):
    """How many runs that started on `day` (YYYY-MM-DD, UTC) are in `status`."""

    day: str
    status: RunStatus
    count: int
