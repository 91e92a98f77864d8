"""Convert a runs.db of NeuroCore 0.4: every run and step, and what can still be done with them.

0.4 stored the context only of runs that completed or were suspended (and per step, if snapshots were on), as JSON. It
stored neither ports nor visits, evaluated conditions only in some flows, overwrote the steps of a resumed graph, and
called a waiting step skipped, or completed. What follows from its records is derived here. If something cannot be
derived, the run says so and can be replayed but not resumed (promise 1 before convenience).
"""

from __future__ import annotations

import json
import sqlite3
from typing import Any

from msgspec import Struct

from neurocore import codec
from neurocore.clock import utcnow_iso
from neurocore.errors import StoreError
from neurocore.persistence import legacy_flow, schema, seals
from neurocore.persistence.gate_policy import GatePolicy
from neurocore.persistence.inserts import insert_run, write_step
from neurocore.persistence.legacy_flow import Flow
from neurocore.persistence.projections import fold
from neurocore.persistence.records import (
    Changes,
    Event,
    Failure,
    FailureKind,
    GateRecord,
    Owed,
    RunRecord,
    RunStatus,
    StepRecord,
    StepStatus,
)
from neurocore.secrets import looks_secret

KEPT_AS_JSON = "NeuroCore 0.4 recorded this run; values that JSON has no word for were kept as text."
_REJECTED = "Run rejected at approval gate"


def take_over(connection: sqlite3.Connection) -> None:
    """Upgrade a 0.4 database to this version's schema within the open transaction."""
    connection.row_factory = sqlite3.Row
    connection.execute("ALTER TABLE steps RENAME TO steps_04")
    connection.execute("ALTER TABLE runs RENAME TO runs_04")
    schema.bring_up(connection)
    for row in connection.execute("SELECT * FROM runs_04 ORDER BY created_at, rowid"):
        old_steps = connection.execute("SELECT * FROM steps_04 WHERE run_id = ? ORDER BY step_index", (row["run_id"],))
        try:
            run, steps = converted(dict(row), [dict(step) for step in old_steps])
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise StoreError(
                f"Run {row['run_id']} of NeuroCore 0.4 is not what 0.4 wrote ({type(error).__name__}: {error}); "
                "the file is unchanged: delete that run with 0.4, then open it again."
            ) from error
        place = insert_run(connection, run)
        for step in steps:
            write_step(connection, place, step)
    connection.execute("DROP TABLE steps_04")
    connection.execute("DROP TABLE runs_04")
    connection.execute("DROP TABLE IF EXISTS checkpoints")


def converted(row: dict[str, Any], old_steps: list[dict[str, Any]]) -> tuple[RunRecord, list[StepRecord]]:
    """Convert one run of 0.4 and its steps to our records."""
    old = _Old.read(row, old_steps)
    run = _run(row, old)
    steps = legacy_flow.placed(old.flow, [_step(run.run_id, one) for one in old.steps])
    if run.status in (RunStatus.SUSPENDED, RunStatus.FAILED):
        steps = _with_overwritten(run, old, steps)
        steps = legacy_flow.with_passed_over(run.run_id, old.flow, steps, old.metadata.get("skipped_components") or ())
    waiting = _waiting(run, old, steps) if run.status is RunStatus.SUSPENDED else None
    for place, step in enumerate(steps):
        step.step_index, step.commit_index = place, place + 1
    missing = _give_changes(run, old, steps, waiting)
    ways = legacy_flow.give_edges(old.flow, steps)
    _settle(run, old, steps, waiting, missing or ways)
    return run, steps


# -------------------------------------------------------------------- what 0.4 wrote


class _Old(Struct):
    """The JSON columns of a 0.4 run, decoded."""

    flow: Flow
    initial: dict[str, Any]
    data: dict[str, Any] | None
    metadata: dict[str, Any]
    steps: list[dict[str, Any]]

    @classmethod
    def read(cls, row: dict[str, Any], steps: list[dict[str, Any]]) -> _Old:
        final = _dict(row["final_context"])
        return cls(
            flow=Flow.of(_dict(row["blueprint_snapshot"])),
            initial=_storable(_dict(row["initial_data"])),
            data=_storable(_dict(final.get("data"))) if "data" in final else None,
            metadata=_dict(final.get("metadata")),
            # A resumed graph counted from 0 again, so the time gives the order.
            steps=sorted(steps, key=lambda step: (step["started_at"], step["step_index"])),
        )


