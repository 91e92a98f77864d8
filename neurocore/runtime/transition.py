"""What one commit of a driver writes: the rows of steps, gates and events, and the resulting context."""

from __future__ import annotations

import threading
from typing import Any

from msgspec import Struct

from neurocore import codec
from neurocore.blueprint.conditions import Condition
from neurocore.blueprint.plan import PlanNode
from neurocore.clock import Clock
from neurocore.config import NeuroCoreConfig
from neurocore.context import FlowContext
from neurocore.errors import ExecutionError
from neurocore.persistence.base import RunStore
from neurocore.persistence.records import (
    Changes,
    Event,
    Failure,
    FailureKind,
    GateRecord,
    StepRecord,
    StepStatus,
    own_event,
)
from neurocore.runtime.attempt import Attempt
from neurocore.runtime.events import Listener
from neurocore.runtime.skills import Instances
from neurocore.runtime.state import RunState


class Resources(Struct, eq=False):
    """What a transition uses beside the state; when `stop` is set, nothing new may start."""

    config: NeuroCoreConfig
    store: RunStore
    instances: Instances
    listener: Listener
    stop: threading.Event | None = None

    @property
    def clock(self) -> Clock:
        """Return the clock."""
        return self.store.clock

    @property
    def is_stopped(self) -> bool:
        """Return whether this process is about to end."""
        return self.stop is not None and self.stop.is_set()


class Replaced(Struct, frozen=True):
    """The values that an attempt's changes replaced in the context, to restore them; None: there was no value."""

    values: dict[str, bytes | None]

    def restore(self, context: dict[str, bytes]) -> None:
        """Restore the values."""
        for key, value in self.values.items():
            if value is None:
                context.pop(key, None)
            else:
                context[key] = value


