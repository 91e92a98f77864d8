"""The JSON Schema says what the loader takes, and the page about the file names every key."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from neurocore.blueprint import model
from neurocore.blueprint.schema import blueprint_schema
from neurocore.errors import BlueprintError
from neurocore.runtime.blueprint import parse_blueprint, validate_blueprint
from neurocore.skills.loader import discover_skills
from neurocore.yamlfile import parse

PAGE = Path(__file__).parents[2] / "docs" / "blueprints.md"
EXAMPLES = re.findall(r"```yaml\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
STRUCTS = [
    model.Definition, model.InputSpec, model.Component, model.Flow, model.Step, model.Node, model.Edge, model.Retry,
    model.Settings, model.Gate,
]  # fmt: skip


@pytest.fixture(scope="module")
def validator() -> Any:
    schema = blueprint_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def test_the_schema_is_plain_json() -> None:
    assert json.loads(json.dumps(blueprint_schema())) == blueprint_schema()


def test_every_key_has_a_description_for_the_editor() -> None:
    for name, definition in blueprint_schema()["$defs"].items():
        for form in definition.get("anyOf", [definition]):
            for key, one in form["properties"].items():
                assert "description" in one or key == "approval", f"{name}.{key} is not described"


@pytest.mark.parametrize("text", EXAMPLES, ids=lambda text: text.split("\n")[0])
def test_every_example_of_the_page_is_sound_and_fits_the_schema(text: str, validator: Any, tmp_path: Path) -> None:
    assert validate_blueprint(parse_blueprint(text), discover_skills(skills_dir=tmp_path)) == []
    validator.validate(as_json(parse(text).data))


def as_json(value: Any) -> Any:
    """What an editor makes of it: dates are text."""
    return json.loads(json.dumps(value, default=str))


@pytest.mark.parametrize("struct", STRUCTS, ids=lambda struct: struct.__name__)
def test_the_page_names_every_key(struct: type[msgspec.Struct]) -> None:
    page = PAGE.read_text("utf-8")
    missing = [one.name for one in msgspec.structs.fields(struct) if f"`{one.name}`" not in page]
    assert missing == [], f"docs/blueprints.md does not name {missing} of {struct.__name__}"


def test_the_page_names_every_type_of_input() -> None:
    page = PAGE.read_text("utf-8")
    types = blueprint_schema()["$defs"]["InputSpec"]["properties"]["type"]["enum"]
    assert [one for one in types if f"`{one}`" not in page] == []


@pytest.mark.parametrize(
    "text",
    [
        "name: x",
        "name: x\nflow: {}",
        "name: x\nflow: {type: graph}",
        "name: x\nflow: {type: tree, steps: [{approval: }]}",
        "name: x\nflow: {steps: [{approval: {nmae: a}}]}",
        "name: x\nflow: {steps: [{approval: }], edges: []}",
        "name: x\nflow: {steps: [{approval: {}, component: a}]}",
        "name: x\nfolw: {steps: [{approval: }]}",
        "name: x\ninputs: {a: strng}\nflow: {steps: [{approval: }]}",
        "name: x\ninputs: {a: {type: any, secrt: true}}\nflow: {steps: [{approval: }]}",
        "name: x\nflow: {steps: [{approval: {note: never}}]}",
        "name: x\nflow: {settings: {max_iterations: 0}, steps: [{approval: }]}",
        "name: x\nsource: y\nflow: {steps: [{approval: }]}",
        "name: 3\nflow: {steps: [{approval: }]}",
    ],
)
def test_what_the_loader_refuses_in_form_the_schema_refuses_too(text: str, validator: Any) -> None:
    assert not validator.is_valid(yaml.safe_load(text)), text
    with pytest.raises(BlueprintError):
        parse_blueprint(text)


gate = st.fixed_dictionaries({}, optional={"message": st.just("Go?"), "note": st.just("required")})
gates = st.fixed_dictionaries(
    {"approval": st.none() | gate},
    optional={"condition": st.just("context.data.x"), "on_error": st.sampled_from(["skip", "fail", "ignore"])},
)
steps = st.fixed_dictionaries(
    {"component": st.just("a")},
    optional={
        "timeout": st.sampled_from([1, 2.5, -1, "x"]),
        "retry": st.just({"max": 1, "on": ["E"]}),
        "id": st.just("n"),
    },
)
files = st.fixed_dictionaries(
    {
        "name": st.just("x"),
        "components": st.just([{"name": "a", "type": "t"}]),
        "flow": st.fixed_dictionaries(
            {"steps": st.lists(steps, min_size=1, max_size=2) | st.lists(gates, min_size=1, max_size=1)},
            optional={
                "type": st.sampled_from(["sequential", "conditional"]),
                "settings": st.just({"fail_fast": False}),
            },
        ),
    },
    optional={
        "version": st.sampled_from(["1.0", 1.0]),
        "inputs": st.just({"a": "string", "b": None, "c": {"type": "array"}}),
        "title": st.just("T {{ a }}"),
    },
)


@settings(deadline=None, max_examples=200)
@given(files)
def test_schema_and_loader_agree(data: dict[str, Any]) -> None:
    try:
        parse_blueprint(json.dumps(data))
        loads = True
    except BlueprintError:
        loads = False
    assert jsonschema.Draft202012Validator(blueprint_schema()).is_valid(data) is loads
