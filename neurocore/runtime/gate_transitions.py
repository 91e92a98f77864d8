"""What a transition does at gates: open them, replace them when their values changed, consume decisions."""

from __future__ import annotations

from msgspec import structs

from neurocore.blueprint.plan import PlanNode
from neurocore.blueprint.progress import route
from neurocore.errors import ConditionError
from neurocore.gates import occurrence
from neurocore.persistence.records import (
    Answer,
    Changes,
    Failure,
    FailureKind,
    GateRecord,
    GateStatus,
    RunStatus,
    StepRecord,
    StepStatus,
)
from neurocore.runtime.state import RunState, Visit
from neurocore.runtime.step_transitions import attempt_of, failed, follow
from neurocore.runtime.transition import Replaced, TransitionBuilder


def open_gate(transition: TransitionBuilder, node: PlanNode, number: int) -> None:
    """Open an occurrence, with a suspended row; if its message cannot be rendered, the node's step fails."""
    state = transition.state
    attempt = attempt_of(transition, node, number)
    try:
        gate = occurrence.open_gate(
            attempt.run_id, node, number, state.context, _outputs_before(state, node), at=transition.now
        )  # fmt: skip
    except Exception as error:  # anything that a template or a value raises is a failure of the gate
        attempt.fail(error, transition.resources.instances)
        failed(transition, attempt)
        return
    attempt.duration_ms = 0.0
    row = transition.step(attempt, StepStatus.SUSPENDED, reason=gate.message)
    mode = transition.resources.store.auth_mode
    gate.step_index, gate.auth_mode = row.step_index, mode
    gate.due_at = occurrence.due_of(gate, mode)
    transition.gates[node.id, number] = gate
    state.open_gate(gate)
    transition.resources.listener.step("gate_opened", attempt, transition.now)


def _outputs_before(state: RunState, node: PlanNode) -> list[str]:
    """List the keys set by the completed steps directly before a node; a skipped step counts as the steps before it."""
    keys, seen = dict[str, None](), {node.id}
    todo = state.plan.before(node.id)
    while todo:
        before = todo.pop(0)
        if before.id in state.last_outputs:
            keys.update(dict.fromkeys(state.last_outputs[before.id]))
        elif before.id not in seen:
            todo.extend(state.plan.before(before.id))
        seen.add(before.id)
    return list(keys)


def reopen_changed(transition: TransitionBuilder) -> None:
    """Void each open gate whose values have changed, and open another over the new ones (promise 6)."""
    state = transition.state
    for gate in state.open_gates():
        node = state.plan.by_id[gate.node_id]
        if gate.kind == "gate" and not occurrence.still_shows(gate, node, state.context):
            _ask_again(transition, gate, node, "what it shows has changed")


def reopen_redefined(transition: TransitionBuilder) -> None:
    """Replace each open gate that would open with another message, values or rules in the new definition."""
    state = transition.state
    for gate in state.open_gates():
        node = state.plan.by_id[gate.node_id]
        if gate.kind != "gate":
            continue
        try:
            now = occurrence.open_gate(
                gate.run_id, node, gate.visit, state.context, _outputs_before(state, node), at=gate.opened_at
            )  # fmt: skip
        except Exception:  # asking again records the reason, as the failure of the gate's step
            now = None
        if now is None or not occurrence.asks_the_same(gate, now):
            _ask_again(transition, gate, node, "the blueprint has changed")


def _ask_again(transition: TransitionBuilder, gate: GateRecord, node: PlanNode, reason: str) -> None:
    void(transition, gate, reason)
    open_gate(transition, node, gate.visit + 1)


def void(transition: TransitionBuilder, gate: GateRecord, reason: str) -> None:
    """End an occurrence without a decision."""
    state, key = transition.state, (gate.node_id, gate.visit)
    visit = state.close_gate(gate)
    transition.gates[key] = structs.replace(
        gate, status=GateStatus.VOIDED, closed_at=transition.now, void_reason=reason
    )  # fmt: skip
    row, visit.row = visit.row, None
    if row is not None:
        transition.steps[row.step_index] = occurrence.voided_step(row, reason)
    if gate.kind == "gate":
        state.voided.setdefault(gate.node_id, []).append(gate.visit)
        state.visits.pop(key, None)


