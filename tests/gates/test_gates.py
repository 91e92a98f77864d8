"""Promises 4 to 7 at the gate: one outcome, never lost, what was approved and nothing else, one gate once."""

from __future__ import annotations

import re
import threading
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from neurocore import FlowContext, codec, failpoints
from neurocore.access.actor import Face, KnownBy, called
from neurocore.differences import compare as differences
from neurocore.drivers.dispatch import InlineDispatcher
from neurocore.drivers.sweep import sweep_once
from neurocore.errors import (
    AlreadyDecided,
    ExecutionError,
    GateAmbiguous,
    GateChanged,
    GateRejected,
    InputError,
    Interruption,
    NoOpenGate,
    NotResumable,
    RefusedError,
    UsageError,
)
from neurocore.gates.compare import compare_runs, last_approved
from neurocore.gates.preview import preview
from neurocore.persistence.projections import last_hash
from neurocore.runtime.executor import cancel_run, decide_gate, replay_run
from tests.runtime.test_flows import graph
from tests.runtime.worlds import World, chain

GATE = "approval: {name: ok, message: 'Send {{ n }}?'}"


def at_gate(world: World, *steps: str) -> str:
    """A run that waits at the gate `ok` after a step that set n."""
    world.skill("work", lambda context: context.set("n", (context.get("n") or 0) + 1))
    return world.run(chain(*(steps or ("a", GATE, "b")))).metadata.run_id


def test_a_run_that_died_beside_an_open_gate_goes_on_without_an_answer(world: World) -> None:
    class Death(Interruption):
        pass

    def die() -> None:
        if "b" in world.calls:
            raise Death

    world.skill("work")
    text = graph("a>ok a>b b>c ok>d", types={"ok": "approval"})
    with failpoints.arm("step.before_commit", die), pytest.raises(Death):
        world.run(text)
    run = world.only_run()
    assert run.status == "running"
    context = world.resume(run.run_id)
    assert context.metadata.suspended_at_node == "ok"
    assert world.calls[-1] == "c"
    decide_gate(run.run_id, approved=True, by="ann", run_store=world.store)
    assert world.resume(run.run_id).metadata.status == "completed"


def test_a_gate_whose_way_on_cannot_be_said_fails_the_run_and_is_asked_again(world: World) -> None:
    world.skill("work")
    text = graph("a>ok ok>b?context.data.name~>~3", types={"ok": "approval"})
    run_id = world.run(text, initial_data={"name": "Ada"}).metadata.run_id
    decide_gate(run_id, approved=True, by="ann", run_store=world.store)
    with pytest.raises(ExecutionError, match="The next node after gate ok cannot be determined: The condition"):
        world.resume(run_id)
    run = world.record(run_id)
    assert (run.status, run.owed, [gate.status for gate in run.gates]) == ("failed", None, ["voided"])
    assert run.gates[0].answers[0].by == "ann", "the answer is kept"
    assert world.resume(run_id).metadata.suspended_at_node == "ok"


def decide(world: World, run_id: str, **options: Any) -> Any:
    """Answer as ann."""
    return decide_gate(run_id, **{"approved": True, "by": "ann", "run_store": world.store, **options})


def test_a_gate_freezes_its_message_its_values_and_their_digest(world: World) -> None:
    run_id = at_gate(world)
    (gate,) = world.store.load_gates(run_id)
    assert (gate.message, gate.values, gate.status) == ("Send 1?", {"n": 1}, "open")
    assert re.fullmatch("2:[0-9a-f]{64}", gate.digest)
    run = world.record(run_id)
    assert (run.status, run.suspended_at_node, run.suspension_reason) == ("suspended", "ok", "Send 1?")


def test_a_gate_s_message_has_credentials_masked_wherever_they_stand(world: World) -> None:
    world.skill("work", lambda context: context.set("account", {"user": "bob", "password": "hunter2"}))
    message = "message: 'Use {{ account.user }}, {{ account.password }}, {{ account }}?'"
    run_id = world.run(chain("a", f"approval: {{name: ok, {message}}}")).metadata.run_id
    (gate,) = world.store.load_gates(run_id)
    assert gate.message == "Use bob, •••, {'user': 'bob', 'password': '•••'}?"


