"""What a turn of the loop does at gates: open them, ask anew where what they show has changed, take answers in."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
    StepStatus,
)

if TYPE_CHECKING:
    from neurocore.runtime.loop import RunDriver
    from neurocore.runtime.turn import Turn


def open_gate(turn: Turn, node: PlanNode, visit: int) -> None:
    """Open an occurrence, in a row of its own that waits; one whose message cannot be made fails the node's step."""
    drive = turn.drive
    attempt = turn.attempt(node, visit)
    try:
        gate = occurrence.open_gate(
            attempt.run_id, node, visit, drive.base, _outputs_before(drive, node), at=turn.ledger.now
        )  # fmt: skip
    except Exception as error:  # whatever a template or a value raises is the gate's own failure
        attempt.fail(error, drive.instances)
        turn.failed(attempt)
        return
    attempt.duration_ms = 0.0
    row = turn.ledger.step(attempt, StepStatus.SUSPENDED, reason=gate.message)
    gate.step_index = row.step_index
    turn.ledger.gates[node.id, visit] = drive.gates[node.id, visit] = gate
    drive.tell_step("gate_opened", attempt, turn.ledger.now)


def _outputs_before(drive: RunDriver, node: PlanNode) -> list[str]:
    """What the completed steps directly before a node have set; one that was skipped is looked past."""
    keys, seen = dict[str, None](), {node.id}
    todo = drive.plan.before(node.id)
    while todo:
        before = todo.pop(0)
        if before.id in drive.last_step:
            keys.update(dict.fromkeys(drive.last_step[before.id]))
        elif before.id not in seen:
            todo.extend(drive.plan.before(before.id))
        seen.add(before.id)
    return list(keys)


def reopen_changed(turn: Turn) -> None:
    """Promise 6: an open gate whose values have changed is voided, and another opens over the new ones."""
    drive = turn.drive
    for (node_id, _), gate in list(drive.gates.items()):
        node = drive.plan.by_id[node_id]
        if gate.kind == "gate" and not occurrence.still_shows(gate, node, drive.base):
            _ask_anew(turn, gate, node, "what it shows has changed")


def reopen_redefined(turn: Turn) -> None:
    """Ask anew at each open gate that another definition would open with another message, values or rules."""
    drive = turn.drive
    for (node_id, visit), gate in list(drive.gates.items()):
        node = drive.plan.by_id[node_id]
        if gate.kind != "gate":
            continue
        try:
            now = occurrence.open_gate(
                gate.run_id, node, visit, drive.base, _outputs_before(drive, node), at=gate.opened_at
            )  # fmt: skip
        except Exception:  # asking anew says why, as the failure of the gate's step
            now = None
        if now is None or not occurrence.asks_the_same(gate, now):
            _ask_anew(turn, gate, node, "the blueprint has changed")


def _ask_anew(turn: Turn, gate: GateRecord, node: PlanNode, reason: str) -> None:
    void(turn, gate, reason)
    open_gate(turn, node, gate.visit + 1)


def void(turn: Turn, gate: GateRecord, reason: str) -> None:
    """Nobody is asked any more."""
    drive, key = turn.drive, (gate.node_id, gate.visit)
    voided = structs.replace(gate, status=GateStatus.VOIDED, closed_at=turn.ledger.now, void_reason=reason)
    turn.ledger.gates[key] = voided
    drive.gates.pop(key, None)
    row = drive.step_of.pop(key, None)
    if row is not None:
        turn.ledger.steps[row.step_index] = occurrence.voided_step(row, reason)
    if gate.kind == "gate":
        drive.voided.setdefault(gate.node_id, []).append(gate.visit)
        drive.attempts.pop(key, None)


def consume_decisions(turn: Turn, recorded: list[GateRecord]) -> bool:
    """Complete the gates that were decided, and hand the given data to the steps that wait for it.

    `recorded` are the run's gates as they are stored. Returns whether there was any such gate.
    """
    drive, found = turn.drive, False
    drive.decided = False
    for stored in recorded:
        key = (stored.node_id, stored.visit)
        if stored.status is GateStatus.DECIDED and key in drive.gates and stored.decision is not None:
            node, found = drive.plan.by_id[stored.node_id], True
            if stored.kind == "input":
                _take_input(turn, stored, node, stored.decision)
            elif drive.redefined:
                _ask_anew(turn, stored, node, "the blueprint has changed since it was approved")
            elif not occurrence.still_shows(stored, node, drive.base):
                _ask_anew(turn, stored, node, "what was approved is not what would happen now")
            else:
                _complete(turn, stored, node, stored.decision, [*recorded, *turn.ledger.gates.values()])
    return found


def _take_input(turn: Turn, gate: GateRecord, node: PlanNode, answer: Answer) -> None:
    drive, key = turn.drive, (gate.node_id, gate.visit)
    drive.gates.pop(key)
    drive.continuing.add(key)
    drive.given[key] = answer.data
    turn.ledger.gates[key] = structs.replace(gate, status=GateStatus.DONE)
    drive.queue(node, drive.plan_visit(node.id, gate.visit))


def _complete(turn: Turn, gate: GateRecord, node: PlanNode, answer: Answer, recorded: list[GateRecord]) -> None:
    drive, key = turn.drive, (gate.node_id, gate.visit)
    row = drive.step_of[key]
    changed, port = occurrence.consumed(gate, answer, recorded)
    drive.gates.pop(key)
    turn.ledger.gates[key] = structs.replace(gate, status=GateStatus.DONE)
    drive.commit_index += 1
    row = structs.replace(row, port=port, commit_index=drive.commit_index, duration_ms=0.0)
    if occurrence.ends_the_run(gate, answer):
        failure = occurrence.rejection(answer)
        row = structs.replace(
            row, status=StepStatus.FAILED, error=failure.message, error_type=failure.type, reason=None
        )
        turn.ledger.steps[row.step_index] = drive.step_of[key] = row
        turn.fail(failure)
        drive.rejection = drive.rejection or answer
        return
    before, drive.base = drive.base, {**drive.base, **changed}
    try:
        taken = route(drive.plan, node, drive.evaluate, port=port, warnings=drive.progress.warnings)
    except ConditionError as error:  # the answer stays in the history; who resumes the run is asked again
        drive.base = before
        message = f"Where gate {node.id} leads to cannot be said: {error}"
        void(turn, gate, message)
        turn.fail(Failure(kind=FailureKind.ERROR, node=node.id, type="ConditionError", message=message), error)
        return
    row = structs.replace(
        row, status=StepStatus.COMPLETED, changes=Changes(set=changed), output_keys=list(changed),
        edges_taken=taken, reason="approved" if answer.approved else "rejected",
    )  # fmt: skip
    turn.ledger.steps[row.step_index] = row
    turn.completed_one = True
    turn.ledger.done(node, row)
    turn.follow(drive.progress.finish(node, taken, drive.evaluate))
    reopen_changed(turn)


def void_all(turn: Turn, status: RunStatus) -> None:
    """The run ends so, and asks nobody any more."""
    reason = "the run was cancelled" if status is RunStatus.CANCELLED else "the run failed"
    if turn.drive.rejection is not None:
        reason = f"gate {turn.drive.rejection.node_id} was rejected"
    for gate in list(turn.drive.gates.values()):
        void(turn, gate, reason)
