"""What follows from the end of an attempt: its row, its changes, another attempt, the next nodes."""

from __future__ import annotations

import random

from neurocore.blueprint.plan import PlanNode
from neurocore.blueprint.progress import Broken, Moves, route
from neurocore.errors import ConditionError, ExecutionError
from neurocore.gates import occurrence
from neurocore.persistence.records import CurrentNode, Failure, FailureKind, StepRecord, StepStatus
from neurocore.runtime.attempt import Attempt
from neurocore.runtime.retry import RetryPolicy
from neurocore.runtime.transition import TransitionBuilder

#: Types of failures that the definition causes: outputs that are not what it declares, a loop that has reached its
#: limit, a run that has used all its time.
OUTPUTS, LOOP_BOUND, RUN_TIME = "OutputError", "LoopBoundError", "RunTimeoutError"

#: How the reason of a failed row begins if the row does not end its visit.
TRIED_AGAIN, BROKEN_OFF = "tried again", "broken off"


def attempt_of(transition: TransitionBuilder, node: PlanNode, number: int) -> Attempt:
    """Return the next attempt of a node's visit, with its number and the data that it receives."""
    state = transition.state
    visit = state.visit(node.id, number)
    visit.attempts += not visit.continues
    attempt = Attempt(state.run.run_id, node, number, visit.attempts, transition.now, state.commit_index)
    attempt.first_started_at = visit.first_started_at
    if visit.continues and visit.row is not None:
        attempt.step_index, attempt.started_at = visit.row.step_index, visit.row.started_at
    visit.continues = False
    attempt.resume_data = visit.given
    return attempt


def completed(transition: TransitionBuilder, attempt: Attempt) -> None:
    """Record a completed attempt; if its changes cannot be applied or its edges cannot be determined, it fails."""
    state, instances = transition.state, transition.resources.instances
    try:
        replaced = transition.apply(attempt)
    except ExecutionError as error:
        attempt.fail(error, instances)
        return
    try:
        taken = route(
            state.plan, attempt.node, transition.evaluate, port=attempt.port, warnings=state.progress.warnings
        )  # fmt: skip
    except ConditionError as error:
        if replaced is not None:
            replaced.restore(state.context)
        attempt.fail(error, instances)
        return
    transition.completed_one = True
    transition.note_writes(attempt)
    row = transition.step(attempt, StepStatus.COMPLETED, edges_taken=taken)
    transition.done(attempt.node, row)
    follow(transition, state.progress.finish(attempt.node, taken, transition.evaluate))


def suspended(transition: TransitionBuilder, attempt: Attempt) -> None:
    """Let a step that needs data wait, with its changes so far."""
    state = transition.state
    try:
        transition.apply(attempt)
    except ExecutionError as error:
        attempt.fail(error, transition.resources.instances)
        return
    transition.note_writes(attempt)
    row = transition.step(attempt, StepStatus.SUSPENDED)
    reason = attempt.reason or ""
    gate = occurrence.open_input(attempt.run_id, attempt.node, attempt.visit, reason, at=transition.now)
    gate.step_index, gate.auth_mode = row.step_index, transition.resources.store.auth_mode
    transition.gates[attempt.node.id, attempt.visit] = gate
    state.open_gate(gate)
    transition.resources.listener.step("gate_opened", attempt, transition.now)


def failed(transition: TransitionBuilder, attempt: Attempt) -> None:
    """Record a failed attempt: retry it, tolerate the failure, or fail the run."""
    state = transition.state
    is_late = state.is_out_of_time(attempt)
    delay = None if is_late else _retry_delay(transition, attempt)
    if delay is not None:
        when = "when the run continues" if transition.is_stopping else f"after {delay:.2g} s"
        transition.step(attempt, StepStatus.FAILED, reason=f"{TRIED_AGAIN} {when}")
        _try_again(transition, attempt, delay)
        transition.resources.listener.step("step_retrying", attempt, transition.now)
    elif attempt.node.on_error != "fail" and not is_late:
        _tolerated(transition, attempt)
    else:
        row = transition.step(attempt, StepStatus.FAILED, reason=attempt.reason)
        transition.fail(time_is_up(transition, attempt.node) if is_late else failure_of(row), attempt.exception)


def _tolerated(transition: TransitionBuilder, attempt: Attempt) -> None:
    state, node = transition.state, attempt.node
    try:
        taken = route(
            state.plan, node, transition.evaluate, port=None, tolerated=True, warnings=state.progress.warnings
        )  # fmt: skip
    except ConditionError as error:
        transition.step(attempt, StepStatus.FAILED)
        failure = Failure(kind=FailureKind.ERROR, node=node.id, type="ConditionError", message=str(error))
        transition.fail(failure, error)
        return
    skipped = node.on_error == "skip"
    status = StepStatus.SKIPPED if skipped else StepStatus.FAILED
    reason = "its failure is skipped (on_error: skip)" if skipped else "the run continues (on_error: continue)"
    row = transition.step(attempt, status, edges_taken=taken, reason=reason)
    transition.done(node, row)
    follow(transition, state.progress.finish(node, taken, transition.evaluate))