def test_an_approval_is_recorded_before_the_run_goes_on_and_goes_on_once(world: World) -> None:
    run_id = at_gate(world)
    decision = decide(world, run_id, note="fine")
    assert (decision.effect, decision.dispatched) == ("took_effect", False)
    assert world.calls == ["a"], "deciding without a dispatcher resumes nothing"
    run = world.record(run_id)
    assert (run.status, run.owed) == ("suspended", "decision")
    context = world.resume(run_id)
    assert world.calls == ["a", "b"]
    assert context.get("approval")["by"] == "ann"
    assert context.get("approvals")["ok"]["note"] == "fine"
    with pytest.raises(NotResumable, match="is completed"):
        world.resume(run_id)
    assert world.calls == ["a", "b"]


def test_the_dispatcher_drives_the_run_on(world: World) -> None:
    run_id = at_gate(world)
    dispatcher = InlineDispatcher(world.registry, world.config, world.store)
    assert decide(world, run_id, dispatch=dispatcher).dispatched
    assert world.record(run_id).status == "completed"


def test_the_sweep_finds_what_was_decided_and_never_resumed(world: World) -> None:
    run_id = at_gate(world)
    decide(world, run_id)
    report = sweep_once(
        world.config, run_store=world.store, dispatch=InlineDispatcher(world.registry, world.config, world.store)
    )
    assert report.owed == [run_id]
    assert world.record(run_id).status == "completed"


def test_the_same_answer_again_is_a_success_that_changes_nothing(world: World) -> None:
    run_id = at_gate(world)
    first = decide(world, run_id)
    again = decide(world, run_id)
    assert again.effect == "repeated"
    assert again.answer.hash == first.answer.hash
    (gate,) = world.store.load_gates(run_id)
    assert len(gate.answers) == 1


@pytest.mark.parametrize(
    "late",
    [{"approved": False, "note": "no"}, {"by": "bob"}, {"actor": called("ann", face=Face.WEB, known_by=KnownBy.TYPED)}],
)
def test_any_other_late_answer_is_refused_naming_who_decided(world: World, late: dict[str, Any]) -> None:
    run_id = at_gate(world)
    decide(world, run_id)
    with pytest.raises(AlreadyDecided, match="was approved by ann at "):
        decide(world, run_id, **late)


def test_a_rejection_ends_the_run_and_names_gate_reviewer_and_note(world: World) -> None:
    run_id = at_gate(world)
    decide(world, run_id, approved=False, note="too much")
    with pytest.raises(GateRejected, match="Rejected at gate ok by ann: too much") as caught:
        world.resume(run_id)
    assert (caught.value.by, caught.value.note, caught.value.node) == ("ann", "too much", "ok")
    run = world.record(run_id)
    assert run.failure is not None
    assert (run.status, run.failure.kind) == ("failed", "rejected")
    with pytest.raises(NotResumable, match="was rejected at gate ok"):
        world.resume(run_id)
    assert world.calls == ["a"]
    assert world.story(run_id) == ["a 1.1 completed", "ok 1.1 failed"]
    assert world.steps(run_id)[1].error == "Rejected at gate ok by ann: too much"


def test_a_rejection_may_lead_down_another_path(world: World) -> None:
    run_id = at_gate(world, "a", "approval: {name: ok, on_reject: tell}", "b", "tell", "end")
    decide(world, run_id, approved=False)
    world.resume(run_id)
    assert world.calls == ["a", "tell", "end"]
    skipped = [step for step in world.steps(run_id) if step.node_id == "b"]
    assert skipped[0].reason == "skipped after a rejection"


def test_without_require_the_flow_reads_the_answer_itself(world: World) -> None:
    gate = "approval: {name: ok, require: false}"
    run_id = at_gate(world, "a", gate, 'b: condition: "context.data.approval.approved"', "c")
    decide(world, run_id, approved=False)
    world.resume(run_id)
    assert world.calls == ["a", "c"]


def test_resume_data_at_a_gate_is_an_answer_like_any_other(world: World) -> None:
    run_id = at_gate(world)
    with pytest.raises(NotResumable, match="neurocore runs approve"):
        world.resume(run_id)
    with pytest.raises(UsageError, match="approved: true or false"):
        world.resume(run_id, resume_data={"approved": "yes"})
    with pytest.raises(UsageError, match="colour"):
        world.resume(run_id, resume_data={"approved": True, "colour": "red"})
    context = world.resume(run_id, resume_data={"approved": True, "by": "cy", "note": "n"})
    assert context.get("approval")["by"] == "cy"
    assert not context.has("colour")
    assert not context.has("resume_data")


