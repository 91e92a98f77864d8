"""One turn of the loop: everything that follows from one outcome, gathered and then committed at once."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from neurocore import codec
from neurocore.blueprint.inputs import check_outputs
from neurocore.blueprint.plan import PlanNode
from neurocore.blueprint.progress import Broken, Moves, Skip, route
from neurocore.errors import ConditionError, ExecutionError, InputError, said
from neurocore.gates import occurrence
from neurocore.persistence.projections import cancelled
from neurocore.persistence.records import Commit, CurrentNode, Failure, FailureKind, Owed, RunStatus, StepStatus
from neurocore.runtime import gate_transitions
from neurocore.runtime.attempt import Attempt
from neurocore.runtime.ledger import BROKEN_OFF, TRIED_AGAIN, Ledger, failure_of

if TYPE_CHECKING:
    from neurocore.runtime.loop import RunDriver

#: Types of failures that the definition calls for: outputs that are not what it declares, a loop that has made all its
#: rounds, a run that has used all its time.
OUTPUTS, LOOP_BOUND, RUN_TIME = "OutputError", "LoopBoundError", "RunTimeoutError"


class Turn:
    """What one commit of a drive will write. `starts` are the attempts that the caller launches after it."""

    def __init__(self, drive: RunDriver) -> None:
        self.drive = drive
        self.ledger = Ledger(drive)
        self.starts: list[Attempt] = []
        self.handed_back = False
        self._open_before = bool(drive.gates)
        self.completed_one = False

    # ---------------------------------------------------------------- an attempt ended

    def record(self, attempt: Attempt) -> None:
        """Take in the end of an attempt: its row, its changes, and what follows."""
        drive = self.drive
        drive.running.pop((attempt.node.id, attempt.visit), None)
        if attempt.status == "completed":
            self._completed(attempt)
        elif attempt.status == "suspended":
            self._suspended(attempt)
        elif attempt.status == "cancelled":
            self.ledger.step(attempt, StepStatus.CANCELLED)
        if attempt.status == "failed":  # completing may have failed it
            self.failed(attempt)
        if drive.gates and (attempt.changed or attempt.deleted):
            gate_transitions.reopen_changed(self)
        drive.tell_step("step_finished", attempt, self.ledger.now)

    def _completed(self, attempt: Attempt) -> None:
        drive = self.drive
        try:
            undo = self.ledger.apply(attempt)
        except ExecutionError as error:
            attempt.fail(error, drive.instances)
            return
        try:
            taken = route(
                drive.plan, attempt.node, drive.evaluate, port=attempt.port, warnings=drive.progress.warnings
            )  # fmt: skip
        except ConditionError as error:
            drive.base = undo
            attempt.fail(error, drive.instances)
            return
        self.completed_one = True
        self.ledger.wrote(attempt)
        row = self.ledger.step(attempt, StepStatus.COMPLETED, edges_taken=taken)
        self.ledger.done(attempt.node, row)
        self.follow(drive.progress.finish(attempt.node, taken, drive.evaluate))

    def _suspended(self, attempt: Attempt) -> None:
        drive = self.drive
        try:
            self.ledger.apply(attempt)
        except ExecutionError as error:
            attempt.fail(error, drive.instances)
            return
        self.ledger.wrote(attempt)
        row = self.ledger.step(attempt, StepStatus.SUSPENDED)
        key = (attempt.node.id, attempt.visit)
        reason = attempt.reason or ""
        gate = occurrence.open_input(attempt.run_id, attempt.node, attempt.visit, reason, at=self.ledger.now)
        gate.step_index = row.step_index
        self.ledger.gates[key] = drive.gates[key] = gate
        drive.tell_step("gate_opened", attempt, self.ledger.now)

    def failed(self, attempt: Attempt) -> None:
        """What follows from a failed attempt: another try, going on all the same, or the end of the run."""
        drive = self.drive
        delay = None if self._out_of_time(attempt) else drive.retry_delay(attempt)
        if delay is not None:
            when = "when the run goes on" if drive.stopping() else f"after {delay:.2g} s"
            self.ledger.step(attempt, StepStatus.FAILED, reason=f"{TRIED_AGAIN} {when}")
            drive.try_again(attempt, delay)
            drive.tell_step("step_retrying", attempt, self.ledger.now)
            return
        if attempt.node.on_error != "fail" and not self._out_of_time(attempt):
            self._tolerated(attempt)
            return
        row = self.ledger.step(attempt, StepStatus.FAILED, reason=attempt.reason)
        failure = self._time_is_up(attempt.node) if self._out_of_time(attempt) else failure_of(row)
        self.fail(failure, attempt.exception)

    def _tolerated(self, attempt: Attempt) -> None:
        drive = self.drive
        try:
            taken = route(
                drive.plan, attempt.node, drive.evaluate, port=None, tolerated=True, warnings=drive.progress.warnings
            )  # fmt: skip
        except ConditionError as error:
            self.ledger.step(attempt, StepStatus.FAILED)
            self.fail(
                Failure(
                    kind=FailureKind.ERROR, node=attempt.node.id, type="ConditionError", message=str(error)
                ),
                error,
            )  # fmt: skip
            return
        skipped = attempt.node.on_error == "skip"
        status = StepStatus.SKIPPED if skipped else StepStatus.FAILED
        reason = "its failure is skipped (on_error: skip)" if skipped else "the run goes on (on_error: continue)"
        row = self.ledger.step(attempt, status, edges_taken=taken, reason=reason)
        self.ledger.done(attempt.node, row)
        self.follow(drive.progress.finish(attempt.node, taken, drive.evaluate))

    def broken_off(self, attempt: Attempt, error: BaseException) -> None:
        """The row of an attempt that did not come to its end, so that the next one is known to be another."""
        attempt.fail(error, self.drive.instances)
        self.ledger.step(attempt, StepStatus.FAILED, reason=BROKEN_OFF)

    def lost(self, current: CurrentNode, error: BaseException) -> None:
        """The row of an attempt of which nothing is left but that it began."""
        drive, key = self.drive, (current.node_id, current.visit)
        node = drive.plan.by_id.get(current.node_id)
        if node is None:
            return
        attempt = Attempt(drive.run_record.run_id, node, current.visit, current.attempt, current.started_at)
        row = drive.step_of.get(key)
        if row is not None and row.status is StepStatus.SUSPENDED:  # it went on with the data that it waited for
            attempt.step_index = row.step_index
        self.broken_off(attempt, error)

    def _time_is_up(self, node: PlanNode) -> Failure:
        seconds = self.drive.plan.settings.timeout_seconds
        message = f"The run did not end within its {seconds:g} s of work; it was at {node.id}."
        return Failure(kind=FailureKind.TIMEOUT, node=node.id, type=RUN_TIME, message=message)

    def _out_of_time(self, attempt: Attempt) -> bool:
        deadline = self.drive.deadline
        return attempt.timed_out and deadline is not None and attempt.deadline == deadline

    def fail(self, failure: Failure, cause: BaseException | None = None) -> None:
        """The run is to fail; the first failure is the one that stands, but a person's rejection goes over it."""
        drive = self.drive
        rejected = failure.kind is FailureKind.REJECTED and drive.rejection is None
        if drive.failure is None or rejected:
            drive.failure, drive.cause = failure, cause

    # ---------------------------------------------------------------- what follows

    def follow(self, moves: Moves) -> None:
        """Take in what the progress says: skipped nodes get their rows, ready ones wait for their start."""
        drive = self.drive
        for skip in moves.skipped:
            self._follow_skip(skip)
        for node, visit in moves.ready:
            recorded = (node.id, drive.record_visit(node.id, visit))
            waiting = drive.paused.pop(recorded, None) if drive.paused else None
            if waiting is not None:
                drive.pause(waiting, node, _seconds_until(waiting.not_before or ""))
            elif recorded not in drive.gates and recorded not in drive.given_up:
                drive.queue(node, visit)
        for broken in moves.broken:
            self._follow_broken(broken)
        if moves.exhausted:
            self.fail(Failure(kind=FailureKind.ERROR, type=LOOP_BOUND, message=moves.exhausted))
        while drive.progress.warnings:
            message = drive.instances.redactor.text(drive.progress.warnings.pop(0))
            self.ledger.event("warning", {"message": message})

    def _follow_skip(self, skip: Skip) -> None:
        self.ledger.skip(skip.node, skip.visit, skip.reason, skip.edges_taken)

    def _follow_broken(self, broken: Broken) -> None:
        attempt = self.attempt(broken.node, self.drive.record_visit(broken.node.id, broken.visit))
        attempt.fail(broken.error, self.drive.instances)
        self.failed(attempt)

    def choose_starts(self) -> None:
        """Start what is ready and has room; open the gates that are ready."""
        drive = self.drive
        for node, visit in drive.due() if drive.delayed else ():
            drive.queue(node, visit)
        if drive.deadline is not None and not drive.running and drive.time_is_up(time.perf_counter()):
            work = drive.work_left()
            if work:
                self.fail(self._time_is_up(work[0]))
        while drive.ready_gates and not drive.stopping():
            node, visit = drive.ready_gates.popleft()
            recorded = drive.record_visit(node.id, visit)
            if (node.id, recorded) not in drive.gates:
                gate_transitions.open_gate(self, node, recorded)
        room = drive.room()
        while drive.ready and len(self.starts) < room and not drive.stopping():
            node, visit = drive.ready.popleft()
            recorded = drive.record_visit(node.id, visit)
            if (node.id, recorded) not in drive.gates:
                self._start(self.attempt(node, recorded))

    def _start(self, attempt: Attempt) -> None:
        if attempt.still_works():
            sentence = "An earlier try of it was left behind and still works; resume when it has ended."
            attempt.fail(ExecutionError(sentence), self.drive.instances)
            self.failed(attempt)
        else:
            self.starts.append(attempt)

    def attempt(self, node: PlanNode, visit: int) -> Attempt:
        """The next try of a node's visit, under its number and with what it is given."""
        drive, key = self.drive, (node.id, visit)
        goes_on = key in drive.continuing
        number = drive.attempts.get(key, 0) + (not goes_on)
        drive.attempts[key] = number
        attempt = Attempt(drive.run_record.run_id, node, visit, number, self.ledger.now, drive.commit_index)
        if drive.first_started:
            attempt.first_started_at = drive.first_started.get(key)
        if goes_on:
            drive.continuing.discard(key)
            attempt.step_index = drive.step_of[key].step_index
            attempt.started_at = drive.step_of[key].started_at
        attempt.resume_data = drive.given.get(key)
        if drive.resume_data is not None and key in drive.tried_again:  # it may mend what was given before
            attempt.resume_data = drive.resume_data
        return attempt

    # ---------------------------------------------------------------- the commit

    def commit(self) -> None:
        """Write the turn, after choosing what starts next and where the run stands then."""
        drive = self.drive
        while True:
            self.choose_starts()
            status = self._status()
            run = drive.run_record
            waits = status in (RunStatus.SUSPENDED, RunStatus.FAILED) and self._open_before and not drive.decided
            before = self._as_it_stands() if waits and status is RunStatus.FAILED else None
            if status in (RunStatus.FAILED, RunStatus.CANCELLED):
                gate_transitions.void_all(self, status)
            self._fill_run(status)
            signals = drive.commit(
                Commit(
                    run=run,
                    owner=drive.recorded_owner,
                    steps=list(self.ledger.steps.values()),
                    gates=list(self.ledger.gates.values()),
                    events=self.ledger.events,
                    sync=status is not RunStatus.RUNNING or bool(self.ledger.gates),
                    unless_decided=waits,
                )
            )
            if not (waits and signals.owed):
                break
            if before is not None:
                self._go_back(before)
            self._open_before = gate_transitions.consume_decisions(self, drive.store.load_gates(run.run_id))
        run.version = signals.version
        for event in self.ledger.events:
            if event.kind == "warning":
                drive.tell("warning", error=event.data["message"])
        drive.apply_signals(signals)
        if drive.cancelled_by and (self.starts or status is RunStatus.SUSPENDED):
            # The request came while the step before ran: what this turn was about to start or to wait for does not.
            self.starts = []
            self.ledger.discard()
            self.commit()

    def _as_it_stands(self) -> tuple[dict[Any, Any], ...]:
        """What voiding gates changes, for the case that an answer came first."""
        drive, ledger = self.drive, self.ledger
        voided = {node_id: list(visits) for node_id, visits in drive.voided.items()}
        return (
            dict(drive.gates),
            voided,
            dict(drive.step_of),
            dict(drive.attempts),
            dict(ledger.gates),
            dict(ledger.steps),
        )

    def _go_back(self, before: tuple[dict[Any, Any], ...]) -> None:
        drive, ledger = self.drive, self.ledger
        drive.gates, drive.voided, drive.step_of, drive.attempts, ledger.gates, ledger.steps = before

    def _status(self) -> RunStatus:
        drive = self.drive
        self.handed_back = False
        if drive.running or self.starts:
            return RunStatus.RUNNING
        if drive.cancelled_by:
            return RunStatus.CANCELLED
        waiting = bool(drive.ready or drive.ready_gates or drive.delayed)
        if drive.failure is not None and (drive.stopping() or not waiting):
            return RunStatus.FAILED
        if waiting:
            self.handed_back = drive.stop is not None and drive.stop.is_set()
            return RunStatus.RUNNING
        if drive.gates:
            return RunStatus.SUSPENDED
        try:
            self._check_outputs()
        except Exception as error:  # a value's own code may raise anything
            kind = OUTPUTS if isinstance(error, InputError) else type(error).__name__
            self.fail(Failure(kind=FailureKind.ERROR, type=kind, message=said(error)), error)
            return RunStatus.FAILED
        return RunStatus.COMPLETED

    def _check_outputs(self) -> None:
        drive = self.drive
        if drive.blueprint.outputs:
            data: dict[str, Any] = {
                key: codec.restore(drive.base[key]) for key in drive.blueprint.outputs if key in drive.base
            }
            check_outputs(drive.blueprint, data)

    def _fill_run(self, status: RunStatus) -> None:
        drive, run = self.drive, self.drive.run_record
        run.status = status
        run.updated_at = self.ledger.now
        run.duration_ms = drive.worked_ms()
        run.current_nodes = drive.current_nodes(self.starts) if status is RunStatus.RUNNING else []
        run.nodes_done = len(drive.done_nodes)
        first = min(drive.gates.values(), key=lambda gate: gate.opened_at) if drive.gates else None
        run.suspended_at_node = first.node_id if first else None
        run.suspension_reason = first.message if first else None
        run.owed = Owed.RESUME if self.handed_back else None
        if self.completed_one:
            run.deaths = 0
        run.failure = run.error = run.finished_at = None
        run.owner = drive.owner  # a commit that an answer held back would have let go of the run
        if status is RunStatus.RUNNING and not self.handed_back:
            return
        run.owner = None
        run.finished_at = self.ledger.now if status.ended else None
        if status is RunStatus.FAILED and drive.failure is not None:
            run.failure, run.error = drive.failure, drive.failure.message
        elif status is RunStatus.CANCELLED:
            run.error = cancelled(drive.cancelled_by or "?", drive.store.load_events(run.run_id))


def _seconds_until(moment: str) -> float:
    """How long until an ISO time, in seconds; 0 for one that is over."""
    return max(0.0, (datetime.fromisoformat(moment) - datetime.now(UTC)).total_seconds())
