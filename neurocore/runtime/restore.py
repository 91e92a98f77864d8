"""Restore the state of a run from its recorded steps and gates."""

from __future__ import annotations

from functools import partial

from neurocore import codec
from neurocore.blueprint.conditions import Condition
from neurocore.blueprint.plan import Plan
from neurocore.blueprint.progress import route
from neurocore.context import FlowContext
from neurocore.gates import occurrence
from neurocore.gates.history import voided_visits
from neurocore.persistence.base import RunStore
from neurocore.persistence.projections import fold, progress_of
from neurocore.persistence.records import Ended, Event, GateRecord, GateStatus, Recorded, StepRecord, StepStatus
from neurocore.runtime.definition_upgrade import translated
from neurocore.runtime.skills import Instances
from neurocore.runtime.state import Key, RunState
from neurocore.runtime.step_transitions import BROKEN_OFF, TRIED_AGAIN, failure_of

#: Whom the data of a resume was for, as its event records it.
FAILED_STEPS = "failed steps"


class Restoration:
    """Fills a run's state from its records.

    `unended` has the steps that did not end their visit, `gates` all gates of the run, `translated` the steps whose
    edges have other numbers in the state's plan than in the recorded one, `versions` the version of the skill that each
    node ran with. Rows that fit nowhere (a store without transactions may leave some) are ignored.
    """

    def __init__(self, state: RunState, store: RunStore, instances: Instances, recorded_in: Plan) -> None:
        self.state = state
        self._store = store
        self._instances = instances
        self._resumes: list[Event] | None = None
        self.translated: list[StepRecord] = []
        run_id = state.run.run_id
        self.gates = store.load_gates(run_id)
        voided = voided_visits(self.gates)
        for node_id, number in sorted(voided):
            state.voided.setdefault(node_id, []).append(number)
        recorded = store.load_recorded(run_id)
        state.context = recorded.context
        state.secret_inputs = codec.secrets_in(recorded.inputs.values())
        ended, self.unended = self._progress(recorded, recorded_in)
        for row in self.unended:
            if (row.node_id, row.visit) not in voided:
                _remember_open(state, row)
        strays = _replay(state, ended, voided)
        if strays:
            steps = [step for step in store.load_steps(run_id) if step.step_index not in strays]
            state.context = fold(recorded.inputs, steps)
            ended = [one for one in ended if one.step_index not in strays]
        rows: list[Ended | StepRecord] = [*ended, *self.unended]
        state.next_index = max((row.step_index for row in rows), default=-1) + 1
        state.commit_index = max((row.commit_index for row in rows), default=0)
        for current in state.run.current_nodes:  # the process died (or was stopped) inside these, or between attempts
            visit = state.visit(current.node_id, current.visit)
            visit.attempts = max(current.attempt - current.is_paused, visit.attempts)
            visit.first_started_at = visit.first_started_at or current.first_started_at or current.started_at
            visit.is_tried_again = True
        for gate in self.gates:
            _restore_gate(state, gate)
        rows.sort(key=lambda row: row.commit_index)
        self.versions = {row.node_id: row.skill_version for row in rows if row.skill_version}

    def _progress(self, recorded: Recorded, recorded_in: Plan) -> tuple[list[Ended], list[StepRecord]]:
        """Return the recorded steps; the edges of those that ended their visit are numbered as in the state's plan."""
        state = self.state
        if not state.is_redefined and state.run.legacy is None:
            return recorded.ended, recorded.others
        steps = self._store.load_steps(state.run.run_id)
        if state.run.legacy is not None:
            self._infer_edges(steps)
        if state.is_redefined:
            steps = translated(steps, recorded_in, state.plan)
            self.translated = [step for step in steps if step.edges_taken is not None]
        return progress_of(steps)

    def _infer_edges(self, rows: list[StepRecord]) -> None:
        """Route records of 0.4, which do not record the edges that were taken, as they would be routed now."""
        plan, evaluate = self.state.plan, partial(_holds, self.state, self._instances)
        for row in rows:
            node = plan.by_id.get(row.node_id)
            if node is not None and row.edges_taken is None and row.status is StepStatus.COMPLETED:
                row.edges_taken = route(plan, node, evaluate, port=row.port)

    # ---------------------------------------------------------------- what earlier drives and people left

    def give_again(self) -> None:
        """Pass the data of the last resume to the failed steps that are not finished."""
        failed = [step for step in self.unended if step.status is StepStatus.FAILED]
        brought = self._resumed()[-1:] if failed else []
        if not brought or brought[0].data.get("to") != FAILED_STEPS:
            return
        for step in failed:
            visit = self.state.visit(step.node_id, step.visit)
            if step.started_at < brought[0].at and visit.is_tried_again:
                visit.given = brought[0].data["data"]

    def keep_waiting(self) -> None:
        """Keep the pauses between attempts and the retries used so far, unless a person has resumed the run since."""
        run = self.state.run
        paused = [node for node in run.current_nodes if node.is_paused]
        for node in paused if not paused or self._last_asked() <= run.updated_at else ():
            self.state.visit(node.node_id, node.visit).pause = node
        for step in self.unended:
            visit = self.state.visits.get((step.node_id, step.visit))
            is_used = step.status is StepStatus.FAILED and (step.reason or "").startswith(TRIED_AGAIN)
            if visit is not None and is_used and visit.is_tried_again and step.started_at >= self._last_asked():
                visit.retries += 1

    def keep_failed(self) -> None:
        """Fail the run if a step had finally failed when the process died, unless a person asked for a retry."""
        state = self.state
        going = {(node.node_id, node.visit) for node in state.run.current_nodes}
        for key, visit in state.visits.items():
            row = visit.row
            if row is None or row.status is not StepStatus.FAILED or key in going:
                continue
            if not (row.reason or "").startswith((TRIED_AGAIN, BROKEN_OFF)) and row.started_at >= self._last_asked():
                visit.is_given_up = True
                state.failure = state.failure or failure_of(row)

    def _resumed(self) -> list[Event]:
        """Return the resumes of the run so far; they are read only when a failed step depends on them."""
        if self._resumes is None:
            events = self._store.load_events(self.state.run.run_id)
            self._resumes = [event for event in events if event.kind == "resumed"]
        return self._resumes

    def _last_asked(self) -> str:
        """Return when a person last resumed the run, as an ISO time; empty if nobody has."""
        return max((event.at for event in self._resumed()), default="")


