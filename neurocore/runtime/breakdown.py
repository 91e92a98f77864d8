"""End a run in the middle of a turn: after Ctrl-C, or after an error that belongs to no step and to no gate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from neurocore.persistence.records import Failure, GateStatus, StepStatus
from neurocore.runtime.turn import Turn

if TYPE_CHECKING:
    from neurocore.runtime.loop import RunDriver


def end_run(drive: RunDriver, failure: Failure, told: BaseException) -> bool:
    """Record the run as failed, from what was committed; steps that were running get a row that says `told`.

    Returns False, and writes nothing, when the run was not created yet, waits, has ended, or is under another claim.
    """
    stored = drive.store.load_summary(drive.run_record.run_id)
    if stored is None or stored.owner is None:
        return False
    if (stored.epoch, stored.owner) != (drive.run_record.epoch, drive.owner):
        return False
    if drive.rejection is None:
        drive.failure = failure
    _forget_turn(drive)
    turn = Turn(drive)
    for node in stored.current_nodes:
        attempt = drive.running.get((node.node_id, node.visit))
        if attempt is not None:
            turn.broken_off(drive.workers.abandon(attempt), told)
        elif not node.is_paused:
            turn.lost(node, told)
    drive.running.clear()
    drive.delayed.clear()
    drive.ready.clear()
    drive.ready_gates.clear()
    turn.commit()
    return True


def _forget_turn(drive: RunDriver) -> None:
    """Go back to what is committed.

    The turn is lost: with the numbers that it had given, the ends of steps that it took in with what these had set, the
    gates that it opened, and the end of those that it voided.
    """
    run_id = drive.run_record.run_id
    drive.base = drive.store.load_context(run_id)
    before, drive.gates = drive.gates, {}
    for gate in drive.store.load_gates(run_id):
        key = (gate.node_id, gate.visit)
        if gate.status is GateStatus.OPEN or (gate.status is GateStatus.DECIDED and key in before):
            drive.gates[key] = gate
    steps = drive.store.step_summaries(run_id)
    drive.next_index = max((step.step_index for step in steps), default=-1) + 1
    waiting = [step.step_index for step in steps if step.status is StepStatus.SUSPENDED]
    rows = [drive.store.load_step(run_id, index) for index in waiting]
    drive.step_of.update(((row.node_id, row.visit), row) for row in rows if row is not None)
