"""The plan's promises, for any flow: the order in which steps end changes nothing, and neither does a resume."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any, NamedTuple
from zlib import crc32

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neurocore.blueprint.conditions import Condition
from neurocore.blueprint.load import parse_blueprint
from neurocore.blueprint.plan import Plan, PlanNode, compile_plan
from neurocore.blueprint.progress import Moves, Outcome, Progress, route
from tests.system.flow_model import Case
from tests.system.test_random_blueprints import chains, graphs, text_of

SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]


class Walk(NamedTuple):
    """How a flow came to its end: every outcome in its order, and what was ready after how many of them."""

    outcomes: list[Outcome]
    ready_after: dict[int, set[tuple[str, int]]]
    skipped: set[tuple[str, int]]
    exhausted: str | None
    complete: bool


def plan_of(case: Case) -> Plan:
    return compile_plan(parse_blueprint(text_of(case)))


def holds(condition: Condition) -> bool:
    return crc32(condition.text.encode()) % 3 != 0


def taken(plan: Plan, node: PlanNode, visit: int, seed: int) -> list[int]:
    """The edges that this visit takes: any, but the same whenever it is asked."""
    port = Random(f"{seed} {node.id} {visit}").choice([None, "left", "right", "approved", "rejected"])
    return route(plan, node, holds, port=port)


def walk(plan: Plan, seed: int, order: Random, recorded: Sequence[Outcome] = (), started: Any = ()) -> Walk:
    """Go on from what is recorded to the end, taking what is ready in any order."""
    progress = Progress(plan)
    assert progress.restore(recorded) == [], "a recorded outcome does not fit"
    outcomes, ready, skipped = list(recorded), [], set()
    ready_after: dict[int, set[tuple[str, int]]] = {}
    exhausted: str | None = None

    def follow(moves: Moves) -> None:
        nonlocal exhausted
        for skip in moves.skipped:
            outcomes.append(Outcome(skip.node.id, skip.round, tuple(skip.edges_taken)))
            skipped.add((skip.node.id, skip.round))
        ready.extend(moves.ready)
        exhausted = exhausted or moves.exhausted
        ready_after[len(outcomes)] = {(node.id, visit) for node, visit in ready}

    follow(progress.next(holds, started=started))
    while ready:
        node, visit = ready.pop(order.randrange(len(ready)))
        edges = taken(plan, node, visit, seed)
        outcomes.append(Outcome(node.id, visit, tuple(edges)))
        follow(progress.finish(node, edges, holds))
    return Walk(outcomes, ready_after, skipped, exhausted, progress.complete)


def result(walked: Walk) -> tuple[Any, ...]:
    ended = sorted((one.node_id, one.round, one.edges_taken) for one in walked.outcomes)
    return ended, walked.exhausted, walked.complete


@given(case=chains() | graphs(), seed=st.integers(0, 10**6))
@settings(max_examples=60, suppress_health_check=SLOW)
def test_any_order_of_ends_comes_to_the_same(case: Case, seed: int) -> None:
    plan = plan_of(case)
    first = walk(plan, seed, Random(0))
    assert first.complete or first.exhausted
    assert len({(one.node_id, one.round) for one in first.outcomes}) == len(first.outcomes), "a visit ended twice"
    for number in range(1, 4):
        assert result(walk(plan, seed, Random(number))) == result(first)


@given(case=chains() | graphs(), seed=st.integers(0, 10**6))
@settings(max_examples=40, suppress_health_check=SLOW)
def test_going_on_from_any_place_equals_never_having_stopped(case: Case, seed: int) -> None:
    plan = plan_of(case)
    whole = walk(plan, seed, Random(1))
    for place, ready in whole.ready_after.items():
        resumed = walk(plan, seed, Random(place), whole.outcomes[:place], started=ready)
        assert resumed.ready_after[place] == ready, "after the resume something else is ready"
        assert result(resumed) == result(whole)


@given(case=chains() | graphs(), seed=st.integers(0, 10**6), cut=st.integers(0, 30))
@settings(max_examples=40, suppress_health_check=SLOW)
def test_skips_that_were_not_recorded_any_more_follow_again(case: Case, seed: int, cut: int) -> None:
    plan = plan_of(case)
    whole = walk(plan, seed, Random(1))
    resumed = walk(plan, seed, Random(2), whole.outcomes[:cut])
    assert result(resumed) == result(whole)
