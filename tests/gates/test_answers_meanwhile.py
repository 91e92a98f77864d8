"""Answers beside other changes: another file, another branch, another answer, the end of the process."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from msgspec import structs

from neurocore import FlowContext, codec, failpoints
from neurocore.errors import (
    AlreadyDecided,
    ExecutionError,
    GateAmbiguous,
    GateChanged,
    GateRejected,
    NoOpenGate,
    NotResumable,
    RefusedError,
)
from neurocore.runtime.executor import cancel_run, decide_gate, replay_run
from tests.gates.test_gates import GATE, Death, at_gate, decide
from tests.runtime.test_flows import graph
from tests.runtime.worlds import World, chain


def in_a_file(world: World, text: str) -> tuple[str, Path]:
    """A run that was started from a file and waits at its gate."""
    world.skill("work", lambda context: context.set("n", 1))
    path = world.config.project_root / "chain.yaml"
    path.write_text(text)
    return world.run(text, blueprint_path=path).metadata.run_id, path


def test_a_blueprint_that_has_changed_voids_the_answer_that_was_given_on_the_one_before(world: World) -> None:
    run_id, path = in_a_file(world, chain("a", GATE, "b"))
    decide(world, run_id)
    before = world.record(run_id).blueprint_hash
    path.write_text(chain("a", GATE, "b", "c", extra="version: '2.0'\n"))
    assert world.resume(run_id, latest=True).metadata.suspended_at_node == "ok"
    assert world.calls == ["a"]
    run = world.record(run_id)
    assert [(gate.visit, gate.status) for gate in run.gates] == [(1, "voided"), (2, "open")]
    assert [event.kind for event in run.events] == ["started", "answered", "resumed", "redefined"]
    assert run.events[-1].data == {"from": before, "to": run.blueprint_hash}
    assert run.blueprint_hash != before
    assert (run.blueprint_version, run.nodes_total) == ("2.0", 4)
    decide(world, run_id)
    world.resume(run_id, latest=True)
    assert world.calls == ["a", "b", "c"]


def test_a_gate_that_asks_otherwise_in_the_changed_blueprint_asks_anew_before_anything_runs(world: World) -> None:
    def work(context: FlowContext) -> None:
        if context.node_id == "b" and context.resume_data is None:
            context.suspend(reason="how many?")
        elif context.node_id == "b":
            decide(world, context.metadata.run_id, gate="ok")

    world.skill("work", work)
    text = graph("a>ok a>b b>c ok>d", types={"ok": "approval, config: {message: Send?}"})
    path = world.config.project_root / "flow.yaml"
    path.write_text(text)
    run_id = world.run(text, blueprint_path=path).metadata.run_id
    path.write_text(text.replace("Send?", "Delete?"))
    assert world.resume(run_id, latest=True, resume_data={"count": 1}, gate="b").metadata.status == "completed"
    gates = [(gate.node_id, gate.visit, gate.message, gate.status) for gate in world.record(run_id).gates]
    assert gates == [
        ("ok", 1, "Send?", "voided"), ("b", 1, "how many?", "done"), ("ok", 2, "Delete?", "done"),
    ]  # fmt: skip
    assert sorted(world.story(run_id)) == [
        "a 1.1 completed", "b 1.1 completed", "c 1.1 completed", "d 1.1 completed", "ok 1.1 skipped",
        "ok 2.1 completed",
    ]  # fmt: skip


def test_a_gate_that_opens_in_the_turn_that_completes_another_shows_what_that_one_decided(world: World) -> None:
    def work(context: FlowContext) -> None:
        if context.node_id == "b":  # the loop hears of it when it is about to wait at both gates
            decide(world, context.metadata.run_id, gate="first")

    world.skill("work", work)
    types = {"first": "approval", "second": "approval, config: {show: [approvals]}"}
    run_id = world.run(graph("a>first a>b b>second", types=types)).metadata.run_id
    gate = world.record(run_id).gates[-1]
    assert (gate.node_id, gate.status, list(gate.values.get("approvals", {}))) == ("second", "open", ["first"])
    decide(world, run_id, gate="second")
    assert world.resume(run_id).metadata.status == "completed"


@pytest.mark.parametrize("commit", [1, 2, 3])
def test_no_drive_leaves_an_answer_that_came_while_it_took_another_in(world: World, commit: int) -> None:
    world.skill("work")
    run_id = world.run(graph("a>first a>second", types={"first": "approval", "second": "approval"})).metadata.run_id
    decide(world, run_id, gate="first")
    commits: list[object] = []

    def answer() -> None:
        commits.append(None)
        if len(commits) == commit:
            decide(world, run_id, gate="second")

    with failpoints.arm("step.before_commit", answer):
        world.resume(run_id)
    run = world.record(run_id)
    assert (run.status, run.owed) == ("completed" if len(commits) >= commit else "suspended", None)


def test_a_blueprint_that_does_not_fit_is_refused_before_the_answer_is_recorded(world: World) -> None:
    run_id, path = in_a_file(world, chain("a", GATE, "b"))
    path.write_text(chain("x", GATE, "b"))
    before = world.record(run_id)
    with pytest.raises(RefusedError, match="a is gone or has another skill there"):
        world.resume(run_id, latest=True, resume_data={"approved": True})
    assert world.record(run_id) == before


@pytest.mark.parametrize(
    ("before", "after", "again"),
    [
        (chain("a", "b", "c"), chain("a", "z", "b", "c"), ["z", "b", "c"]),
        (graph("a>b a>c"), graph("b>z a>c a>b"), ["b", "z"]),
        (graph("a>b b>c"), graph("b>c a>b"), ["b", "c"]),
        (chain("a", "b", "c"), chain("z", "a", "b", "c"), None),
        (graph("a>b"), graph("z>a a>b"), None),
        (graph("a>b"), chain("a", "b"), None),
    ],
)
def test_a_changed_blueprint_does_nothing_again_that_is_done(
    world: World, before: str, after: str, again: list[str] | None
) -> None:
    failed: list[str] = []

    def work(context: FlowContext) -> None:
        if context.node_id == "b" and not failed:
            failed.append(context.node_id)
            raise ValueError

    world.skill("work", work)
    path = world.config.project_root / "flow.yaml"
    path.write_text(before)
    with pytest.raises(ExecutionError):
        world.run(before, blueprint_path=path)
    path.write_text(after)
    run_id = world.only_run().run_id
    first = list(world.calls)
    if again is None:
        with pytest.raises(RefusedError, match=r"a would run again|flow was graph and is sequential"):
            world.resume(run_id, latest=True)
        assert world.calls == first
        return
    world.resume(run_id, latest=True)
    assert world.calls[len(first) :] == again
    assert {step.status for step in world.steps(run_id)} == {"completed", "failed"}


def waits_at(world: World, context: FlowContext) -> None:
    """A step that asks for data, beside one that fails the first time."""
    if context.node_id == "b" and context.resume_data is None:
        context.set("asked", True)
        context.suspend(reason="how many?")
    elif context.node_id == "c" and world.calls.count("c") == 1:
        raise ValueError


def test_a_step_whose_occurrence_is_voided_waits_no_more(world: World) -> None:
    world.skill("work", lambda context: waits_at(world, context))
    with pytest.raises(ExecutionError):
        world.run(graph("a>b a>c"))
    run_id = world.only_run().run_id
    world.resume(run_id)
    assert world.resume(run_id, resume_data={"count": 3}).get("asked") is True
    assert sorted(world.story(run_id)) == [
        "a 1.1 completed", "b 1.1 skipped", "b 1.2 completed", "c 1.1 failed", "c 1.2 completed",
    ]  # fmt: skip


def test_a_gate_of_a_run_that_is_cancelled_waits_no_more(world: World) -> None:
    run_id = at_gate(world)
    cancel_run(run_id, run_store=world.store, config=world.config, by="ann")
    assert world.story(run_id) == ["a 1.1 completed", "ok 1.1 skipped"]


def test_of_several_steps_that_wait_for_data_the_one_that_is_named_gets_it(world: World) -> None:
    got: dict[str, object] = {}

    def work(context: FlowContext) -> None:
        if context.node_id != "a" and context.resume_data is None:
            context.suspend(reason="how many?")
        got[context.node_id] = context.resume_data

    world.skill("work", work)
    run_id = world.run(graph("a>b a>c")).metadata.run_id
    with pytest.raises(GateAmbiguous, match=r"[bc] \(visit 1\), [bc] \(visit 1\); say which one"):
        world.resume(run_id, resume_data={"count": 1})
    world.resume(run_id, resume_data={"count": 2}, gate="c")
    assert world.resume(run_id, resume_data={"count": 1}).metadata.status == "completed"
    assert got == {"a": None, "b": {"count": 1}, "c": {"count": 2}}


def test_a_run_fails_and_its_gates_are_voided_in_one_commit(world: World) -> None:
    def fail(context: FlowContext) -> None:
        if context.node_id == "b":
            raise ValueError

    def die() -> None:
        if world.only_run().status == "failed":
            raise Death

    world.skill("work", fail)
    with failpoints.arm("step.after_commit", die), pytest.raises(Death):
        world.run(graph("a>ok a>b ok>c", types={"ok": "approval"}))
    assert [gate.status for gate in world.only_run().gates] == ["voided"]
    assert world.store.count_open_gates() == 0


def test_an_answer_that_comes_just_when_a_run_is_to_fail_is_taken_up(world: World) -> None:
    def fail(context: FlowContext) -> None:
        if context.node_id == "b":
            raise ValueError

    def answer() -> None:
        run = world.only_run()
        if run.gates and run.gates[0].status == "open" and "b" in world.calls:
            decide(world, run.run_id)

    world.skill("work", fail)
    with failpoints.arm("step.before_commit", answer), pytest.raises(ExecutionError, match="Step b failed"):
        world.run(graph("a>ok a>b ok>c", types={"ok": "approval"}))
    run = world.only_run()
    assert (run.status, run.owed, [gate.status for gate in run.gates]) == ("failed", None, ["done"])
    assert world.story(run.run_id) == ["a 1.1 completed", "ok 1.1 completed", "b 1.1 failed"]


def test_a_run_that_goes_on_with_an_answer_that_came_just_when_it_was_to_wait_is_still_its_process_s(
    world: World,
) -> None:
    owners = []

    def work(context: FlowContext) -> None:
        if context.node_id == "b":
            decide_gate(context.metadata.run_id, approved=True, by="ann", run_store=world.store)
        owners.append(world.record(context.metadata.run_id).owner)

    world.skill("work", work)
    world.run(graph("ok>c b", types={"ok": "approval"}))
    assert world.calls == ["b", "c"]
    assert owners[1] == owners[0] is not None, "anybody who looks would take the run for lost"


def test_a_replay_takes_no_approval_along(world: World) -> None:
    run_id = at_gate(world)
    decide(world, run_id)
    world.resume(run_id)
    context = replay_run(run_id, world.registry, world.config, run_store=world.store)
    assert context.metadata.suspended


def test_several_open_gates_must_be_named(world: World) -> None:
    world.skill("work")
    text = graph("a>left a>right left>l right>r", types={"left": "approval", "right": "approval"})
    run_id = world.run(text).metadata.run_id
    with pytest.raises(GateAmbiguous) as caught:
        decide(world, run_id)
    assert len(caught.value.gates) == 2
    decide(world, run_id, gate="right")
    world.resume(run_id)
    assert world.calls == ["a", "r"]
    assert world.record(run_id).suspended_at_node == "left"
    decide(world, run_id, gate="left", by="bob")
    context = world.resume(run_id)
    assert set(context.get("approvals")) == {"left", "right"}


def test_a_rejection_voids_the_other_gates(world: World) -> None:
    world.skill("work")
    text = graph("a>left a>right left>l right>r", types={"left": "approval", "right": "approval"})
    run_id = world.run(text).metadata.run_id
    decide(world, run_id, gate="right", approved=False)
    with pytest.raises(GateRejected):
        world.resume(run_id)
    status = {gate.node_id: gate.status for gate in world.store.load_gates(run_id)}
    assert status == {"left": "voided", "right": "done"}
    with pytest.raises(NoOpenGate, match="voided"):
        decide(world, run_id, gate="left")


def test_a_gate_can_be_answered_while_a_branch_beside_it_runs(world: World) -> None:
    world.skill("work")

    def beside(context: FlowContext) -> None:
        world.store.load_gates(context.metadata.run_id)
        decide(world, context.metadata.run_id)

    world.skill("decides", beside)
    text = graph("a>ok a>side ok>after", types={"ok": "approval", "side": "decides"})
    context = world.run(text)
    assert not context.metadata.suspended
    assert "after" in world.calls


def test_a_gate_whose_values_change_while_it_is_open_is_voided_and_asked_again(world: World) -> None:
    opened = threading.Event()

    def change(context: FlowContext) -> None:
        context.set("n", 2)

    world.skill("work", lambda context: context.set("n", 1))
    world.skill("change", change)
    del opened
    text = graph("a>ok a>side ok>after", types={"ok": "approval", "side": "change"})
    run_id = world.run(text).metadata.run_id
    first, second = world.store.load_gates(run_id)
    assert (first.status, first.values) == ("voided", {"n": 1})
    assert (second.status, second.visit, second.values) == ("open", 2, {"n": 2})
    with pytest.raises(GateChanged):
        decide(world, run_id, digest=first.digest)
    decide(world, run_id, digest=second.digest)
    assert world.resume(run_id).metadata.status == "completed"


def test_a_gate_whose_message_cannot_be_made_any_more_fails_the_run_and_not_the_branch_beside_it(world: World) -> None:
    world.skill("work", lambda context: context.set("n", 0 if context.node_id == "b" else 1))
    text = graph("a>ok a>b ok>c", types={"ok": "approval, config: {message: 'One of {{ 10 // n }}?'}"})
    with pytest.raises(ExecutionError, match="Step ok failed"):
        world.run(text)
    run_id = world.only_run().run_id
    assert world.story(run_id) == ["a 1.1 completed", "ok 1.1 skipped", "b 1.1 completed", "ok 2.1 failed"]
    assert [gate.status for gate in world.store.load_gates(run_id)] == ["voided"]


def test_a_context_that_was_tampered_with_refuses_the_answer_and_opens_another_gate(world: World) -> None:
    run_id = at_gate(world)
    step = world.steps(run_id)[0]
    world.store.save_step(structs.replace(step, changes=structs.replace(step.changes, set={"n": codec.encode(99)})))
    with pytest.raises(GateChanged, match="look at the new values"):
        decide(world, run_id)
    gate = world.store.load_gates(run_id)[-1]
    assert (gate.message, gate.status) == ("Send 99?", "open")
    assert world.story(run_id)[1:] == ["ok 1.1 skipped", "ok 2.1 suspended"]
    decide(world, run_id, digest=gate.digest)
    assert world.resume(run_id).metadata.status == "completed"


class Beside:
    """A gate `ok` beside the branch `b`, which rejects it and goes on when that has been taken in."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.may_reject = threading.Event()
        self.taken_in = threading.Event()
        world.skill("slow", self.work)

    def work(self, context: FlowContext) -> None:
        assert self.may_reject.wait(20)
        decide(self.world, context.metadata.run_id, approved=False, note="no")
        assert self.taken_in.wait(20)

    def look(self) -> None:
        """Called after each commit: what stands in the store now?"""
        run = self.world.only_run()
        if [gate.status for gate in run.gates] == ["done"]:
            self.taken_in.set()
        if any(step.status == "failed" for step in self.world.steps(run.run_id)):
            self.may_reject.set()


