"""The documents about runs, one type each: what `--json` prints and the API returns.

docs/schemas is made from them, and real output is checked against it.

Times are ISO 8601 in UTC, durations milliseconds. Values of a run are shown as JSON has them (sets as lists, decimals
and times as text, bytes as `base64:…`), with credentials masked. New fields may be added; none is removed or changes
its meaning.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from neurocore.documents.gates import DifferenceDocument, GateDocument


class FailureDocument(Struct, kw_only=True):
    """Why a run failed. `kind`: error, timeout, rejected, interrupted or lost."""

    kind: str
    message: str
    node: str | None = None
    type: str | None = None


class CurrentNodeDocument(Struct, kw_only=True):
    """A step that is being executed; one with `not_before` waits for its next attempt until then."""

    node: str
    visit: int
    attempt: int
    started_at: str
    not_before: str | None


class RunSummary(Struct, kw_only=True):
    """A run as in lists.

    `status` is running, completed, failed, suspended or cancelled. `state` says who continues it: `driven` (a live
    process does), `owed` (it is to continue, and no process drives it yet), `lost` (its process died), `cannot_tell`
    (it is unknown whether its process is alive, so the run is left alone), `held` (it is held until somebody adopts it,
    and the field `held` says why), `idle`.

    `duration_ms` is time worked, not time waited for people. `nodes_done` counts the completed nodes, without skipped
    and failed ones. `owed` says why a run that no process drives must continue: start, decision or resume;
    `cancel_requested`, who asked for a cancellation that has not happened yet.
    """

    run_id: str
    title: str
    blueprint: str
    blueprint_version: str
    status: str
    state: str
    held: str | None
    created_at: str
    updated_at: str
    finished_at: str | None
    duration_ms: float | None
    nodes_done: int
    nodes_total: int
    running_nodes: list[str]
    current_nodes: list[CurrentNodeDocument]
    owed: str | None
    cancel_requested: str | None
    suspended_at_node: str | None
    suspension_reason: str | None
    error: str | None
    failure: FailureDocument | None
    started_by: str | None
    replay_of: str | None
    tags: list[str]


class RunsDocument(Struct, kw_only=True):
    """`runs list --json`. `older` is the value of `--before` for the next page, null on the last page.

    `newer` is the value of the API's `after` for the previous page, null on the first page. `since` and `until` are the
    times that the filter means, in `timezone`: see `project.timezone`.
    """

    runs: list[RunSummary]
    older: str | None
    newer: str | None
    since: str | None
    until: str | None
    timezone: str


class LogDocument(Struct, kw_only=True):
    """One line that a skill logged, and the step that logged it."""

    at: str
    level: str
    message: str
    node: str
    visit: int
    attempt: int
    step_index: int


class StepDocument(Struct, kw_only=True):
    """One execution of one node. `changes` and `deleted` say what it did to the context, `output_keys` what it set.

    `status` is completed, failed, skipped, suspended or cancelled (stopped when the run was cancelled). `decision` is
    approved or rejected if the step is a decided gate: a rejected one is `completed` if the run continues, else
    `failed`. `config`, `traceback` and `logs` are filled in with `--full`; `logs` of a step that failed or was
    cancelled always.
    """

    step_index: int
    node: str
    component: str
    visit: int
    attempt: int
    skill: str | None
    skill_version: str | None
    status: str
    decision: str | None
    reason: str | None
    port: str | None
    started_at: str
    duration_ms: float | None
    error: str | None
    error_type: str | None
    output_keys: list[str]
    changes: dict[str, Any]
    deleted: list[str]
    config: dict[str, Any] | None = None
    traceback: str | None = None
    logs: list[LogDocument] | None = None


class EventDocument(Struct, kw_only=True):
    """One entry of a run's activity."""

    at: str
    kind: str
    who: str | None
    known_by: str | None
    data: dict[str, Any]


