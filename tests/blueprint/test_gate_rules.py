"""What no gate can mean, and what a gate cannot mean in its flow or with the people that there are."""

from __future__ import annotations

import itertools
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurocore.blueprint.gate_lint import Known, gate_errors, gate_warnings, is_enough
from neurocore.blueprint.gate_rules import duration, form_of, rule_problems
from neurocore.blueprint.model import Blueprint, Component, Edge, Flow, Node, Step
from neurocore.blueprint.plan import Plan, compile_plan


def said(config: dict[str, Any]) -> list[str]:
    return [f"{'.'.join(map(str, place))}: {sentence}" for place, sentence in rule_problems(config)]


@pytest.mark.parametrize(
    "config",
    [
        {}, {"message": "Go?"}, {"approvers": ["ann", "group:finance", "a.b+c@d-e"], "required": 2},
        {"stages": [{"approvers": ["ann"]}, {"required": 2}, {}]}, {"self_approval": False, "distinct_from": ["first"]},
        {"deadline": "4h", "on_deadline": "reject"}, {"deadline": "context.data.order.due", "on_deadline": "keep"},
        {"escalate": {"after": "30 min", "to": ["group:board"]}, "remind": "1d"}, {"undo": "5m"}, {"undo": "0s"},
        {"show": ["total", "text"], "editable": ["text"]}, {"request_changes": {"to": "draft"}},
        {"form": {"reason": "string", "sum": {"type": "decimal", "default": 1}, "any": None}}, {"bulk": True},
        {"fresh_login": "10min", "signature": "passkey"}, {"approvers": None, "form": None},
    ],
)  # fmt: skip
def test_rules_that_mean_something_have_no_problem(config: dict[str, Any]) -> None:
    assert said(config) == []


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"approvers": "ann"}, "approvers: Expected a list, not 'ann'; write `approvers: [ann]`."),
        ({"approvers": ["Ann"]},
         "approvers.0: 'Ann' is neither a username (lower-case letters, digits, . _ @ + -) nor group:NAME."),
        ({"approvers": ["group:"]}, "approvers.0: 'group:' is neither a username"),
        ({"approvers": ["ann", "ann"]}, "approvers.1: 'ann' is named twice; remove one."),
        ({"required": 0}, "required: Expected a number >= 1, not 0."),
        ({"required": True}, "required: Expected a whole number, not true."),
        ({"stages": []}, "stages: Give at least one stage, or leave `stages` out."),
        ({"stages": [{}], "required": 2}, "required: With `stages`, each stage has its own required; remove this one."),
        ({"stages": [{}], "approvers": ["ann"]}, "approvers: With `stages`, each stage has its own approvers"),
        ({"stages": [{"approver": ["ann"]}]}, "did you mean 'approvers'?"),
        ({"stages": [{"approvers": ["A"]}]}, "stages.0.approvers.0: 'A' is neither"),
        ({"deadline": "soon!"}, "deadline: Expected a duration such as 4h, or an expression that gives a time: "),
        ({"deadline": "0h"}, "deadline: A deadline is 1s to a year after the opening, not '0h'."),
        ({"deadline": "9999d"}, "deadline: A deadline is 1s to a year"),
        ({"on_deadline": "reject"}, "on_deadline: There is no deadline; add `deadline`, or remove this."),
        ({"on_deadline": "approve", "deadline": "4h"}, "on_deadline: Expected one of keep, reject, not 'approve'."),
        ({"escalate": {"after": "4h", "to": []}}, "escalate.to: Say who is asked as well"),
        ({"escalate": {"after": "late", "to": ["ann"]}}, "escalate.after: Expected a duration such as 10m, 4h or 2d"),
        ({"remind": "0s"}, "remind: This duration is 0; give a longer one, or leave the key out."),
        ({"undo": "6m"}, "undo: An answer can be withdrawn for at most 5m, not 6m."),
        ({"undo": "soon"}, "undo: Expected a duration such as 10m"),
        ({"bulk": True, "signature": "passkey", "form": {"a": None}},
         "bulk: A gate with form and signature is answered one by one; remove `bulk`."),
        ({"bulk": True, "show": ["a"], "editable": ["a"]}, "bulk: A gate with editable is answered one by one"),
        ({"editable": ["a"]}, "editable: `editable` names keys of `show`, so write `show` too."),
        ({"show": ["a"], "editable": ["b"]}, "editable.0: 'b' cannot be edited, because the gate does not show it"),
        ({"show": ["a"], "editable": ["a", "a"]}, "editable.1: 'a' is named twice; remove one."),
        ({"request_changes": {"to": "a", "max": 0}}, "request_changes.max: Expected a number >= 1, not 0."),
        ({"request_changes": "a"}, "request_changes: Expected a mapping, not 'a'; write `request_changes: {to: a}`."),
        ({"signature": "pen"}, "signature: Expected one of none, passkey, not 'pen'."),
        ({"form": {"pin": {"secret": True}}},
         "form.pin.secret: What people give at a gate is recorded, so no field of it is secret."),
        ({"form": {"note": "string"}}, "form.note: A form cannot call a field 'note', which every answer has."),
        ({"form": {"n": {"type": "integer", "default": "x"}}}, "form.n.default: Expected a whole number, not 'x'."),
        ({"form": {"n": {"typ": "integer"}}}, "did you mean 'type'?"),
        ({"form": {"n": {"default": float("nan")}}}, "form.n.default: nan cannot be stored with the gate"),
    ],
)  # fmt: skip
def test_each_mistake_is_one_sentence_where_it_is(config: dict[str, Any], sentence: str) -> None:
    (found,) = said(config)
    assert sentence in found
    assert found.endswith((".", "?"))


