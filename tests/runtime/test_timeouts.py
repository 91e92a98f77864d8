"""Time-outs of steps and runs, sync and async, and what a step that ran too long leaves behind."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import threading
from typing import Any

import pytest

from neurocore import AsyncSkill, FlowContext, SkillMeta
from neurocore.errors import (
    ExecutionError,
    NotResumable,
    StoreError,
)
from neurocore.persistence.records import Signals, Transition
from neurocore.runtime import driver, workers
from neurocore.runtime.attempt import (
    MAX_ERROR_CHARACTERS,
    MAX_LOG_CHARACTERS,
    MAX_LOG_LINES,
    MAX_TRACEBACK_CHARACTERS,
    Attempt,
    orphaned,
)
from tests.runtime.test_flows import graph
from tests.runtime.worlds import World, chain
from tests.waiting import until


def test_an_async_step_that_takes_too_long_is_cancelled(world: World) -> None:
    cancelled = threading.Event()

    async def work(context: FlowContext) -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    world.async_skill("work", work)
    with pytest.raises(ExecutionError, match=r"did not end within 0\.5 s") as caught:
        world.run(chain("a: timeout: 0.5"))
    assert caught.value.kind == "timeout"
    assert cancelled.is_set()


@pytest.mark.timeout(30)
@pytest.mark.parametrize("limit", ["", ", 'timeout': 20"], ids=["without a time limit", "with one"])
def test_an_async_skill_that_leaves_by_sys_exit_fails_its_step_and_holds_up_nobody(world: World, limit: str) -> None:
    async def leaves(context: FlowContext) -> None:
        await asyncio.sleep(0)
        sys.exit("usage: nobody caught this")

    world.async_skill("leaver", leaves)
    with pytest.raises(ExecutionError, match="nobody caught this") as caught:
        world.run(chain(f"a: 'on_error': fail{limit}", types="leaver"))
    assert world.story(caught.value.run_id or "") == ["a 1.1 failed"]


def test_what_an_async_step_leaves_running_is_cancelled_when_its_run_stops(world: World) -> None:
    left: list[asyncio.Task[None]] = []
    ended = threading.Event()

    async def beside() -> None:
        try:
            await asyncio.sleep(600)
        finally:
            ended.set()

    async def work(context: FlowContext) -> None:
        left.append(asyncio.create_task(beside()))
        await asyncio.sleep(0)

    world.async_skill("work", work)
    world.run(chain("a"))
    assert ended.is_set()


def test_an_async_step_that_takes_too_long_to_be_set_up_is_cancelled(world: World) -> None:
    class Slow(AsyncSkill):
        skill_meta = SkillMeta(name="work")

        async def setup(self, context: FlowContext) -> None:
            await asyncio.Event().wait()

        async def process(self, context: FlowContext) -> FlowContext:
            return context

    world.registry.register(Slow)
    with pytest.raises(ExecutionError, match="did not end within"):
        world.run(chain("a: timeout: 0.05"))


def test_an_async_step_that_takes_no_notice_of_being_cancelled_has_timed_out_all_the_same(world: World) -> None:
    async def work(context: FlowContext) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        context.set("late", True)

    world.async_skill("work", work)
    with pytest.raises(ExecutionError, match="did not end within"):
        world.run(chain("a: timeout: 0.05"))
    run = world.only_run()
    assert run.final_context is not None
    assert run.final_context["data"] == {}
    assert run.failure is not None
    assert run.failure.kind == "timeout"


def test_an_async_step_that_holds_up_its_loop_holds_up_no_other(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "GRACE", 0.05)
    release, torn_down = threading.Event(), threading.Event()

    class Blocking(AsyncSkill):
        skill_meta = SkillMeta(name="blocking")

        async def process(self, context: FlowContext) -> FlowContext:
            release.wait(20)
            return context

        async def teardown(self, context: FlowContext) -> None:
            torn_down.set()

    world.registry.register(Blocking)
    world.async_skill("work", lambda context: context.set("held_up", not release.is_set()))
    blueprint = chain("a: timeout: 0.05, on_error: continue", "b").replace("a, type: work", "a, type: blocking")
    timer = threading.Timer(10, release.set)
    timer.start()
    try:
        context = world.run(blueprint)
        assert context.get("held_up") is True
        assert torn_down.is_set()
        assert not release.is_set()
    finally:
        timer.cancel()
        release.set()


@pytest.mark.parametrize("holds_up_the_loop", [False, True], ids=["awaiting", "blocking"])
def test_an_async_step_that_goes_on_after_its_time_is_left_behind(
    world: World, monkeypatch: pytest.MonkeyPatch, holds_up_the_loop: bool
) -> None:
    monkeypatch.setattr(workers, "GRACE", 0.05)
    may_end, ended = threading.Event(), threading.Event()

    async def work(context: FlowContext) -> None:
        while not may_end.is_set():
            if holds_up_the_loop:
                may_end.wait(20)
            else:
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.sleep(0.01)
        context.set("late", True)
        ended.set()

    world.async_skill("work", work)
    with pytest.raises(ExecutionError, match="did not end within"):
        world.run(chain("a: timeout: 0.5", "b"))
    run_id = world.only_run().run_id
    with pytest.raises(ExecutionError, match="An earlier attempt of it was abandoned and still runs"):
        world.resume(run_id)
    assert world.calls == ["a"]
    may_end.set()
    assert ended.wait(20)
    until(lambda: not any(works() for works in list(orphaned.values())))
    assert world.resume(run_id).data.to_dict() == {"late": True}
    assert world.calls == ["a", "a", "b"]


def test_a_sync_step_that_takes_too_long_is_left_behind_and_its_changes_dropped(world: World) -> None:
    go, left = threading.Event(), threading.Event()

    def work(context: FlowContext) -> None:
        go.wait(20)
        context.set("late", True)
        left.set()

    world.skill("work", work)
    with pytest.raises(ExecutionError, match="did not end within"):
        world.run(chain("a: timeout: 0.05"))
    go.set()
    assert left.wait(20)
    run = world.only_run()
    assert run.final_context is not None
    assert run.final_context["data"] == {}
    assert run.failure is not None
    assert run.failure.kind == "timeout"


def is_not_begun_beside_itself(world: World, may_end: threading.Event, threads: list[threading.Thread]) -> None:
    """See that the run's step is tried again only when the thread that was left behind of it has ended."""
    run_id = world.only_run().run_id
    with pytest.raises(ExecutionError, match="An earlier attempt of it was abandoned and still runs"):
        world.resume(run_id)
    may_end.set()
    until(lambda: not any(works() for works in list(orphaned.values())))
    assert world.resume(run_id).metadata.status == "completed"
    assert len(threads) == 2