def _retry_delay(transition: TransitionBuilder, attempt: Attempt) -> float | None:
    """Return the seconds until this failed attempt is retried (0 while nothing may start), or None if it is not."""
    if attempt.exception is None:
        return None
    policy = RetryPolicy.of(attempt)
    visit = transition.state.visit(attempt.node.id, attempt.visit)
    used = visit.retries
    if used >= policy.max or not policy.covers(attempt.exception) or attempt.still_works():
        return None
    visit.retries = used + 1
    if transition.is_stopping:
        return 0.0
    return float(min(policy.delay * 2**used, policy.max_delay) * (0.5 + random.random() / 2))  # noqa: S311 - jitter, no secret


def _try_again(transition: TransitionBuilder, attempt: Attempt, seconds: float) -> None:
    """Retry a failed attempt after this many seconds. The due time is recorded with the run."""
    visit = transition.state.visit(attempt.node.id, attempt.visit)
    visit.first_started_at = visit.first_started_at or attempt.first_started_at or attempt.started_at
    clock = transition.resources.clock
    due = clock.after(seconds)
    pause = CurrentNode(
        node_id=attempt.node.id, visit=attempt.visit, attempt=attempt.number + 1, started_at=due, not_before=due,
        first_started_at=visit.first_started_at,
    )  # fmt: skip
    transition.state.delay(pause, attempt.node, clock.monotonic() + seconds)


def broken_off(transition: TransitionBuilder, attempt: Attempt, error: BaseException) -> None:
    """Record an attempt that did not reach its end, so that the next one gets another number."""
    attempt.fail(error, transition.resources.instances)
    transition.step(attempt, StepStatus.FAILED, reason=BROKEN_OFF)


def lost(transition: TransitionBuilder, current: CurrentNode, error: BaseException) -> None:
    """Record an attempt of which only its start is known."""
    state = transition.state
    node = state.plan.by_id.get(current.node_id)
    if node is None:
        return
    attempt = Attempt(state.run.run_id, node, current.visit, current.attempt, current.started_at)
    row = state.row_of(current.node_id, current.visit)
    if row is not None and row.status is StepStatus.SUSPENDED:  # it continued with the data that it waited for
        attempt.step_index = row.step_index
    broken_off(transition, attempt, error)


def failure_of(row: StepRecord) -> Failure:
    """Return the run's failure for the step of this row; one that timed out has no traceback of its own."""
    timed_out = row.error_type == TimeoutError.__name__ and row.traceback is None
    kind = FailureKind.TIMEOUT if timed_out else FailureKind.ERROR
    return Failure(kind=kind, node=row.node_id, type=row.error_type, message=f"Step {row.node_id} failed: {row.error}")


def time_is_up(transition: TransitionBuilder, node: PlanNode) -> Failure:
    """Return the failure of a run that has used all its working time."""
    seconds = transition.state.plan.settings.timeout_seconds
    message = f"The run did not end within its {seconds:g} s of work; it was at {node.id}."
    return Failure(kind=FailureKind.TIMEOUT, node=node.id, type=RUN_TIME, message=message)


# -------------------------------------------------------------------- what comes next


def follow(transition: TransitionBuilder, moves: Moves) -> None:
    """Apply the progress: skipped nodes get their rows, ready ones are queued."""
    state = transition.state
    for skip in moves.skipped:
        transition.skip(skip.node, skip.round, skip.reason, skip.edges_taken)
    for node, round_number in moves.ready:
        visit = state.visits.get((node.id, state.number_of(node.id, round_number)))
        if visit is not None and visit.pause is not None:
            pause, visit.pause = visit.pause, None
            clock = transition.resources.clock
            state.delay(pause, node, clock.monotonic() + clock.seconds_until(pause.not_before or transition.now))
        elif visit is None or (visit.gate is None and not visit.is_given_up):
            state.queue(node, round_number)
    for broken in moves.broken:
        _follow_broken(transition, broken)
    if moves.exhausted:
        transition.fail(Failure(kind=FailureKind.ERROR, type=LOOP_BOUND, message=moves.exhausted))
    while state.progress.warnings:
        message = transition.resources.instances.redactor.text(state.progress.warnings.pop(0))
        transition.event("warning", {"message": message})


def _follow_broken(transition: TransitionBuilder, broken: Broken) -> None:
    node = broken.node
    attempt = attempt_of(transition, node, transition.state.number_of(node.id, broken.round))
    attempt.fail(broken.error, transition.resources.instances)
    failed(transition, attempt)
