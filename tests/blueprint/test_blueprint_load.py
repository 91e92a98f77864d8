"""Files become blueprints, or every problem is named at once with its place."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurocore.errors import BlueprintError
from neurocore.runtime.blueprint import Blueprint, Problem, load_blueprint, parse_blueprint

MINIMAL = "name: x\ncomponents: [{name: a, type: t}]\nflow: {steps: [{component: a}]}\n"

EVERYTHING_WRONG = """\
name: payments
title: Payments of {{ btch }}
inputs:
  batch: strng
  limit: {type: integer, default: many}
components:
  - {name: load, type: csv, confg: {file: x}}
  - {name: load, type: 3}
flow:
  settings: {max_iteration: 3, timeout_seconds: -1}
  steps:
    - component: laod
    - approval: {nam: review, note: never}
      condition: score > 2
    - component: load
      on_error: ignore
      retry: {max: many}
  edges: []
versoin: 2
"""


EVERYTHING_SAID = """\
p.yaml:2:8 title: The title names the input 'btch', which is not declared; did you mean 'batch'?
p.yaml:4:10 inputs.batch.type: Expected one of any, boolean, date, datetime, decimal, integer, list, mapping, number, \
path, string, not 'strng'; did you mean 'string'?
p.yaml:5:35 inputs.limit.default: Expected a whole number, not 'many'.
p.yaml:7:29 components[0].confg: There is no key 'confg' here; did you mean 'config'?
p.yaml:8:12 components[1].name: Two components are called 'load' (the other is in line 7); give each its own name.
p.yaml:8:24 components[1].type: Expected text, not 3; put it in quotes.
p.yaml:10:14 flow.settings.max_iteration: There is no key 'max_iteration' here; did you mean 'max_iterations'?
p.yaml:10:49 flow.settings.timeout_seconds: Expected a number > 0.0, not -1.
p.yaml:12:18 flow.steps[0].component: There is no component 'laod'; did you mean 'load'?
p.yaml:13:18 flow.steps[1].approval.nam: There is no key 'nam' here; did you mean 'name'?
p.yaml:13:37 flow.steps[1].approval.note: Expected one of on_reject, optional, required, not 'never'.
p.yaml:14:18 flow.steps[1].condition: The condition `score > 2` uses the name 'score' at column 1; write \
context.data.score.
p.yaml:16:17 flow.steps[2].on_error: Expected one of continue, fail, skip, not 'ignore'.
p.yaml:17:20 flow.steps[2].retry.max: Expected a whole number, not 'many'.
p.yaml:18:10 flow.edges: A sequential flow has steps, not edges; set `type: graph` if you mean a graph.
p.yaml:19:1 versoin: There is no key 'versoin' here; did you mean 'version'?"""


def problems_of(text: str) -> list[Problem]:
    with pytest.raises(BlueprintError) as caught:
        parse_blueprint(text, name="p.yaml")
    assert str(caught.value) == "\n".join(map(str, caught.value.problems))
    return caught.value.problems


@pytest.mark.parametrize(
    ("places", "wrong"),
    [
        ("steps: [{component: b, condition: '1 +'}]", ["flow.steps[0].component", "flow.steps[0].condition"]),
        ("nodes: [{id: x, component: b}]\n  edges: [{source: x, target: y}]",
         ["flow.nodes[0].component", "flow.edges[0].target"]),
    ],
)  # fmt: skip
def test_a_flow_of_no_known_type_is_checked_for_all_else_at_once(places: str, wrong: list[str]) -> None:
    text = f"name: p\ncomponents: [{{name: a, type: delay}}]\nflow:\n  type: sequental\n  {places}\n"

    assert [problem.path for problem in problems_of(text)] == ["flow.type", *wrong]


def sentences(text: str) -> str:
    return "\n".join(map(str, problems_of(text)))


def findings(text: str) -> list[str]:
    """Every sentence about a text; none for one that is a blueprint, which then survives being stored."""
    try:
        blueprint = parse_blueprint(text)
    except BlueprintError as error:
        return [problem.message for problem in error.problems] or ["no problem was named"]
    assert Blueprint.from_snapshot(blueprint.snapshot()) == blueprint
    return []


def test_all_problems_are_named_at_once_with_line_column_path_and_the_nearest_name() -> None:
    assert sentences(EVERYTHING_WRONG) == EVERYTHING_SAID


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "A blueprint is a mapping with name, components and flow."),
        ("- a", "A blueprint is a mapping with name, components and flow."),
        ("flow: {steps: [{approval: }]}", "The key 'name' is missing; it takes text."),
        ("name: x\nflow: {steps: []}", "A sequential flow needs steps."),
        ("name: x\ncomponents: []\nflow: {steps: []}", "A blueprint needs at least one component."),
        ("name: 3\nflow: {steps: [{approval: }]}", "Expected text, not 3; put it in quotes."),
        ("name: x\nversion: 1.0\nflow: {steps: [{approval: }]}", "version: Expected text, not 1.0; put it in quotes."),
        ("name: ''\nflow: {steps: [{approval: }]}", "Expected text of length >= 1"),
        ("name: ' '\nflow: {steps: [{approval: }]}", "A name needs a visible character."),
        (f"name: {'n' * 201}\nflow: {{steps: [{{approval: }}]}}", "A name has at most 200 characters"),
        ('name: "a\\eb"\nflow: {steps: [{approval: }]}', "A name cannot have control characters; remove U+001B."),
        ('name: "\\u202eexe"\nflow: {steps: [{approval: }]}', "remove U+202E"),
        ("name: x\nsource: y\nflow: {steps: [{approval: }]}", "There is no key 'source' here"),
        ("name: x\nflow: {type: tree}", "Expected one of conditional, graph, sequential, not 'tree'."),
        ("name: x\nflow: [a]", "flow: Expected a mapping, not a list."),
        ("name: x\ntitle: '{% for x in y %}'\nflow: {steps: [{approval: }]}", "A title is text with {{ input }} in it"),
        (
            "name: x\ntitle: '{{ pw }}'\ninputs: {pw: {secret: true}}\nflow: {steps: [{approval: }]}",
            "The title cannot show 'pw', which is secret.",
        ),
        (
            (
                "name: x\ncomponents: [{name: a, type: t}, {name: a#2, type: t}]\n"
                "flow: {steps: [{component: a}, {component: a}, {component: a#2}]}"
            ),
            "Two steps would be called 'a#2'; rename the component.",
        ),
        ("name: x\nflow: {type: graph, steps: [{approval: }]}", "A graph has nodes and edges, not steps."),
        (
            (
                "name: x\ncomponents: [{name: a, type: t}]\nflow: {type: graph, nodes: [{id: n, component: a}, "
                "{id: n, component: a}]}"
            ),
            "Two nodes have the id 'n'; give each its own.",
        ),
        (
            (
                "name: x\ncomponents: [{name: a, type: t}]\nflow: {type: graph, nodes: [{id: first, component: a}], "
                "edges: [{source: first, target: frist}]}"
            ),
            "flow.edges[0].target: There is no node 'frist'; did you mean 'first'?",
        ),
        (
            "name: x\ncomponents: [{name: a, type: t}]\nflow: {steps: [{component: a, timeout: .inf}]}",
            "flow.steps[0].timeout: Expected a number <= 31622400.0",
        ),
        ("name: x\ninputs: {a: {secret: true, default: hunter2}}\nflow: {steps: [{approval: }]}", "only a reference"),
        (
            "name: x\ninputs: {a: {default: 1, required: true}}\nflow: {steps: [{approval: }]}",
            "remove one of the two",
        ),
        (
            "name: x\ninputs: {a: {type: date, enum: [x]}}\nflow: {steps: [{approval: }]}",
            "inputs.a.enum: Expected a date",
        ),
        ("name: x\noutputs: {a: {default: 1}}\nflow: {steps: [{approval: }]}", "An output has no default"),
        ("name: x\nname: y\nflow: {steps: [{approval: }]}", "The key 'name' appears twice; keep one of them."),
        ("name: x\ncomponents: [{name: a, type: t, config: !Evil {}}]\nflow: {steps: [{component: a}]}", "not allowed"),
    ],
)
def test_a_mistake_gets_its_sentence(text: str, sentence: str) -> None:
    assert sentence in sentences(text)


GRAPH = "name: x\ncomponents: [{name: a, type: t}]\nflow: {type: graph"


@pytest.mark.parametrize(
    "bad", ["!!python/object/apply:os.system [x]", "!Evil x", "!!python/name:os.system ''", "!!int x"]
)
@pytest.mark.parametrize(
    "text",
    [
        "name: BAD\nflow: {steps: [{approval: }]}",
        "name: x\nversion: BAD\nflow: {steps: [{approval: }]}",
        "name: x\ncomponents: BAD\nflow: {steps: [{component: a}]}",
        "name: x\ncomponents: [BAD]\nflow: {steps: [{component: a}]}",
        "name: x\ncomponents: [{name: BAD, type: t}]\nflow: {steps: [{component: a}]}",
        "name: x\ncomponents: [{name: a, type: BAD}]\nflow: {steps: [{component: a}]}",
        "name: x\ncomponents: [{name: a, type: t}]\nflow: BAD",
        "name: x\ncomponents: [{name: a, type: t}]\nflow: {type: BAD, steps: [{component: a}]}",
        "name: x\ncomponents: [{name: a, type: t}]\nflow: {steps: BAD}",
        "name: x\ncomponents: [{name: a, type: t}]\nflow: {steps: [BAD]}",
        "name: x\ncomponents: [{name: a, type: t}]\nflow: {steps: [{component: BAD}]}",
        "name: x\ncomponents: [{name: a, type: t}]\nflow: {type: graph, nodes: BAD}",
        GRAPH + ", nodes: [{id: BAD, component: a}, {id: a, component: a}], edges: [{source: a, target: b}]}",
        GRAPH + ", nodes: [{id: a, component: a}], edges: [{source: BAD, target: a}]}",
        "name: x\nflow: {steps: [{approval: {name: BAD}}]}",
        "name: x\ninputs: BAD\nflow: {steps: [{approval: }]}",
        "name: x\ninputs: {a: {type: BAD}}\nflow: {steps: [{approval: }]}",
        "name: x\ntitle: 'For {{ a }}'\ninputs: {a: {type: string}, b: BAD}\nflow: {steps: [{approval: }]}",
    ],
)
def test_a_value_that_cannot_be_read_is_the_only_finding_about_it(text: str, bad: str) -> None:
    with pytest.raises(BlueprintError) as caught:
        parse_blueprint(text.replace("BAD", bad))
    (problem,) = caught.value.problems
    assert "is not allowed; write plain values." in problem.message or "cannot be read as int" in problem.message


def test_a_yaml_problem_in_one_place_does_not_hide_a_reference_that_is_wrong_in_another() -> None:
    found = sentences("name: x\nname: y\ncomponents: [{name: a, type: t}]\nflow: {steps: [{component: b}]}\n")
    assert "appears twice" in found
    assert "There is no component 'b'" in found


def test_keys_left_empty_count_as_left_out() -> None:
    blueprint = parse_blueprint(
        "name: x\ndescription:\ninputs:\noutputs:\ncomponents: [{name: a, type: t, config: }]\n"
        "flow: {settings: , steps: [{component: a, retry: , on_error: , condition: }], nodes: , edges: }\n"
    )
    assert blueprint.components[0].config == {}
    assert blueprint.flow.steps is not None
    assert blueprint.flow.steps[0].on_error == "fail"


def test_inputs_may_be_written_short_and_with_the_type_names_of_published_blueprints() -> None:
    blueprint = parse_blueprint(
        "name: x\ninputs: {a: string, b: , c: array, d: {type: object}}\n"
        "components: [{name: a, type: t}]\nflow: {steps: [{component: a}]}\n"
    )
    assert {name: spec.type for name, spec in blueprint.inputs.items()} == {
        "a": "string",
        "b": "any",
        "c": "list",
        "d": "mapping",
    }


def test_the_exact_text_is_kept_beside_the_definition() -> None:
    text = MINIMAL + "# a comment: ü\n"
    assert parse_blueprint(text).source == text


def test_retry_may_say_on_without_quotes() -> None:
    blueprint = parse_blueprint(MINIMAL.replace("component: a", "component: a, retry: {max: 2, on: [TimeoutError]}"))
    assert blueprint.flow.steps is not None
    assert blueprint.flow.steps[0].retry is not None
    assert blueprint.flow.steps[0].retry.on == ["TimeoutError"]


def test_a_file_that_is_not_there_is_one_sentence_with_the_nearest_name(tmp_path: Path) -> None:
    (tmp_path / "payments.yaml").write_text(MINIMAL)
    with pytest.raises(BlueprintError, match=r"There is no such file; did you mean 'payments\.yaml'\?"):
        load_blueprint(tmp_path / "payment.yaml")
    assert load_blueprint(str(tmp_path / "payments.yaml")).name == "x"


def test_three_thousand_wrong_references_are_refused_quickly_and_briefly() -> None:
    steps = "".join(f"  - component: componentt{place}\n" for place in range(3_000))
    names = "".join(f"  - {{name: component{place}, type: t}}\n" for place in range(1_000))
    started = time.process_time()
    found = problems_of(f"name: x\ncomponents:\n{names}flow:\n  steps:\n{steps}")
    assert time.process_time() - started < 5
    assert len(found) == 101


@settings(deadline=None)
@given(st.text(max_size=200))
def test_any_text_is_a_blueprint_or_a_blueprint_error(text: str) -> None:
    findings(text)


@settings(deadline=None)
@given(data=st.binary(max_size=200))
def test_any_file_is_a_blueprint_or_a_blueprint_error(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("any") / "b.yaml"
    path.write_bytes(data)
    with pytest.raises(BlueprintError):
        load_blueprint(path)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
WORDS = """name type config component components flow steps nodes edges inputs outputs title id source target port
condition approval settings retry timeout default enum required secret show on_reject note"""
keys = st.sampled_from(WORDS.split())
shaped = st.recursive(
    values | st.sampled_from(["a", "graph", "conditional", "context.data.x", "{{ a }}", "string", "secret"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=6),
    max_leaves=25,
)


@settings(deadline=None, max_examples=300)
@given(st.dictionaries(keys, shaped, max_size=8))
def test_any_data_in_the_right_places_is_a_blueprint_or_a_blueprint_error(data: dict[str, object]) -> None:
    import yaml

    for sentence in findings(yaml.safe_dump(data, allow_unicode=True)):
        assert sentence.endswith((".", "?")), sentence
