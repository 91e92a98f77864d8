"""Retries, time-outs, cancellation, resuming, and values that cannot be kept."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import threading
from typing import Any

import pytest
from msgspec import structs

from neurocore import AsyncSkill, FlowContext, Skill, SkillMeta, codec, failpoints
from neurocore.access.actor import this_user
from neurocore.drivers.dispatch import InlineDispatcher
from neurocore.drivers.sweep import sweep_once
from neurocore.errors import (
    ClaimLost,
    CodecError,
    ExecutionError,
    InputError,
    Interruption,
    NotResumable,
    RunBusyError,
    RunExists,
    RunNotFound,
    StoreError,
    UsageError,
)
from neurocore.persistence.admin import check
from neurocore.persistence.records import Signals, Transition
from neurocore.run_events import RunEvent
from neurocore.runs import cancel
from neurocore.runtime import driver, workers
from neurocore.runtime.attempt import (
    MAX_ERROR_CHARACTERS,
    MAX_LOG_CHARACTERS,
    MAX_LOG_LINES,
    MAX_TRACEBACK_CHARACTERS,
    Attempt,
    orphaned,
)
from neurocore.runtime.blueprint import parse_blueprint
from neurocore.runtime.executor import (
    cancel_run,
    create_run,
    decide_gate,
    delete_run,
    replay_run,
    resolve_run_id,
)
from neurocore.runtime.resume import drive_on
from neurocore.runtime.start import NewRun
from neurocore.skills.loader import discover_skills
from tests.runtime.test_flows import graph
from tests.runtime.worlds import World, chain
from tests.waiting import until


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


def test_a_run_that_is_driven_is_cancelled_between_steps(world: World) -> None:
    def work(context: FlowContext) -> None:
        if len(world.calls) == 1:
            cancel_run(context.metadata.run_id, run_store=world.store, config=world.config, by="ann", note="enough")

    world.skill("work", work)
    with pytest.raises(ExecutionError, match=r"was cancelled by ann: enough$"):
        world.run(chain("a", "b"))
    assert world.calls == ["a"]
    run = world.only_run()
    assert (run.status, run.error) == ("cancelled", "Cancelled by ann: enough")
    with pytest.raises(NotResumable, match="is cancelled"):
        world.resume(run.run_id)


@pytest.mark.parametrize("fail_fast", ["true", "false"])
def test_what_failed_before_its_process_died_is_not_tried_again_unless_somebody_asks(
    world: World, fail_fast: str
) -> None:
    class Death(Interruption):
        pass

    go = threading.Event()

    def die() -> None:
        if "b 1.1 failed" in world.story(world.only_run().run_id):
            raise Death

    def fail(context: FlowContext) -> None:
        raise ValueError("no")

    world.skill("work")
    world.skill("fails", fail)
    world.skill("waits", lambda context: go.wait(20) if world.calls.count("c") == 1 else None)
    text = graph("a>b a>c c>d", types={"b": "fails", "c": "waits"}, settings=f"{{fail_fast: {fail_fast}}}")
    with failpoints.arm("step.after_commit", die), pytest.raises(Death):
        world.run(text)
    orphaned.clear()  # a process takes its threads with it
    run_id = world.only_run().run_id
    inline = InlineDispatcher(world.registry, world.config, world.store)
    assert sweep_once(world.config, run_store=world.store, dispatch=inline).lost == [run_id]
    run = world.record(run_id)
    assert (run.status, run.error) == ("failed", "Step b failed: no")
    assert (world.calls.count("b"), "d" in world.calls) == (1, fail_fast == "false")
    with pytest.raises(ExecutionError, match="Step b failed: no"):
        world.resume(run_id)
    assert world.calls.count("b") == 2
    go.set()


@pytest.mark.parametrize(
    ("note", "error"),
    [("wrong batch", "Cancelled by ann: wrong batch"), (" ", "Cancelled by ann."), (None, "Cancelled by ann.")],
)
def test_a_cancelled_run_says_why(world: World, note: str | None, error: str) -> None:
    run_id = world.run(chain("approval: {name: ok}")).metadata.run_id

    run = cancel_run(run_id, run_store=world.store, config=world.config, by="ann", note=note)

    assert (run.status, run.error) == ("cancelled", error)


def test_a_note_of_a_cancellation_is_no_longer_than_one_at_a_gate(world: World) -> None:
    run_id = world.run(chain("approval: {name: ok}")).metadata.run_id
    with pytest.raises(InputError, match="A note has at most 10,000 characters; this one has 10,001"):
        cancel_run(run_id, run_store=world.store, config=world.config, by="ann", note="x" * 10_001)
    assert world.record(run_id).status == "suspended"


def test_of_several_who_cancel_the_last_one_and_that_note_are_told(world: World) -> None:
    def work(context: FlowContext) -> None:
        for by, note in (("ann", "too early"), ("bob", None)):
            cancel_run(context.metadata.run_id, run_store=world.store, config=world.config, by=by, note=note)

    world.skill("work", work)
    with pytest.raises(ExecutionError, match=r"was cancelled by bob\.$"):
        world.run(chain("a", "b"))
    assert world.only_run().error == "Cancelled by bob."


def test_without_a_configuration_the_owner_is_looked_for_in_the_project_around_the_current_folder(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = world.config.project_root
    (root / "neurocore.yaml").write_text(f"paths:\n  data: {world.config.data_dir}\n")
    (root / "below").mkdir()
    monkeypatch.chdir(root / "below")
    asked: list[str] = []

    def work(context: FlowContext) -> None:
        asked.append(cancel_run(context.metadata.run_id, run_store=world.store, by="ann").status.value)

    world.skill("work", work)
    with pytest.raises(ExecutionError, match="cancelled by ann"):
        world.run(chain("a", "b"))
    assert asked == ["running"], "this process drives it, so it ends between two steps and not under the running one"
    assert world.story(world.only_run().run_id) == ["a 1.1 completed"]


def test_a_run_is_cancelled_while_the_step_before_a_gate_runs(world: World) -> None:
    def work(context: FlowContext) -> None:
        cancel_run(context.metadata.run_id, run_store=world.store, config=world.config, by="ann")

    world.skill("work", work)
    with pytest.raises(ExecutionError, match="cancelled by ann"):
        world.run(chain("a", "approval: {name: ok}", "b"))
    run = world.only_run()
    assert (run.status, [gate.status for gate in run.gates]) == ("cancelled", ["voided"])


def test_a_cancellation_outlives_the_process_that_did_not_live_to_see_it(world: World) -> None:
    def work(context: FlowContext) -> None:
        cancel_run(context.metadata.run_id, run_store=world.store, config=world.config, by="ann")
        raise Death

    world.skill("work", work)
    with pytest.raises(Death):
        world.run(chain("a", "b"))
    with pytest.raises(ExecutionError, match="cancelled by ann"):
        world.resume(world.only_run().run_id)
    assert (world.only_run().status, world.calls) == ("cancelled", ["a"])


def test_a_run_that_somebody_begins_to_drive_while_it_is_cancelled_is_cancelled_by_that_one(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.skill("work")
    run_id = world.run(chain("a", "approval: {name: ok}", "b", "c")).metadata.run_id
    decide_gate(run_id, approved=True, by="bob", run_store=world.store)
    claim = world.store.claim

    def after_the_request(run_id: str, **options: Any) -> int | None:
        monkeypatch.setattr(world.store, "claim", claim)
        cancel_run(run_id, run_store=world.store, config=world.config, by="ann")
        return claim(run_id, **options)

    # The one who resumes has read the row before the request, and the one who cancels finds it claimed.
    monkeypatch.setattr(world.store, "claim", after_the_request)
    monkeypatch.setattr(cancel, "_end", lambda *_: False)
    with pytest.raises(ExecutionError, match="cancelled by ann"):
        world.resume(run_id)
    assert "c" not in world.calls


def test_a_run_is_cancelled_while_a_step_waits_for_its_next_try(world: World) -> None:
    def work(context: FlowContext) -> None:
        cancel_run(context.metadata.run_id, run_store=world.store, config=world.config, by="ann")
        raise ConnectionError("not yet")

    world.skill("work", work)
    with pytest.raises(ExecutionError, match="cancelled by ann"):
        world.run(chain("a: retry: {max: 1, delay: 600, max_delay: 600}"))
    assert world.only_run().status == "cancelled"


def test_a_cancelled_async_step_ends_at_once(world: World) -> None:
    async def work(context: FlowContext) -> None:
        cancel_run(context.metadata.run_id, run_store=world.store, config=world.config, by="ann")
        await asyncio.sleep(60)

    world.async_skill("work", work)
    with pytest.raises(ExecutionError, match="cancelled"):
        world.run(chain("a: retry: {max: 1, delay: 0}", "b"))
    run = world.only_run()
    assert run.status == "cancelled"
    (step,) = world.steps(run.run_id)
    assert (step.status, step.reason, step.error) == ("cancelled", "stopped when the run was cancelled", None)


def test_a_run_that_this_process_drives_is_busy_for_others(world: World) -> None:
    refused: list[str] = []

    def work(context: FlowContext) -> None:
        try:
            world.resume(context.metadata.run_id)
        except RunBusyError as error:
            refused.append(error.owner)

    world.skill("work", work)
    world.run(chain("a"))
    assert len(refused) == 1
    assert refused[0].startswith("process ")


def test_a_replay_is_a_new_run_from_the_same_inputs(world: World) -> None:
    world.skill("work", lambda context: context.set("twice", context.get("x") * 2))
    first = world.run(chain("a"), initial_data={"x": {1, 2}.__len__()})
    second = replay_run(first.metadata.run_id, world.registry, world.config, run_store=world.store)
    assert second.get("twice") == 4
    record = world.record(second.metadata.run_id)
    assert record.replay_of == first.metadata.run_id
    assert [(event.kind, event.data) for event in record.events] == [("replayed", {"from": first.metadata.run_id})]
    assert record.run_id != first.metadata.run_id


def test_a_value_that_cannot_be_restored_fails_the_step_and_names_the_key(world: World) -> None:
    world.skill("work", lambda context: context.set("file", {"handle": [threading.Lock()]}))
    with pytest.raises(ExecutionError, match=r"Step a cannot be recorded: the value at file.handle\[0\]") as caught:
        world.run(chain("a"))
    assert isinstance(caught.value.__cause__, CodecError)


def test_an_ended_run_can_be_deleted_and_leaves_a_tombstone(world: World) -> None:
    world.skill("work")
    run_id = world.run(chain("a")).metadata.run_id
    delete_run(run_id, run_store=world.store, by="ann")
    assert world.store.load_run(run_id) is None
    with pytest.raises(RunNotFound, match="was deleted by ann") as caught:
        resolve_run_id(run_id, world.store)
    assert caught.value.tombstone.deleted_by == "ann"


def test_a_run_id_is_taken_as_given_or_refused(world: World) -> None:
    world.skill("work")
    assert world.run(chain("a"), run_id="mine-1").metadata.run_id == "mine-1"
    for wrong in ("../x", "a%", "", "x" * 65, "a b", "'"):
        with pytest.raises(UsageError, match="run id"):
            world.run(chain("a"), run_id=wrong)
    assert len(world.store.list_runs()) == 1


class Death(Interruption):
    """Ends a drive as the death of its process would."""


@pytest.mark.parametrize(("end", "times"), [(KeyboardInterrupt, 1), (Death, 3)])
def test_a_step_that_was_broken_off_is_another_attempt_when_the_run_goes_on(
    world: World, end: type[BaseException], times: int
) -> None:
    seen: list[tuple[int, object]] = []

    def work(context: FlowContext) -> None:
        seen.append((context.attempt, context.resume_data))
        if len(seen) <= times:
            raise end

    world.skill("work", work)
    with pytest.raises(end):
        world.run(chain("a", "b"))
    run_id = world.only_run().run_id
    for _ in range(times - 1):
        with pytest.raises(end):
            world.resume(run_id)
    if end is Death:
        with pytest.raises(ExecutionError, match="The process died 3 times at a"):
            world.resume(run_id)
    world.resume(run_id, resume_data={"mended": True})
    assert [attempt for attempt, _ in seen] == [*range(1, times + 2), 1]
    assert seen[times:] == [(times + 1, {"mended": True}), (1, None)]
    assert world.story(run_id)[-2:] == [f"a 1.{times + 1} completed", "b 1.1 completed"]


def test_deaths_in_different_steps_do_not_add_up(world: World) -> None:
    def work(context: FlowContext) -> None:
        if context.attempt == 1:
            raise Death

    world.skill("work", work)
    names = ["a", "b", "c", "d"]
    with pytest.raises(Death):
        world.run(chain(*names))
    run_id = world.only_run().run_id
    for _ in names[1:]:
        with pytest.raises(Death):
            world.resume(run_id)
    assert world.resume(run_id).metadata.status == "completed"


def test_what_a_resume_brought_for_a_failed_step_outlives_the_process_that_tries_it_again(world: World) -> None:
    seen: list[tuple[str, object]] = []

    def work(context: FlowContext) -> None:
        seen.append((context.node_id, context.resume_data))
        if len(seen) == 1:
            raise ValueError
        if len(seen) in (2, 4):
            raise Death

    world.skill("work", work)
    with pytest.raises(ExecutionError):
        world.run(chain("a", "b"))
    run_id = world.only_run().run_id
    with pytest.raises(Death):
        world.resume(run_id, resume_data={"mended": True})
    dispatch = InlineDispatcher(world.registry, world.config, world.store)
    with pytest.raises(Death):
        sweep_once(world.config, run_store=world.store, dispatch=dispatch)
    sweep_once(world.config, run_store=world.store, dispatch=dispatch)
    assert seen == [("a", None), ("a", {"mended": True}), ("a", {"mended": True}), ("b", None), ("b", None)]


class Mute(Exception):
    """An error that cannot say what it is, as happens where `__str__` returns what it was given."""

    def __str__(self) -> str:
        return self.args[0]


class Own(BaseException):
    """What nobody catches by `except Exception`."""


@pytest.mark.parametrize("error", [SystemExit(3), Mute({"code": 3})], ids=repr)
@pytest.mark.parametrize("kind", ["skill", "async_skill"])
def test_whatever_a_skill_raises_is_its_step_s_failure(world: World, kind: str, error: BaseException) -> None:
    def work(context: FlowContext) -> None:
        raise error

    getattr(world, kind)("work", work)
    with pytest.raises(ExecutionError, match="Step a failed"):
        world.run(chain("a"))
    step = world.steps(world.only_run().run_id)[0]
    assert (world.only_run().status, step.status, step.error_type) == ("failed", "failed", type(error).__name__)


@pytest.mark.parametrize(
    ("error", "said"),
    [(KeyError("iban"), "KeyError: 'iban'"), (SystemExit(3), "SystemExit: 3"), (KeyError(), "KeyError")],
)
def test_an_error_that_says_only_a_key_or_a_number_is_told_with_its_kind(
    world: World, error: BaseException, said: str
) -> None:
    def fail(context: FlowContext) -> None:
        raise error

    world.skill("work", fail)
    with pytest.raises(ExecutionError, match=f"Step a failed: {said}"):
        world.run(chain("a"))


@pytest.mark.parametrize("raised", [SystemExit, Own])
def test_an_async_step_that_raises_anything_ends_alone(world: World, raised: type[BaseException]) -> None:
    async def work(context: FlowContext) -> None:
        if context.node_id == "b":
            raise raised
        await asyncio.sleep(0)

    world.async_skill("work", work)
    with pytest.raises(ExecutionError, match="Step b failed"):
        world.run(graph("a>b a>c"))
    assert "c 1.1 completed" in world.story(world.only_run().run_id)


def test_an_async_step_that_is_cancelled_by_nobody_has_failed(world: World) -> None:
    async def work(context: FlowContext) -> None:
        inner = asyncio.ensure_future(asyncio.sleep(60))
        inner.cancel()
        await inner

    world.async_skill("work", work)
    with pytest.raises(ExecutionError, match="Step a failed: CancelledError"):
        world.run(chain("a", "b"))
    assert world.only_run().status == "failed"


def test_an_async_setup_that_wants_to_leave_fails_its_step(world: World) -> None:
    class Leaving(Skill):
        skill_meta = SkillMeta(name="work")

        async def setup(self, context: FlowContext) -> None:
            sys.exit("no")

        def process(self, context: FlowContext) -> FlowContext:
            return context

    world.registry.register(Leaving)
    with pytest.raises(ExecutionError, match="Step a failed: no"):
        world.run(chain("a"))


@pytest.mark.parametrize(("steps", "status"), [(["a"], "completed"), (["a", "approval: {name: ok}"], "suspended")])
def test_ctrl_c_after_the_last_commit_changes_nothing_of_it(world: World, steps: list[str], status: str) -> None:
    class Slow(Skill):
        skill_meta = SkillMeta(name="work")

        def process(self, context: FlowContext) -> FlowContext:
            return context

        def teardown(self, context: FlowContext) -> None:
            raise KeyboardInterrupt

    world.registry.register(Slow)
    with pytest.raises(KeyboardInterrupt):
        world.run(chain(*steps))
    run = world.only_run()
    assert (run.status, run.failure, [gate.status for gate in run.gates if gate.status != "open"]) == (status, None, [])


@pytest.mark.parametrize("behind", ["work", "approval"])
def test_ctrl_c_in_the_middle_of_a_commit_leaves_no_gap_in_the_steps(world: World, behind: str) -> None:
    may_end = threading.Event()

    def work(context: FlowContext) -> None:
        if context.node_id == "b":
            may_end.wait(20)

    def stop() -> None:
        if "c" in world.calls and not may_end.is_set():
            may_end.set()
            raise KeyboardInterrupt

    world.skill("work", work)
    with failpoints.arm("step.before_commit", stop), pytest.raises(KeyboardInterrupt):
        world.run(graph("a>b a>c c>ok", types={"ok": behind}))
    run_id = world.only_run().run_id
    assert sorted(world.story(run_id)) == ["a 1.1 completed", "b 1.1 failed", "c 1.1 failed"]
    assert [gate.status for gate in world.store.load_gates(run_id)] == []
    until(lambda: not any(works() for works in list(orphaned.values())))
    assert world.resume(run_id).metadata.status == ("completed" if behind == "work" else "suspended")
    assert {"b 1.2 completed", "c 1.2 completed"} <= set(world.story(run_id))
    assert check(world.store).problems == []


@pytest.mark.parametrize("place", ["step.after_run", "step.before_commit"])
def test_a_step_that_went_on_with_data_gets_it_again_after_ctrl_c_and_is_another_attempt(
    world: World, place: str
) -> None:
    seen: list[tuple[int, object]] = []

    def work(context: FlowContext) -> None:
        seen.append((context.attempt, context.resume_data))
        context.set("n", len(seen))
        if context.resume_data is None:
            context.suspend(reason="how many?")

    def stop() -> None:
        if len(seen) == 2 and not stopped:
            stopped.append(True)
            raise KeyboardInterrupt

    stopped: list[bool] = []
    world.skill("work", work)
    run_id = world.run(chain("a")).metadata.run_id
    with failpoints.arm(place, stop), pytest.raises(KeyboardInterrupt):
        world.resume(run_id, resume_data={"count": 3})
    assert world.story(run_id) == ["a 1.1 failed"]
    assert world.store.load_context(run_id) == {"n": codec.encode(1)}
    assert world.resume(run_id).metadata.status == "completed"
    assert seen == [(1, None), (1, {"count": 3}), (2, {"count": 3})]
    assert world.story(run_id) == ["a 1.1 failed", "a 1.2 completed"]


def test_ctrl_c_in_the_commit_that_fails_a_run_leaves_none_of_its_gates_open(world: World) -> None:
    def work(context: FlowContext) -> None:
        if context.node_id == "b":
            raise ValueError

    def stop() -> None:
        if "b" in world.calls and not stopped:
            stopped.append(True)
            raise KeyboardInterrupt

    stopped: list[bool] = []
    world.skill("work", work)
    with failpoints.arm("step.before_commit", stop), pytest.raises(KeyboardInterrupt):
        world.run(graph("a>ok a>b", types={"ok": "approval"}))
    run = world.only_run()
    assert (run.status, run.failure and run.failure.kind) == ("failed", "interrupted")
    assert [gate.status for gate in run.gates] == ["voided"]
    assert "ok 1.1 skipped" in world.story(run.run_id)


def test_ctrl_c_before_the_run_is_recorded_is_told_as_such(world: World) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    world.skill("work")
    with failpoints.arm("run.before_create", stop), pytest.raises(KeyboardInterrupt):
        world.run(chain("a"))
    assert world.store.list_runs() == []


def test_a_skill_is_torn_down_when_its_run_is_taken_away(world: World) -> None:
    torn_down: list[str] = []

    class Taken(Skill):
        skill_meta = SkillMeta(name="work")

        def process(self, context: FlowContext) -> FlowContext:
            run_id = context.metadata.run_id
            mine = world.record(run_id).owner
            world.store.claim(run_id, owner="other@here:1", expected_epoch=1, expected_owner=mine)
            return context

        def teardown(self, context: FlowContext) -> None:
            torn_down.append(self.name)

    world.registry.register(Taken)
    with pytest.raises(ClaimLost):
        world.run(chain("a", "b"))
    assert torn_down == ["a"]


def test_a_listener_that_fails_does_not_stop_the_run(world: World) -> None:
    heard: list[str] = []

    def listen(event: RunEvent) -> None:
        heard.append(event.kind)
        if event.kind == "step_finished":
            raise ValueError("no ears")

    world.skill("work")
    assert world.run(chain("a", "b"), on_event=listen).metadata.status == "completed"
    assert heard == ["run_started", "step_started", "step_finished"]


@pytest.mark.parametrize("tags", [[3], ["", "a"], [" \t"], ["x" * 201], "demo"])
def test_what_is_no_tag_is_refused_before_anything_is_written(world: World, tags: Any) -> None:
    world.skill("work")
    with pytest.raises(InputError, match="A tag is text of 1 to 200 characters"):
        world.run(chain("a"), tags=tags)
    assert world.store.list_runs() == []


@pytest.mark.parametrize("bad", ["\n", "\r", "\t", "\x00", "\x1b", "\x85", "\u2028", "\u202e"])
def test_a_tag_stands_on_one_line_and_steers_nothing(world: World, bad: str) -> None:
    world.skill("work")
    with pytest.raises(InputError) as told:
        world.run(chain("a"), tags=["fine", f"end{bad}of May"])
    assert str(told.value) == f"A tag cannot have control characters; remove U+{ord(bad):04X}."
    assert world.store.list_runs() == []
    assert world.run(chain("a"), tags=["Ende März", "決算"]).metadata.status == "completed"


def test_a_tag_is_kept_as_a_filter_asks_for_it(world: World) -> None:
    world.skill("work")
    world.run(chain("a"), tags=[" may ", "may", "a b"])
    assert world.only_run().tags == ["may", "a b"]


def test_an_id_that_is_taken_is_refused(world: World) -> None:
    world.skill("work")
    world.run(chain("a"), run_id="mine")
    with pytest.raises(RunExists, match="A run with the id mine exists already"):
        world.run(chain("a"), run_id="mine")
    with pytest.raises(RunExists, match="exists already"):
        create_run(
            NewRun(blueprint=parse_blueprint(chain("a")), actor=this_user(), run_id="mine"),
            world.registry,
            world.config,
            run_store=world.store,
        )
    assert world.calls == ["a"]


def test_setup_and_teardown_surround_the_steps_of_a_node(world: World) -> None:
    from neurocore import Skill, SkillMeta

    told: list[str] = []

    class Careful(Skill):
        skill_meta = SkillMeta(name="careful")

        def setup(self, context: FlowContext) -> None:
            told.append(f"setup {self.name}")

        def process(self, context: FlowContext) -> FlowContext:
            told.append(f"process {self.name}")
            if self.name == "b":
                raise ValueError("no")
            return context

        def teardown(self, context: FlowContext) -> None:
            told.append(f"teardown {self.name}")

    world.registry.register(Careful)
    with pytest.raises(ExecutionError):
        world.run(chain("a", "b", types="careful"))
    assert told == ["setup a", "process a", "setup b", "process b", "teardown a", "teardown b"]


@pytest.mark.parametrize("is_async", [False, True])
def test_what_setup_has_set_is_there_for_every_try_of_its_step(world: World, is_async: bool) -> None:
    from neurocore import AsyncSkill, Skill, SkillMeta

    seen: list[Any] = []

    class Base(Skill):
        skill_meta = SkillMeta(name="careful", max_retries=2, retry_delay_base=0)

        def setup(self, context: FlowContext) -> None:
            context.set("ready", ["yes"])
            context.delete("old")

    def work(context: FlowContext) -> FlowContext:
        seen.append((context.attempt, list(context.get("ready")), context.has("old")))
        if context.node_id == "b" and context.attempt < 3:
            context.get("ready").append("spoilt")
            raise ValueError("no")
        if context.node_id == "b":
            context.set("ready", "used")
        return context

    class Careful(Base):
        process = staticmethod(work)

    class AsyncCareful(Base, AsyncSkill):
        async def process(self, context: FlowContext) -> FlowContext:
            return work(context)

    world.registry.register(AsyncCareful if is_async else Careful)
    context = world.run(chain("b", types="careful"), initial_data={"old": 1})
    assert seen == [(1, ["yes"], False), (2, ["yes"], False), (3, ["yes"], False)]
    assert context.to_dict()["data"] == {"ready": "used"}


def test_what_setup_has_set_belongs_to_the_first_visit_and_comes_back_at_no_other(world: World) -> None:
    from neurocore import Skill, SkillMeta

    seen: list[Any] = []

    class Careful(Skill):
        skill_meta = SkillMeta(name="careful")

        def setup(self, context: FlowContext) -> None:
            context.set("ready", True)

        def process(self, context: FlowContext) -> FlowContext:
            seen.append((context.visit, context.get("ready")))
            context.delete("ready")
            if context.visit == 1:
                raise ValueError("no")
            return context

    world.registry.register(Careful)
    world.skill("work", lambda context: context.set("n", context.visit))
    text = graph("a>b b>a?context.data.n~<~2", types={"a": "careful"}, extra={"a": ", on_error: continue"})
    world.run(text)
    assert seen == [(1, True), (2, None)]


def test_what_setup_has_set_does_not_come_back_over_what_was_recorded_of_its_visit(world: World) -> None:
    from neurocore import Skill, SkillMeta

    class Careful(Skill):
        skill_meta = SkillMeta(name="careful")

        def setup(self, context: FlowContext) -> None:
            context.set("count", 0)

        def process(self, context: FlowContext) -> FlowContext:
            context.set("count", context.get("count") + 1)
            if context.resume_data is None:
                context.suspend()
            return context

    waits = threading.Event()

    def answer(context: FlowContext) -> None:
        assert waits.wait(10)
        decide_gate(context.metadata.run_id, approved=True, by="ann", run_store=world.store)

    def see() -> None:
        if world.store.load_gates(world.only_run().run_id):
            waits.set()

    world.registry.register(Careful)
    world.skill("work", answer)
    world.skill("plain")
    with failpoints.arm("step.after_commit", see):
        context = world.run(graph("a>c b>c", types={"b": "careful", "c": "plain"}))
    assert context.to_dict()["data"]["count"] == 2
