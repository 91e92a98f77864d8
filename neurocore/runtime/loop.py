"""The one durable loop. Start, resume, retry and replay are this loop from different beginnings.

`RunDriver.run` asks the progress what is ready, runs it, and commits each outcome as it comes: the step's record with
its changes and routing, the skips that follow from it, the gates that open, and the run's row with what starts next, in
one transaction (`Turn`). A sync step that runs alone stays on the caller's thread.
"""

from __future__ import annotations

import heapq
import logging
import random
import threading
import time
from collections import deque

from neurocore.blueprint.conditions import Condition
from neurocore.blueprint.model import Blueprint
from neurocore.blueprint.plan import Plan, PlanNode
from neurocore.blueprint.progress import Progress
from neurocore.codec import SecretRef
from neurocore.config import NeuroCoreConfig
from neurocore.context import FlowContext
from neurocore.errors import ClaimLost, ConditionError, ExecutionError, StoreError, said
from neurocore.failpoints import failpoint
from neurocore.persistence.base import RunStore
from neurocore.persistence.projections import claim_lost
from neurocore.persistence.records import (
    Answer,
    Commit,
    CurrentNode,
    Event,
    Failure,
    FailureKind,
    GateRecord,
    Owed,
    RunRecord,
    RunStatus,
    Signals,
    StepRecord,
    iso,
    utcnow_iso,
)
from neurocore.runtime import breakdown, gate_transitions, output_redaction
from neurocore.runtime.attempt import Attempt, capture_logs
from neurocore.runtime.events import OnEvent, RunEvent
from neurocore.runtime.retry import RetryPolicy
from neurocore.runtime.skills import Instances
from neurocore.runtime.turn import Turn
from neurocore.runtime.workers import Workers
from neurocore.skills.registry import SkillRegistry

#: How often a waiting loop looks for a cancellation or a decision made elsewhere, in seconds.
POLL_SECONDS = 0.2

_log = logging.getLogger(__name__)


