"""A cancellation is recorded as what it is: the step that it stopped and the run are cancelled, not failed."""

from __future__ import annotations

import json
import sys

import pytest

from neurocore.context import FlowContext
from neurocore.errors import ExecutionError
from neurocore.runtime.executor import cancel_run
from tests.runtime.worlds import World, chain
from tests.waiting import until

#: A program that says so and then lasts longer than anybody waits.
LASTS = "import pathlib, time; print('so far', flush=True); pathlib.Path('begun').touch(); time.sleep(600)"


def beside_a_command(world: World, **flow: str) -> str:
    """A graph in which one step cancels the run while a command runs beside it."""

    def cancel(context: FlowContext) -> None:
        until((world.config.project_root / "begun").exists)
        cancel_run(context.metadata.run_id, run_store=world.store, config=world.config, by="ann")

    world.skill("stop", cancel)
    more = "".join(f", {key}: {value}" for key, value in flow.items())
    return f"""
name: c
components:
  - {{name: program, type: command, config: {json.dumps({"argv": [sys.executable, "-c", LASTS]})}}}
  - {{name: stopper, type: stop}}
flow:
  type: graph
  nodes: [{{id: begin, component: stopper}}, {{id: program, component: program{more}}}]
  edges: []
"""


@pytest.mark.parametrize("flow", [{}, {"on_error": "continue"}, {"retry": "{max: 3, delay: 0}"}], ids=str)
def test_a_command_is_killed_at_once_and_recorded_as_cancelled(world: World, flow: dict[str, str]) -> None:
    with pytest.raises(ExecutionError, match="cancelled by ann"):
        world.run(beside_a_command(world, **flow))
    run = world.only_run()
    assert (run.status, run.failure) == ("cancelled", None)
    step = next(one for one in world.steps(run.run_id) if one.node_id == "program")
    assert (step.status, step.reason, step.error, step.error_type) == (
        "cancelled", "stopped when the run was cancelled", None, None,
    )  # fmt: skip
    assert ("STDOUT", "so far") in [(line.level, line.message) for line in step.logs], "what it said is kept"


def test_python_code_ends_its_step_before_the_run_is_cancelled(world: World) -> None:
    def work(context: FlowContext) -> None:
        cancel_run(context.metadata.run_id, run_store=world.store, config=world.config, by="ann")
        context.set("done", True)

    world.skill("work", work)
    with pytest.raises(ExecutionError, match="cancelled by ann"):
        world.run(chain("a", "b"))
    run = world.only_run()
    assert (run.status, world.story(run.run_id)) == ("cancelled", ["a 1.1 completed"])


def test_only_nodes_that_completed_count_as_done(world: World) -> None:
    def work(context: FlowContext) -> None:
        if context.node_id == "b":
            raise ValueError("no")

    world.skill("work", work)
    world.run(chain("a", "b: on_error: continue", "c: condition: 'context.data.never == 1'", "d: on_error: skip", "e"))
    run = world.only_run()
    assert (run.nodes_done, run.nodes_total) == (3, 5)


def test_what_is_done_is_counted_the_same_after_a_resume(world: World) -> None:
    failing = [True]

    def work(context: FlowContext) -> None:
        if context.node_id == "b" or (context.node_id == "d" and failing.pop()):
            raise ValueError("no")

    world.skill("work", work)
    with pytest.raises(ExecutionError):
        world.run(chain("a", "b: on_error: continue", "c: condition: 'context.data.never == 1'", "d"))
    run_id = world.only_run().run_id
    assert world.record(run_id).nodes_done == 1
    failing.append(False)
    world.resume(run_id)
    run = world.record(run_id)
    assert (run.status, run.nodes_done, run.nodes_total) == ("completed", 2, 4)
