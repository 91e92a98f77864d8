"""The stored records: runs, steps, gates and answers, and the parameters and results of a store's methods."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any, Self

import msgspec
from msgspec import Struct, field

from neurocore import codec, typed
from neurocore.access.actor import Actor, identity_of
from neurocore.clock import utcnow_iso
from neurocore.persistence import seals
from neurocore.persistence.gate_policy import GatePolicy


def storable(text: str) -> str:
    """Return the text with lone surrogates, which UTF-8 cannot encode, as escapes; for messages, never for values."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


class RunStatus(StrEnum):
    """The status of a run."""

    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    SUSPENDED = "suspended"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Return whether nothing more happens unless a person asks for it."""
        return self in (RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED)


class StepStatus(StrEnum):
    """How one execution of a node ended (or that it waits)."""

    COMPLETED = "completed"
    FAILED = "failed"
    SKIPPED = "skipped"
    SUSPENDED = "suspended"
    CANCELLED = "cancelled"


class FailureKind(StrEnum):
    """The kind of a run's failure."""

    ERROR = "error"
    TIMEOUT = "timeout"
    REJECTED = "rejected"
    INTERRUPTED = "interrupted"
    LOST = "lost"


class GateStatus(StrEnum):
    """The life of a gate occurrence: open, decided, then done when the loop has consumed it; or voided."""

    OPEN = "open"
    DECIDED = "decided"
    DONE = "done"
    VOIDED = "voided"


class Owed(StrEnum):
    """Why a run that no process drives must continue."""

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
    """A step that is being executed, or waits for its next attempt; its record is written when it ends.

    `not_before` is when the next attempt may start; `attempt` and `started_at` are then those of that attempt.
    `first_started_at` is when the first attempt of this visit started, if that was another.
    """

    node_id: str
    visit: int
    attempt: int
    started_at: str
    not_before: str | None = None
    first_started_at: str | None = None

    @property
    def is_paused(self) -> bool:
        """Return whether it waits for its next attempt."""
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


#: The key under which an event's data has a definition.
DEFINITION = "definition"


class Event(Struct, frozen=True, kw_only=True):
    """One entry of a run's activity, of a kind such as `started`, `resumed`, `answered`, `cancelled` or `taken_over`.

    `known_by` is how the person is known: `claimed` (named on a command line or by a caller), `typed` (in a form
    without sign-in), `system` (NeuroCore itself), and so on. `person` and `token` are ids, where people sign in; `face`
    is where they acted. `hash` covers all of this and the hash of the run's event before it; events of older versions
    have none.
    """

    at: str
    kind: str
    who: str | None = None
    known_by: str | None = None
    data: dict[str, Any] = {}
    person: str | None = None
    face: str | None = None
    token: str | None = None
    hash: str = ""

    def sealed(self, run_id: str, prev_hash: str) -> Event:
        """Return this event at its place in the run's chain, after the event (or the answer) with `prev_hash`."""
        event = msgspec.structs.replace(self, who=None if self.who is None else storable(self.who))
        return msgspec.structs.replace(event, hash=seals.event_seal(event, run_id, prev_hash))

    @property
    def definition(self) -> str | None:
        """Return the stored definition that a `resumed` event asks to continue with, as JSON text; else None."""
        found = self.data.get(DEFINITION)
        return found if isinstance(found, str) else None

    @property
    def facts(self) -> dict[str, Any]:
        """Return the data for people: all but the definition, which may be long."""
        return {key: value for key, value in self.data.items() if key != DEFINITION}


def event_of(actor: Actor, kind: str, data: dict[str, Any] | None = None, *, at: str) -> Event:
    """Return an event for something that a person did."""
    return Event(
        at=at, kind=kind, who=actor.label, known_by=actor.known_by.value, data=data or {}, person=actor.person,
        face=actor.face.value, token=actor.token,
    )  # fmt: skip


def own_event(kind: str, data: dict[str, Any], *, at: str) -> Event:
    """Return an event for something that NeuroCore itself did."""
    return Event(at=at, kind=kind, who="NeuroCore", known_by="system", data=data, face="system")


#: The answer that takes another one back.
WITHDRAW = "withdraw"


