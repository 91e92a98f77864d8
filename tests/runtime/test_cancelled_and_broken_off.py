"""Cancellations and the death of the driving process: what a run is afterwards, and who may go on with it."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from neurocore import FlowContext, failpoints
from neurocore.drivers.dispatch import InlineDispatcher
from neurocore.drivers.sweep import sweep_once
from neurocore.errors import (
    CodecError,
    ExecutionError,
    InputError,
    Interruption,
    NotResumable,
    RunBusyError,
    RunNotFound,
    UsageError,
)
from neurocore.runs import cancel
from neurocore.runtime.attempt import (
    orphaned,
)
from neurocore.runtime.executor import (
    cancel_run,
    decide_gate,
    delete_run,
    replay_run,
    resolve_run_id,
)
from tests.runtime.test_flows import graph
from tests.runtime.worlds import World, chain


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
