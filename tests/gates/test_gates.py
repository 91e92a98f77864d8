"""Promises 4 to 7 at the gate: one outcome, never lost, what was approved and nothing else, one gate once."""

from __future__ import annotations

import re
from typing import Any

import pytest

from neurocore import FlowContext, failpoints
from neurocore.access.actor import Face, KnownBy, called
from neurocore.drivers.dispatch import InlineDispatcher
from neurocore.drivers.sweep import sweep_once
from neurocore.errors import (
    AlreadyDecided,
    ExecutionError,
    GateChanged,
    GateRejected,
    InputError,
    Interruption,
    NoOpenGate,
    NotResumable,
    UsageError,
)
from neurocore.gates.evidence import groups_of, who_asks
from neurocore.persistence.projections import last_hash
from neurocore.runtime.executor import cancel_run, decide_gate
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


def test_the_same_name_on_another_face_is_the_same_person(world: World) -> None:
    run_id = at_gate(world)
    decide(world, run_id)
    again = decide(world, run_id, actor=called("Ann", face=Face.WEB, known_by=KnownBy.TYPED))
    assert again.effect == "repeated"


@pytest.mark.parametrize("late", [{"approved": False, "note": "no"}, {"by": "bob"}])
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


class Death(Interruption):
    """Ends a drive as the death of its process would."""


def test_in_open_mode_the_configuration_says_who_is_in_a_group(world: World) -> None:
    world.store.open_groups = {"finance": ["Ann", "bea"]}
    run_id = at_gate(world)
    run = world.store.load_summary(run_id)
    assert run is not None
    assert who_asks(called(" ANN ", face=Face.WEB), run, world.store).groups == ("finance",)
    decide(world, run_id)
    (answer,) = world.store.load_gates(run_id)[0].answers
    assert answer.groups == ("finance",)
    assert groups_of(called("carl", face=Face.WEB), world.store) == ()
    world.store.auth_mode = "local"
    assert groups_of(called("ann", face=Face.WEB), world.store) == ()
