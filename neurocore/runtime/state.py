"""The state of a run while a process drives it: plain data, with one record for each visit that is not over."""

from __future__ import annotations

import heapq
from collections import deque

from msgspec import Struct, field

from neurocore.blueprint.model import Blueprint
from neurocore.blueprint.plan import Plan, PlanNode
from neurocore.blueprint.progress import Progress
from neurocore.codec import SecretRef
from neurocore.persistence.records import Answer, CurrentNode, Failure, GateRecord, RunRecord, StepRecord
from neurocore.runtime.attempt import Attempt

#: A visit's address within its run: the node's id and the recorded number of the visit.
Key = tuple[str, int]


class Visit(Struct):
    """One visit of a node that is not over: what its next attempt continues from.

    `attempts` counts the attempts so far, `retries` those that the retry policy has used. `row` is its step record
    while that is not final; `gate` is its open occurrence. `given` is what a person gave to the waiting step.
    """

    attempts: int = 0
    retries: int = 0
    first_started_at: str | None = None
    row: StepRecord | None = None
    gate: GateRecord | None = None
    given: object = None
    #: The step continues in its row, with the data that it was given.
    continues: bool = False
    #: An earlier driver started the visit; it is tried again.
    is_tried_again: bool = False
    #: It has finally failed, and nobody asked for a retry.
    is_given_up: bool = False
    #: The recorded pause before its next attempt.
    pause: CurrentNode | None = None


