"""What one turn of the loop writes: the rows of steps, gates and events, and the context that they leave."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from neurocore import codec
from neurocore.blueprint.plan import PlanNode
from neurocore.errors import ExecutionError
from neurocore.persistence.records import (
    Changes,
    Event,
    Failure,
    FailureKind,
    GateRecord,
    StepRecord,
    StepStatus,
    own_event,
    utcnow_iso,
)
from neurocore.runtime.attempt import Attempt

if TYPE_CHECKING:
    from neurocore.runtime.loop import RunDriver


#: How the reasons begin of failed rows that do not end their visit.
TRIED_AGAIN, BROKEN_OFF = "tried again", "broken off"


def failure_of(row: StepRecord) -> Failure:
    """Why a run fails with the step of this row; one that timed out has no traceback of its own."""
    timed_out = row.error_type == TimeoutError.__name__ and row.traceback is None
    kind = FailureKind.TIMEOUT if timed_out else FailureKind.ERROR
    return Failure(kind=kind, node=row.node_id, type=row.error_type, message=f"Step {row.node_id} failed: {row.error}")


class Ledger:
    """The rows of one commit, as they are gathered; numbers and the drive's context move with them."""

    def __init__(self, drive: RunDriver) -> None:
        self.drive = drive
        self.now = utcnow_iso()
        self.steps: dict[int, StepRecord] = {}
        self.gates: dict[tuple[str, int], GateRecord] = {}
        self.events: list[Event] = []

    @property
    def has_rows(self) -> bool:
        """Whether there is anything to write beside the run's own row."""
        return bool(self.steps or self.gates or self.events)

    def discard(self) -> None:
        """Write none of it."""
        self.steps, self.gates, self.events = {}, {}, []

    def step(
        self, attempt: Attempt, status: StepStatus, *, edges_taken: list[int] | None = None, reason: str | None = None
    ) -> StepRecord:
        """The row of an attempt that ended so, under the number that the step has or gets now."""
        drive, instance = self.drive, attempt.instance
        keys = list(attempt.changed)
        changes = Changes(set=attempt.changed, deleted=tuple(attempt.deleted))
        index = attempt.step_index
        if index is None:
            index = attempt.step_index = drive.next_index
            drive.next_index += 1
        earlier = drive.step_of.get((attempt.node.id, attempt.visit))
        if earlier is not None and earlier.status is StepStatus.SUSPENDED:
            changes, keys = self._with_earlier(earlier, changes), sorted({*earlier.output_keys, *keys})
            attempt.duration_ms += (earlier.duration_ms or 0.0) if index == earlier.step_index else 0.0
        drive.commit_index += 1
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
            commit_index=drive.commit_index,
            logs=attempt.logs,
        )
        if drive.config.persistence.persist_step_snapshots:
            row.context_snapshot = {key: codec.restore(data) for key, data in drive.base.items()}
        self.steps[index] = row
        drive.step_of[attempt.node.id, attempt.visit] = row
        return row

    def _with_earlier(self, earlier: StepRecord, changes: Changes) -> Changes:
        """A suspended step's row becomes final in place: its changes so far and the new ones, as they stand now.

        A key that another branch has overwritten meanwhile is left to that branch.
        """
        base = self.drive.base
        kept = {key: data for key, data in earlier.changes.set.items() if base.get(key) == data}
        gone = tuple(key for key in earlier.changes.deleted if key not in base)
        return Changes(set={**kept, **changes.set}, deleted=tuple({*gone, *changes.deleted} - changes.set.keys()))

    def skip(self, node: PlanNode, visit: int, reason: str, edges_taken: list[int]) -> None:
        """The row of a node that is not to run."""
        drive = self.drive
        drive.commit_index += 1
        row = StepRecord(
            run_id=drive.run_record.run_id,
            step_index=drive.next_index,
            component=node.component,
            node_id=node.id,
            visit=drive.record_visit(node.id, visit),
            skill_type=node.type,
            status=StepStatus.SKIPPED,
            reason=reason,
            edges_taken=edges_taken,
            started_at=self.now,
            duration_ms=0.0,
            commit_index=drive.commit_index,
        )
        self.steps[drive.next_index] = row
        drive.next_index += 1

    def apply(self, attempt: Attempt) -> dict[str, bytes]:
        """Fold the attempt's changes into the context; returns the context before, for taking it back.

        Raises ExecutionError when a concurrent step wrote another value to the same key (`on_conflict: fail`).
        """
        drive = self.drive
        before = drive.base
        if not attempt.changed and not attempt.deleted:
            return before
        if drive.running or drive.writers:
            self._check_conflicts(attempt)
        # Others look at it, or it may have to be taken back.
        if drive.running or attempt.node.index in drive.plan.guarded:
            drive.base = dict(before)
        for key in attempt.deleted:
            drive.base.pop(key, None)
        drive.base.update(attempt.changed)
        return before

    def wrote(self, attempt: Attempt) -> None:
        """Remember, for those that run beside it, what a step has set whose row is about to be made."""
        drive = self.drive
        if drive.running:
            for key in (*attempt.changed, *attempt.deleted):
                drive.writers[key] = (drive.commit_index + 1, attempt.node.id)
        elif drive.writers:
            drive.writers.clear()

    def _check_conflicts(self, attempt: Attempt) -> None:
        drive = self.drive
        for key in (*attempt.changed, *attempt.deleted):
            written = drive.writers.get(key)
            differs = drive.base.get(key) != attempt.changed.get(key)
            if written and written[0] > attempt.base_commit and differs and drive.plan.settings.on_conflict != "last":
                raise ExecutionError(
                    f"Steps {written[1]} and {attempt.node.id} ran at the same time and both wrote {key!r}, "
                    "differently; let one of them write another key, or set on_conflict: last.",
                    run_id=attempt.run_id,
                    node=attempt.node.id,
                )

    def done(self, node: PlanNode, row: StepRecord) -> None:
        """A visit is over: nothing of it is kept but what later ones ask for."""
        drive = self.drive
        drive.step_of.pop((node.id, row.visit), None)
        drive.attempts.pop((node.id, row.visit), None)
        if drive.first_started:
            drive.first_started.pop((node.id, row.visit), None)
        if row.status is StepStatus.COMPLETED:
            drive.done_nodes.add(node.id)
            drive.completed.append(node.id)
            drive.last_step[node.id] = row.output_keys

    def event(self, kind: str, data: dict[str, Any]) -> None:
        """A line of the run's history."""
        self.events.append(own_event(kind, data, at=self.now))