class Answer(Struct, frozen=True, kw_only=True):
    """One person's approval or rejection at a gate occurrence, chained by hash to the run's previous answer.

    `digest` is the one that the answer was given on, or None if the caller left it out (the occurrence as it was).
    `data` holds other input (form fields, or `resume_data` at an input). `person`, `token` and `groups` are those of
    the moment, where people sign in; then `by` is only a label. `face` is where the answer was given. `answer` says
    what it is (`approve`, `reject`, `withdraw`); older ones have `approved` alone. `facts` are what else is needed to
    judge it: `signed_in_at`, `admin`, `break_glass`, `withdraws` (the hash of an answer).
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
    person: str | None = None
    face: str | None = None
    token: str | None = None
    groups: tuple[str, ...] = ()
    answer: str | None = None
    facts: dict[str, Any] = {}
    prev_hash: str = ""
    hash: str = ""

    @property
    def author(self) -> str:
        """Return who gave it: the person's id or, where nobody signs in, the identity of the name."""
        return self.person or identity_of(self.by)

    def sealed(self, run_id: str, prev_hash: str) -> Answer:
        """Return this answer with its place in the chain after `prev_hash` (`neurocore.persistence.seals`).

        Raises StoreError when that hash is of a newer version.
        """
        seals.version_of(prev_hash)
        answer = msgspec.structs.replace(
            self, by=storable(self.by), note=None if self.note is None else storable(self.note), prev_hash=prev_hash
        )
        return msgspec.structs.replace(answer, hash=seals.answer_seal(answer, run_id, prev_hash))

    def is_sealed(self, run_id: str, prev_hash: str) -> bool:
        """Return whether this answer was sealed so after the one with `prev_hash`, by the rules of its own version."""
        return seals.is_sealed(self, run_id, prev_hash)


class GateRecord(Struct, kw_only=True):
    """One gate occurrence, addressed by (run, node, visit).

    `kind` is `gate` (approve or reject) or `input` (a skill called `context.suspend` and waits for data). `shown` is
    the encoded dict of the values shown; `values` decodes it. The version of `digest` determines what it covers
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
    #: How people were known when it opened.
    auth_mode: str = "open"
    #: When it must be looked at next, if that is known.
    due_at: str | None = None

    @property
    def values(self) -> dict[str, Any]:
        """Return the values shown to the person, decoded."""
        values = codec.restore(self.shown)
        return values if isinstance(values, dict) else {}

    @property
    def withdrawn(self) -> dict[str, str]:
        """Return when each answer that was withdrawn was, by its hash."""
        return {str(one.facts.get("withdraws")): one.at for one in self.answers if one.answer == WITHDRAW}

    @property
    def decision(self) -> Answer | None:
        """Return the answer that took effect, if any (the latest, if a step waited for data several times).

        At a gate that needs several answers, it is the one that decided.
        """
        if self.kind == "gate" and self.status is GateStatus.OPEN:
            return None
        return self.answers[-1] if self.answers else None


class Record(Struct, kw_only=True):
    """The base of run and step records: a lossless form for `json.dumps`, for backends that store text."""

    def to_dict(self) -> dict[str, Any]:
        """Return this record as JSON-ready data; values that JSON cannot express are tagged (`codec.to_jsonable`)."""
        document: dict[str, Any] = codec.to_jsonable(_builtins(self))
        return document

    @classmethod
    def from_dict(cls, document: Mapping[str, Any], *, objects: bool = True) -> Self:
        """Return the record on which `to_dict` was called; msgspec.ValidationError refuses unknown fields.

        Without `objects`, values of classes stay in their stored form (`codec.from_jsonable`).
        """
        return typed.convert(codec.from_jsonable(dict(document), objects=objects), cls, strict=False)


def _builtins(record: Struct) -> dict[str, Any]:
    """Return the fields, with nested structs as dicts; all other values are left for the codec."""
    return {name: _plain(getattr(record, name)) for name in record.__struct_fields__}


def _plain(value: Any) -> Any:
    if isinstance(value, GatePolicy):
        return msgspec.to_builtins(value)
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
    empty there. `nodes_done` counts the completed nodes, without skipped and failed ones. `final_context` is the
    context folded from the initial data and every step's changes. `legacy` says what an older NeuroCore did not store;
    `replay_only`, why the run cannot be resumed although it has not completed; `held`, why the run is held until
    somebody adopts it (it came with a copy of a history, or by an import).
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
        """Return the steps that are being executed, without those that wait for their next attempt."""
        return [node for node in self.current_nodes if not node.is_paused]


#: How the reason of a step begins whose gate was voided.
VOIDED = "voided: "


class StepRecord(Record, kw_only=True):
    """One execution of one node: one record per visit and attempt, in the order of `step_index`.

    `commit_index` is the place of its last write in the run's history: folding `changes` in that order gives the
    context. `edges_taken` are the indexes, in the plan, of the edges that this outcome took; None in records of 0.4.
    `config` has secrets as references. `logs` are stored by backends that can.
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
        """Return whether it waited for a person and then was no longer needed."""
        return self.status is StepStatus.SKIPPED and (self.reason or "").startswith(VOIDED)

    @property
    def decision(self) -> str | None:
        """Return `approved` or `rejected` for the step of a decided gate, else None."""
        if self.status is StepStatus.COMPLETED and self.reason in ("approved", "rejected"):
            return self.reason
        return "rejected" if self.status is StepStatus.FAILED and self.error_type == "GateRejected" else None

    @property
    def outcome(self) -> str:
        """Return how it ended, for people: its status, or `rejected` if a person rejected at a gate."""
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
    """What a driver continues from: inputs and committed context (encoded values by key), and the steps.

    `ended` are the steps that ended their visit. `others` are whole: they have failed, or wait, and a later step may
    have ended their visit. Both are in the order of commits.
    """

    inputs: dict[str, bytes]
    context: dict[str, bytes]
    ended: list[Ended]
    others: list[StepRecord]


