"""Determine what is done, ready or skipped, and whether the run has ended: the pure core of the loop.

A `Progress` follows one run through its plan. It knows nothing of time, stores or skills: outcomes go in (which edges
each node's end took), moves come out. Given the recorded outcomes in their order, it is where the run was; conditions
are not evaluated again. The cost of an outcome depends on the number of the node's edges, not on the length of the run.

Loops go round by round: a round ends when every node in it is decided. If edges that close the cycle were taken, their
targets and all nodes that they lead to within the loop start a new visit. If none was taken, the edges out of the loop
are decided: each is taken if any visit took it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable

from msgspec import Struct

from neurocore.blueprint import graph
from neurocore.blueprint.conditions import Condition
from neurocore.blueprint.plan import Carry, Plan, PlanEdge, PlanNode
from neurocore.errors import ConditionError

Evaluate = Callable[[Condition], bool]

_WAITING, _READY, _DEAD, _DONE = range(4)


class Outcome(Struct, frozen=True):
    """A recorded end of a node in one round: the indexes of the edges it took."""

    node_id: str
    round: int
    edges_taken: tuple[int, ...]


class Skip(Struct, frozen=True):
    """A node that is skipped, and why."""

    node: PlanNode
    round: int
    reason: str
    edges_taken: list[int]


class Broken(Struct, frozen=True):
    """A node whose own condition cannot be evaluated: its step fails before it starts."""

    node: PlanNode
    round: int
    error: ConditionError


class Moves(Struct):
    """What follows from an outcome. `exhausted` is the sentence when a loop's bound ends the run."""

    ready: list[tuple[PlanNode, int]] = []
    skipped: list[Skip] = []
    broken: list[Broken] = []
    exhausted: str | None = None


class _Loop:
    __slots__ = ("nodes", "round", "left", "back", "exits")

    def __init__(self, nodes: frozenset[int]) -> None:
        self.nodes = nodes
        self.round = 1
        self.left = len(nodes)
        self.back: set[int] = set()
        self.exits: set[int] = set()


