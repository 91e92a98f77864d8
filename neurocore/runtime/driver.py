"""The durable loop. Start, resume, retry and replay are this loop from different beginnings.

`RunDriver.run` asks the progress what is ready, runs it, and commits each outcome as it arrives. One transaction
(`TransitionBuilder`) writes the step's record with its changes and routing, the skips that follow, the gates that open,
and the run's row with what starts next. A sync step that runs alone stays on the caller's thread.
"""

from __future__ import annotations

import logging
import threading

from neurocore import output_redaction
from neurocore.config import NeuroCoreConfig
from neurocore.context import FlowContext
from neurocore.errors import ClaimLost, ConditionError, ExecutionError, StoreError, said
from neurocore.failpoints import failpoint
from neurocore.persistence.base import RunStore
from neurocore.persistence.projections import claim_lost
from neurocore.persistence.records import CurrentNode, Event, Failure, FailureKind, GateRecord, RunStatus, StepRecord
from neurocore.run_events import OnEvent
from neurocore.runtime import breakdown, step_transitions
from neurocore.runtime import gate_transitions as gates
from neurocore.runtime.advance import apply_signals, choose_starts, commit, record
from neurocore.runtime.attempt import Attempt, capture_logs
from neurocore.runtime.events import Listener
from neurocore.runtime.skills import Instances
from neurocore.runtime.state import Key, RunState
from neurocore.runtime.transition import Resources, TransitionBuilder
from neurocore.runtime.workers import Workers
from neurocore.skills.registry import SkillRegistry

#: How often a waiting loop checks for a cancellation or a decision made elsewhere, in seconds.
POLL_SECONDS = 0.2

_log = logging.getLogger(__name__)


