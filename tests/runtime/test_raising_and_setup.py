"""Whatever a skill raises, Ctrl-C at every point, tags and ids, and `setup` and `teardown` around a step."""

from __future__ import annotations

import asyncio
import sys
import threading
from typing import Any

import pytest

from neurocore import AsyncSkill, FlowContext, Skill, SkillMeta, codec, failpoints
from neurocore.access.actor import this_user
from neurocore.errors import (
    ClaimLost,
    ExecutionError,
    InputError,
    RunExists,
)
from neurocore.persistence.admin import check
from neurocore.run_events import RunEvent
from neurocore.runtime.attempt import (
    orphaned,
)
from neurocore.runtime.blueprint import parse_blueprint
from neurocore.runtime.executor import (
    create_run,
    decide_gate,
)
from neurocore.runtime.start import NewRun
from tests.runtime.test_flows import graph
from tests.runtime.worlds import World, chain
from tests.waiting import until


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
    from neurocore import Skill, SkillMeta

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