class RunDriver:
    """One process driving one run, from a claim to an end, a suspension or a stop.

    `run` is the claimed record; `stop`, when it is set, means: start nothing new, hand the run back as owed.
    """

    def __init__(
        self,
        run: RunRecord,
        blueprint: Blueprint,
        plan: Plan,
        *,
        registry: SkillRegistry,
        config: NeuroCoreConfig,
        store: RunStore,
        context: dict[str, bytes],
        on_event: OnEvent | None = None,
        resume_data: object = None,
        stop: threading.Event | None = None,
    ) -> None:
        self.run_record = run
        self.owner = run.owner
        self.recorded_owner = run.owner  # as the last commit left it: a run that waits has none
        self.blueprint = blueprint
        self.plan = plan
        self.config = config
        self.store = store
        self.on_event = on_event
        self.resume_data = resume_data
        self.stop = stop
        self.progress = Progress(plan)
        self.instances = Instances(registry, config)
        self.instances.load(plan.nodes)
        self.workers = Workers(self.instances)
        self.base = context
        self.commit_index = 0
        self.next_index = 0
        self.ready: deque[tuple[PlanNode, int]] = deque()
        self.ready_gates: deque[tuple[PlanNode, int]] = deque()
        self.running: dict[tuple[str, int], Attempt] = {}
        self.delayed: list[tuple[float, int, CurrentNode, PlanNode]] = []
        self.paused: dict[tuple[str, int], CurrentNode] = {}
        self.gates: dict[tuple[str, int], GateRecord] = {}
        self.recorded_gates: list[GateRecord] = []  # as they were read when the run was claimed
        self.resumes: list[Event] | None = None
        self.given: dict[tuple[str, int], object] = {}
        self.continuing: set[tuple[str, int]] = set()
        self.tried_again: set[tuple[str, int]] = set()
        self.given_up: set[tuple[str, int]] = set()
        self.attempts: dict[tuple[str, int], int] = {}
        self.retries: dict[tuple[str, int], int] = {}
        self.first_started: dict[tuple[str, int], str] = {}
        self.step_of: dict[tuple[str, int], StepRecord] = {}
        self.voided: dict[str, list[int]] = {}
        self.last_step: dict[str, list[str]] = {}
        self.done_nodes: set[str] = set()
        self.completed: list[str] = []
        self.writers: dict[str, tuple[int, str]] = {}
        self.secret_inputs: list[SecretRef] = []
        self.recorded_versions: dict[str, str] = {}
        self.translated: list[StepRecord] = []
        self.died_in: list[CurrentNode] = []
        self.failure: Failure | None = None
        self.cause: BaseException | None = None
        self.rejection: Answer | None = None
        self.cancelled_by: str | None = None
        self.decided = False
        self.redefined = False  # true until the answers that were given on another definition are voided
        self.worked_before = run.duration_ms or 0.0
        self.clock = time.perf_counter()
        limit = plan.settings.timeout_seconds
        self.deadline = None if limit is None else self.clock + limit - self.worked_before / 1000

    # ---------------------------------------------------------------- the loop

    def run(self, events: list[Event] | None = None) -> FlowContext:
        """Drive until the run ends, waits or is handed back.

        `events` go into the first commit; None means that this is a new run, whose row is created here.
        Raises ClaimLost when somebody took the run over; a KeyboardInterrupt is recorded and passed on.
        """
        capture_logs()
        self.instances.on_secrets = lambda: output_redaction.watch(self.instances.redactor)
        self.instances.secrets_of(self.secret_inputs)
        try:
            return self._loop(self._open(events))
        except KeyboardInterrupt:
            message = "It was interrupted from the keyboard; resume goes on from here."
            failure = Failure(kind=FailureKind.INTERRUPTED, message=message)
            if breakdown.end_run(self, failure, KeyboardInterrupt("It was interrupted from the keyboard.")):
                self._leave()
            raise
        except (StoreError, ClaimLost):
            raise  # nothing can be recorded; who drives the run on later finds it as it was
        except Exception as error:
            return self._broken(error)
        finally:
            self._tear_down()
            output_redaction.unwatch(self.instances.redactor)
            for attempt in self.running.values():  # the history could not be written, or the run is another's now
                self.workers.abandon(attempt)
            self.workers.close()

    def _open(self, events: list[Event] | None) -> Turn:
        self.tell("run_started", total=len(self.plan.nodes))
        turn = Turn(self)
        begun = [key for key, row in self.step_of.items() if not _stopped_by_its_condition(row)]
        seen = [*begun, *((node.node_id, node.visit) for node in self.run_record.current_nodes)]
        started = {(node_id, self.plan_visit(node_id, visit)) for node_id, visit in seen}
        turn.follow(self.progress.next(self.evaluate, started=started))
        if events is None:
            turn.choose_starts()
            self.run_record.current_nodes = self.current_nodes(turn.starts)
            failpoint("run.before_create")
            self.store.create_run(self.run_record)
            failpoint("run.after_create")
        else:
            turn.ledger.events.extend(events)
            if self.decided:
                gate_transitions.consume_decisions(turn, self.recorded_gates)
            if self.redefined:
                gate_transitions.reopen_redefined(turn)
                self.redefined = False
            # Who answers must not find out beside this drive that the values have changed.
            gate_transitions.reopen_changed(turn)
        turn.ledger.steps.update((step.step_index, step) for step in self.translated)
        for node in self.died_in:
            turn.lost(node, ExecutionError("The process died while it ran."))
        if turn.ledger.has_rows or not turn.starts:
            turn.commit()
        return turn

    def _loop(self, turn: Turn) -> FlowContext:
        while self.run_record.status is RunStatus.RUNNING and not turn.handed_back:
            ended = self._launch(turn.starts)
            if ended is None and (self.running or self.delayed):
                ended = self._wait()
            turn = Turn(self)
            if ended is not None:
                turn.record(ended)
            if self.decided:
                gate_transitions.consume_decisions(turn, self.store.load_gates(self.run_record.run_id))
            turn.commit()
        return self._leave()

    def _launch(self, starts: list[Attempt]) -> Attempt | None:
        """Start the attempts. One that runs alone and is sync runs right here, and its end is returned."""
        for attempt in starts:
            self.running[attempt.node.id, attempt.visit] = attempt
        for attempt in starts:
            is_async = self.instances.is_async(attempt.node)
            attempt.deadline = self._deadline_of(attempt)
            self.tell_step("step_started", attempt)
            alone = len(self.running) == 1 and not self.delayed and attempt.deadline is None
            if alone and not is_async:
                return attempt.run(self.base, self.instances, self.workers.wait_for)
            self.workers.start(attempt, self.base, is_async=is_async)
        return None

    def _wait(self) -> Attempt | None:
        """Wait for an attempt to end; None when something else wants a turn (a retry is due, a signal came)."""
        while True:
            now = time.perf_counter()
            own = [self.deadline] if self.deadline is not None and not self.running else []
            until = min([now + POLL_SECONDS, *(item[0] for item in self.delayed[:1]), *self._patience(), *own])
            ended = self.workers.next(max(0.0, until - now))
            if ended is not None:
                if not ended.abandoned:
                    return ended
                continue
            now = time.perf_counter()
            late = self._late(now)
            if late is not None:
                return late
            if (self.delayed and self.delayed[0][0] <= now) or (self.time_is_up(now) and not self.running):
                return None
            if self._signalled() or ((self._stopped() or self.cancelled_by) and not self.running):
                return None

    def _signalled(self) -> bool:
        signals = self.store.signals(self.run_record.run_id)
        claim = (self.run_record.epoch, self.recorded_owner)
        if signals is None or (signals.epoch, signals.owner) != claim:
            raise claim_lost(self.run_record.run_id)
        before = self.cancelled_by
        self.apply_signals(signals)
        if self.cancelled_by:
            for attempt in self.running.values():
                if hasattr(attempt.cancel, "cancel"):
                    attempt.cancelled = True
                    attempt.cancel.cancel()
        return self.decided or before != self.cancelled_by

    def _late(self, now: float) -> Attempt | None:
        """An attempt whose time is up and that cannot be ended: it is left behind and recorded as timed out."""
        for attempt in self.running.values():
            patience = self.workers.patience(attempt)
            if patience is not None and now >= patience:
                late = self.workers.abandon(attempt)
                late.time_out(self.instances)
                return late
        return None

    def _patience(self) -> list[float]:
        times = [self.workers.patience(attempt) for attempt in self.running.values()]
        return [time for time in times if time is not None]

    # ---------------------------------------------------------------- what a turn asks

    def evaluate(self, condition: Condition) -> bool:
        """Whether a condition holds over the context as committed (and as this turn is about to commit it)."""
        context = FlowContext.over(self.base, run_id=self.run_record.run_id, secrets=self.instances.resolve)
        return condition.evaluate(context)

    def apply_signals(self, signals: Signals) -> None:
        """Remember what the store said about cancellation and decisions."""
        self.cancelled_by = signals.cancel_requested
        self.decided = signals.owed == Owed.DECISION and bool(self.gates)

    def stopping(self) -> bool:
        """True when nothing new may start: a failure (unless siblings may go on), a cancellation, a stop."""
        if self.cancelled_by or self._stopped():
            return True
        return self.failure is not None and (self.plan.settings.fail_fast or self.failure.kind is not FailureKind.ERROR)

    def _stopped(self) -> bool:
        return self.stop is not None and self.stop.is_set()

    def record_visit(self, node_id: str, visit: int) -> int:
        """The visit as recorded: every voided occurrence of a gate before it took a number of its own."""
        return visit + len(self.voided[node_id]) if node_id in self.voided else visit

    def plan_visit(self, node_id: str, recorded: int) -> int:
        """The visit as the progress counts it."""
        return recorded - sum(voided < recorded for voided in self.voided.get(node_id, ()))

    def worked_ms(self) -> float:
        """Time worked, in milliseconds, over all drives of this run."""
        return self.worked_before + (time.perf_counter() - self.clock) * 1000

    def due(self) -> list[tuple[PlanNode, int]]:
        """Retries whose delay is over."""
        now, due = time.perf_counter(), []
        while self.delayed and self.delayed[0][0] <= now:
            _, _, waiting, node = heapq.heappop(self.delayed)
            due.append((node, self.plan_visit(node.id, waiting.visit)))
        return due

    def retry_delay(self, attempt: Attempt) -> float | None:
        """Seconds until this failed attempt is tried again (0 while nothing may start), or None when it is not."""
        if attempt.exception is None:
            return None
        policy = RetryPolicy.of(attempt)
        key = (attempt.node.id, attempt.visit)
        used = self.retries.get(key, 0)
        if used >= policy.max or not policy.covers(attempt.exception):
            return None
        if attempt.still_works():
            return None
        self.retries[key] = used + 1
        if self.stopping():
            return 0.0
        return float(min(policy.delay * 2**used, policy.max_delay) * (0.5 + random.random() / 2))  # noqa: S311 - jitter, no secret

    def time_is_up(self, now: float) -> bool:
        """Whether the run has worked for as long as it may."""
        return self.deadline is not None and now >= self.deadline

    def work_left(self) -> list[PlanNode]:
        """The nodes whose steps are to be started, now or after a delay; a gate is no work."""
        return [
            node for node in (*(one for one, _ in self.ready), *(one[3] for one in self.delayed)) if not node.is_gate
        ]

    def queue(self, node: PlanNode, visit: int) -> None:
        """Let a node be started, or its gate be opened, in its turn: as soon as there is room, gates at once."""
        (self.ready_gates if node.is_gate else self.ready).append((node, visit))

    def try_again(self, attempt: Attempt, seconds: float) -> None:
        """Let a failed attempt be tried again after so many seconds. The instant is recorded with the run."""
        first = self.first_started.setdefault(
            (attempt.node.id, attempt.visit), attempt.first_started_at or attempt.started_at
        )
        due = iso(time.time_ns() // 1000 + int(seconds * 1_000_000))
        waiting = CurrentNode(
            node_id=attempt.node.id, visit=attempt.visit, attempt=attempt.number + 1, started_at=due, not_before=due,
            first_started_at=first,
        )  # fmt: skip
        self.pause(waiting, attempt.node, seconds)

    def pause(self, waiting: CurrentNode, node: PlanNode, seconds: float) -> None:
        """Start the next try of a node after so many seconds."""
        heapq.heappush(self.delayed, (time.perf_counter() + seconds, self.commit_index, waiting, node))

    def current_nodes(self, starts: list[Attempt]) -> list[CurrentNode]:
        """What runs once this turn is committed, and what waits for its next try."""
        attempts = [*self.running.values(), *starts]
        going = [
            CurrentNode(
                node_id=one.node.id, visit=one.visit, attempt=one.number, started_at=one.started_at,
                first_started_at=one.first_started_at,
            )
            for one in attempts
        ]  # fmt: skip
        return [*going, *(waiting for _, _, waiting, _ in self.delayed)] if self.delayed else going

    def room(self) -> int:
        """How many more attempts may run at once."""
        return self.config.runtime.max_workers - len(self.running)

    def commit(self, commit: Commit) -> Signals:
        """Write a turn."""
        failpoint("step.before_commit")
        signals = self.store.commit(commit)
        self.recorded_owner = signals.owner
        failpoint("step.after_commit")
        return signals

    def tell(self, kind: str, *, status: str | None = None, error: str | None = None, total: int | None = None) -> None:
        """Send a run's event to whoever listens."""
        if self.on_event:
            run = self.run_record
            self._send(
                RunEvent(
                    kind=kind,
                    run_id=run.run_id,
                    at=utcnow_iso(),
                    status=status,
                    error=error,
                    total=total,
                    duration_ms=run.duration_ms,
                )
            )

    def tell_step(self, kind: str, attempt: Attempt, at: str | None = None) -> None:
        """Send a step's event to whoever listens."""
        if self.on_event:
            self._send(
                RunEvent(
                    kind=kind,
                    run_id=attempt.run_id,
                    at=at or utcnow_iso(),
                    node_id=attempt.node.id,
                    visit=attempt.visit,
                    attempt=attempt.number,
                    status=attempt.status or None,
                    error=attempt.error,
                    duration_ms=attempt.duration_ms if attempt.status else None,
                )
            )

    def _send(self, event: RunEvent) -> None:
        """Tell it; one who cannot listen is told nothing more, and the run goes on."""
        try:
            if self.on_event:
                self.on_event(event)
        except Exception:
            _log.exception("Run %s goes on without telling: what listens to it failed.", self.run_record.run_id)
            self.on_event = None

    # ---------------------------------------------------------------- leaving

    def _leave(self) -> FlowContext:
        run = self.run_record
        self._tear_down()
        if run.status is RunStatus.SUSPENDED:
            self.tell("run_suspended", status=run.status)
        elif run.status is not RunStatus.RUNNING:
            failpoint("end.after_commit")
            self.tell("run_finished", status=run.status, error=run.error)
        return self.context()

    def _tear_down(self) -> None:
        """Once, whatever stops the run in this process."""
        for problem in self.instances.tear_down(self.base, self.run_record.run_id, self.workers.wait_for):
            _log.warning("%s", problem)

    def context(self) -> FlowContext:
        """The context as committed, for whoever called the verb."""
        run = self.run_record
        context = FlowContext.over(self.base, run_id=run.run_id)
        metadata = context.metadata
        metadata.status = run.status.value
        metadata.suspended = run.status is RunStatus.SUSPENDED
        metadata.suspended_at_node = run.suspended_at_node
        metadata.suspension_reason = run.suspension_reason
        metadata.completed_nodes = list(self.completed)
        return context

    def _broken(self, error: Exception) -> FlowContext:
        """Code of a value or a skill failed outside of the steps: the run has failed, and has not died."""
        words = self.instances.redactor.text(f"{type(error).__name__}: {said(error)}")
        message = f"The run was broken off by an error outside of its steps: {words}"
        failure = Failure(kind=FailureKind.ERROR, type=type(error).__name__, message=message)
        self.cause = error
        if not breakdown.end_run(self, failure, error):
            raise error
        _log.error("Run %s: %s", self.run_record.run_id, message, exc_info=error)
        return self._leave()

    def _deadline_of(self, attempt: Attempt) -> float | None:
        own = None if attempt.node.timeout is None else time.perf_counter() + attempt.node.timeout
        if own is None or self.deadline is None:
            return own if self.deadline is None else self.deadline
        return min(own, self.deadline)


def _stopped_by_its_condition(row: StepRecord) -> bool:
    """Whether the step failed before it began, because its own condition could not be evaluated."""
    return row.error_type == ConditionError.__name__ and row.skill_version is None