def test_a_duration_is_a_number_and_a_unit_up_to_a_year() -> None:
    assert [duration(text) for text in ("90s", "10m", "90 min", "4h", "2d", "1w")] == [
        timedelta(seconds=90), timedelta(minutes=10), timedelta(minutes=90), timedelta(hours=4), timedelta(days=2),
        timedelta(weeks=1),
    ]  # fmt: skip
    assert [duration(text) for text in ("", "4", "1.5h", "-1h", "h", "4 hours", "999999999w")] == [None] * 7


def test_a_form_s_short_forms_are_written_out() -> None:
    form = form_of({"form": {"reason": "string", "parts": {"type": "array"}, "any": None}})
    assert {name: one.type for name, one in form.items()} == {"reason": "string", "parts": "list", "any": "any"}
    assert form_of({}) == {}


# -------------------------------------------------------------------- in a flow


def gate(name: str, **config: Any) -> Component:
    return Component(name=name, type="approval", config=config)


def chain(*components: Component, kind: Any = "sequential") -> Plan:
    steps = [Step(component=one.name) for one in components]
    return compile_plan(Blueprint(name="x", components=list(components), flow=Flow(type=kind, steps=steps)))


def drawn(edges: str, *components: Component) -> Plan:
    nodes = [Node(id=one.name, component=one.name) for one in components]
    ways = [Edge(source=edge[0], target=edge[1]) for edge in edges.split()]
    flow = Flow(type="graph", nodes=nodes, edges=ways)
    return compile_plan(Blueprint(name="x", components=list(components), flow=flow))


def work(name: str) -> Component:
    return Component(name=name, type="work")


def errors(plan: Plan, **known: Any) -> list[str]:
    return [sentence for _, _, sentence in gate_errors(plan, Known(**known))]


def warnings(plan: Plan, **known: Any) -> list[str]:
    return [sentence for _, _, sentence in gate_warnings(plan, Known(**known))]


def one(**config: Any) -> Plan:
    return chain(gate("g", **config))


def test_a_gate_is_distinct_from_another_gate() -> None:
    plan = chain(work("a"), gate("first"), gate("g", distinct_from=["first"]))
    assert errors(plan) == []
    for name, sentence in {
        "g": "The gate g cannot be distinct from itself; name another gate.",
        "a": "The gate g is distinct from 'a', which is not a gate",
        "frist": "The gate g is distinct from 'frist', which is not a gate; did you mean 'first'?",
    }.items():
        (found,) = errors(chain(work("a"), gate("first"), gate("g", distinct_from=[name])))
        assert found.startswith(sentence)


def test_changes_go_back_to_a_node_on_every_path_to_the_gate() -> None:
    back = {"request_changes": {"to": "a"}}
    assert errors(chain(work("a"), work("b"), gate("g", **back))) == []
    assert errors(chain(gate("g", **back), work("a"))) == [
        "Not every path to the gate g goes through a; name a node that every path has."
    ]
    parts = work("a"), work("b"), work("c"), gate("g", **back)
    assert errors(drawn("ab ac bg cg", *parts)) == []
    assert len(errors(drawn("ab bg cg", *parts))) == 1  # c starts a path of its own
    assert len(errors(drawn("ba bg ag", *parts))) == 1
    assert errors(drawn("ab ba bg", *parts[:2], parts[3])) == []  # a loop changes nothing
    assert errors(one(request_changes={"to": "g"})) == [
        "The gate g cannot send changes to itself; name a node before it."
    ]
    assert errors(one(request_changes={"to": "x"}))[0].startswith(
        "The gate g sends changes to 'x', which is not a node"
    )
    assert "In a conditional flow" in errors(chain(work("a"), gate("g", **back), kind="conditional"))[0]


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)).filter(lambda way: way[0] < way[1]), max_size=10))
def test_on_every_path_is_what_walking_each_path_gives(pairs: list[tuple[int, int]]) -> None:
    names = "abcdef"
    parts = [gate(name) if name == "f" else work(name) for name in names]
    plan = drawn(" ".join(names[source] + names[target] for source, target in dict.fromkeys(pairs)), *parts)
    paths, walking = [], [[node.index] for node in plan.nodes if not plan.incoming[node.index]]
    while walking:
        path = walking.pop()
        if path[-1] == 5:
            paths.append(path)
        walking += [[*path, target] for target in plan.onward(path[-1])]
    for node in plan.nodes[:5]:
        from neurocore.blueprint.gate_lint import is_on_every_path

        assert is_on_every_path(plan, node, plan.nodes[5]) == all(node.index in path for path in paths)