class RunDriver:
    """Drives one run in one process, from a claim to an end, a suspension or a stop.

    When `stop` is set, the driver starts nothing new and releases the run as owed. `recorded_gates` are the run's gates
    as read at the claim. `translated` has rows whose edges have other numbers in another definition; `died_in` has the
    steps in which the process died too often. The first commit writes both.
    """

    def __init__(
        self,
        state: RunState,
        *,
        registry: SkillRegistry,
        config: NeuroCoreConfig,
        store: RunStore,
        on_event: OnEvent | None = None,
        stop: threading.Event | None = None,
    ) -> None:
        self.state = state
        self.instances = Instances(registry, config)
        self.instances.load(state.plan.nodes)
        self.listener = Listener(on_event, store.clock)
        self.resources = Resources(config, store, self.instances, self.listener, stop)
        self.workers = Workers(self.instances)
        self.recorded_gates: list[GateRecord] = []
        self.translated: list[StepRecord] = []
        self.died_in: list[CurrentNode] = []

    # ---------------------------------------------------------------- the loop

    def run(self, events: list[Event] | None = None) -> FlowContext:
        """Drive until the run ends, waits or is released.

        `events` go into the first commit; None means that this is a new run, whose row is created here. Raises
        ClaimLost when another process took the run over. A KeyboardInterrupt is recorded and raised again.
        """
        capture_logs()
        self.instances.on_secrets = lambda: output_redaction.watch(self.instances.redactor)
        self.instances.secrets_of(self.state.secret_inputs)
        try:
            return self._loop(self._open(events))
        except KeyboardInterrupt:
            message = "It was interrupted from the keyboard; resume continues from here."
            failure = Failure(kind=FailureKind.INTERRUPTED, message=message)
            seen = KeyboardInterrupt("It was interrupted from the keyboard.")
            if breakdown.end_run(self.state, self.resources, self.workers, failure, seen):
                self._leave()
            raise
        except (StoreError, ClaimLost):
            raise  # nothing can be recorded; the next driver finds the run as it was
        except Exception as error:
            return self._broken(error)
        finally:
            self._tear_down()
            output_redaction.unwatch(self.instances.redactor)
            for attempt in self.state.running.values():  # after a failed write or a take-over
                self.workers.abandon(attempt)
            self.workers.close()

    def _open(self, events: list[Event] | None) -> TransitionBuilder:
        state, store = self.state, self.resources.store
        self.listener.run("run_started", state.run, total=len(state.plan.nodes))
        transition = TransitionBuilder(state, self.resources)
        step_transitions.follow(transition, state.progress.next(transition.evaluate, started=_started(state)))
        if events is None:
            choose_starts(transition)
            state.run.current_nodes = state.current_nodes(transition.starts)
            failpoint("run.before_create")
            store.create_run(state.run)
            failpoint("run.after_create")
        else:
            transition.events.extend(events)
            if state.is_decided:
                gates.consume_decisions(transition, self.recorded_gates)
            if state.is_redefined:
                gates.reopen_redefined(transition)
                state.is_redefined = False
            # Find changed values here, so that a reviewer does not find them first, while this process drives the run.
            gates.reopen_changed(transition)
        transition.steps.update((step.step_index, step) for step in self.translated)
        for node in self.died_in:
            step_transitions.lost(transition, node, ExecutionError("The process died while it ran."))
        if transition.has_rows or not transition.starts:
            commit(transition)
        return transition

    def _loop(self, transition: TransitionBuilder) -> FlowContext:
        state = self.state
        while state.run.status is RunStatus.RUNNING and not transition.is_handed_back:
            ended = self._launch(transition.starts)
            if ended is None and (state.running or state.delayed):
                ended = self._wait()
            transition = TransitionBuilder(state, self.resources)
            if ended is not None:
                record(transition, ended)
            if state.is_decided:
                gates.consume_decisions(transition, self.resources.store.load_gates(state.run.run_id))
            commit(transition)
        return self._leave()

    def _launch(self, starts: list[Attempt]) -> Attempt | None:
        """Start the attempts. A sync attempt that runs alone runs on this thread, and is returned when it has ended."""
        state = self.state
        for attempt in starts:
            state.running[attempt.node.id, attempt.visit] = attempt
        for attempt in starts:
            is_async = self.instances.is_async(attempt.node)
            attempt.deadline = self._deadline_of(attempt)
            self.listener.step("step_started", attempt)
            alone = len(state.running) == 1 and not state.delayed and attempt.deadline is None
            if alone and not is_async:
                return attempt.run(state.context, self.instances, self.workers.wait_for)
            self.workers.start(attempt, state.context, is_async=is_async)
        return None

    def _wait(self) -> Attempt | None:
        """Wait for an attempt to end; return None when something else is to do (an attempt is due, a signal came)."""
        state = self.state
        while True:
            now = self.resources.clock.monotonic()
            own = [state.deadline] if state.deadline is not None and not state.running else []
            until = min([now + POLL_SECONDS, *(item[0] for item in state.delayed[:1]), *self._patience(), *own])
            ended = self.workers.next(max(0.0, until - now))
            if ended is not None:
                if not ended.abandoned:
                    return ended
                continue
            now = self.resources.clock.monotonic()
            late = self._late(now)
            if late is not None:
                return late
            if (state.delayed and state.delayed[0][0] <= now) or (state.time_is_up(now) and not state.running):
                return None
            is_stopped = self.resources.is_stopped
            if self._signalled() or ((is_stopped or state.cancelled_by) and not state.running):
                return None

    def _signalled(self) -> bool:
        state = self.state
        signals = self.resources.store.signals(state.run.run_id)
        if signals is None or (signals.epoch, signals.owner) != (state.run.epoch, state.recorded_owner):
            raise claim_lost(state.run.run_id)
        before = state.cancelled_by
        apply_signals(state, signals)
        if state.cancelled_by:
            for attempt in state.running.values():
                if hasattr(attempt.cancel, "cancel"):
                    attempt.cancelled = True
                    attempt.cancel.cancel()
        return state.is_decided or before != state.cancelled_by

    def _late(self, now: float) -> Attempt | None:
        """Return an attempt that is out of time and cannot be ended: it is abandoned, and recorded as timed out."""
        for attempt in self.state.running.values():
            patience = self.workers.patience(attempt)
            if patience is not None and now >= patience:
                late = self.workers.abandon(attempt)
                late.time_out(self.instances)
                return late
        return None

    def _patience(self) -> list[float]:
        times = [self.workers.patience(attempt) for attempt in self.state.running.values()]
        return [time for time in times if time is not None]

    def _deadline_of(self, attempt: Attempt) -> float | None:
        deadline = self.state.deadline
        own = None if attempt.node.timeout is None else self.resources.clock.monotonic() + attempt.node.timeout
        if own is None or deadline is None:
            return own if deadline is None else deadline
        return min(own, deadline)

    # ---------------------------------------------------------------- leaving

    def _leave(self) -> FlowContext:
        run = self.state.run
        self._tear_down()
        if run.status is RunStatus.SUSPENDED:
            self.listener.run("run_suspended", run, status=run.status)
        elif run.status is not RunStatus.RUNNING:
            failpoint("end.after_commit")
            self.listener.run("run_finished", run, status=run.status, error=run.error)
        return self.context()

    def _tear_down(self) -> None:
        """Tear the skills down, once, whatever stops the run in this process."""
        state = self.state
        for problem in self.instances.tear_down(state.context, state.run.run_id, self.workers.wait_for):
            _log.warning("%s", problem)

    def context(self) -> FlowContext:
        """Return the committed context, for the caller of the verb."""
        run = self.state.run
        context = FlowContext.over(self.state.context, run_id=run.run_id)
        metadata = context.metadata
        metadata.status = run.status.value
        metadata.suspended = run.status is RunStatus.SUSPENDED
        metadata.suspended_at_node = run.suspended_at_node
        metadata.suspension_reason = run.suspension_reason
        metadata.completed_nodes = list(self.state.completed)
        return context

    def _broken(self, error: Exception) -> FlowContext:
        """Fail the run after an error outside of its steps, from the code of a value or a skill."""
        words = self.instances.redactor.text(f"{type(error).__name__}: {said(error)}")
        message = f"The run failed with an error outside of its steps: {words}"
        failure = Failure(kind=FailureKind.ERROR, type=type(error).__name__, message=message)
        self.state.cause = error
        if not breakdown.end_run(self.state, self.resources, self.workers, failure, error):
            raise error
        _log.error("Run %s: %s", self.state.run.run_id, message, exc_info=error)
        return self._leave()


def _started(state: RunState) -> set[Key]:
    """Return the visits that have started, by node and round: their conditions were met."""
    started = [key for key, visit in state.visits.items() if visit.row and not _failed_by_its_condition(visit.row)]
    seen = [*started, *((node.node_id, node.visit) for node in state.run.current_nodes)]
    return {(node_id, state.round_of(node_id, number)) for node_id, number in seen}


def _failed_by_its_condition(row: StepRecord) -> bool:
    """Return whether the step failed before it started, because its own condition could not be evaluated."""
    return row.error_type == ConditionError.__name__ and row.skill_version is None
