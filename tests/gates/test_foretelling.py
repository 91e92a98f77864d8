"""What a preview says of an answer comes true, whatever conditions, ports and people beside it come to (promise 6).

The flow is played many times from where it stands at a gate: what nobody knows beforehand falls as it may, and further
gates are left open, since what comes after them is for their own answers to say.
"""

from __future__ import annotations

from random import Random
from typing import NamedTuple

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from neurocore.blueprint.conditions import Condition
from neurocore.blueprint.load import parse_blueprint
from neurocore.blueprint.plan import APPROVED, REJECTED, Plan, PlanNode, compile_plan
from neurocore.blueprint.progress import Moves, Outcome, Progress, route
from neurocore.gates.preview import Outlook, outlooks
from neurocore.persistence.gate_policy import GatePolicy
from neurocore.persistence.records import GateRecord
from tests.system.flow_model import Case, Place, Way
from tests.system.test_random_blueprints import chains, graphs, text_of

ASKS = ("context.data.approval.approved", "not context.data.approval.approved")
WORLDS = 20


class Player:
    """Goes through a plan, with everything that is not known left to chance."""

    def __init__(self, plan: Plan, chance: Random) -> None:
        self.plan = plan
        self.chance = chance
        self.progress = Progress(plan)
        self.ready: list[tuple[PlanNode, int]] = []
        self.outcomes: list[Outcome] = []
        self.answer: bool | None = None
        self.ran: set[str] = set()
        self.exhausted = False

    def begin(self, recorded: list[Outcome], started: set[tuple[str, int]]) -> None:
        """Stand where these outcomes lead to."""
        assert self.progress.restore(recorded) == []
        self._follow(self.progress.next(self._holds, started=started))

    def end(self, node: PlanNode, visit: int, port: str | None = None) -> None:
        """The visit ends, at a port of its own or any."""
        self.ready.remove((node, visit))
        if node.is_gate:
            port = port or (APPROVED if must_be_approved(node) else self.chance.choice([APPROVED, REJECTED]))
            self.answer = port == APPROVED
        else:
            port = self.chance.choice([None, "left", "right"])
            self.ran.add(node.id)
        taken = route(self.plan, node, self._holds, port=port)
        self.outcomes.append(Outcome(node.id, visit, tuple(taken)))
        self._follow(self.progress.finish(node, taken, self._holds))

    def _follow(self, moves: Moves) -> None:
        self.ready += moves.ready
        self.outcomes += [Outcome(skip.node.id, skip.round, tuple(skip.edges_taken)) for skip in moves.skipped]
        self.exhausted = self.exhausted or moves.exhausted is not None

    def _holds(self, condition: Condition) -> bool:
        if condition.text in ASKS and self.answer is not None:
            return self.answer is (condition.text == ASKS[0])
        return self.chance.random() < 0.5


class Stand(NamedTuple):
    """Where a run stands that waits at `gate`."""

    plan: Plan
    gate: tuple[PlanNode, int]
    outcomes: list[Outcome]
    ready: list[tuple[PlanNode, int]]


def must_be_approved(gate: PlanNode) -> bool:
    return bool(gate.config.get("require", True)) and not gate.config.get("on_reject")


def stand_of(case: Case, chance: Random) -> Stand | None:
    """Some place where a run of the case waits at a gate; conditions ask for the answer here and there."""
    asks: list[Place | Way] = [*case.ways, *case.places]
    for asking in asks:
        if asking.condition and chance.random() < 0.4:
            asking.condition = chance.choice(ASKS)
    player = Player(compile_plan(parse_blueprint(text_of(case))), chance)
    player.begin([], set())
    for _ in range(20):
        gates = [one for one in player.ready if one[0].is_gate]
        if player.exhausted or not player.ready:
            return None
        if gates and chance.random() < 0.5:
            return Stand(player.plan, chance.choice(gates), player.outcomes, player.ready)
        player.end(*chance.choice(player.ready))
    return None


def behind(plan: Plan, node: PlanNode) -> set[str]:
    """What can be reached from a node without closing a cycle."""
    found: set[int] = set()
    todo = [node.index]
    while todo:
        new = {edge.target for edge in plan.outgoing[todo.pop()] if not edge.back} - found
        found |= new
        todo += new
    return {plan.nodes[index].id for index in found}


def world(stand: Stand, port: str, chance: Random) -> Player | None:
    """One way in which it may go on from an answer; None when the bound of a loop ends it."""
    player = Player(stand.plan, chance)
    player.begin(stand.outcomes, {(node.id, visit) for node, visit in stand.ready})
    player.end(*stand.gate, port)
    held = behind(stand.plan, stand.gate[0]) | {stand.gate[0].id}
    while not player.exhausted:
        going_on = [one for one in player.ready if not (one[0].is_gate and one[0].id in held)]
        if not going_on:
            return player
        player.end(*chance.choice(going_on))
    return None


@given(case=chains() | graphs(), seed=st.integers(0, 10**9))
@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
def test_what_a_preview_says_comes_true_and_it_leaves_out_nothing(case: Case, seed: int) -> None:
    stand = stand_of(case, Random(seed))
    assume(stand is not None)
    assert stand is not None
    gate, visit = stand.gate
    progress = Progress(stand.plan)
    progress.restore(stand.outcomes)
    policy = GatePolicy(require=must_be_approved(gate))
    record = GateRecord(run_id="r", node_id=gate.id, visit=visit, name=gate.id, message="?", policy=policy)
    told = outlooks(stand.plan, record, progress)
    for port, outlook in ((APPROVED, told.approve), (REJECTED, told.reject)):
        if port == APPROVED or not must_be_approved(gate):
            worlds = [world(stand, port, Random(f"{seed} {number}")) for number in range(WORLDS)]
            if outlook.ends == "failed":
                assert worlds == [None] * WORLDS, f"a bound does not end the run: {outlook.sentence}"
            comes_true(stand, outlook, [one for one in worlds if one is not None])


def comes_true(stand: Stand, outlook: Outlook, worlds: list[Player]) -> None:
    """See that no world shows a node do what the preview says it does not, or what it says nothing about."""
    gates = {node.id for node in stand.plan.nodes if node.is_gate}
    under_way = {node.id for node, _ in stand.ready} | {outcome.node_id for outcome in stand.outcomes}
    later = behind(stand.plan, stand.gate[0])
    named = {*outlook.runs, *outlook.maybe, *outlook.skips}
    turns = outlook.ends.startswith("goes back")
    for one in worlds:
        opened = {node.id for node, _ in one.ready if node.is_gate and node.id in later}
        assert {*outlook.runs} - gates <= one.ran, f"it does not run what it says: {outlook.sentence}"
        assert {*outlook.runs} & gates <= opened, f"it does not wait where it says: {outlook.sentence}"
        assert turns or not one.ran & {*outlook.skips}, f"it runs what it is to skip: {outlook.sentence}"
        assert ((one.ran & later) | opened) - under_way <= named, f"it runs what is not named: {outlook.sentence}"