def _holds(state: RunState, instances: Instances, condition: Condition) -> bool:
    context = FlowContext.over(state.context, run_id=state.run.run_id, secrets=instances.resolve)
    return condition.evaluate(context)


def _replay(state: RunState, ended: list[Ended], voided: set[Key]) -> set[int]:
    """Apply the outcomes to the progress; return the indexes of those that fit nowhere."""
    strays = set()
    take = state.progress.take
    for row in ended:
        if voided and (row.node_id, row.visit) in voided:
            continue
        if take(row.node_id, state.round_of(row.node_id, row.visit), row.edges_taken):
            _remember_done(state, row)
        else:
            strays.add(row.step_index)
    state.progress.restored()
    return strays


def _remember_done(state: RunState, row: Ended) -> None:
    if state.visits:
        state.visits.pop((row.node_id, row.visit), None)
    if row.is_completed:
        state.done_nodes.add(row.node_id)
        state.completed.append(row.node_id)
        state.last_outputs[row.node_id] = row.output_keys


def _remember_open(state: RunState, row: StepRecord) -> None:
    """Restore a visit that is not over: it failed, or waits."""
    visit = state.visit(row.node_id, row.visit)
    visit.attempts = max(row.attempt, visit.attempts)
    visit.first_started_at = visit.first_started_at or row.started_at
    visit.row = row
    if row.status in (StepStatus.FAILED, StepStatus.CANCELLED):
        visit.is_tried_again = True


def _restore_gate(state: RunState, gate: GateRecord) -> None:
    if gate.status in (GateStatus.OPEN, GateStatus.DECIDED):
        state.open_gate(gate)
        state.is_decided = state.is_decided or gate.status is GateStatus.DECIDED
    if gate.status is GateStatus.DONE and gate.decision and occurrence.ends_the_run(gate, gate.decision):
        # The rejection was consumed, and the process died before the parallel branches ended.
        state.failure, state.rejection = occurrence.rejection(gate.decision), gate.decision
    visit = state.visits.get((gate.node_id, gate.visit))
    if gate.kind == "input" and gate.status is GateStatus.DONE and visit and visit.row and gate.decision:
        # The data was consumed, and the step failed with it or its process died: it receives the data again.
        visit.given = gate.decision.data
        visit.continues = visit.row.status is StepStatus.SUSPENDED
