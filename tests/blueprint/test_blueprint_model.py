"""A blueprint, its stored form and its hash."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurocore.blueprint.model import (
    Blueprint,
    Component,
    Edge,
    Flow,
    InputSpec,
    Node,
    Retry,
    Settings,
    Step,
    name_problem,
)
from neurocore.errors import BlueprintError
from neurocore.runtime.blueprint import parse_blueprint

#: What 0.4 stored: every default spelled out, settings of any name.
STORED_BY_04: dict[str, Any] = {
    "name": "research",
    "version": "1.0",
    "description": None,
    "components": [
        {"name": "draft", "type": "echo", "config": {"prefix": None}},
        {"name": "human_review", "type": "approval", "config": {"require": True}},
    ],
    "flow": {
        "type": "sequential",
        "settings": {"timeout_seconds": 300.0, "convergence_keys": ["a"], "made_up": 1},
        "steps": [
            {"component": "draft", "description": None, "condition": None, "on_error": "fail"},
            {"component": "human_review", "description": None, "condition": None, "on_error": "fail"},
        ],
        "nodes": None,
        "edges": None,
    },
}


def test_a_snapshot_of_04_is_read() -> None:
    blueprint = Blueprint.from_snapshot(STORED_BY_04)
    assert blueprint.node_ids == ["draft", "human_review"]
    assert blueprint.component("draft").config == {"prefix": None}
    assert blueprint.flow.settings.timeout_seconds == 300.0
    assert blueprint.flow.settings.without_effect == ["convergence_keys"]


def test_a_graph_of_04_is_read() -> None:
    nodes = [{"id": "a", "component": "draft", "description": None, "on_error": "continue"}]
    edges = [{"source": "a", "target": "a", "port": None, "condition": None}]
    flow: dict[str, Any] = {"type": "graph", "settings": {}, "steps": None, "nodes": nodes, "edges": edges}
    blueprint = Blueprint.from_snapshot({**STORED_BY_04, "flow": flow})
    assert blueprint.flow.nodes == [Node(id="a", component="draft", on_error="continue")]
    assert blueprint.flow.edges == [Edge(source="a", target="a")]


@pytest.mark.parametrize("change", [{"flow": None}, {"name": 3}, {"from_the_future": 1}, {"components": {}}])
def test_a_stored_blueprint_that_cannot_be_read_is_one_sentence(change: dict[str, Any]) -> None:
    with pytest.raises(BlueprintError, match="The blueprint stored with this run cannot be read"):
        Blueprint.from_snapshot({**STORED_BY_04, **change})


def test_the_hash_is_of_the_meaning_and_not_of_the_spelling() -> None:
    one = parse_blueprint("name: x\ncomponents: [{name: a, type: t}]\nflow: {steps: [{component: a}]}\n")
    other = parse_blueprint(
        "# the same\nflow:\n  type: sequential\n  settings: {fail_fast: true}\n  steps:\n  - component: a\n"
        "components:\n- type: t\n  name: a\n  config: {}\nname: 'x'\n"
    )
    assert one.source != other.source
    assert one.hash == other.hash
    changed = parse_blueprint(
        "name: x\ncomponents: [{name: a, type: t}]\nflow: {steps: [{component: a, timeout: 3}]}\n"
    )
    assert changed.hash != one.hash


def test_a_default_of_null_is_kept() -> None:
    blueprint = Blueprint(
        name="x", inputs={"a": InputSpec(default=None)}, components=[Component(name="c", type="t")], flow=Flow()
    )
    again = Blueprint.from_snapshot(blueprint.snapshot())
    assert again.inputs["a"].default is None
    assert not again.inputs["a"].is_required


@pytest.mark.parametrize(
    ("name", "fine"),
    [
        ("pay", True), ("Überweisung nach 日本", True), ("\u200fעברית", True), ("🏦", True), ("a" * 200, True),
        ("a" * 201, False), ("a\nb", False), ("\x1b[31m", False), ("a\u2028b", False), ("\u202eb", False),
        ("\ud800", False), ("", False), (" \t", False), ("\x85", False),
    ],
)  # fmt: skip
def test_names_are_of_any_writing_without_control_characters(name: str, fine: bool) -> None:
    assert (name_problem(name) is None) is fine, name_problem(name)


def test_conditions_that_fail_to_evaluate_skip_in_conditional_flows_only() -> None:
    assert Settings().condition_policy("conditional") == "skip"
    assert Settings().condition_policy("graph") == "fail"
    assert Settings(on_condition_error="warn").condition_policy("conditional") == "warn"


names = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=10)
plain = st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(max_size=5) | st.dates()
configs = st.dictionaries(
    names, st.recursive(plain, lambda inner: st.lists(inner, max_size=2), max_leaves=4), max_size=3
)
retries = st.none() | st.builds(Retry, max=st.integers(0, 5), on=st.lists(names, max_size=2), delay=st.floats(0, 10))
steps = st.builds(
    Step,
    component=st.just("a"),
    condition=st.none() | st.just("context.data.x"),
    on_error=st.sampled_from(["fail", "skip", "continue"]),
    timeout=st.none() | st.floats(0.1, 100),
    retry=retries,
)
specs = st.builds(InputSpec, default=plain, required=st.none() | st.booleans(), secret=st.booleans(), description=names)
blueprints = st.builds(
    Blueprint,
    name=names,
    version=names,
    description=st.none() | names,
    title=st.none() | names,
    inputs=st.dictionaries(names, specs, max_size=3),
    components=st.builds(Component, name=st.just("a"), type=names, config=configs).map(lambda one: [one]),
    flow=st.builds(
        Flow,
        type=st.sampled_from(["sequential", "conditional"]),
        settings=st.builds(Settings, fail_fast=st.booleans(), max_iterations=st.integers(1, 50)),
        steps=st.lists(steps, min_size=1, max_size=3),
    ),
    source=st.none() | st.text(max_size=10),
)


@settings(deadline=None)
@given(blueprints)
def test_what_is_stored_comes_back_equal_and_with_the_same_hash(blueprint: Blueprint) -> None:
    again = Blueprint.from_snapshot(blueprint.snapshot())
    assert again == blueprint
    assert again.hash == blueprint.hash


def test_a_date_in_a_config_survives_the_snapshot() -> None:
    blueprint = parse_blueprint(
        "name: x\ncomponents: [{name: a, type: t, config: {day: 2026-03-31}}]\nflow: {steps: [{component: a}]}\n"
    )
    assert Blueprint.from_snapshot(blueprint.snapshot()).components[0].config == {"day": dt.date(2026, 3, 31)}


def test_a_snapshot_of_plain_values_is_json() -> None:
    blueprint = Blueprint.from_snapshot(STORED_BY_04)
    assert Blueprint.from_snapshot(json.loads(json.dumps(blueprint.snapshot()))) == blueprint