class Tombstone(Struct, frozen=True, kw_only=True):
    """What remains of a deleted run."""

    run_id: str
    blueprint_name: str
    deleted_at: str
    deleted_by: str
    last_hash: str = ""
    #: The end of the chain of its events.
    last_event: str = ""


class Signals(Struct, frozen=True, kw_only=True, gc=False):
    """What the driver of a run must notice between two steps."""

    epoch: int
    owner: str | None = None
    cancel_requested: str | None = None
    owed: str | None = None
    version: int = 0


def signals_of(run: RunRecord) -> Signals:
    """Return the signals in a run's record."""
    return Signals(
        epoch=run.epoch, owner=run.owner, cancel_requested=run.cancel_requested, owed=run.owed, version=run.version
    )


class Transition(Struct, kw_only=True):
    """Everything that changes a run at once, in one transaction if the backend has them.

    `run` carries the row's new values. `epoch` and `owner` are the writer's claim: both must still be those of the
    stored run. Without `epoch`, the epoch of `run` counts; a transition that also claims the run names the previous
    epoch. `steps`, `gates` and `events` are added or, at the same key, replaced. `sync` asks for a disk sync. With
    `unless_decided`, nothing is written if the run has a decided gate that waits to be consumed and that this
    transition does not complete; the returned signals say so.
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
        """Return the epoch and the owner that the stored run must have."""
        return (self.run.epoch if self.epoch is None else self.epoch), self.owner

    def is_held_back_by(self, decided: Iterable[tuple[str, int]]) -> bool:
        """Return whether `unless_decided` forbids this write, when these gates (node, visit) are decided."""
        done = {(gate.node_id, gate.visit) for gate in self.gates if gate.status is GateStatus.DONE}
        return self.unless_decided and not done.issuperset(decided)


class RunFilter(Struct, frozen=True, kw_only=True):
    """Which runs a list shows; all given conditions must hold. `text` is a prefix of the title or of the id.

    `since` (inclusive) and `until` (exclusive) are ISO times compared with `created_at`; `waiting` keeps runs with an
    open gate or input, including running ones.
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
    """One page, newest first. `older` and `newer` are cursors for `RunStore.page_runs`, None if there are none."""

    runs: list[RunRecord]
    older: str | None = None
    newer: str | None = None


class GateEntry(Struct, frozen=True, kw_only=True):
    """A gate occurrence with its (narrow) run. `cursor` is its place in the list."""

    run: RunRecord
    gate: GateRecord
    cursor: str = ""


class Ruling(Struct, frozen=True, kw_only=True):
    """What happens to an open occurrence: whether it is decided now, and when it must be looked at next.

    `answer` and `event` are recorded with it; an answer that somebody gives is not among them.
    """

    decides: bool = True
    due_at: str | None = None
    answer: Answer | None = None
    event: Event | None = None


class DayCount(Struct, frozen=True, kw_only=True):
    """How many runs that started on `day` (YYYY-MM-DD, UTC) have `status`."""

    day: str
    status: RunStatus
    count: int