class TransitionBuilder:
    """Collects the rows of one commit; the state's numbers and context change with them.

    `starts` are the attempts that the driver starts after the commit.
    """

    def __init__(self, state: RunState, resources: Resources) -> None:
        self.state = state
        self.resources = resources
        self.now = resources.clock.now()
        self.steps: dict[int, StepRecord] = {}
        self.gates: dict[tuple[str, int], GateRecord] = {}
        self.events: list[Event] = []
        self.starts: list[Attempt] = []
        self.is_handed_back = False
        self.completed_one = False
        #: Whether an undecided gate was open, as far as this transition knows.
        self.open_before = bool(state.waiting)

    @property
    def has_rows(self) -> bool:
        """Return whether there is anything to write beside the run's own row."""
        return bool(self.steps or self.gates or self.events)

    @property
    def is_stopping(self) -> bool:
        """Return whether nothing new may start: after a failure (unless siblings continue), a cancellation, a stop."""
        state = self.state
        if state.cancelled_by or self.resources.is_stopped:
            return True
        if state.failure is None:
            return False
        return state.plan.settings.fail_fast or state.failure.kind is not FailureKind.ERROR

    def discard(self) -> None:
        """Discard the rows."""
        self.steps, self.gates, self.events = {}, {}, []

    def event(self, kind: str, data: dict[str, Any]) -> None:
        """Add a line to the run's history."""
        self.events.append(own_event(kind, data, at=self.now))

    def evaluate(self, condition: Condition) -> bool:
        """Return whether a condition holds in the context that this transition leaves. Raises ConditionError."""
        return condition.evaluate(
            FlowContext.over(
                self.state.context, run_id=self.state.run.run_id, secrets=self.resources.instances.resolve
            )
        )  # fmt: skip

    def fail(self, failure: Failure, cause: BaseException | None = None) -> None:
        """Fail the run. The first failure counts, but a person's rejection takes precedence."""
        state = self.state
        rejected = failure.kind is FailureKind.REJECTED and state.rejection is None
        if state.failure is None or rejected:
            state.failure, state.cause = failure, cause

    # ---------------------------------------------------------------- rows of steps

    def step(
        self, attempt: Attempt, status: StepStatus, *, edges_taken: list[int] | None = None, reason: str | None = None
    ) -> StepRecord:
        """Add the row of an ended attempt, under the step's number, or a new one if it has none."""
        state, instance = self.state, attempt.instance
        keys = list(attempt.changed)
        changes = Changes(set=attempt.changed, deleted=tuple(attempt.deleted))
        index = attempt.step_index
        if index is None:
            index = attempt.step_index = state.next_index
            state.next_index += 1
        visit = state.visit(attempt.node.id, attempt.visit)
        earlier = visit.row
        if earlier is not None and earlier.status is StepStatus.SUSPENDED:
            changes, keys = self._with_earlier(earlier, changes), sorted({*earlier.output_keys, *keys})
            attempt.duration_ms += (earlier.duration_ms or 0.0) if index == earlier.step_index else 0.0
        state.commit_index += 1
        row = StepRecord(
            run_id=attempt.run_id,
            step_index=index,
            component=attempt.node.component,
            node_id=attempt.node.id,
            visit=attempt.visit,
            attempt=attempt.number,
            skill_type=attempt.node.type,
            skill_version=instance.version if instance else None,
            status=status,
            reason=reason if reason is not None else attempt.reason,
            port=attempt.port,
            edges_taken=edges_taken,
            started_at=attempt.started_at,
            duration_ms=attempt.duration_ms,
            error=attempt.error,
            error_type=attempt.error_type,
            traceback=attempt.traceback,
            config=instance.config if instance else {},
            output_keys=keys,
            changes=changes,
            commit_index=state.commit_index,
            logs=attempt.logs,
        )
        if self.resources.config.persistence.persist_step_snapshots:
            row.context_snapshot = {key: codec.restore(data) for key, data in state.context.items()}
        self.steps[index] = visit.row = row
        return row

    def _with_earlier(self, earlier: StepRecord, changes: Changes) -> Changes:
        """Join the earlier changes of a suspended step with its new ones: its row becomes final in place.

        A key that another branch has overwritten since then keeps that branch's value.
        """
        context = self.state.context
        kept = {key: data for key, data in earlier.changes.set.items() if context.get(key) == data}
        gone = tuple(key for key in earlier.changes.deleted if key not in context)
        return Changes(set={**kept, **changes.set}, deleted=tuple({*gone, *changes.deleted} - changes.set.keys()))

    def skip(self, node: PlanNode, round_number: int, reason: str, edges_taken: list[int]) -> None:
        """Add the row of a node that does not run."""
        state = self.state
        state.commit_index += 1
        self.steps[state.next_index] = StepRecord(
            run_id=state.run.run_id,
            step_index=state.next_index,
            component=node.component,
            node_id=node.id,
            visit=state.number_of(node.id, round_number),
            skill_type=node.type,
            status=StepStatus.SKIPPED,
            reason=reason,
            edges_taken=edges_taken,
            started_at=self.now,
            duration_ms=0.0,
            commit_index=state.commit_index,
        )
        state.next_index += 1

    def done(self, node: PlanNode, row: StepRecord) -> None:
        """End a visit; only what later visits need is kept."""
        state = self.state
        state.visits.pop((node.id, row.visit), None)
        if row.status is StepStatus.COMPLETED:
            state.done_nodes.add(node.id)
            state.completed.append(node.id)
            state.last_outputs[node.id] = row.output_keys

    # ---------------------------------------------------------------- the context

    def apply(self, attempt: Attempt) -> Replaced | None:
        """Apply the attempt's changes to the context; return what they replaced, if they may have to be undone.

        Raises ExecutionError when a concurrent step wrote another value to the same key (`on_conflict: fail`).
        """
        state = self.state
        if not attempt.changed and not attempt.deleted:
            return None
        if state.running or state.writers:
            self._check_conflicts(attempt)
        if state.running:  # the other attempts keep the context that they started with
            state.context = dict(state.context)
        context, replaced = state.context, None
        if attempt.node.index in state.plan.guarded:
            replaced = Replaced({key: context.get(key) for key in (*attempt.deleted, *attempt.changed)})
        for key in attempt.deleted:
            context.pop(key, None)
        context.update(attempt.changed)
        return replaced

    def note_writes(self, attempt: Attempt) -> None:
        """Remember what a step has set, for the attempts that run in parallel. Call it before `step` makes the row."""
        state = self.state
        if state.running:
            for key in (*attempt.changed, *attempt.deleted):
                state.writers[key] = (state.commit_index + 1, attempt.node.id)
        elif state.writers:
            state.writers.clear()

    def _check_conflicts(self, attempt: Attempt) -> None:
        state = self.state
        for key in (*attempt.changed, *attempt.deleted):
            written = state.writers.get(key)
            differs = state.context.get(key) != attempt.changed.get(key)
            if written and written[0] > attempt.base_commit and differs and state.plan.settings.on_conflict != "last":
                raise ExecutionError(
                    f"Steps {written[1]} and {attempt.node.id} ran at the same time and both wrote {key!r}, "
                    "differently; let one of them write another key, or set on_conflict: last.",
                    run_id=attempt.run_id,
                    node=attempt.node.id,
                )
