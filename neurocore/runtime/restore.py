"""Bring a drive to where its run stood: from the recorded steps and gates alone."""

from __future__ import annotations

from collections.abc import Sequence

from neurocore import codec
from neurocore.blueprint.plan import Plan
from neurocore.blueprint.progress import route
from neurocore.gates import occurrence
from neurocore.gates.history import voided_visits
from neurocore.persistence.projections import fold, progress_of
from neurocore.persistence.records import Ended, Event, GateRecord, GateStatus, Recorded, StepRecord, StepStatus
from neurocore.runtime.definition_upgrade import translated
from neurocore.runtime.ledger import BROKEN_OFF, TRIED_AGAIN, failure_of
from neurocore.runtime.loop import RunDriver

#: Whom a resume's data was for, as its event says.
FAILED_STEPS = "failed steps"


def restore(drive: RunDriver, recorded_in: Plan) -> list[StepRecord]:
    """Fill a new drive from what is recorded of its run, in the order of `recorded_in`, the plan it was driven by.

    Returns the steps that ended no visit. Rows that fit nowhere (a store without transactions may leave some) are
    ignored.
    """
    store, run_id = drive.store, drive.run_record.run_id
    gates = store.load_gates(run_id)
    voided = voided_visits(gates)
    for node_id, visit in sorted(voided):
        drive.voided.setdefault(node_id, []).append(visit)
    recorded = store.load_recorded(run_id)
    drive.base = recorded.context
    drive.secret_inputs = codec.secrets_in(recorded.inputs.values())
    ended, others = _progress(drive, recorded, recorded_in)
    for row in others:
        if (row.node_id, row.visit) not in voided:
            _remember_open(drive, row)
    strays = _replay(drive, ended, voided)
    if strays:
        steps = [step for step in store.load_steps(run_id) if step.step_index not in strays]
        drive.base = fold(recorded.inputs, steps)
        ended = [one for one in ended if one.step_index not in strays]
    rows: list[Ended | StepRecord] = [*ended, *others]
    drive.next_index = max((row.step_index for row in rows), default=-1) + 1
    drive.commit_index = max((row.commit_index for row in rows), default=0)
    for current in drive.run_record.current_nodes:  # the process died (or was stopped) inside these, or between tries
        key = (current.node_id, current.visit)
        begun = current.attempt - current.is_paused
        drive.attempts[key] = max(begun, drive.attempts.get(key, 0))
        drive.first_started.setdefault(key, current.first_started_at or current.started_at)
        drive.tried_again.add(key)
    drive.recorded_gates = gates
    for gate in gates:
        _restore_gate(drive, gate)
    rows.sort(key=lambda row: row.commit_index)
    drive.recorded_versions = {row.node_id: row.skill_version for row in rows if row.skill_version}
    return others


def _progress(drive: RunDriver, recorded: Recorded, recorded_in: Plan) -> tuple[list[Ended], list[StepRecord]]:
    """The recorded steps, those that ended their visit with the edges as this drive's plan counts them."""
    store, run = drive.store, drive.run_record
    if not drive.redefined and run.legacy is None:
        return recorded.ended, recorded.others
    steps = store.load_steps(run.run_id)
    if run.legacy is not None:
        _infer_edges(drive, steps)
    if drive.redefined:
        steps = translated(steps, recorded_in, drive.plan)
        drive.translated = [step for step in steps if step.edges_taken is not None]
    return progress_of(steps)


def give_again(drive: RunDriver, steps: Sequence[StepRecord]) -> None:
    """What the last resume brought for the steps that had failed by then, where they have not come to their end."""
    failed = [step for step in steps if step.status is StepStatus.FAILED]
    brought = _resumes(drive)[-1:] if failed else []
    if not brought or brought[0].data.get("to") != FAILED_STEPS:
        return
    for step in failed:
        key = (step.node_id, step.visit)
        if step.started_at < brought[0].at and key in drive.tried_again:
            drive.given[key] = brought[0].data["data"]