class RunDetails(RunSummary, kw_only=True):
    """A whole run: the summary, its inputs, and the current context.

    `outputs` are the names that the blueprint declares; `replay_only` says why the run cannot be resumed although it
    has not completed.
    """

    blueprint_path: str | None
    blueprint_hash: str
    flow_type: str
    description: str | None
    outputs: list[str]
    replay_only: str | None
    completed_nodes: list[str]
    driven_by: str | None
    legacy: str | None
    initial_data: dict[str, Any]
    context: dict[str, Any]


class InspectDocument(Struct, kw_only=True):
    """`runs inspect --json`. `next` are commands that can be typed now; `refused` says why others are not possible.

    `blueprint_source` (the exact YAML that ran) comes with `--full`, or `blueprint_definition`, the same as data, if no
    YAML was stored.
    """

    run: RunDetails
    steps: list[StepDocument]
    gates: list[GateDocument]
    events: list[EventDocument]
    next: list[str]
    refused: dict[str, str]
    blueprint_source: str | None = None
    blueprint_definition: dict[str, Any] | None = None


class WaitDocument(Struct, kw_only=True):
    """An open gate or input of a run."""

    node: str
    visit: int
    kind: str
    message: str
    digest: str


class DecisionDocument(Struct, kw_only=True):
    """The result of an answer.

    `effect`: took_effect, recorded (the gate waits for more answers, which `missing` names, or until `held_until`, when
    the answer can no longer be withdrawn), or repeated (the same person gave the same answer before).
    """

    node: str
    visit: int
    approved: bool | None
    by: str
    at: str
    note: str | None
    effect: str
    driven_by: str | None
    missing: str | None = None
    held_until: str | None = None


class StandingDocument(RunSummary, kw_only=True):
    """The state of a run: `waits` are the open gates and inputs, `decision` is present after an answer.

    `next` are commands that can be typed now.
    """

    waits: list[WaitDocument]
    next: list[str]
    decision: DecisionDocument | None = None


class OutcomeDocument(StandingDocument, kw_only=True):
    """The state of a run when a command that changed or followed it ends.

    `data` is the context; `waits` are the open gates and inputs; `decision` is present after `approve`.
    """

    data: dict[str, Any]


class LogsDocument(Struct, kw_only=True):
    """`runs logs --json`."""

    run_id: str
    lines: list[LogDocument]


class StepDifferenceDocument(Struct, kw_only=True):
    """One visit of a node in two runs: how its last attempt ended (null: there was none), and what it set.

    The statuses are those of steps, or `rejected` for a gate that somebody rejected.
    """

    node: str
    visit: int
    before_status: str | None
    after_status: str | None
    before_ms: float | None
    after_ms: float | None
    differences: list[DifferenceDocument]


class DiffDocument(Struct, kw_only=True):
    """`runs diff --json`: the differences between two runs, from the first to the second.

    `steps` has every node visit of both, `context` compares the final contexts, `blueprint` is a unified diff of what
    ran, empty if it is the same.
    """

    before: RunSummary
    after: RunSummary
    same_blueprint: bool
    inputs: list[DifferenceDocument]
    steps: list[StepDifferenceDocument]
    context: list[DifferenceDocument]
    blueprint: list[str]


class SweepDocument(Struct, kw_only=True):
    """`runs sweep --json`; with `--watch` one document per line.

    Ids of runs that were owed, that were lost, that were ended as failed (`runtime.on_lost: fail`), and a sentence for
    each that could not be continued. `left` are the runs that were left alone, because it is unknown whether their
    process is alive.
    """

    at: str
    owed: list[str]
    lost: list[str]
    failed: list[str]
    errors: dict[str, str]
    left: list[str]


class DeletedDocument(Struct, kw_only=True):
    """`runs delete --json`: what remains of each run."""

    run_id: str
    blueprint: str
    deleted_at: str
    deleted_by: str
    last_hash: str