@pytest.mark.parametrize(
    ("rule", "approved", "needed"),
    [("required", True, True), ("required", False, True), ("on_reject", True, False), ("on_reject", False, True),
     ("optional", False, False)],
)  # fmt: skip
def test_a_gate_may_ask_for_a_note(world: World, rule: str, approved: bool, needed: bool) -> None:
    run_id = at_gate(world, "a", f"approval: {{name: ok, note: {rule}}}", "b")
    if needed:
        with pytest.raises(InputError) as caught:
            decide(world, run_id, approved=approved, note="  ")
        assert list(caught.value.problems) == ["note"]
        assert world.store.load_gates(run_id)[0].status == "open"
    decide(world, run_id, approved=approved, note="because")


@pytest.mark.parametrize("name", ["", "   ", "a\nb", "x" * 201])
def test_an_answer_needs_somebody(world: World, name: str) -> None:
    run_id = at_gate(world)
    with pytest.raises(InputError) as caught:
        decide(world, run_id, by=name)
    assert list(caught.value.problems) == ["by"]


@pytest.mark.parametrize("given", [{"note": 5}, {"by": 5}, {"by": None}])
def test_an_answer_is_made_of_words(world: World, given: dict[str, Any]) -> None:
    run_id = at_gate(world)
    with pytest.raises(InputError):
        decide(world, run_id, **given)
    assert world.store.load_gates(run_id)[0].status == "open"
    decide(world, run_id)
    with pytest.raises((InputError, AlreadyDecided)):
        decide(world, run_id, **{"approved": False, **given})


def test_an_answer_on_another_digest_is_refused(world: World) -> None:
    run_id = at_gate(world)
    with pytest.raises(GateChanged, match="look again"):
        decide(world, run_id, digest="0" * 64)
    decide(world, run_id, digest=world.store.load_gates(run_id)[0].digest)


def test_an_approval_opens_one_gate_once(world: World) -> None:
    run_id = at_gate(world, "a", GATE, "b", "approval: {name: second}", "c")
    decide(world, run_id)
    context = world.resume(run_id)
    assert context.metadata.suspended_at_node == "second"
    assert world.calls == ["a", "b"]
    with pytest.raises(NotResumable):
        world.resume(run_id)


def test_each_visit_of_a_gate_in_a_loop_needs_its_own_approval(world: World) -> None:
    world.skill("work", lambda context: context.set("n", (context.get("n") or 0) + 1))
    text = graph("a>ok ok>a?context.data.n<3 ok>after", types={"ok": "approval"})
    run_id = world.run(text).metadata.run_id
    for visit in (1, 2, 3):
        gate = world.store.load_gates(run_id)[-1]
        assert (gate.visit, gate.status) == (visit, "open")
        decide(world, run_id, gate="ok", visit=visit)
        world.resume(run_id)
    assert world.calls == ["a", "a", "a", "after"]


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


def test_answers_are_chained_by_hash(world: World) -> None:
    run_id = at_gate(world, "a", GATE, "approval: {name: second}", "b")
    first = decide(world, run_id).answer
    world.resume(run_id)
    second = decide(world, run_id, gate="second").answer
    assert first.prev_hash == ""
    assert second.prev_hash == first.hash
    assert first.sealed(run_id, "").hash == first.hash
    assert last_hash(world.store.load_gates(run_id)) == second.hash


def test_an_answer_to_a_visit_that_is_not_open_is_refused_by_its_number(world: World) -> None:
    run_id = at_gate(world)
    with pytest.raises(NoOpenGate, match=r"is suspended and has no open occurrence of a gate at visit 2\."):
        decide(world, run_id, visit=2)


def test_a_cancelled_run_takes_no_answers(world: World) -> None:
    run_id = at_gate(world)
    cancel_run(run_id, run_store=world.store, config=world.config, by="bob")
    assert world.record(run_id).status == "cancelled"
    with pytest.raises(NoOpenGate):
        decide(world, run_id)


