"""End a run in the middle of a transition: after Ctrl-C, or after an error outside of steps and gates."""

from __future__ import annotations

from neurocore.persistence.records import Failure, GateStatus, StepStatus
from neurocore.runtime.advance import commit
from neurocore.runtime.state import RunState
from neurocore.runtime.step_transitions import broken_off, lost
from neurocore.runtime.transition import Resources, TransitionBuilder
from neurocore.runtime.workers import Workers


def end_run(
    state: RunState, resources: Resources, workers: Workers, failure: Failure, cause: BaseException
) -> bool:  # fmt: skip
    """Record the run as failed, from the committed state; each step that was running gets a row with the error `cause`.

    Returns False, and writes nothing, when the run is not created yet, waits, has ended, or is under another claim.
    """
    stored = resources.store.load_summary(state.run.run_id)
    if stored is None or stored.owner is None:
        return False
    if (stored.epoch, stored.owner) != (state.run.epoch, state.owner):
        return False
    if state.rejection is None:
        state.failure = failure
    _return_to_committed(state, resources)
    transition = TransitionBuilder(state, resources)
    for node in stored.current_nodes:
        attempt = state.running.get((node.node_id, node.visit))
        if attempt is not None:
            broken_off(transition, workers.abandon(attempt), cause)
        elif not node.is_paused:
            lost(transition, node, cause)
    state.running.clear()
    state.delayed.clear()
    state.ready.clear()
    state.ready_gates.clear()
    commit(transition)
    return True


def _return_to_committed(state: RunState, resources: Resources) -> None:
    """Return to the committed state.

    This undoes the transition: the numbers that it assigned, the step ends that it recorded with their changes, the
    gates that it opened, and the end of the gates that it voided.
    """
    store, run_id = resources.store, state.run.run_id
    state.context = store.load_context(run_id)
    before = {key: visit.gate for key, visit in state.waiting.items()}
    for gate in [gate for gate in before.values() if gate is not None]:
        state.close_gate(gate)
    for gate in store.load_gates(run_id):
        key = (gate.node_id, gate.visit)
        if gate.status is GateStatus.OPEN or (gate.status is GateStatus.DECIDED and key in before):
            state.open_gate(gate)
    steps = store.step_summaries(run_id)
    state.next_index = max((step.step_index for step in steps), default=-1) + 1
    waiting = [step.step_index for step in steps if step.status is StepStatus.SUSPENDED]
    for row in [store.load_step(run_id, index) for index in waiting]:
        if row is not None:
            state.visit(row.node_id, row.visit).row = row
