"""What the rules of a gate are applied to, and what comes out: plain data for `neurocore.gates.policy`.

Instants are text as in records (ISO 8601, UTC, microseconds), which sorts like time.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from enum import StrEnum

from msgspec import Struct


class Choice(StrEnum):
    """What an answer says."""

    APPROVE = "approve"
    REJECT = "reject"
    REQUEST_CHANGES = "request_changes"


class Verb(StrEnum):
    """What somebody may want to do at a gate; the first three are those of `Choice`."""

    APPROVE = "approve"
    REJECT = "reject"
    REQUEST_CHANGES = "request_changes"
    WITHDRAW = "withdraw"
    BREAK_GLASS = "break_glass"


class State(StrEnum):
    """The state of a gate. `held`: it is decided, and the deciding answer can still be withdrawn."""

    OPEN = "open"
    HELD = "held"
    DECIDED = "decided"
    VOIDED = "voided"


class Cause(StrEnum):
    """Why a gate is decided."""

    ANSWERS = "answers"
    DEADLINE = "deadline"
    BREAK_GLASS = "break_glass"


class Who(Struct, frozen=True, kw_only=True):
    """A person at a moment: the one who asks now, or the one who answered, as they were then.

    `id` is the person's id; in mode `open` the identity of the typed name. People are compared by it alone. `name` is
    the username (in mode `open` again the identity), which rules name; `label` is for sentences. `groups` are those
    that count. `approver` and `admin` say which roles the person has for the blueprint. `signed_in_at` is when the
    person last proved who they are in the session that they use, None without a session.
    """

    id: str
    name: str
    label: str
    known_by: str = "session"
    groups: tuple[str, ...] = ()
    approver: bool = True
    admin: bool = False
    service: bool = False
    signed_in_at: str | None = None
    #: When the account was disabled; of somebody who answered, the first time after the answer.
    disabled_at: str | None = None


class Given(Struct, frozen=True, kw_only=True):
    """A recorded answer. `answer` is None for data given to a waiting step, which neither approves nor rejects.

    `digest` is the one that it was given on (None: that of its occurrence), `visit` that of its occurrence. `content`
    stands for everything else that was given (note, form), so that the same answer can be recognized.
    """

    id: str
    who: Who
    answer: Choice | None
    at: str
    digest: str | None = None
    visit: int = 1
    content: str = ""
    signed: bool = False
    break_glass: bool = False
    withdrawn_at: str | None = None


class Decided(Struct, frozen=True, kw_only=True):
    """The decision of a gate. `answers` are the ids of those that it rests on; the last one tipped it."""

    outcome: Choice | None
    cause: Cause
    at: str
    answers: tuple[str, ...] = ()


class Facts(Struct, frozen=True, kw_only=True):
    """What is true of an occurrence now.

    `kind` is `gate`, or `input` for a step that waits for data. `mode` is the auth mode in which it opened,
    `store_mode` the present one. `deadline` is the resolved instant. `initiators` are the people who are *self*, by
    id, each with a clause such as `started this run`. `approved_before` has, for each gate of `distinct_from`, the ids
    of those who approved its latest completed visit. `changes_requested` counts how often this gate asked for changes
    before. `claimed` says whether a process took the decision over. `last_at` is the last instant recorded of the
    gate that is not among the others. `decision` is the recorded one: it stays whatever changes later. `people` lists
    the people that exist, as they are now; None if sentences shall name nobody.
    """

    opened_at: str
    kind: str = "gate"
    visit: int = 1
    digest: str = ""
    mode: str = "open"
    store_mode: str = "open"
    deadline: str | None = None
    initiators: Mapping[str, str] = {}
    approved_before: Mapping[str, Collection[str]] = {}
    escalated_at: str | None = None
    reminded_at: str | None = None
    last_at: str | None = None
    changes_requested: int = 0
    claimed: bool = False
    voided: bool = False
    decision: Decided | None = None
    people: Callable[[], Iterable[Who]] | None = None


class Counted(Struct, frozen=True, kw_only=True):
    """Whether an answer counts, and if not, why."""

    id: str
    counts: bool
    why_not: str | None = None


class StageState(Struct, frozen=True, kw_only=True):
    """One stage: who is asked (with those added by escalation), how many are required, and who approved (labels)."""

    approvers: tuple[str, ...]
    required: int
    approved_by: tuple[str, ...]

    @property
    def lacks(self) -> int:
        """Return how many approvals are missing."""
        return max(0, self.required - len(self.approved_by))


class Verdict(Struct, frozen=True, kw_only=True):
    """What a gate's rules give at a moment.

    `stage` is the place of the current stage in `stages`, from 1; of a decided gate it is the one that was current
    then. `missing` is a part of a sentence (`1 more of group finance`), None if the gate is not open. `held_until` is
    set while the deciding answer can be withdrawn. `overdue` says that the gate is open after its deadline.
    """

    state: State
    stages: tuple[StageState, ...]
    stage: int
    counted: tuple[Counted, ...]
    decision: Decided | None = None
    missing: str | None = None
    held_until: str | None = None
    deadline: str | None = None
    overdue: bool = False

    @property
    def outcome(self) -> Choice | None:
        """Return what was decided; None if nothing was, or if a step was given data."""
        return self.decision.outcome if self.decision is not None else None

    @property
    def cause(self) -> Cause | None:
        """Return why it is decided, if it is."""
        return self.decision.cause if self.decision is not None else None

    @property
    def required(self) -> int:
        """Return how many approvals the current stage needs in all."""
        return self.stages[self.stage - 1].required

    @property
    def approved_by(self) -> tuple[str, ...]:
        """Return the labels of those whose approvals count, in every stage."""
        return tuple(label for stage in self.stages for label in stage.approved_by)


class Allowed(Struct, frozen=True, kw_only=True):
    """Whether somebody may do something at a gate; if not, why, and at most five people who may (labels).

    `problem` is the kind of refusal, as the API names it: `forbidden`, `needs-sign-in`, `needs-passkey`,
    `deadline-passed` or `too-late`.
    """

    allowed: bool
    reason: str | None = None
    who_can: tuple[str, ...] = ()
    problem: str | None = None


class Why(StrEnum):
    """What is due at a gate: nobody answered in time, more people are asked, a reminder, or the run continues."""

    DEADLINE = "deadline"
    ESCALATE = "escalate"
    REMIND = "remind"
    UNDO = "undo"


class Due(Struct, frozen=True, kw_only=True):
    """When the sweep must look at a gate next, and why; `at` may be over."""

    at: str
    why: Why