def test_a_failure_beside_an_open_gate_voids_it_and_resume_asks_again(world: World) -> None:
    world.skill("work")
    fails = [True]

    def flaky(context: FlowContext) -> None:
        if fails.pop() if fails else False:
            raise ValueError("no")

    world.skill("flaky", flaky)
    text = graph("a>ok a>side ok>after", types={"ok": "approval", "side": "flaky"})
    with pytest.raises(Exception, match="Step side failed"):
        world.run(text)
    run_id = world.only_run().run_id
    context = world.resume(run_id)
    assert context.metadata.suspended
    gate = world.store.load_gates(run_id)[-1]
    assert (gate.visit, gate.status) == (2, "open")
    decide(world, run_id)
    world.resume(run_id)
    assert world.calls.count("after") == 1


def test_a_gate_behind_a_step_that_was_skipped_shows_what_the_step_before_that_has_set(world: World) -> None:
    world.skill("work", lambda context: context.set(context.node_id, 7))
    run_id = world.run(chain("a", "b: condition: context.data.a > 9", "approval: {name: ok}")).metadata.run_id
    (gate,) = world.store.load_gates(run_id)
    assert gate.values == {"a": 7}


def test_a_gate_shows_what_was_set_directly_before_it_whoever_drove_the_run_then(world: World) -> None:
    def work(context: FlowContext) -> None:
        if context.node_id == "b" and world.calls.count("b") == 1:
            raise ValueError
        context.set(context.node_id, 1)

    world.skill("work", work)
    with pytest.raises(ExecutionError):
        world.run(graph("start>a a>b a>ok b>ok", types={"ok": "approval"}))
    run_id = world.only_run().run_id
    world.resume(run_id)
    (gate,) = world.store.load_gates(run_id)
    assert gate.values == {"a": 1, "b": 1}


def test_the_preview_says_what_each_answer_leads_to(world: World) -> None:
    run_id = at_gate(world, "a", GATE, "b", "c: condition: context.data.n > 9", "d")
    outlook = preview(run_id, world.store)
    assert outlook.approve.runs == ["b", "d"]
    assert outlook.approve.maybe == ["c"]
    assert outlook.approve.ends == "completed"
    assert outlook.reject.ends == "failed"
    assert outlook.reject.skips == ["b", "c", "d"]


def test_the_preview_of_another_path(world: World) -> None:
    run_id = at_gate(world, "a", "approval: {name: ok, on_reject: tell}", "b", "tell", "approval: {name: last}", "end")
    outlook = preview(run_id, world.store)
    assert outlook.approve.runs == ["b", "tell", "last"]
    assert outlook.approve.ends == "waits at last"
    assert outlook.reject.runs == ["tell", "last"]
    assert outlook.reject.skips == ["b"]


def test_the_preview_knows_the_answer_when_a_condition_asks_for_it(world: World) -> None:
    run_id = at_gate(
        world, "a", "approval: {name: ok, require: false}", "b: condition: context.data.approval.approved",
        "c: condition: 'not context.get(\"approval\")[\"approved\"]'",
        "d: condition: context.data.approval.by == 'ann'",
        "e: condition: 'context.data.approval.approved and context.data.later > 3'", "f",
    )  # fmt: skip
    outlook = preview(run_id, world.store)
    assert (outlook.approve.runs, outlook.approve.maybe, outlook.approve.skips) == (["b", "f"], ["d", "e"], ["c"])
    assert (outlook.reject.runs, outlook.reject.maybe, outlook.reject.skips) == (["c", "f"], ["d"], ["b", "e"])


def test_the_preview_knows_no_answer_of_a_later_gate(world: World) -> None:
    run_id = at_gate(
        world, "a", "approval: {name: ok}", "approval: {name: last, require: false}",
        "b: condition: context.data.approval.approved",
    )  # fmt: skip
    assert preview(run_id, world.store).approve.sentence == "then waits at last"


def test_the_preview_names_what_comes_behind_a_gate_that_may_not_open(world: World) -> None:
    run_id = at_gate(
        world, "a", "approval: {name: ok}", "approval: {name: last}\n      condition: context.data.n > 9", "b", "c"
    )  # fmt: skip
    outlook = preview(run_id, world.store).approve
    assert (outlook.runs, outlook.maybe) == ([], ["last", "b", "c"])
    assert outlook.sentence == "may run b and c, may wait at last, then completed"


