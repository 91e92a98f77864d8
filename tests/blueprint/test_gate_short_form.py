"""`approval: {…}` among the steps or nodes is a component of type approval and a place that names it."""

from __future__ import annotations

import pytest

from neurocore.blueprint.model import Blueprint
from neurocore.errors import BlueprintError
from neurocore.runtime.blueprint import parse_blueprint


def chain(*steps: str, components: str = "{name: a, type: t}") -> Blueprint:
    lines = "".join(f"    - {step}\n" for step in steps)
    return parse_blueprint(f"name: x\ncomponents: [{components}]\nflow:\n  steps:\n{lines}")


def test_short_and_long_form_make_the_same_blueprint() -> None:
    short = chain("component: a", "approval: {name: review, message: Go?, show: [rows], note: required}")
    long = chain(
        "component: a",
        "component: review",
        components="{name: a, type: t}, {name: review, type: approval, config: "
        "{message: Go?, show: [rows], note: required}}",
    )
    assert short.definition() == long.definition()
    assert short.hash == long.hash


def test_an_empty_gate_is_called_approval() -> None:
    blueprint = chain("component: a", "approval:")
    assert blueprint.node_ids == ["a", "approval"]
    assert blueprint.component("approval").type == "approval"


def test_keys_beside_the_gate_are_the_step_s() -> None:
    steps = chain("{approval: {name: g}, condition: context.data.x > 1, on_error: skip, description: Why}").flow.steps
    assert steps is not None
    assert (steps[0].condition, steps[0].on_error, steps[0].description) == ("context.data.x > 1", "skip", "Why")


def test_the_same_gate_may_stand_twice() -> None:
    blueprint = chain("approval: {name: g, note: required}", "component: a", "approval: {name: g, note: required}")
    assert blueprint.node_ids == ["g", "a", "g#2"]
    assert len(blueprint.components) == 2


def test_two_gates_that_differ_need_two_names() -> None:
    with pytest.raises(BlueprintError, match=r"steps\[1\]\.approval: Another gate is called 'approval'"):
        chain("approval: {message: First?}", "approval: {message: Second?}")


def test_a_gate_may_name_an_approval_component_but_not_redefine_it() -> None:
    review = "{name: a, type: t}, {name: review, type: approval, config: {note: required}}"
    assert len(chain("approval: {name: review}", components=review).components) == 2
    with pytest.raises(BlueprintError, match="There is a component 'review' already"):
        chain("approval: {name: review, note: optional}", components=review)
    with pytest.raises(BlueprintError, match="There is a component 'a' already"):
        chain("approval: {name: a}")


def test_a_place_is_a_component_or_a_gate() -> None:
    with pytest.raises(BlueprintError, match="A place has a component or an approval, not both"):
        chain("{approval: {name: g}, component: a}")


@pytest.mark.parametrize(
    ("gate", "sentence"),
    [
        ("yes", "steps[0].approval: Expected a mapping, not true."),
        ("{show: total}", "steps[0].approval.show: Expected a list, not 'total'; write `show: [total]`."),
        ("{require: maybe}", "steps[0].approval.require: Expected true or false, not 'maybe'."),
        ("{mesage: Go?}", "There is no key 'mesage' here; did you mean 'message'?"),
        ('{name: "a\\eb"}', "steps[0].approval.name: A name cannot have control characters"),
        ("{name: [a]}", "steps[0].approval.name: Expected text, not a list."),
    ],
)
def test_a_gate_s_mistake_is_named_where_it_stands(gate: str, sentence: str) -> None:
    with pytest.raises(BlueprintError) as caught:
        chain(f"approval: {gate}")
    assert sentence in str(caught.value)
    assert len(caught.value.problems) == 1, str(caught.value)


def test_in_a_graph_the_gate_is_a_node_under_its_name_or_its_id() -> None:
    blueprint = parse_blueprint(
        "name: x\ncomponents: [{name: a, type: t}]\nflow:\n  type: graph\n  nodes:\n    - {id: a, component: a}\n"
        "    - approval: {name: review}\n    - {approval: {name: review}, id: again, join: any}\n"
        "  edges: [{source: a, target: review}, {source: review, target: again}]\n"
    )
    assert blueprint.node_ids == ["a", "review", "again"]
    assert [node.component for node in blueprint.flow.nodes or ()] == ["a", "review", "review"]


def test_a_flow_of_gates_needs_no_components() -> None:
    assert parse_blueprint("name: x\nflow: {steps: [{approval: {name: only}}]}").node_ids == ["only"]
