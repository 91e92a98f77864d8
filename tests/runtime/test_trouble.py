"""Retries, and what a run does again when it is resumed after a failure."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from msgspec import structs

from neurocore import FlowContext
from neurocore.access.actor import this_user
from neurocore.errors import (
    ExecutionError,
    InputError,
    NotResumable,
)
from neurocore.run_events import RunEvent
from neurocore.runtime.blueprint import parse_blueprint
from neurocore.runtime.executor import (
    create_run,
)
from neurocore.runtime.resume import drive_on
from neurocore.runtime.start import NewRun
from neurocore.skills.loader import discover_skills
from tests.runtime.test_flows import graph
from tests.runtime.worlds import World, chain


class Flaky:
    """Fails so many times, then works."""

    def __init__(self, failures: int) -> None:
        self.left = failures
        self.keys: list[str] = []
        self.attempts: list[int] = []

    def __call__(self, context: FlowContext) -> None:
        self.keys.append(context.idempotency_key)
        self.attempts.append(context.attempt)
        if self.left:
            self.left -= 1
            raise ConnectionError("not yet")
        context.set("done", True)


def test_a_retry_adds_a_record_for_each_attempt_under_one_idempotency_key(world: World) -> None:
    flaky = Flaky(2)
    world.skill("work", flaky, max_retries=3, retry_delay_base=0.001)
    context = world.run(chain("a"))
    assert world.story(context.metadata.run_id) == ["a 1.1 failed", "a 1.2 failed", "a 1.3 completed"]
    assert flaky.attempts == [1, 2, 3]
    assert len(set(flaky.keys)) == 1


def test_a_blueprint_s_retry_goes_over_the_skill_s_own(world: World) -> None:
    world.skill("work", Flaky(5), max_retries=9, retry_delay_base=0.001)
    with pytest.raises(ExecutionError, match="not yet"):
        world.run(chain("a: 'retry': {max: 1, delay: 0.001}"))
    assert len(world.calls) == 2


def test_only_the_named_exceptions_are_tried_again(world: World) -> None:
    world.skill("work", Flaky(1))
    with pytest.raises(ExecutionError):
        world.run(chain("a: 'retry': {max: 3, delay: 0.001, 'on': [ValueError]}"))
    assert len(world.calls) == 1
    world.skill("other", Flaky(1))
    world.run(chain("a: 'retry': {max: 3, delay: 0.001, 'on': [OSError]}", types="other"))


def test_resume_runs_what_failed_and_nothing_that_was_done(world: World) -> None:
    flaky = Flaky(1)
    world.skill("work")
    world.skill("flaky", flaky)
    text = chain("a", "b", "c").replace("name: b, type: work", "name: b, type: flaky")
    with pytest.raises(ExecutionError):
        world.run(text)
    run_id = world.only_run().run_id
    context = world.resume(run_id)
    assert world.calls == ["a", "b", "b", "c"]
    assert world.story(run_id) == ["a 1.1 completed", "b 1.1 failed", "b 1.2 completed", "c 1.1 completed"]
    assert context.get("done") is True
    assert len(set(flaky.keys)) == 1


def test_a_run_that_goes_on_after_a_failure_says_nothing_more_of_it(world: World) -> None:
    seen: list[tuple[Any, ...]] = []

    def work(context: FlowContext) -> None:
        run = world.only_run()
        seen.append((run.status, run.failure, run.error, run.finished_at))
        if len(seen) == 1:
            raise ValueError("not yet")

    world.skill("work", work)
    with pytest.raises(ExecutionError):
        world.run(chain("a", "b"))
    run_id = world.only_run().run_id
    world.resume(run_id)
    assert seen[1:] == [("running", None, None, None)] * 2
    run = world.record(run_id)
    assert (run.status, run.failure, run.error) == ("completed", None, None)


def test_a_skill_that_is_another_version_when_its_run_goes_on_is_named_in_a_warning(world: World) -> None:
    world.skill("work", version="1.0.0")
    world.skill("flaky", Flaky(1), version="3.0.0")
    with pytest.raises(ExecutionError):
        world.run(chain("a", "b").replace("name: b, type: work", "name: b, type: flaky"))
    world.registry = discover_skills()
    world.skill("work", version="2.0.0")
    world.skill("flaky", version="3.0.0")
    run_id = world.only_run().run_id
    world.resume(run_id)
    warnings = [event.data["message"] for event in world.record(run_id).events if event.kind == "warning"]
    assert warnings == ["a ran with work 1.0.0 before; it is 2.0.0 now."]


def test_resume_data_on_a_failed_run_is_seen_by_the_step_that_is_tried_again_alone(world: World) -> None:
    seen: list[object] = []

    def work(context: FlowContext) -> None:
        seen.append(context.resume_data)
        if len(seen) == 1:
            raise ValueError("first")

    world.skill("work", work)
    with pytest.raises(ExecutionError):
        world.run(chain("a", "b"))
    context = world.resume(world.only_run().run_id, resume_data={"hint": 7})
    assert seen == [None, {"hint": 7}, None]
    assert not context.has("resume_data")
    assert not context.has("hint")


def test_a_skill_may_suspend_and_go_on_with_what_it_is_given(world: World) -> None:
    def work(context: FlowContext) -> None:
        if context.resume_data is None:
            context.set("asked", True)
            context.suspend("whatever", "which colour?")
        else:
            context.set("colour", context.resume_data["colour"])

    world.skill("work", work)
    context = world.run(chain("a"))
    assert context.metadata.suspended
    assert context.metadata.suspended_at_node == "a"
    assert context.metadata.suspension_reason == "which colour?"
    run_id = context.metadata.run_id
    with pytest.raises(NotResumable, match="waits for data at a"):
        world.resume(run_id)
    context = world.resume(run_id, resume_data={"colour": "red"})
    assert context.data.to_dict() == {"asked": True, "colour": "red"}
    assert world.story(run_id) == ["a 1.1 completed"]


def test_a_step_that_waited_for_data_has_worked_before_and_after(world: World) -> None:
    def work(context: FlowContext) -> None:
        if context.resume_data is None:
            context.suspend(reason="how many?")

    world.skill("work", work)
    run_id = world.run(chain("a")).metadata.run_id
    (waiting,) = world.steps(run_id)
    world.store.save_step(structs.replace(waiting, duration_ms=60_000.0))
    world.resume(run_id, resume_data={"count": 3})
    (step,) = world.steps(run_id)
    assert 60_000 < (step.duration_ms or 0) < 120_000


def test_a_step_that_failed_with_what_it_was_given_can_be_given_something_else(world: World) -> None:
    def work(context: FlowContext) -> None:
        if context.resume_data is None:
            context.suspend(reason="how many?")
        else:
            context.set("count", int(context.resume_data["count"]))

    world.skill("work", work)
    run_id = world.run(chain("a")).metadata.run_id
    with pytest.raises(ExecutionError, match="invalid literal"):
        world.resume(run_id, resume_data={"count": "many"})
    with pytest.raises(ExecutionError, match="invalid literal"):
        world.resume(run_id)
    assert world.resume(run_id, resume_data={"count": 3}).get("count") == 3


def test_resume_data_that_cannot_be_kept_is_refused_before_anything_is_done(world: World) -> None:
    def work(context: FlowContext) -> None:
        raise ValueError("no")

    world.skill("work", work)
    with pytest.raises(ExecutionError):
        world.run(chain("a"))
    before = world.only_run()
    with pytest.raises(InputError, match=r"resume_data lock: A value of type _thread\.lock cannot be restored"):
        world.resume(before.run_id, resume_data={"lock": threading.Lock()})
    assert world.only_run() == before


def test_a_step_that_may_be_tried_again_is_so_after_a_resume_when_its_run_stops_meanwhile(world: World) -> None:
    failed = threading.Event()

    def notice(event: RunEvent) -> None:
        if event.kind == "step_finished" and event.node_id == "bad":
            failed.set()

    def flaky(context: FlowContext) -> None:
        failed.wait(20)
        if context.attempt == 1:
            raise ValueError("for the first time")

    def bad(context: FlowContext) -> None:
        if world.calls.count("bad") == 1:
            raise ValueError("no")

    world.skill("work")
    world.skill("bad", bad)
    world.skill("flaky", flaky)
    extra = {"flaky": ", on_error: continue, retry: {max: 1, delay: 0}"}
    text = graph("a>bad a>flaky flaky>late", types={"bad": "bad", "flaky": "flaky"}, extra=extra)
    with pytest.raises(ExecutionError, match="Step bad failed"):
        world.run(text, on_event=notice)
    run_id = world.only_run().run_id
    assert "flaky 1.1 failed" in world.story(run_id)
    assert "late" not in world.calls
    world.resume(run_id)
    assert "flaky 1.2 completed" in world.story(run_id)
    assert world.calls.count("late") == 1


def test_a_step_that_fails_while_its_process_stops_keeps_its_further_tries(world: World) -> None:
    stop = threading.Event()

    def work(context: FlowContext) -> None:
        stop.set()
        if context.attempt == 1 and context.node_id == "a":
            raise ValueError("for the first time")

    world.skill("work", work)
    text = chain("a: retry: {max: 1, delay: 0}", "b")
    blueprint = parse_blueprint(text)
    run = create_run(
        NewRun(blueprint=blueprint, actor=this_user()), world.registry, world.config, run_store=world.store
    )
    drive_on(run.run_id, world.registry, world.config, world.store, stop=stop)
    assert (world.only_run().status, world.only_run().owed) == ("running", "resume")
    world.resume(run.run_id)
    assert world.story(run.run_id) == ["a 1.1 failed", "a 1.2 completed", "b 1.1 completed"]