class Progress:
    """Where one run is in its plan. Rounds count from 1."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        count = len(plan.nodes)
        self._round = [1] * count
        self._state = [_WAITING] * count
        self._pending = [len(edges) for edges in plan.incoming]
        self._taken = [False] * count
        self._loops = [_Loop(nodes) for nodes in plan.loops]
        self._regions: dict[frozenset[int], frozenset[int]] = {}
        self._chosen: str | None = None
        self._exhausted: str | None = None
        self._fresh: deque[int] = deque()
        self.warnings: list[str] = []
        for index in range(count):
            if not plan.incoming[index]:
                self._taken[index] = True
                self._settle(index)

    # ---------------------------------------------------------------- driving

    def restore(self, outcomes: Iterable[Outcome]) -> list[Outcome]:
        """Apply recorded outcomes in their order; return those that fit nowhere and are to be ignored."""
        stray = [one for one in outcomes if not self.take(one.node_id, one.round, one.edges_taken)]
        self.restored()
        return stray

    def take(self, node_id: str, round_number: int, edges_taken: Collection[int]) -> bool:
        """Apply one recorded outcome; return False if it fits nowhere. After the last one, call `restored`."""
        node = self.plan.by_id.get(node_id)
        if node is None or self._round[node.index] != round_number or self._state[node.index] not in (_READY, _DEAD):
            return False
        if self.plan.flow_type == "conditional" and self._state[node.index] == _READY:
            self._note_choice(node, edges_taken)
        self._apply(node, edges_taken)
        return True

    def restored(self) -> None:
        """Determine what is undecided, after every recorded outcome was applied."""
        self._fresh = deque(index for index, state in enumerate(self._state) if state in (_READY, _DEAD))
        self.warnings.clear()  # they were recorded with the outcomes

    def next(self, evaluate: Evaluate, *, started: Collection[tuple[str, int]] = ()) -> Moves:
        """Return what can start now. Nodes in `started` (id, round) were ready before: their condition was met."""
        moves = Moves(ready=[], skipped=[], broken=[])
        while self._fresh:
            index = self._fresh.popleft()
            if self._state[index] in (_READY, _DEAD):
                self._look_at(self.plan.nodes[index], evaluate, started, moves)
        moves.exhausted = self._exhausted
        return moves

    def finish(self, node: PlanNode, edges_taken: Collection[int], evaluate: Evaluate) -> Moves:
        """End a node in its round with these edges taken; return what follows."""
        if self.plan.flow_type == "conditional":
            self._chosen = node.id
        self._apply(node, edges_taken)
        return self.next(evaluate)

    def round_of(self, node_id: str) -> int:
        """Return the current or next round of the node."""
        return self._round[self.plan.by_id[node_id].index]

    @property
    def complete(self) -> bool:
        """Return whether every node has ended."""
        return all(state == _DONE for state in self._state)

    def has_ended(self, node: PlanNode) -> bool:
        """Return whether the node has ended; in a loop, in the current round."""
        return self._state[node.index] == _DONE

    def is_open(self, node: PlanNode) -> bool:
        """Return whether undecided edges still determine if the node runs."""
        return self._state[node.index] == _WAITING

    def is_at_bound(self, loop: int, targets: Collection[str]) -> bool:
        """Return whether a loop would end if edges back to these nodes were taken in this round."""
        turning = self._loops[loop]
        headers = frozenset(self.plan.by_id[target].index for target in targets)
        return self._bound(turning, self._region(turning, headers))

    def is_called(self, node: PlanNode) -> bool:
        """Return whether an edge to the node was taken, so that it runs when the others are decided and loops end."""
        exits = {index for loop in self._loops for index in loop.exits}
        return self._taken[node.index] or any(edge.index in exits for edge in self.plan.incoming[node.index])

    # ---------------------------------------------------------------- looking at one node

    def _look_at(self, node: PlanNode, evaluate: Evaluate, started: Collection[tuple[str, int]], moves: Moves) -> None:
        round_number = self._round[node.index]
        if self._state[node.index] == _DEAD:
            self._skip(node, self._why_dead(), [], moves)
        elif node.condition is None or (node.id, round_number) in started:
            moves.ready.append((node, round_number))
        else:
            try:
                holds = evaluate(node.condition)
            except ConditionError as error:
                policy = self.plan.settings.condition_policy(self.plan.flow_type)
                if policy == "fail":
                    moves.broken.append(Broken(node, round_number, error))
                else:
                    if policy == "warn":
                        self.warnings.append(f"{node.id} was skipped: {error}")
                    self._skip(node, f"its condition could not be evaluated: {error}", self._missed(node), moves)
                return
            if holds:
                moves.ready.append((node, round_number))
            else:
                self._skip(node, f"condition is false: {node.condition.text}", self._missed(node), moves)

    def _skip(self, node: PlanNode, reason: str, edges_taken: list[int], moves: Moves) -> None:
        moves.skipped.append(Skip(node, self._round[node.index], reason, edges_taken))
        self._apply(node, edges_taken)

    def _missed(self, node: PlanNode) -> list[int]:
        return [edge.index for edge in self.plan.outgoing[node.index] if edge.carry is not Carry.DONE]

    def _why_dead(self) -> str:
        if self.plan.flow_type == "conditional":
            return f"an earlier step was chosen: {self._chosen}" if self._chosen else "an earlier step was chosen"
        if self.plan.flow_type == "sequential":
            return "skipped after a rejection"
        return "no edge to it was taken"

    def _note_choice(self, node: PlanNode, edges_taken: Collection[int]) -> None:
        if not edges_taken:
            self._chosen = node.id

    # ---------------------------------------------------------------- the rules of edges and loops

    def _apply(self, node: PlanNode, edges_taken: Collection[int]) -> None:
        self._state[node.index] = _DONE
        loop = None if node.loop is None else self._loops[node.loop]
        for edge in self.plan.outgoing[node.index]:
            taken = edge.index in edges_taken
            if loop is None or (edge.target in loop.nodes and not edge.back):
                self._decide(edge.source, edge.target, taken)
            elif taken:
                (loop.back if edge.back else loop.exits).add(edge.index)
        if loop is not None:
            loop.left -= 1
            if loop.left == 0:
                self._end_round(loop)

    def _decide(self, source: int, target: int, taken: bool) -> None:
        if self._state[target] != _WAITING:
            return  # join any: it started at the first edge taken
        number = self.plan.nodes[target].loop
        if number is not None and self._loops[number].round > 1 and source not in self._loops[number].nodes:
            return  # a late edge into a loop that is already active
        self._pending[target] -= 1
        self._taken[target] = self._taken[target] or taken
        if self._pending[target] == 0 or (taken and self.plan.nodes[target].join_any):
            self._settle(target)

    def _settle(self, index: int) -> None:
        self._state[index] = _READY if self._taken[index] else _DEAD
        self._fresh.append(index)

    def _end_round(self, loop: _Loop) -> None:
        if loop.back:
            headers = frozenset(self.plan.edges[index].target for index in loop.back)
            region = self._region(loop, headers)
            if not self._bound(loop, region):
                self._begin_round(loop, headers, region)
                return
            if self.plan.settings.on_max_iterations == "fail":
                names = ", ".join(self.plan.nodes[index].id for index in sorted(headers))
                self._exhausted = (
                    f"The loop at {names} did not end within {loop.round} rounds; "
                    "raise settings.max_iterations or the node's max_visits, or set on_max_iterations: exit."
                )
                return
            if self.plan.settings.on_max_iterations == "warn":
                self.warnings.append(f"A loop ended after {loop.round} rounds, its bound.")
        for index in sorted(loop.nodes):
            for edge in self.plan.outgoing[index]:
                if edge.target not in loop.nodes:
                    self._decide(edge.source, edge.target, edge.index in loop.exits)

    def _bound(self, loop: _Loop, region: frozenset[int]) -> bool:
        if loop.round >= self.plan.settings.max_iterations:
            return True
        limits = ((self.plan.nodes[index].max_visits, self._round[index]) for index in region)
        return any(limit is not None and reached >= limit for limit, reached in limits)

    def _begin_round(self, loop: _Loop, headers: frozenset[int], region: frozenset[int]) -> None:
        loop.round += 1
        loop.left = len(region)
        loop.back = set()
        for index in region:
            self._round[index] += 1
            self._state[index] = _WAITING
            self._taken[index] = index in headers
            self._pending[index] = sum(edge.source in region for edge in self.plan.incoming[index])
        for index in sorted(headers):
            if self._pending[index] == 0 or self.plan.nodes[index].join_any:
                self._settle(index)

    def _region(self, loop: _Loop, headers: frozenset[int]) -> frozenset[int]:
        """Return the headers and all nodes that they lead to within the loop without closing the cycle."""
        if headers not in self._regions:
            outgoing = self.plan.outgoing
            region = graph.reached(
                headers,
                lambda node: (edge.target for edge in outgoing[node] if not edge.back and edge.target in loop.nodes),
            )
            self._regions[headers] = frozenset(region)
        return self._regions[headers]


def route(
    plan: Plan,
    node: PlanNode,
    evaluate: Evaluate,
    *,
    port: str | None,
    tolerated: bool = False,
    warnings: list[str] | None = None,
) -> list[int]:
    """Return the indexes of the edges that a node's end takes; `tolerated` means a failure that `on_error` accepts.

    Raises ConditionError when an edge's condition cannot be evaluated, unless `on_condition_error` says otherwise; for
    `warn` a sentence is added to `warnings`.
    """
    notes = [] if warnings is None else warnings
    taken = []
    for edge in plan.outgoing[node.index]:
        fits = edge.port is None or (edge.port == port and not tolerated)
        if fits and edge.carry is not Carry.MISSED and (edge.condition is None or _holds(plan, edge, evaluate, notes)):
            taken.append(edge.index)
    return taken


def _holds(plan: Plan, edge: PlanEdge, evaluate: Evaluate, warnings: list[str]) -> bool:
    assert edge.condition is not None
    try:
        return evaluate(edge.condition)
    except ConditionError as error:
        policy = plan.settings.condition_policy(plan.flow_type)
        if policy == "fail":
            raise
        if policy == "warn":
            ends = f"{plan.nodes[edge.source].id} → {plan.nodes[edge.target].id}"
            warnings.append(f"The edge {ends} was not taken: {error}")
        return False
