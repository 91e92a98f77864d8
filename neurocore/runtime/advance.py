"""Advance a run by one commit: record what ended, choose what starts next, and write both at once."""

from __future__ import annotations

from typing import Any

from neurocore import codec
from neurocore.blueprint.inputs import check_outputs
from neurocore.errors import ExecutionError, InputError, said
from neurocore.failpoints import failpoint
from neurocore.persistence.projections import cancelled
from neurocore.persistence.records import Failure, FailureKind, Owed, RunStatus, Signals, StepStatus, Transition
from neurocore.runtime import gate_transitions as gates
from neurocore.runtime import step_transitions as steps
from neurocore.runtime.attempt import Attempt
from neurocore.runtime.endings import fill_end
from neurocore.runtime.state import RunState
from neurocore.runtime.transition import TransitionBuilder


def record(transition: TransitionBuilder, attempt: Attempt) -> None:
    """Record the end of an attempt: its row, its changes, and what follows."""
    state = transition.state
    state.running.pop((attempt.node.id, attempt.visit), None)
    if attempt.status == "completed":
        steps.completed(transition, attempt)
    elif attempt.status == "suspended":
        steps.suspended(transition, attempt)
    elif attempt.status == "cancelled":
        transition.step(attempt, StepStatus.CANCELLED)
    if attempt.status == "failed":  # completing it may have failed it
        steps.failed(transition, attempt)
    if state.waiting and (attempt.changed or attempt.deleted):
        gates.reopen_changed(transition)
    transition.resources.listener.step("step_finished", attempt, transition.now)


def choose_starts(transition: TransitionBuilder) -> None:
    """Choose the ready nodes that there is room for; open the ready gates."""
    state = transition.state
    for node, round_number in state.due(transition.resources.clock.monotonic()) if state.delayed else ():
        state.queue(node, round_number)
    if state.deadline is not None and not state.running and state.time_is_up(transition.resources.clock.monotonic()):
        work = state.work_left()
        if work:
            transition.fail(steps.time_is_up(transition, work[0]))
    while state.ready_gates and not transition.is_stopping:
        node, round_number = state.ready_gates.popleft()
        number = state.number_of(node.id, round_number)
        if not state.is_waiting(node.id, number):
            gates.open_gate(transition, node, number)
    room = transition.resources.config.runtime.max_workers - len(state.running)
    while state.ready and len(transition.starts) < room and not transition.is_stopping:
        node, round_number = state.ready.popleft()
        number = state.number_of(node.id, round_number)
        if not state.is_waiting(node.id, number):
            _start(transition, steps.attempt_of(transition, node, number))


def _start(transition: TransitionBuilder, attempt: Attempt) -> None:
    if attempt.still_works():
        sentence = "An earlier attempt of it was abandoned and still runs; resume when it has ended."
        attempt.fail(ExecutionError(sentence), transition.resources.instances)
        steps.failed(transition, attempt)
    else:
        transition.starts.append(attempt)


def commit(transition: TransitionBuilder) -> None:
    """Write the transition: choose what starts next and determine the run's status first. Raises ClaimLost."""
    state, store = transition.state, transition.resources.store
    run = state.run
    while True:
        choose_starts(transition)
        status = _status(transition)
        ends = status in (RunStatus.FAILED, RunStatus.CANCELLED)
        waits = status in (RunStatus.SUSPENDED, RunStatus.FAILED) and transition.open_before and not state.is_decided
        voiding = gates.Voiding(transition, status) if ends else None
        _fill_run(transition, status)
        signals = _write(transition, status, unless_decided=waits)
        if not (waits and signals.owed):
            break
        if voiding is not None:
            voiding.undo()
        transition.open_before = gates.consume_decisions(transition, store.load_gates(run.run_id))
    run.version = signals.version
    for event in transition.events:
        if event.kind == "warning":
            transition.resources.listener.run("warning", run, error=event.data["message"])
    apply_signals(state, signals)
    if state.cancelled_by and (transition.starts or status is RunStatus.SUSPENDED):
        # The request came while the previous step ran: do not start, and do not wait for, what was about to follow.
        transition.starts = []
        transition.discard()
        commit(transition)


def _write(transition: TransitionBuilder, status: RunStatus, *, unless_decided: bool) -> Signals:
    state = transition.state
    failpoint("step.before_commit")
    signals = transition.resources.store.commit(
        Transition(
            run=state.run,
            owner=state.recorded_owner,
            steps=list(transition.steps.values()),
            gates=list(transition.gates.values()),
            events=transition.events,
            sync=status is not RunStatus.RUNNING or bool(transition.gates),
            unless_decided=unless_decided,
        )
    )
    state.recorded_owner = signals.owner
    failpoint("step.after_commit")
    return signals


def apply_signals(state: RunState, signals: Signals) -> None:
    """Remember what the store reported about cancellation and decisions."""
    state.cancelled_by = signals.cancel_requested
    state.is_decided = signals.owed == Owed.DECISION and bool(state.waiting)


def _status(transition: TransitionBuilder) -> RunStatus:
    state = transition.state
    transition.is_handed_back = False
    if state.running or transition.starts:
        return RunStatus.RUNNING
    if state.cancelled_by:
        return RunStatus.CANCELLED
    has_work = bool(state.ready or state.ready_gates or state.delayed)
    if state.failure is not None and (transition.is_stopping or not has_work):
        return RunStatus.FAILED
    if has_work:
        transition.is_handed_back = transition.resources.is_stopped
        return RunStatus.RUNNING
    if state.waiting:
        return RunStatus.SUSPENDED
    try:
        _check_outputs(state)
    except Exception as error:  # a value's own code may raise anything
        kind = steps.OUTPUTS if isinstance(error, InputError) else type(error).__name__
        transition.fail(Failure(kind=FailureKind.ERROR, type=kind, message=said(error)), error)
        return RunStatus.FAILED
    return RunStatus.COMPLETED


def _check_outputs(state: RunState) -> None:
    outputs = state.blueprint.outputs
    if outputs:
        data: dict[str, Any] = {key: codec.restore(state.context[key]) for key in outputs if key in state.context}
        check_outputs(state.blueprint, data)


def _fill_run(transition: TransitionBuilder, status: RunStatus) -> None:
    state, run = transition.state, transition.state.run
    run.status = status
    run.updated_at = transition.now
    run.duration_ms = state.worked_ms(transition.resources.clock.monotonic())
    run.current_nodes = state.current_nodes(transition.starts) if status is RunStatus.RUNNING else []
    run.nodes_done = len(state.done_nodes)
    first = min(state.open_gates(), key=lambda gate: gate.opened_at) if state.waiting else None
    run.suspended_at_node = first.node_id if first else None
    run.suspension_reason = first.message if first else None
    run.owed = Owed.RESUME if transition.is_handed_back else None
    if transition.completed_one:
        run.deaths = 0
    run.failure = run.error = run.finished_at = None
    run.owner = state.owner  # a commit that an answer held back would have released the run
    if status is RunStatus.RUNNING and not transition.is_handed_back:
        return
    if not status.ended:
        run.owner = None
    elif status is RunStatus.CANCELLED:
        events = transition.resources.store.load_events(run.run_id)
        fill_end(run, status, at=transition.now, error=cancelled(state.cancelled_by or "?", events))
    else:
        fill_end(run, status, at=transition.now, failure=state.failure if status is RunStatus.FAILED else None)