def test_the_preview_names_every_gate_that_an_answer_leads_to(world: World) -> None:
    run_id = graph_at_gate(world, "a>ok ok>left ok>right left>x ok>x", extra={"x": ", join: any"})
    assert preview(run_id, world.store).approve.sentence == "runs left, right and x, then completed"
    world.skill("work")
    text = graph("a>ok ok>left ok>right left>x ok>x", types=dict.fromkeys(("ok", "left", "right"), "approval"),
                 extra={"x": ", join: any"})  # fmt: skip
    run_id = world.run(text).metadata.run_id
    assert preview(run_id, world.store).approve.sentence == "runs x, then waits at left and right"


def test_the_preview_of_a_loop_says_which_answer_goes_back(world: World) -> None:
    world.skill("work")
    by_condition = "a>ok ok>a?not~context.data.approval.approved ok>b?context.data.approval.approved"
    by_port = "a>ok ok>a[rejected] ok>b[approved]"
    for edges in (by_condition, by_port):
        run_id = world.run(
            graph(edges, types={"ok": "approval"}).replace("type: approval", "type: approval, config: {require: false}")
        ).metadata.run_id
        outlook = preview(run_id, world.store)
        assert (outlook.approve.runs, outlook.approve.ends) == (["b"], "completed"), edges
        assert (outlook.reject.ends, outlook.reject.skips) == ("goes back to a", ["b"]), edges
        assert outlook.approve.sentence == "runs b, then completed", edges
        assert outlook.reject.sentence == "skips b, then goes back to a", edges


def graph_at_gate(world: World, edges: str, extra: dict[str, str] | None = None) -> str:
    """A run of a graph that waits at its gate `ok`, at which a rejection does not end it."""
    world.skill("work")
    text = graph(edges, types={"ok": "approval"}, extra=extra)
    return world.run(text.replace("type: approval", "type: approval, config: {require: false}")).metadata.run_id


def test_the_preview_knows_what_branches_beside_the_gate_lead_to(world: World) -> None:
    run_id = graph_at_gate(world, "a>ok a>b b>c ok>c[approved] ok>d[approved] d>c")
    outlook = preview(run_id, world.store)
    assert (outlook.reject.runs, outlook.reject.skips) == (["c"], ["d"])
    decide_gate(run_id, approved=False, by="ann", run_store=world.store)
    world.resume(run_id)
    assert world.calls == ["a", "b", "c"]


def test_the_preview_leaves_out_what_did_not_wait_for_the_gate(world: World) -> None:
    run_id = graph_at_gate(world, "a>ok a>b b>c ok>c c>d ok>e", extra={"c": ", join: any"})
    assert world.calls == ["a", "b", "c", "d"]
    outlook = preview(run_id, world.store)
    assert (outlook.approve.runs, outlook.approve.skips) == (["e"], [])


def test_the_preview_is_not_sure_what_a_branch_that_has_not_come_to_its_end_leads_to(world: World) -> None:
    world.skill("work")
    text = graph("a>ok a>other ok>c[approved] other>c", types={"ok": "approval", "other": "approval"})
    run_id = world.run(text.replace("type: approval", "type: approval, config: {require: false}")).metadata.run_id
    outlook = preview(run_id, world.store, gate="ok")
    assert (outlook.reject.maybe, outlook.reject.skips) == (["c"], [])


def test_the_preview_is_of_the_open_occurrence_that_is_named(world: World) -> None:
    world.skill("work")
    text = graph("a>first a>ok a>last first>x ok>y last>z", types=dict.fromkeys(("first", "ok", "last"), "approval"))
    run_id = world.run(text).metadata.run_id
    assert preview(run_id, world.store, gate="ok").approve.runs == ["y"]
    assert preview(run_id, world.store, gate="last", visit=1).approve.runs == ["z"]
    decide(world, run_id, gate="first")
    world.resume(run_id)
    assert preview(run_id, world.store).approve.runs == ["y"]
    for gate, visit in (("first", None), ("ok", 2), ("a", None)):
        with pytest.raises(NoOpenGate):
            preview(run_id, world.store, gate=gate, visit=visit)