def test_a_rule_that_the_mode_cannot_give_is_an_error() -> None:
    asks = one(signature="passkey", fresh_login="10m")
    sentence = "With auth.mode {} nobody can give what `{}` of the gate g asks for; remove it, or choose another mode."
    assert errors(asks, mode="open") == [sentence.format("open", "signature"), sentence.format("open", "fresh_login")]
    assert errors(asks, mode="proxy") == [sentence.format("proxy", "fresh_login")]
    assert errors(asks, mode="local") == errors(asks, mode="oidc") == errors(asks) == []


# -------------------------------------------------------------------- people


GROUPS = {"finance": ["ann", "bea"], "legal": ["bea"], "none": []}


def test_a_gate_that_nobody_can_satisfy_is_a_likely_mistake() -> None:
    assert warnings(one(approvers=["group:none"]), groups=GROUPS) == [
        "The gate g asks the group none, which has no members."
    ]
    assert warnings(one(approvers=["zoe"]), users=["ann"]) == ["The gate g asks zoe, which is nobody's username."]
    assert warnings(one(approvers=["group:none", "zoe"])) == []  # nothing is known


def test_more_approvals_than_people() -> None:
    assert warnings(one(approvers=["ann"], required=2)) == [
        "The gate g needs 2 approvals, and 1 person can give one; each person counts once."
    ]
    assert warnings(one(approvers=["group:finance"], required=3), groups=GROUPS)[0].startswith("The gate g needs 3")
    assert warnings(one(required=3), users=["ann", "bea"])[0].startswith("The gate g needs 3 approvals, and 2 people")
    assert warnings(one(required=3)) == []
    escalated = {"escalate": {"after": "1h", "to": ["carla"]}}
    assert warnings(one(approvers=["ann"], required=2, **escalated)) == []
    twice = [{"approvers": ["ann"]}, {"approvers": ["ann"]}]
    assert warnings(one(stages=twice))[0].startswith("The gate g needs 2 approvals, and 1 person")
    assert warnings(one(stages=[{"approvers": ["group:legal"]}, {"approvers": ["group:finance"]}]), groups=GROUPS) == []


def test_who_cannot_be_done_without_and_may_not_approve_their_own_run() -> None:
    (found,) = warnings(one(approvers=["ann"], self_approval=False))
    assert found == (
        "The gate g cannot do without ann, and nobody may approve their own run: if ann starts it, nobody can approve "
        "it; ask more people."
    )
    assert "one of them starts it" in warnings(one(approvers=["ann", "bea"], required=2, self_approval=False))[0]
    assert warnings(one(approvers=["ann", "bea"], self_approval=False)) == []
    stages = [{"approvers": ["group:legal"]}, {"approvers": ["group:finance"]}]
    found = warnings(one(stages=stages, self_approval=False), groups=GROUPS)[0]
    assert "cannot do without ann and bea" in found
    assert warnings(one(approvers=["ann"])) == []


@given(st.lists(st.tuples(st.sets(st.sampled_from("abcd")), st.integers(1, 3)), min_size=1, max_size=3))
def test_there_are_enough_people_if_some_way_to_share_them_out_exists(stages: list[tuple[set[str], int]]) -> None:
    ways = itertools.product(range(-1, len(stages)), repeat=4)
    shared = any(
        all(
            sum(stage == number and name in people for name, stage in zip("abcd", way, strict=True)) >= required
            for number, (people, required) in enumerate(stages)
        )
        for way in ways
    )
    assert is_enough(stages) == shared


# -------------------------------------------------------------------- time


def test_a_deadline_without_effect_and_what_comes_after_it() -> None:
    assert warnings(one(deadline="4h"))[0].startswith("The deadline of the gate g only marks it as overdue")
    assert warnings(one(deadline="4h", remind="1h")) == []
    late = one(deadline="1h", on_deadline="reject", remind="1h", escalate={"after": "2h", "to": ["ann"]})
    assert warnings(late) == [
        "The deadline of the gate g comes before `remind`, which never happens then.",
        "The deadline of the gate g comes before `escalate`, which never happens then.",
    ]