def test_resume_data_that_comes_after_the_answer_is_refused_like_any_late_answer(world: World) -> None:
    run_id = at_gate(world)
    decide(world, run_id)
    with pytest.raises(AlreadyDecided, match="was approved by ann"):
        world.resume(run_id, resume_data={"approved": False, "by": "bob"})
    assert world.calls == ["a"]
    assert world.resume(run_id, resume_data={"approved": True, "by": "ann"}).metadata.status == "completed"


def test_data_that_comes_after_other_data_is_refused(world: World) -> None:
    world.skill("work", lambda context: context.suspend(reason="how many?") if context.resume_data is None else None)
    run_id = world.run(chain("a")).metadata.run_id
    decide(world, run_id)
    with pytest.raises(NoOpenGate, match="received its data at a from ann"):
        world.resume(run_id, resume_data={"count": 3})


def test_a_run_that_waits_for_nothing_takes_no_data(world: World) -> None:
    def die(context: FlowContext) -> None:
        raise Death

    world.skill("work", die)
    with pytest.raises(Death):
        world.run(chain("a"))
    with pytest.raises(NotResumable, match="does not wait for data; resume it without"):
        world.resume(world.only_run().run_id, resume_data={"count": 3})


@pytest.mark.parametrize("end", [Death, KeyboardInterrupt])
def test_a_rejection_that_was_taken_in_outlives_the_end_of_its_process(world: World, end: type[BaseException]) -> None:
    world.skill("work")
    beside = Beside(world)
    beside.may_reject.set()
    ended: list[object] = []

    def stop() -> None:
        if beside.taken_in.is_set() and not ended:
            ended.append(end)
            raise end

    look = failpoints.arm("step.after_commit", beside.look)
    with look, failpoints.arm("step.before_commit", stop), pytest.raises(end):
        world.run(graph("a>ok a>b a>c ok>d", types={"ok": "approval", "b": "slow"}))
    run = world.only_run()
    if end is Death:
        with pytest.raises(GateRejected, match="Rejected at gate ok by ann: no"):
            world.resume(run.run_id)
    run = world.record(run.run_id)
    assert (run.status, run.failure and run.failure.kind) == ("failed", "rejected")
    assert [(gate.visit, gate.status, len(gate.answers)) for gate in run.gates] == [(1, "done", 1)]
    with pytest.raises(NotResumable, match="was rejected at gate ok"):
        world.resume(run.run_id)


def test_a_rejection_goes_over_a_failure_that_came_before_it(world: World) -> None:
    def fail(context: FlowContext) -> None:
        raise ValueError("first")

    world.skill("work")
    world.skill("broken", fail)
    beside = Beside(world)
    types = {"ok": "approval", "b": "slow", "c": "broken"}
    with failpoints.arm("step.after_commit", beside.look), pytest.raises(GateRejected):
        world.run(graph("a>ok a>b a>c", types=types))
    run = world.only_run()
    assert (run.status, run.failure and run.failure.kind) == ("failed", "rejected")
    with pytest.raises(NotResumable, match="was rejected at gate ok"):
        world.resume(run.run_id)


def test_an_answer_that_comes_while_a_step_is_recorded_is_taken_up_while_others_run(world: World) -> None:
    behind = threading.Event()
    late: list[bool] = []

    def work(context: FlowContext) -> None:
        if context.node_id == "b":
            late.append(not behind.wait(20))
        elif context.node_id == "c":
            decide(world, context.metadata.run_id)
        elif context.node_id == "d":
            behind.set()

    world.skill("work", work)
    world.run(graph("a>ok a>b a>c ok>d", types={"ok": "approval"}))
    assert late == [False]
