"""The documents about gates: what each shows, its rules, its answers, and what is missing."""

from __future__ import annotations

from typing import Any

from msgspec import Struct


class AnswerDocument(Struct, kw_only=True):
    """One person's answer. `by` is a label, and `known_by` says how the person is known.

    `answer` is approve, reject or withdraw; null if a step was given data. `id` is the hash of the answer, and
    `hash_version` the version of the rules by which it was made. `username`, `person` (an id), `token` (an id) and
    `groups` are those of the moment, where people sign in. `face`: cli, web, api, library or system.

    `counts` says whether it counts at its gate, and `why_not` why it does not. `withdrawn_at` is when its author
    withdrew it; the entry that says so has the answer withdraw, and `withdraws` is the id of the withdrawn one.
    `break_glass` is the reason for which it decided whatever the rules say.
    """

    id: str
    answer: str | None
    approved: bool | None
    by: str
    known_by: str
    at: str
    note: str | None
    digest: str | None
    data: dict[str, Any]
    username: str | None
    person: str | None
    face: str | None
    token: str | None
    groups: list[str]
    counts: bool
    why_not: str | None
    withdrawn_at: str | None
    withdraws: str | None
    break_glass: str | None
    hash: str
    hash_version: int


class StageDocument(Struct, kw_only=True):
    """One stage of a gate: who is asked (usernames and `group:NAME`; empty: everybody with the role approver).

    `approved_by` are the labels of those whose approvals count here, of whom `required` are needed.
    """

    approvers: list[str]
    required: int
    approved_by: list[str]


class GateDecisionDocument(Struct, kw_only=True):
    """The decision of a gate. `outcome`: approve or reject; null if a step was given data.

    `cause`: answers, deadline or break_glass. `by` is the label of whoever decided.
    """

    outcome: str | None
    cause: str
    at: str
    by: str | None


class OutlookDocument(Struct, kw_only=True):
    """What one answer leads to: nodes that will run, may run, are skipped, and how it ends."""

    runs: list[str]
    maybe: list[str]
    skips: list[str]
    ends: str
    sentence: str


class PreviewDocument(Struct, kw_only=True):
    """What each answer leads to."""

    approve: OutlookDocument
    reject: OutlookDocument


class DifferenceDocument(Struct, kw_only=True):
    """One value that differs, by its path (`user.name`, `rows[3].iban`; `rows[3–80]` for many items in one place).

    `kind`: added, removed, changed, or cut, which comes last if there may be more differences. `note` says what was not
    compared.
    """

    key: str
    kind: str
    before: Any = None
    after: Any = None
    note: str | None = None


class LastApprovedDocument(Struct, kw_only=True):
    """The last approved occurrence of this gate in another run, and the differences in what is shown."""

    run_id: str
    by: str | None
    at: str | None
    differences: list[DifferenceDocument]


class GateDocument(Struct, kw_only=True):
    """One gate occurrence, addressed by (run, node, visit). `kind`: gate, or input (a step waits for data).

    `policy` has the rules of the gate as the blueprint has them, without those that it leaves out; `deadline` is the
    resolved one. `stages` has one entry for a gate without stages. `stage` is the current one, from 1, and `required`
    what it needs; `approved_by` are the labels of all whose approvals count. `missing` is a part of a sentence
    (`1 more of group finance`), null if nothing is missing. `escalated_at` is when more people were asked. `decision`
    may be present while the gate is open: it takes effect at `held_until`, unless its last answer is withdrawn before.

    `preview` and `last_approved` are present while it is open.
    """

    node: str
    visit: int
    name: str
    kind: str
    status: str
    message: str
    shown: dict[str, Any]
    digest: str
    note_rule: str
    require: bool
    on_reject: str | None
    opened_at: str
    closed_at: str | None
    void_reason: str | None
    answers: list[AnswerDocument]
    policy: dict[str, Any]
    stages: list[StageDocument]
    stage: int
    required: int
    approved_by: list[str]
    missing: str | None
    deadline: str | None
    overdue: bool
    escalated_at: str | None
    decision: GateDecisionDocument | None
    held_until: str | None
    preview: PreviewDocument | None = None
    last_approved: LastApprovedDocument | None = None