def go_on_waiting(drive: RunDriver, steps: Sequence[StepRecord]) -> None:
    """Keep the pauses between tries and the number of tries that were used, as nobody asked for new ones."""
    drive.paused = {(node.node_id, node.visit): node for node in drive.run_record.current_nodes if node.is_paused}
    for step in steps:
        key = (step.node_id, step.visit)
        is_used = step.status is StepStatus.FAILED and (step.reason or "").startswith(TRIED_AGAIN)
        if is_used and key in drive.tried_again and step.started_at >= _last_asked(drive):
            drive.retries[key] = drive.retries.get(key, 0) + 1


def _resumes(drive: RunDriver) -> list[Event]:
    """Who resumed the run so far, and with what: read when there is a failed step for which it counts."""
    if drive.resumes is None:
        events = drive.store.load_events(drive.run_record.run_id)
        drive.resumes = [event for event in events if event.kind == "resumed"]
    return drive.resumes


def _last_asked(drive: RunDriver) -> str:
    """When a person last resumed the run, as an ISO time; empty where nobody has."""
    return max((event.at for event in _resumes(drive)), default="")


def let_stand(drive: RunDriver) -> None:
    """What had failed for good when the process died stays failed, and fails the run: nobody asked for another try."""
    going = {(node.node_id, node.visit) for node in drive.run_record.current_nodes}
    for key, row in drive.step_of.items():
        is_final = row.status is StepStatus.FAILED and not (row.reason or "").startswith((TRIED_AGAIN, BROKEN_OFF))
        if is_final and key not in going and row.started_at >= _last_asked(drive):
            drive.given_up.add(key)
            drive.failure = drive.failure or failure_of(row)


def _replay(drive: RunDriver, ended: list[Ended], voided: set[tuple[str, int]]) -> set[int]:
    """Feed the outcomes to the progress; returns the indexes of those that fit nowhere."""
    strays = set()
    take = drive.progress.take
    for row in ended:
        if voided and (row.node_id, row.visit) in voided:
            continue
        if take(row.node_id, drive.plan_visit(row.node_id, row.visit), row.edges_taken):
            _remember_done(drive, row)
        else:
            strays.add(row.step_index)
    drive.progress.restored()
    return strays


def _remember_done(drive: RunDriver, row: Ended) -> None:
    if drive.tried_again:
        key = (row.node_id, row.visit)
        drive.step_of.pop(key, None)
        drive.tried_again.discard(key)
        drive.first_started.pop(key, None)
    if row.is_completed:
        drive.done_nodes.add(row.node_id)
        drive.completed.append(row.node_id)
        drive.last_step[row.node_id] = row.output_keys


def _remember_open(drive: RunDriver, row: StepRecord) -> None:
    """A visit that has not come to its end: it failed, or waits."""
    key = (row.node_id, row.visit)
    drive.attempts[key] = max(row.attempt, drive.attempts.get(key, 0))
    drive.first_started.setdefault(key, row.started_at)
    drive.step_of[key] = row
    if row.status in (StepStatus.FAILED, StepStatus.CANCELLED):
        drive.tried_again.add(key)


def _restore_gate(drive: RunDriver, gate: GateRecord) -> None:
    key = (gate.node_id, gate.visit)
    if gate.status in (GateStatus.OPEN, GateStatus.DECIDED):
        drive.gates[key] = gate
        drive.decided = drive.decided or gate.status is GateStatus.DECIDED
    if gate.status is GateStatus.DONE and gate.decision and occurrence.ends_the_run(gate, gate.decision):
        # The rejection was taken in, and the process died before the branches beside it ended.
        drive.failure, drive.rejection = occurrence.rejection(gate.decision), gate.decision
    if gate.kind == "input" and gate.status is GateStatus.DONE and key in drive.step_of and gate.decision:
        # The data was taken, and the step died (or failed) with it: it is given again.
        drive.given[key] = gate.decision.data
        if drive.step_of[key].status is StepStatus.SUSPENDED:
            drive.continuing.add(key)


def _infer_edges(drive: RunDriver, rows: list[StepRecord]) -> None:
    """Records of 0.4 do not say which edges were taken: they are routed as they would be now."""
    for row in rows:
        node = drive.plan.by_id.get(row.node_id)
        if node is not None and row.edges_taken is None and row.status is StepStatus.COMPLETED:
            row.edges_taken = route(drive.plan, node, drive.evaluate, port=row.port)
