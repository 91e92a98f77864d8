"""Handing a run in: what is wanted outlives the process that was asked, and nobody acts on a row that is old."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from msgspec import structs

from neurocore import FlowContext, failpoints
from neurocore.access.actor import Face, KnownBy, called
from neurocore.blueprint.load import load_blueprint
from neurocore.drivers import sweep
from neurocore.drivers.dispatch import InlineDispatcher, ThreadDispatcher
from neurocore.drivers.sweep import liveness_now, sweep_once
from neurocore.errors import (
    ConfigError,
    ExecutionError,
    GateRejected,
    Interruption,
    NotResumable,
    RefusedError,
    RunBusyError,
)
from neurocore.persistence import RunStatus, ownership
from neurocore.persistence.contract.ownership import Life, Probe
from neurocore.run_events import RunEvent
from neurocore.runs import cancel
from neurocore.runs.resume import request_resume
from neurocore.runtime.executor import cancel_run, decide_gate, delete_run, execute_blueprint_tracked
from neurocore.runtime.resume import drive_on
from tests.runtime.test_flows import graph
from tests.runtime.worlds import World, chain


@pytest.fixture
def failed(world: World) -> str:
    """A run that failed at its second step and would not fail there again."""

    def work(context: FlowContext) -> None:
        if context.node_id == "b" and world.calls.count("b") == 1:
            raise ValueError("for the first time")

    world.skill("work", work)
    with pytest.raises(ExecutionError):
        world.run(chain("a", "b", "c"))
    return world.only_run().run_id


def ask(world: World, run_id: str, **options: Any) -> None:
    """Let ann ask for the run to continue."""
    ann = called("ann", face=Face.WEB, known_by=KnownBy.TYPED)
    request_resume(run_id, world.registry, world.config, run_store=world.store, actor=ann, **options)


def resumed_by(world: World, run_id: str) -> list[tuple[Any, Any]]:
    return [(event.who, event.known_by) for event in world.record(run_id).events if event.kind == "resumed"]


def test_a_failed_run_that_is_wanted_on_is_owed_until_somebody_drives_it(world: World, failed: str) -> None:
    dispatch = ThreadDispatcher(world.registry, world.config, world.store)
    dispatch.close()  # its process is about to end: it takes the wish and starts nothing
    ask(world, failed)
    dispatch.submit(failed)
    run = world.record(failed)
    assert (run.status, run.owed) == ("failed", "resume")
    assert resumed_by(world, failed) == [("ann", "typed")]
    report = sweep_once(
        world.config, run_store=world.store, dispatch=InlineDispatcher(world.registry, world.config, world.store)
    )
    assert report.owed == [failed]
    assert world.record(failed).status == "completed"
    assert resumed_by(world, failed) == [("ann", "typed")], "the wish is recorded once"


@pytest.mark.parametrize("dies", [False, True])
def test_a_definition_that_somebody_asks_to_continue_with_outlives_the_process(world: World, dies: bool) -> None:
    world.skill("work")
    path = world.config.project_root / "flow.yaml"
    path.write_text(chain("a", "approval: {name: ok}", "b"))
    run_id = execute_blueprint_tracked(
        load_blueprint(path), world.registry, world.config, run_store=world.store, blueprint_path=path
    ).metadata.run_id
    decide_gate(run_id, approved=True, by="bob", run_store=world.store)
    path.write_text(chain("a", "approval: {name: ok}", "b", "c"))
    ask(world, run_id, latest=True)
    if dies:

        def die() -> None:
            raise Death

        with failpoints.arm("claim.after", die), pytest.raises(Death):
            drive_on(run_id, world.registry, world.config, world.store)
    assert sweep_once(
        world.config, run_store=world.store, dispatch=InlineDispatcher(world.registry, world.config, world.store)
    )
    run = world.record(run_id)
    assert [(gate.visit, gate.status) for gate in run.gates] == [(1, "voided"), (2, "open")]
    assert [event.kind for event in run.events if event.kind != "taken_over"] == [
        "started", "answered", "resumed", "redefined"
    ]  # fmt: skip
    decide_gate(run_id, approved=True, by="bob", run_store=world.store)
    assert world.resume(run_id).metadata.status == "completed"
    assert world.calls == ["a", "b", "c"]


def test_the_threads_drive_a_failed_run_on_and_say_who_wanted_it(world: World, failed: str) -> None:
    dispatch = ThreadDispatcher(world.registry, world.config, world.store)
    ask(world, failed)
    dispatch.submit(failed)
    assert dispatch.idle(20)
    dispatch.close()
    assert world.record(failed).status == "completed"
    assert resumed_by(world, failed) == [("ann", "typed")]


def test_a_run_that_is_handed_in_while_the_dispatcher_is_closed_is_left_for_the_next(
    world: World, failed: str, monkeypatch: Any
) -> None:
    dispatch = ThreadDispatcher(world.registry, world.config, world.store)
    closing = threading.Thread(target=dispatch.close)
    queue = dispatch._pool.submit

    def close_meanwhile(*work: Any) -> Any:
        closing.start()
        closing.join(0.2)  # it may have to wait for its turn
        return queue(*work)

    monkeypatch.setattr(dispatch._pool, "submit", close_meanwhile)
    ask(world, failed)
    dispatch.submit(failed)
    closing.join(20)
    assert dispatch.idle(20)
    assert world.record(failed).status == "completed" or world.record(failed).owed == "resume"


def test_a_failed_run_that_another_has_brought_to_its_end_meanwhile_is_not_owed_for_ever(
    world: World, failed: str, monkeypatch: Any
) -> None:
    load_summary = world.store.load_summary

    def completed_meanwhile(run_id: str) -> Any:
        run = load_summary(run_id)
        monkeypatch.setattr(world.store, "load_summary", load_summary)
        world.resume(run_id)
        return run

    monkeypatch.setattr(world.store, "load_summary", completed_meanwhile)
    dispatch = ThreadDispatcher(world.registry, world.config, world.store)
    with pytest.raises(NotResumable, match="is completed"):
        ask(world, failed)
    dispatch.submit(failed)
    assert dispatch.idle(20)
    assert not sweep_once(world.config, run_store=world.store, dispatch=dispatch)
    dispatch.close()
    assert world.record(failed).status == "completed"


def test_a_rejected_run_that_is_handed_in_is_not_owed_for_ever(world: World) -> None:
    run_id = world.run(chain("approval: {name: ok}")).metadata.run_id
    with pytest.raises(GateRejected):
        world.resume(run_id, resume_data={"approved": False})
    dispatch = ThreadDispatcher(world.registry, world.config, world.store)
    with pytest.raises(NotResumable, match="was rejected"):
        ask(world, run_id)
    dispatch.submit(run_id)
    assert dispatch.idle(20)
    assert not sweep_once(world.config, run_store=world.store, dispatch=dispatch)
    dispatch.close()
    assert ("ann", "claimed") not in resumed_by(world, run_id)


def test_a_run_whose_skills_cannot_be_found_just_then_is_not_kept_from_the_next_try(world: World, failed: str) -> None:
    broken: list[Exception] = [ConfigError("neurocore.yaml is being written"), OSError("gone")]

    def registry() -> Any:
        if broken:
            raise broken.pop()
        return world.registry

    dispatch = ThreadDispatcher(registry, world.config, world.store)
    for _ in range(3):
        if world.record(failed).owed is None and world.record(failed).status == "failed":
            ask(world, failed)
        dispatch.submit(failed)
        assert dispatch.idle(20)
        assert dispatch.state(failed) is None
    dispatch.close()
    assert world.record(failed).status == "completed"


def test_an_answer_that_comes_while_the_threads_leave_a_run_is_driven_on_by_them(world: World) -> None:
    def answer(event: RunEvent) -> None:
        if event.kind == "run_suspended" and event.run_id == run_id:
            decide_gate(run_id, approved=True, by="ann", run_store=world.store)
            dispatch.submit(run_id)

    world.skill("work")
    run_id = world.run(chain("a", "approval: {name: one}", "b", "approval: {name: two}", "c")).metadata.run_id
    dispatch = ThreadDispatcher(world.registry, world.config, world.store, on_event=answer)
    decide_gate(run_id, approved=True, by="ann", run_store=world.store)
    dispatch.submit(run_id)
    assert dispatch.idle(20)
    dispatch.close()
    assert world.record(run_id).status == "completed"
    assert world.calls == ["a", "b", "c"]


def test_a_failed_run_that_nobody_wants_on_is_left_alone(world: World, failed: str) -> None:
    with pytest.raises(NotResumable, match="nobody asked for a retry"):
        drive_on(failed, world.registry, world.config, world.store)
    assert world.record(failed).status == "failed"
    assert world.calls == ["a", "b"]


def test_a_run_that_somebody_resumes_just_when_it_is_to_be_deleted_stays(
    world: World, failed: str, monkeypatch: Any
) -> None:
    load_gates = world.store.load_gates

    def resumed_meanwhile(run_id: str) -> Any:
        world.store.claim(run_id, owner="other@here:1", expected_epoch=1)
        return load_gates(run_id)

    monkeypatch.setattr(world.store, "load_gates", resumed_meanwhile)
    with pytest.raises(RefusedError, match="was resumed"):
        delete_run(failed, run_store=world.store, by="ann")
    assert world.record(failed).status == "running"
    assert world.store.load_tombstone(failed) is None


def just_ended(world: World, monkeypatch: pytest.MonkeyPatch, module: Any, *, epoch: int = 0) -> Any:
    """A run that its process ends (or another claims) right after its row was read, in the eyes of `module`."""
    world.skill("work")
    run_id = world.run(chain("a")).metadata.run_id
    done = world.record(run_id)
    stale = structs.replace(done, status=RunStatus.RUNNING, owner="0gone@here:1", finished_at=None, owed=None)
    stale.version -= 1
    world.store.save_run(stale)

    def dead_by_now(run: Any, config: Any, store: Any) -> Probe:
        if world.record(run_id).owner == stale.owner:
            world.store.save_run(structs.replace(done, epoch=done.epoch + epoch))
        return Probe(Life.DEAD)

    monkeypatch.setattr(module, "driver_of", dead_by_now)
    return world.record(run_id)


def test_a_run_that_ends_right_after_its_row_was_read_is_not_driven_again(world: World, monkeypatch: Any) -> None:
    run = just_ended(world, monkeypatch, ownership)
    with pytest.raises(NotResumable, match="is completed"):
        drive_on(run.run_id, world.registry, world.config, world.store)
    assert world.calls == ["a"]
    assert world.record(run.run_id).status == "completed"


def test_a_run_that_somebody_claims_right_after_its_row_was_read_is_busy(world: World, monkeypatch: Any) -> None:
    run = just_ended(world, monkeypatch, ownership, epoch=1)
    with pytest.raises(RunBusyError):
        drive_on(run.run_id, world.registry, world.config, world.store)


def test_the_sweep_takes_no_run_for_lost_that_has_ended(world: World, monkeypatch: Any) -> None:
    run = just_ended(world, monkeypatch, sweep)
    assert liveness_now(run, world.config, world.store) == "idle"


def test_the_sweep_fails_no_run_that_has_ended(world: World, monkeypatch: Any) -> None:
    world.config = structs.replace(world.config, runtime=structs.replace(world.config.runtime, on_lost="fail"))
    run = just_ended(world, monkeypatch, sweep)
    dispatch = InlineDispatcher(world.registry, world.config, world.store)
    assert not sweep_once(world.config, run_store=world.store, dispatch=dispatch)
    assert world.record(run.run_id).status == "completed"


class Death(Interruption):
    """What ends a process, as its run sees it."""


def failing_what_is_lost(world: World) -> InlineDispatcher:
    """A dispatcher of a project whose sweep lets lost runs fail."""
    world.config = structs.replace(world.config, runtime=structs.replace(world.config.runtime, on_lost="fail"))
    return InlineDispatcher(world.registry, world.config, world.store)


def dead_beside_its_gate(world: World, edges: str) -> None:
    """A run whose process died in step b while the gate ok was open."""

    def work(context: FlowContext) -> None:
        if context.node_id == "b" and world.calls.count("b") == 1:
            raise Death

    world.skill("work", work)
    with pytest.raises(Death):
        world.run(graph(edges, types={"ok": "approval"}))


def test_the_sweep_cancels_a_lost_run_that_is_to_be_cancelled_whatever_is_done_with_others(world: World) -> None:
    def work(context: FlowContext) -> None:
        cancel_run(context.metadata.run_id, run_store=world.store, config=world.config, by="ann")
        raise Death

    world.skill("work", work)
    with pytest.raises(Death):
        world.run(chain("a"))
    dispatch = failing_what_is_lost(world)
    sweep_once(world.config, run_store=world.store, dispatch=dispatch)
    assert (world.only_run().status, world.calls) == ("cancelled", ["a"])


def test_the_gates_of_a_lost_run_that_the_sweep_fails_wait_no_more(world: World) -> None:
    dead_beside_its_gate(world, "a>ok a>b")
    dispatch = failing_what_is_lost(world)
    assert sweep_once(world.config, run_store=world.store, dispatch=dispatch).failed
    run = world.only_run()
    assert (run.status, run.suspended_at_node, [gate.status for gate in run.gates]) == ("failed", None, ["voided"])
    assert world.story(run.run_id) == ["a 1.1 completed", "ok 1.1 skipped"]
    assert world.store.count_open_gates() == 0
    assert world.resume(run.run_id).metadata.suspended_at_node == "ok"
    assert sorted(world.story(run.run_id)[2:]) == ["b 1.2 completed", "ok 2.1 suspended"]


def test_an_answer_that_comes_while_the_sweep_fails_its_run_is_acted_on(world: World, monkeypatch: Any) -> None:
    dead_beside_its_gate(world, "a>ok a>b ok>c")
    run_id = world.only_run().run_id
    dispatch = failing_what_is_lost(world)
    load = world.store.load_gates

    def answered(run_id: str) -> Any:
        gates = load(run_id)
        monkeypatch.undo()
        decide_gate(run_id, approved=True, by="ann", run_store=world.store)
        return gates

    with failpoints.arm("end.before_commit", lambda: monkeypatch.setattr(world.store, "load_gates", answered)):
        assert not sweep_once(world.config, run_store=world.store, dispatch=dispatch).failed
    sweep_once(world.config, run_store=world.store, dispatch=dispatch)
    assert world.record(run_id).status == "completed"
    assert (world.calls[:2], sorted(world.calls[2:])) == (["a", "b"], ["b", "c"])


def test_a_run_that_somebody_claims_right_before_it_is_cancelled_is_not_taken_from_that_one(
    world: World, monkeypatch: Any
) -> None:
    run_id = world.run(chain("approval: {name: ok}")).metadata.run_id

    def claimed_right_after(run: Any, config: Any, store: Any) -> Probe:
        world.store.claim(run_id, owner="other@here:1", expected_epoch=run.epoch)
        return Probe(Life.DEAD)

    monkeypatch.setattr(cancel, "driver_of", claimed_right_after)
    run = cancel_run(run_id, run_store=world.store, by="ann", config=world.config)
    assert (run.status, run.owner, run.cancel_requested) == ("running", "other@here:1", "ann")


def test_a_run_is_not_taken_for_lost_while_it_is_cancelled(world: World, monkeypatch: Any) -> None:
    run_id = world.run(chain("approval: {name: ok}")).metadata.run_id
    dispatch = InlineDispatcher(world.registry, world.config, world.store)
    commit = world.store.commit

    def swept_meanwhile(turn: Any) -> Any:
        monkeypatch.setattr(world.store, "commit", commit)
        assert not sweep_once(world.config, run_store=world.store, dispatch=dispatch)
        assert cancel_run(run_id, run_store=world.store, by="bob", config=world.config).status == "suspended"
        return commit(turn)

    monkeypatch.setattr(world.store, "commit", swept_meanwhile)
    assert cancel_run(run_id, run_store=world.store, by="ann", config=world.config).status == "cancelled"


def test_a_run_that_ends_while_it_is_cancelled_has_ended(world: World, monkeypatch: Any) -> None:
    run = just_ended(world, monkeypatch, cancel)
    with pytest.raises(RefusedError, match="is completed already"):
        cancel_run(run.run_id, run_store=world.store, config=world.config, by="ann")
    assert world.record(run.run_id).status == "completed"


def test_a_decision_outlives_a_sweep_that_fails_its_run(world: World) -> None:
    def die() -> None:
        raise Death

    world.skill("work")
    run_id = world.run(chain("a", "approval: {name: ok}", "b")).metadata.run_id
    decide_gate(run_id, approved=True, by="ann", run_store=world.store)
    with failpoints.arm("claim.after", die), pytest.raises(Death):
        drive_on(run_id, world.registry, world.config, world.store)
    dispatch = failing_what_is_lost(world)
    assert sweep_once(world.config, run_store=world.store, dispatch=dispatch).failed == [run_id]
    assert [gate.status for gate in world.store.load_gates(run_id)] == ["decided"]
    assert world.resume(run_id).metadata.status == "completed"
    assert world.calls == ["a", "b"]
