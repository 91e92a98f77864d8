"""What going on with a run costs, counted in calls of Python and never in seconds."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from neurocore.blueprint.stored import stored_plan
from neurocore.runtime.executor import decide_gate
from tests.runtime.worlds import World, chain


def calls_of(work: Callable[[], Any]) -> int:
    """How many functions of Python are called."""
    count = 0

    def called(_frame: Any, event: str, _argument: Any) -> None:
        nonlocal count
        count += event == "call"

    before = sys.getprofile()
    sys.setprofile(called)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count


def waiting(world: World, steps: int) -> str:
    """A run that waits at its gate after so many steps."""
    world.skill("work", lambda context: context.set("n", 1))
    nodes = [f"s{number}" for number in range(steps)]
    return world.run(chain(*nodes, "approval: {name: ok, message: 'Go {{ n }}?'}", "z")).metadata.run_id


def decided(world: World, run_id: str) -> int:
    return calls_of(lambda: decide_gate(run_id, approved=True, by="ann", run_store=world.store))


def test_going_on_costs_a_few_calls_for_each_recorded_step(world: World) -> None:
    few, many = waiting(world, 50), waiting(world, 450)
    decided(world, few)
    decided(world, many)
    costs = [calls_of(partial(world.resume, run_id)) for run_id in (few, many)]
    assert (costs[1] - costs[0]) / 400 < 25, f"{costs} calls after 50 and 450 steps"


def test_deciding_costs_hardly_more_after_many_steps(world: World) -> None:
    few, many = waiting(world, 50), waiting(world, 450)
    decided(world, waiting(world, 50))
    for run_id in (few, many):
        stored_plan(world.store.load_definition(run_id))  # it is compiled once for all runs
    first, second = decided(world, few), decided(world, many)
    assert (second - first) / 400 < 15, f"{first} calls after 50 steps, {second} after 450"
