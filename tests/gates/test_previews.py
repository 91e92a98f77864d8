"""The preview of a gate and the comparison with the run that was approved last."""

from __future__ import annotations

from typing import Any

import pytest

from neurocore.differences import compare as differences
from neurocore.errors import (
    NoOpenGate,
)
from neurocore.gates.compare import compare_runs, last_approved
from neurocore.gates.preview import preview
from neurocore.runtime.executor import decide_gate
from tests.gates.test_gates import GATE, at_gate, decide
from tests.runtime.test_flows import graph
from tests.runtime.worlds import World, chain


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