def _dict(value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return {}
    return value if isinstance(value, dict) else {}


def _storable(data: dict[str, Any]) -> dict[str, Any]:
    """Return the data; values that are too large or too deeply nested for us become JSON text, as in 0.4."""
    return {key: value if _is_storable(value) else json.dumps(value) for key, value in data.items()}


def _is_storable(value: Any) -> bool:
    try:
        codec.encode(value)
    except codec.CodecError:
        return False
    return True


def _run(row: dict[str, Any], old: _Old) -> RunRecord:
    snapshot = _dict(row["blueprint_snapshot"])
    status = RunStatus(row["status"])
    created = row["created_at"] or utcnow_iso()
    run = RunRecord(
        run_id=row["run_id"],
        blueprint_name=row["blueprint_name"],
        blueprint_version=row["blueprint_version"],
        blueprint_path=row["blueprint_path"],
        blueprint_snapshot=snapshot,
        blueprint_hash=legacy_flow.hash_of(snapshot) if snapshot else "",
        flow_type=row["flow_type"],
        status=status,
        initial_data=old.initial,
        error=row["error"],
        suspended_at_node=row["suspended_at_node"],
        suspension_reason=row["suspension_reason"],
        created_at=created,
        updated_at=row["updated_at"] or created,
        duration_ms=row["duration_ms"],
        nodes_total=len(old.flow.nodes),
        legacy=KEPT_AS_JSON,
        events=[Event(at=created, kind="started")],
    )
    run.finished_at = run.updated_at if status.ended else None
    return run


def _step(run_id: str, row: dict[str, Any]) -> StepRecord:
    try:
        keys = json.loads(row["output_keys"] or "[]")
    except ValueError:
        keys = []
    return StepRecord(
        run_id=run_id,
        step_index=row["step_index"],
        component=row["component"],
        skill_type=row["skill_type"],
        # 0.4 recorded no skipped steps: what it calls skipped is a step that waits (or waited).
        status=StepStatus.SUSPENDED if row["status"] == "skipped" else StepStatus(row["status"]),
        started_at=row["started_at"],
        duration_ms=row["duration_ms"],
        error=row["error"],
        output_keys=[key for key in keys if isinstance(key, str)],
        context_snapshot=_dict(row["context_snapshot"]) or None,
    )


def _with_overwritten(run: RunRecord, old: _Old, steps: list[StepRecord]) -> list[StepRecord]:
    """Return steps that 0.4 knew to be completed but whose rows it overwrote when it resumed the run."""
    there = {step.node_id for step in steps}
    lost = [
        StepRecord(
            run_id=run.run_id,
            step_index=0,
            component=old.flow.nodes[node],
            node_id=node,
            skill_type=old.flow.types.get(old.flow.nodes[node]),
            started_at=run.created_at,
            reason="0.4 overwrote the record of this step when it resumed the run",
        )
        for node in dict.fromkeys(old.metadata.get("completed_nodes") or ())
        if isinstance(node, str) and node in old.flow.nodes and node not in there and old.flow.type == "graph"
    ]
    return lost + steps


# -------------------------------------------------------------------- what waits


def _waiting(run: RunRecord, old: _Old, steps: list[StepRecord]) -> StepRecord | None:
    """Return the step at which a suspended run waits; None if 0.4 continued past it to the end."""
    name = run.suspended_at_node
    fits = [step for step in steps if name in (step.node_id, step.component)]
    named = [node for node, component in old.flow.nodes.items() if name in (node, component)]
    step = fits[-1] if fits else None
    if step is None:
        if not named and not old.flow.nodes:
            return None
        node = named[0] if named else next(iter(old.flow.nodes))
        component = old.flow.nodes[node]
        step = StepRecord(
            run_id=run.run_id, step_index=0, component=component, node_id=node,
            skill_type=old.flow.types.get(component), started_at=run.updated_at,
        )  # fmt: skip
        steps.append(step)
    elif step.status is StepStatus.COMPLETED and old.flow.went_on_past(step, steps):
        return None
    step.status = StepStatus.SUSPENDED
    step.reason = run.suspension_reason
    steps.remove(step)
    steps.append(step)
    return step


def _gate(
    run: RunRecord, old: _Old, step: StepRecord, context: dict[str, bytes], steps: list[StepRecord]
) -> GateRecord:
    """Return the open occurrence of the waiting step: a gate for an approval, else an input."""
    gate = GateRecord(
        run_id=run.run_id, node_id=step.node_id, visit=step.visit, name=step.component, step_index=step.step_index,
        opened_at=run.updated_at,
    )  # fmt: skip
    if old.flow.types.get(step.component) != "approval":
        gate.kind = "input"
        gate.message = run.suspension_reason or f"{step.component} waits for data"
    else:
        config = old.flow.configs.get(step.component, {})
        before = old.flow.before(step.node_id)
        shown = [key for one in steps if one.node_id in before for key in one.output_keys]
        keys = tuple(key for key in dict.fromkeys(shown) if key in context and not looks_secret(key))
        gate.policy = GatePolicy(require=bool(config.get("require", True)), show=keys)
        gate.shown = codec.encode({key: codec.decode(context[key]) for key in keys})
        gate.message = str(config.get("message") or f"Approve {step.component}?")
    gate.digest = seals.gate_digest(gate)
    return gate


# -------------------------------------------------------------------- what the steps changed


def _give_changes(run: RunRecord, old: _Old, steps: list[StepRecord], waiting: StepRecord | None) -> str | None:
    """Give each step its changes, so that folding them gives the context that 0.4 stored.

    Returns why that is impossible for a run that could otherwise continue.
    """
    done = [step for step in steps if step.status is StepStatus.COMPLETED]
    snapshots = [_dict((step.context_snapshot or {}).get("data")) for step in done]
    every = bool(done) and all(step.context_snapshot for step in done)
    if every:
        before = _encoded(old.initial)
        for step, snapshot in zip(done, snapshots, strict=True):
            after = _encoded(snapshot)
            step.changes = _difference(before, after)
            before = after
    known = set(old.metadata.get("completed_nodes") or ())
    after_that = any(step.node_id not in known and step.component not in known for step in done)
    if old.data is not None and not (run.status is RunStatus.FAILED and after_that):
        _attribute(_encoded(old.initial), _encoded(old.data), steps, done, waiting)
        return None
    return None if every or not done else "NeuroCore 0.4 did not store what its completed steps set"


def _attribute(
    initial: dict[str, bytes],
    final: dict[str, bytes],
    steps: list[StepRecord],
    done: list[StepRecord],
    waiting: StepRecord | None,
) -> None:
    """Assign each key of the final context to the last completed step that provides it; the rest to the last step."""
    rest = _difference(fold(initial, steps), final)
    # A gate's own changes are written when it completes; a waiting step keeps those that it has made so far.
    waits_for_data = waiting is not None and waiting.skill_type != "approval"
    last = waiting if waits_for_data else (done[-1] if done else (steps[-1] if steps else None))
    if not rest or last is None:
        return
    for key, value in rest.set.items():
        owner = next((step for step in reversed(done) if key in step.output_keys), last)
        owner.changes = Changes(set={**owner.changes.set, key: value}, deleted=owner.changes.deleted)
    last.changes = Changes(set=last.changes.set, deleted=rest.deleted)
    left = _difference(fold(initial, steps), final)
    if left:  # a later step had set the key too: the last one counts
        last.changes = Changes(set={**last.changes.set, **left.set}, deleted=left.deleted)


def _encoded(data: dict[str, Any]) -> dict[str, bytes]:
    return {str(key): codec.encode(value) for key, value in data.items()}


def _difference(before: dict[str, bytes], after: dict[str, bytes]) -> Changes:
    return Changes(
        set={key: value for key, value in after.items() if before.get(key) != value},
        deleted=tuple(key for key in before if key not in after),
    )


# -------------------------------------------------------------------- the state of the run


def _settle(
    run: RunRecord, old: _Old, steps: list[StepRecord], waiting: StepRecord | None, missing: str | None
) -> None:
    """Complete the run's record: its failure, its open gate, and why it cannot continue, if it cannot."""
    run.nodes_done = len({step.node_id for step in steps if step.status is StepStatus.COMPLETED})
    if run.status is RunStatus.RUNNING:
        run.status, run.finished_at = RunStatus.FAILED, run.updated_at
        run.error = "It was running when NeuroCore 0.4 was last seen, and its progress is not known."
        run.failure = Failure(kind=FailureKind.LOST, message=run.error)
        run.replay_only = "NeuroCore 0.4 did not store its progress"
    elif run.status is RunStatus.FAILED:
        run.failure = _failure(run, steps)
        run.replay_only = missing
    elif run.status is RunStatus.SUSPENDED and waiting is not None:
        run.suspended_at_node = waiting.node_id
        run.replay_only = missing
        if not missing:
            run.gates = [_gate(run, old, waiting, fold(_encoded(old.initial), steps), steps)]
            run.suspension_reason = run.gates[0].message
    elif run.status is RunStatus.SUSPENDED:
        run.legacy = f"{KEPT_AS_JSON} It did not stop where it was suspended: every step has run, and a resume ends it."
        run.owed = Owed.RESUME
    if run.status is not RunStatus.SUSPENDED:
        run.suspended_at_node = run.suspension_reason = None
    if run.replay_only:
        run.legacy = f"{KEPT_AS_JSON} It cannot be resumed, only replayed: {run.replay_only}."


def _failure(run: RunRecord, steps: list[StepRecord]) -> Failure:
    failed = next((step for step in reversed(steps) if step.status is StepStatus.FAILED), None)
    message = run.error or (failed.error if failed else None) or "It failed."
    rejected = _REJECTED in message
    kind = FailureKind.REJECTED if rejected else FailureKind.ERROR
    type_ = "GateRejected" if rejected else None
    return Failure(kind=kind, message=message, node=failed.node_id if failed else None, type=type_)
