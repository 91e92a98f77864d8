"""Tries, and the pauses between them, are counted and timed by what is recorded, whatever process drives the run."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from neurocore import FlowContext, failpoints
from neurocore.errors import ExecutionError, Interruption
from neurocore.persistence import RunStatus, StepStatus
from neurocore.persistence.records import CurrentNode
from neurocore.runtime.resume import drive_on
from tests.runtime.worlds import World, chain


class Death(Interruption):
    """Ends a drive as the death of its process would."""


def failing(world: World, seen: list[int]) -> None:
    """A skill that notes its attempt and fails."""

    def work(context: FlowContext) -> None:
        seen.append(context.attempt)
        raise TimeoutError("the bank does not answer")

    world.skill("work", work)


def retried(retries: int, delay: float) -> str:
    return chain("a: 'retry'").replace("'retry'", f"retry: {{max: {retries}, delay: {delay}}}")


def dies_in_pause(world: World, text: str) -> str:
    """A run whose process died while its step waited for the next try."""

    def die() -> None:
        if any(node.is_paused for run in world.store.list_runs() for node in run.current_nodes):
            raise Death

    with failpoints.arm("step.after_commit", die), pytest.raises(Death):
        world.run(text)
    return world.only_run().run_id


def sweep(world: World, run_id: str, **options: Any) -> None:
    """Drive the run on as a sweep does, which nobody asked for."""
    drive_on(run_id, world.registry, world.config, world.store, **options)


def set_node(world: World, run_id: str, **changed: Any) -> None:
    """Change what is recorded of the one step that was under way."""
    run = world.record(run_id)
    (node,) = run.current_nodes
    run.current_nodes = [structs.replace(node, **changed)]
    world.store.save_run(run)


def ago(seconds: float) -> str:
    return (datetime.now(UTC) - timedelta(seconds=seconds)).isoformat(timespec="microseconds")


@given(retries=st.integers(0, 3), deaths=st.lists(st.integers(1, 8), max_size=2, unique=True))
def test_there_are_no_more_tries_than_the_blueprint_says_wherever_the_process_dies(
    tmp_path_factory: pytest.TempPathFactory, retries: int, deaths: list[int]
) -> None:
    world = World(Path(tmp_path_factory.mktemp("world")))
    seen: list[int] = []
    passed: list[int] = []
    failing(world, seen)

    def die() -> None:
        passed.append(1)
        if len(passed) in deaths:
            raise Death

    run_id = ""
    with failpoints.arm("step.after_commit", die):
        while not run_id or world.record(run_id).status is RunStatus.RUNNING:
            try:
                sweep(world, run_id) if run_id else world.run(retried(retries, 0.001))
            except (Death, ExecutionError):
                run_id = world.only_run().run_id
    assert len(seen) == retries + 1
    assert seen == sorted(set(seen)), "an attempt whose process died as it began keeps its number"
    assert world.record(run_id).failure.message == "Step a failed: the bank does not answer"  # type: ignore[union-attr]
    world.store.close()


def test_a_pause_is_an_instant_that_outlives_the_process(world: World) -> None:
    seen: list[int] = []
    failing(world, seen)
    began = datetime.now(UTC)
    run_id = dies_in_pause(world, retried(1, 60))
    (node,) = world.record(run_id).current_nodes
    assert node.not_before is not None
    assert (node.attempt, node.is_paused) == (2, True)
    assert 30 <= (datetime.fromisoformat(node.not_before) - began).total_seconds() <= 65
    assert node.first_started_at == world.steps(run_id)[0].started_at

    stop = threading.Event()
    stop.set()
    sweep(world, run_id, stop=stop)
    assert world.record(run_id).current_nodes == [node], "who hands the run back leaves the pause as it is"
    assert seen == [1]

    set_node(world, run_id, not_before=ago(1))
    with pytest.raises(ExecutionError):
        sweep(world, run_id)
    assert seen == [1, 2]


def test_a_death_between_two_tries_is_no_death_of_the_step(world: World) -> None:
    seen: list[int] = []
    failing(world, seen)
    run_id = dies_in_pause(world, retried(1, 60))
    for _ in range(4):
        with failpoints.arm("claim.after", _die), pytest.raises(Death):
            sweep(world, run_id)
        run = world.record(run_id)
        run.epoch, run.owner = run.epoch, "0" * 32 + "@here:1"
        world.store.save_run(run)
    assert world.record(run_id).deaths == 0
    set_node(world, run_id, not_before=ago(1))
    with pytest.raises(ExecutionError, match="the bank does not answer"):
        sweep(world, run_id)


def _die() -> None:
    raise Death


def test_who_resumes_a_run_waits_for_no_pause_and_has_every_try_again(world: World) -> None:
    seen: list[int] = []
    failing(world, seen)
    run_id = dies_in_pause(world, retried(1, 0.001))
    set_node(world, run_id, not_before=ago(-3600))
    with pytest.raises(ExecutionError):
        world.resume(run_id)
    assert seen == [1, 2, 3], "one try and one more"
    with pytest.raises(ExecutionError):
        world.resume(run_id)
    assert seen == [1, 2, 3, 4, 5]


def test_a_run_that_fails_keeps_no_pause(world: World) -> None:
    def work(context: FlowContext) -> None:
        if context.node_id == "b":
            raise ValueError("for good")
        raise TimeoutError("again")

    world.skill("work", work)
    text = (
        "name: two\ncomponents: [{name: a, type: work}, {name: b, type: work}]\nflow:\n  type: graph\n"
        "  nodes: [{id: a, component: a, retry: {max: 5, delay: 60}}, {id: b, component: b}]\n  edges: []\n"
    )
    with pytest.raises(ExecutionError):
        world.run(text)
    assert world.only_run().current_nodes == []


def test_a_delay_ends_its_seconds_after_its_first_start_whoever_waits(world: World) -> None:
    text = "name: wait\ncomponents: [{name: a, type: delay, config: {seconds: 3600}}]\nflow: {steps: [{component: a}]}"

    def die() -> None:
        raise Death

    with failpoints.arm("run.after_create", die), pytest.raises(Death):
        world.run(text)
    run_id = world.only_run().run_id
    set_node(world, run_id, first_started_at=ago(3601))
    sweep(world, run_id)
    (step,) = world.steps(run_id)
    assert (step.status, step.attempt) == (StepStatus.COMPLETED, 2)
    assert (step.duration_ms or 0) < 60_000


def test_every_try_knows_when_the_first_one_started(world: World) -> None:
    seen: list[str] = []

    def work(context: FlowContext) -> None:
        seen.append(context.first_started_at)
        if len(seen) < 3:
            raise TimeoutError

    world.skill("work", work)
    run_id = world.run(retried(2, 0.001)).metadata.run_id
    assert seen == [world.steps(run_id)[0].started_at] * 3


def test_what_is_not_paused_is_recorded_as_before(world: World) -> None:
    from neurocore.persistence import rows

    node = CurrentNode(node_id="a", visit=1, attempt=1, started_at="t")
    assert rows.nodes_text([node]) == '[{"node_id":"a","visit":1,"attempt":1,"started_at":"t"}]'