class Voiding:
    """Ends all open gates with their run; an answer that comes first undoes it."""

    def __init__(self, transition: TransitionBuilder, status: RunStatus) -> None:
        self._transition = transition
        self._before: list[tuple[GateRecord, Visit, StepRecord | None, GateRecord | None, StepRecord | None]] = []
        state = transition.state
        reason = "the run was cancelled" if status is RunStatus.CANCELLED else "the run failed"
        if state.rejection is not None:
            reason = f"gate {state.rejection.node_id} was rejected"
        for key, visit in list(state.waiting.items()):
            gate, row = visit.gate, visit.row
            if gate is not None:
                written = transition.steps.get(row.step_index) if row is not None else None
                self._before.append((gate, visit, row, transition.gates.get(key), written))
                void(transition, gate, reason)

    def undo(self) -> None:
        """Let the gates wait again, and write for them what was to be written before."""
        transition = self._transition
        state = transition.state
        for gate, visit, row, gate_row, step_row in self._before:
            key = (gate.node_id, gate.visit)
            visit.row = row
            state.visits[key] = visit
            state.open_gate(gate)
            if gate.kind == "gate":
                state.voided[gate.node_id].remove(gate.visit)
                if not state.voided[gate.node_id]:
                    del state.voided[gate.node_id]
            if gate_row is None:
                del transition.gates[key]
            else:
                transition.gates[key] = gate_row
            if row is not None and step_row is None:
                del transition.steps[row.step_index]
            elif row is not None and step_row is not None:
                transition.steps[row.step_index] = step_row


def consume_decisions(transition: TransitionBuilder, recorded: list[GateRecord]) -> bool:
    """Complete the decided gates, and pass the given data to the steps that wait for it.

    `recorded` are the run's gates as they are stored. Returns whether there was such a gate.
    """
    state, found = transition.state, False
    state.is_decided = False
    for stored in recorded:
        waits = state.is_waiting(stored.node_id, stored.visit)
        if stored.status is GateStatus.DECIDED and waits and stored.decision is not None:
            node, found = state.plan.by_id[stored.node_id], True
            if stored.kind == "input":
                _take_input(transition, stored, node, stored.decision)
            elif state.is_redefined:
                _ask_again(transition, stored, node, "the blueprint has changed since it was approved")
            elif not occurrence.still_shows(stored, node, state.context):
                _ask_again(transition, stored, node, "what was approved is not what would happen now")
            else:
                _complete(transition, stored, node, stored.decision, [*recorded, *transition.gates.values()])
    return found


def _take_input(transition: TransitionBuilder, gate: GateRecord, node: PlanNode, answer: Answer) -> None:
    state = transition.state
    visit = state.close_gate(gate)
    visit.continues, visit.given = True, answer.data
    transition.gates[gate.node_id, gate.visit] = structs.replace(gate, status=GateStatus.DONE)
    state.queue(node, state.round_of(node.id, gate.visit))


def _complete(
    transition: TransitionBuilder, gate: GateRecord, node: PlanNode, answer: Answer, recorded: list[GateRecord]
) -> None:
    state, key = transition.state, (gate.node_id, gate.visit)
    row = state.row_of(*key)
    assert row is not None, "an open gate has a suspended row"
    changed, port = occurrence.consumed(gate, answer, recorded)
    visit = state.close_gate(gate)
    transition.gates[key] = structs.replace(gate, status=GateStatus.DONE)
    state.commit_index += 1
    row = structs.replace(row, port=port, commit_index=state.commit_index, duration_ms=0.0)
    if occurrence.ends_the_run(gate, answer):
        failure = occurrence.rejection(answer)
        row = structs.replace(
            row, status=StepStatus.FAILED, error=failure.message, error_type=failure.type, reason=None
        )  # fmt: skip
        transition.steps[row.step_index] = visit.row = row
        transition.fail(failure)
        state.rejection = state.rejection or answer
        return
    replaced = Replaced({name: state.context.get(name) for name in changed})
    if state.running:  # the other attempts keep the context that they started with
        state.context = dict(state.context)
    state.context.update(changed)
    try:
        taken = route(state.plan, node, transition.evaluate, port=port, warnings=state.progress.warnings)
    except ConditionError as error:  # the answer stays in the history; whoever resumes the run is asked again
        replaced.restore(state.context)
        message = f"The next node after gate {node.id} cannot be determined: {error}"
        void(transition, gate, message)
        transition.fail(Failure(kind=FailureKind.ERROR, node=node.id, type="ConditionError", message=message), error)
        return
    row = structs.replace(
        row, status=StepStatus.COMPLETED, changes=Changes(set=changed), output_keys=list(changed),
        edges_taken=taken, reason="approved" if answer.approved else "rejected",
    )  # fmt: skip
    transition.steps[row.step_index] = row
    transition.completed_one = True
    transition.done(node, row)
    follow(transition, state.progress.finish(node, taken, transition.evaluate))
    reopen_changed(transition)