def test_a_step_that_was_left_behind_is_not_begun_again_beside_itself(world: World) -> None:
    may_end, threads = threading.Event(), []

    def work(context: FlowContext) -> None:
        threads.append(threading.current_thread())
        may_end.wait(20)

    world.skill("work", work)
    with pytest.raises(ExecutionError, match="did not end within"):
        world.run(chain("a: timeout: 0.5"))
    is_not_begun_beside_itself(world, may_end, threads)


def test_a_step_is_not_begun_again_beside_itself_when_what_ran_beside_it_could_not_be_recorded(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_end, threads = threading.Event(), []
    commit = world.store.commit

    def work(context: FlowContext) -> None:
        threads.append(threading.current_thread())
        may_end.wait(20)

    def full_once(turn: Transition) -> Signals:
        monkeypatch.setattr(world.store, "commit", commit)
        raise StoreError("The disk is full.")

    def quick(context: FlowContext) -> None:
        if world.calls.count("b") == 1:
            monkeypatch.setattr(world.store, "commit", full_once)

    world.skill("work", work)
    world.skill("quick", quick)
    with pytest.raises(StoreError, match="is full"):
        world.run(graph("a b", types={"b": "quick"}))
    is_not_begun_beside_itself(world, may_end, threads)


def test_a_step_that_ends_while_it_is_recorded_as_timed_out_changes_nothing_any_more(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    late, ended = threading.Event(), threading.Event()
    time_out = Attempt.time_out

    def work(context: FlowContext) -> None:
        context.set("late", True)
        assert late.wait(20)

    def timed_out(attempt: Attempt, *rest: Any) -> None:
        time_out(attempt, *rest)
        late.set()
        assert ended.wait(20)

    def end(attempt: Attempt, *rest: Any) -> None:
        close(attempt, *rest)
        ended.set()

    close = Attempt._end
    monkeypatch.setattr(Attempt, "time_out", timed_out)
    monkeypatch.setattr(Attempt, "_end", end)
    world.skill("work", work)
    with pytest.raises(ExecutionError, match="did not end within"):
        world.run(chain("a: timeout: 0.05"))
    assert world.story(world.only_run().run_id) == ["a 1.1 failed"]
    assert world.store.load_context(world.only_run().run_id) == {}


def test_the_log_of_a_step_that_takes_too_long_has_secrets_redacted(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", "not-to-be-seen")
    ended = threading.Event()

    def work(context: FlowContext) -> None:
        logging.getLogger("skill").warning("the token is %s", context.get("token"))
        ended.wait(20)

    world.skill("work", work)
    text = chain("a: timeout: 0.05", extra="inputs: {token: {type: string, secret: true}}\n")
    with pytest.raises(ExecutionError, match="did not end within"):
        world.run(text, initial_data={"token": "${TOKEN}"})
    ended.set()
    (step,) = world.steps(world.only_run().run_id)
    assert [line.message for line in step.logs] == ["the token is •••"]


def test_a_secret_is_no_port(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "not-to-be-seen")
    world.skill("work", lambda context: context.set_port(context.get("token")))
    text = chain("a", extra="inputs: {token: {type: string, secret: true}}\n")
    with pytest.raises(ExecutionError, match="would record the value of a secret as its port"):
        world.run(text, initial_data={"token": "${TOKEN}"})
    assert "not-to-be-seen" not in repr(world.steps(world.only_run().run_id))


def test_a_secret_is_no_key(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "very-secret-token")
    world.skill("work", lambda context: context.set(context.get("token"), True))
    text = chain("a", extra="inputs: {token: {type: string, secret: true}}\n")
    with pytest.raises(ExecutionError, match="would record the value of a secret under '•••'"):
        world.run(text, initial_data={"token": "${TOKEN}"})
    assert "very-secret" not in repr(world.steps(world.only_run().run_id))


def test_a_long_text_is_not_cut_through_a_secret_that_stands_in_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", "BEGINNING" + "x" * 60)

    def work(context: FlowContext) -> None:
        token = context.get("token")
        logging.getLogger("skill").warning("%s", "-" * (MAX_LOG_CHARACTERS - 30) + token)
        raise ValueError("-" * (MAX_ERROR_CHARACTERS // 2 - 30) + token + "-" * MAX_TRACEBACK_CHARACTERS)

    world.skill("work", work)
    text = chain("a", extra="inputs: {token: {type: string, secret: true}}\n")
    with pytest.raises(ExecutionError):
        world.run(text, initial_data={"token": "${TOKEN}"})
    assert "BEGINNING" not in repr(world.steps(world.only_run().run_id))


def test_the_whole_run_has_a_time(world: World) -> None:
    async def work(context: FlowContext) -> None:
        await asyncio.sleep(60)

    world.async_skill("work", work)
    text = chain("a").replace("type: sequential", "type: sequential\n  settings: {timeout_seconds: 0.05}")
    with pytest.raises(ExecutionError, match=r"The run did not end within its 0.05 s of work; it was at a."):
        world.run(text)


@pytest.mark.parametrize("is_async", [False, True])
def test_a_step_may_take_all_the_time_that_it_has(
    world: World, monkeypatch: pytest.MonkeyPatch, is_async: bool
) -> None:
    looked, signals = [threading.Event(), threading.Event()], world.store.signals

    def look(run_id: str) -> Any:
        looked[looked[0].is_set()].set()
        return signals(run_id)

    async def waits(context: FlowContext) -> None:
        await asyncio.to_thread(looked[1].wait, 20)

    monkeypatch.setattr(driver, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(world.store, "signals", look)
    world.async_skill("work", waits) if is_async else world.skill("work", lambda context: looked[1].wait(20))
    context = world.run(chain("a: timeout: 60"))
    assert looked[1].is_set()
    assert world.story(context.metadata.run_id) == ["a 1.1 completed"]


def test_what_a_step_logs_is_kept_in_order_up_to_the_limits(world: World) -> None:
    def work(context: FlowContext) -> None:
        log = logging.getLogger("work")
        log.warning("first")
        log.error("%s second", "the")
        long = context.node_id == "long"
        for number in range(300):
            log.error("x" * 1_000 if long else "%d", *(() if long else (number,)))

    world.skill("work", work)
    run_id = world.run(chain("many", "long")).metadata.run_id
    many, long = (step.logs for step in world.steps(run_id))
    assert [(line.level, line.message) for line in many[:3]] == [
        ("WARNING", "first"), ("ERROR", "the second"), ("ERROR", "0"),
    ]  # fmt: skip
    assert len(many) == MAX_LOG_LINES + 1
    assert sum(len(line.message) for line in long[:-1]) == MAX_LOG_CHARACTERS
    assert all(line.message for line in long)
    assert many[-1].message == long[-1].message == "… further lines were left out …"


@pytest.mark.parametrize(
    ("of_step", "of_run", "said"),
    [("0.05", "60", r"Step a failed: It did not end within 0.05 s\."), ("60", "0.05", "The run did not end within")],
)
def test_of_the_times_of_a_step_and_of_its_run_the_shorter_one_counts(
    world: World, of_step: str, of_run: str, said: str
) -> None:
    async def work(context: FlowContext) -> None:
        await asyncio.sleep(60)

    world.async_skill("work", work)
    timed = f"type: sequential\n  settings: {{timeout_seconds: {of_run}}}"
    with pytest.raises(ExecutionError, match=said):
        world.run(chain(f"a: timeout: {of_step}").replace("type: sequential", timed))


def test_the_time_of_a_run_ends_the_wait_for_a_next_try(world: World) -> None:
    def work(context: FlowContext) -> None:
        raise ConnectionError("not yet")

    world.skill("work", work)
    text = chain("a: retry: {max: 1, delay: 600, max_delay: 600}")
    with pytest.raises(ExecutionError, match=r"did not end within its 0.1 s of work; it was at a\."):
        world.run(text.replace("type: sequential", "type: sequential\n  settings: {timeout_seconds: 0.1}"))
    failure = world.only_run().failure
    assert failure is not None
    assert failure.kind == "timeout"


def test_a_run_whose_time_is_up_starts_no_further_step(world: World) -> None:
    may_end = threading.Event()
    world.skill("work", lambda context: may_end.wait(20))
    timed = "type: sequential\n  settings: {timeout_seconds: 0.05}"
    with pytest.raises(ExecutionError, match="of work; it was at a"):
        world.run(chain("a", "b").replace("type: sequential", timed))
    may_end.set()
    assert world.calls == ["a"]
    assert world.story(world.only_run().run_id) == ["a 1.1 failed"]


def test_a_run_that_has_used_its_time_goes_on_only_by_a_file_that_gives_it_more(world: World) -> None:
    async def work(context: FlowContext) -> None:
        await asyncio.sleep(60 if len(world.calls) == 1 else 0)

    world.async_skill("work", work)
    text = chain("a", "b").replace("type: sequential", "type: sequential\n  settings: {timeout_seconds: 0.05}")
    file = world.config.project_root / "timed.yaml"
    file.write_text(text)
    with pytest.raises(ExecutionError, match="of work; it was at a"):
        world.run(text, blueprint_path=file)
    run_id = world.only_run().run_id
    with pytest.raises(NotResumable, match=r"all its working time; raise settings.timeout_seconds in the file and"):
        world.resume(run_id)
    file.write_text(text.replace("0.05", "60"))
    assert world.resume(run_id, latest=True).metadata.status == "completed"
    assert world.calls == ["a", "a", "b"]


def test_a_run_whose_loop_has_made_its_rounds_goes_on_only_by_a_file_that_allows_more(world: World) -> None:
    text = (
        "name: loop\ninputs: {n: {type: integer}}\ncomponents: [{name: a, type: work}, {name: b, type: work}]\n"
        "flow:\n  type: graph\n  settings: {max_iterations: 2}\n"
        "  nodes: [{id: a, component: a}, {id: b, component: b}]\n"
        "  edges: [{source: a, target: b}, {source: b, target: a, condition: 'context.data.n > 0'}]\n"
    )
    world.skill("work", lambda context: context.set("n", context.get("n") - (context.node_id == "b")))
    file = world.config.project_root / "loop.yaml"
    file.write_text(text)
    with pytest.raises(ExecutionError, match="did not end within 2 rounds"):
        world.run(text, initial_data={"n": 3}, blueprint_path=file)
    run_id = world.only_run().run_id
    with pytest.raises(NotResumable, match="its limit of rounds; raise its bound in the file and add --latest"):
        world.resume(run_id)
    file.write_text(text.replace("max_iterations: 2", "max_iterations: 9"))
    assert world.resume(run_id, latest=True).metadata.status == "completed"
    assert world.calls == ["a", "b"] * 3