def test_the_preview_looks_past_an_occurrence_that_was_voided(world: World) -> None:
    world.skill("work", lambda context: context.set("n", 2 if context.node_id == "b" else 1))
    text = graph("a>ok a>b ok>c c>last b>last last>d ok>d", types={"ok": "approval", "last": "approval"})
    run_id = world.run(text).metadata.run_id
    assert [(gate.visit, gate.status) for gate in world.store.load_gates(run_id)] == [(1, "voided"), (2, "open")]
    assert preview(run_id, world.store).approve.runs == ["c", "last"]
    decide(world, run_id)
    assert world.resume(run_id).metadata.suspended_at_node == "last"
    outlook = preview(run_id, world.store)
    assert (outlook.approve.runs, outlook.reject.skips) == (["d"], ["d"])


def test_the_preview_knows_that_what_a_loop_leads_to_waits_until_the_loop_rests(world: World) -> None:
    run_id = graph_at_gate(world, "a>b b>ok a>other ok>c ok>b[rejected]")
    outlook = preview(run_id, world.store)
    assert (outlook.approve.runs, outlook.approve.maybe) == (["c"], [])
    assert (outlook.reject.runs, outlook.reject.maybe, outlook.reject.ends) == ([], ["c"], "goes back to b")
    run_id = graph_at_gate(world, "a>ok a>after ok>c[approved] ok>a[rejected]")
    assert preview(run_id, world.store).approve.maybe == ["after"]
    world.calls.clear()
    decide_gate(run_id, approved=True, by="ann", run_store=world.store)
    world.resume(run_id)
    assert sorted(world.calls) == ["after", "c"]


def test_what_differs_from_the_last_approved(world: World) -> None:
    world.skill("work", lambda context: context.set("sum", {"total": context.get("x"), "currency": "EUR"}))
    text = chain("a", "approval: {name: ok}", "b")
    first = world.run(text, initial_data={"x": 1}).metadata.run_id
    decide(world, first)
    world.resume(first)
    second = world.run(text, initial_data={"x": 2}).metadata.run_id
    found = last_approved(second, "ok", world.store)
    assert found is not None
    assert found.run.run_id == first
    assert [(one.key, one.before, one.after, one.kind) for one in found.differences] == [("sum.total", 1, 2, "changed")]
    compared = compare_runs(first, second, world.store)
    assert [one.key for one in compared.inputs] == ["x"]
    assert compared.blueprint == []
    pairs = [(pair.node_id, [one.key for one in pair.differences], pair.second is None) for pair in compared.steps]
    assert pairs == [("a", ["sum.total"], False), ("ok", ["approval", "approvals"], False), ("b", [], True)]


def test_only_an_approval_of_the_same_gate_in_another_run_is_compared_with(world: World) -> None:
    world.skill("work", lambda context: context.set("n", context.get("x")))
    text = chain("a", "approval: {name: ok, require: false}", "approval: {name: other}")

    def run(x: int, **answers: bool) -> str:
        run_id = world.run(text, initial_data={"x": x}).metadata.run_id
        for gate, approved in answers.items():
            decide(world, run_id, gate=gate, approved=approved)
            world.resume(run_id)
        return run_id

    first = run(1, ok=True, other=True)
    run(2, ok=False, other=True)
    third = run(3, ok=True)
    found = last_approved(third, "ok", world.store)
    assert found is not None
    assert (found.run.run_id, found.gate.node_id) == (first, "ok")
    assert [(one.key, one.before, one.after) for one in found.differences] == [("n", 1, 3)]
    assert last_approved(third, "a", world.store) is None


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        ({"a": [1, {"b": 2}, 3]}, {"a": [1, {"b": 4}]}, [("a[1].b", "changed"), ("a[2]", "removed")]),
        ({"a": [1]}, {"a": [1, 2], "b": 3}, [("a[1]", "added"), ("b", "added")]),
        ({"a": [1], "b": {}}, {"a": {"x": 1}, "b": []}, [("a", "changed"), ("b", "changed")]),
        ({"a": 1, "b": [1]}, {"a": 1.0, "b": 1}, [("a", "changed"), ("b", "changed")]),
        ({"a": float("nan"), "b": [float("nan")]}, {"a": float("nan"), "b": [float("nan")]}, []),
    ],
)
def test_what_differs_is_found_within_lists_and_mappings(before: Any, after: Any, found: list[Any]) -> None:
    assert [(one.key, one.kind) for one in differences(before, after)] == found


class Death(Interruption):
    """Ends a drive as the death of its process would."""


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