class RunState(Struct, kw_only=True, eq=False):
    """Everything that changes while a run is driven.

    `context` holds the committed values, encoded, by key. `visits` has the visits that are not over; `waiting` has
    those with an open gate, in the order in which the gates opened. The plan counts the visits of a node as rounds; the
    recorded number of a visit is higher if occurrences of a gate were voided before it (`voided`).
    """

    run: RunRecord
    blueprint: Blueprint
    plan: Plan
    progress: Progress
    context: dict[str, bytes]
    #: Who drives the run, and the owner in the last commit: a run that waits has none.
    owner: str | None
    recorded_owner: str | None
    next_index: int = 0
    commit_index: int = 0
    visits: dict[Key, Visit] = field(default_factory=dict)
    waiting: dict[Key, Visit] = field(default_factory=dict)
    voided: dict[str, list[int]] = field(default_factory=dict)
    ready: deque[tuple[PlanNode, int]] = field(default_factory=deque)
    ready_gates: deque[tuple[PlanNode, int]] = field(default_factory=deque)
    running: dict[Key, Attempt] = field(default_factory=dict)
    #: Attempts that wait for their time: the monotonic time, a tie-breaker, the recorded pause, the node.
    delayed: list[tuple[float, int, CurrentNode, PlanNode]] = field(default_factory=list)
    #: The keys that each node's last completed step set.
    last_outputs: dict[str, list[str]] = field(default_factory=dict)
    done_nodes: set[str] = field(default_factory=set)
    completed: list[str] = field(default_factory=list)
    #: Who wrote a key while other steps ran in parallel: the commit's number and the node.
    writers: dict[str, tuple[int, str]] = field(default_factory=dict)
    secret_inputs: list[SecretRef] = field(default_factory=list)
    failure: Failure | None = None
    cause: BaseException | None = None
    rejection: Answer | None = None
    cancelled_by: str | None = None
    #: A gate is decided, and the decision is not consumed yet.
    is_decided: bool = False
    #: Another definition replaced the recorded one, and open gates are not replaced yet.
    is_redefined: bool = False
    worked_before_ms: float = 0.0
    started: float = 0.0
    deadline: float | None = None

    # ---------------------------------------------------------------- visits

    def visit(self, node_id: str, number: int) -> Visit:
        """Return the visit with this recorded number; a new record if there is none."""
        found = self.visits.get((node_id, number))
        if found is None:
            found = self.visits[node_id, number] = Visit()
        return found

    def is_waiting(self, node_id: str, number: int) -> bool:
        """Return whether a gate of this visit is open."""
        return (node_id, number) in self.waiting

    def row_of(self, node_id: str, number: int) -> StepRecord | None:
        """Return the visit's step record while it is not final."""
        found = self.visits.get((node_id, number))
        return None if found is None else found.row

    def open_gate(self, gate: GateRecord) -> None:
        """Let a visit wait at this occurrence."""
        visit = self.visit(gate.node_id, gate.visit)
        visit.gate = gate
        self.waiting[gate.node_id, gate.visit] = visit

    def close_gate(self, gate: GateRecord) -> Visit:
        """Let a visit stop waiting; return it."""
        visit = self.visit(gate.node_id, gate.visit)
        visit.gate = None
        self.waiting.pop((gate.node_id, gate.visit), None)
        return visit

    def open_gates(self) -> list[GateRecord]:
        """List the open occurrences, in the order in which they opened here."""
        return [visit.gate for visit in self.waiting.values() if visit.gate is not None]

    def number_of(self, node_id: str, round_number: int) -> int:
        """Return the recorded number of a node's visit in this round: voided occurrences before it have numbers too."""
        return round_number + len(self.voided[node_id]) if node_id in self.voided else round_number

    def round_of(self, node_id: str, number: int) -> int:
        """Return the round of a visit with this recorded number."""
        return number - sum(voided < number for voided in self.voided.get(node_id, ()))

    # ---------------------------------------------------------------- what is to start

    def queue(self, node: PlanNode, round_number: int) -> None:
        """Start a node as soon as there is room for it; a gate opens at once."""
        (self.ready_gates if node.is_gate else self.ready).append((node, round_number))

    def delay(self, pause: CurrentNode, node: PlanNode, due: float) -> None:
        """Start the next attempt of a node at a monotonic time."""
        heapq.heappush(self.delayed, (due, self.commit_index, pause, node))

    def due(self, now: float) -> list[tuple[PlanNode, int]]:
        """Take the attempts whose pause is over: each node with its round."""
        due = []
        while self.delayed and self.delayed[0][0] <= now:
            _, _, pause, node = heapq.heappop(self.delayed)
            due.append((node, self.round_of(node.id, pause.visit)))
        return due

    def work_left(self) -> list[PlanNode]:
        """List the nodes whose steps are to start, now or after a pause; gates do not count."""
        return [
            node for node in (*(one for one, _ in self.ready), *(one[3] for one in self.delayed)) if not node.is_gate
        ]

    def current_nodes(self, starts: list[Attempt]) -> list[CurrentNode]:
        """List what runs when `starts` have started, and what waits for its next attempt."""
        going = [
            CurrentNode(
                node_id=one.node.id, visit=one.visit, attempt=one.number, started_at=one.started_at,
                first_started_at=one.first_started_at,
            )
            for one in (*self.running.values(), *starts)
        ]  # fmt: skip
        return [*going, *(pause for _, _, pause, _ in self.delayed)] if self.delayed else going

    # ---------------------------------------------------------------- time worked

    def worked_ms(self, now: float) -> float:
        """Return the time worked, in milliseconds, over all drivers of this run."""
        return self.worked_before_ms + (now - self.started) * 1000

    def time_is_up(self, now: float) -> bool:
        """Return whether the run has used all its working time."""
        return self.deadline is not None and now >= self.deadline

    def is_out_of_time(self, attempt: Attempt) -> bool:
        """Return whether the attempt ended because the run's time is up."""
        return attempt.timed_out and self.deadline is not None and attempt.deadline == self.deadline


def new_state(run: RunRecord, blueprint: Blueprint, plan: Plan, *, context: dict[str, bytes], now: float) -> RunState:
    """Return the state of a claimed run in which nothing is done yet; `now` is the monotonic time."""
    worked, limit = run.duration_ms or 0.0, plan.settings.timeout_seconds
    return RunState(
        run=run, blueprint=blueprint, plan=plan, progress=Progress(plan), context=context,
        owner=run.owner, recorded_owner=run.owner, worked_before_ms=worked, started=now,
        deadline=None if limit is None else now + limit - worked / 1000,
    )  # fmt: skip
