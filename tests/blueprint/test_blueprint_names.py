"""What `validate` says of names that nothing sets, functions that cannot be called and missing variables."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from neurocore.config import load_config
from neurocore.runtime.blueprint import parse_blueprint, validate_blueprint
from neurocore.skills.loader import discover_skills


def with_built_in(text: str, root: Path, **environ: str) -> list[str]:
    """What is found with the skills that are built in, in a project of its own."""
    (root / "neurocore.yaml").write_text("project: {name: built-in}\n")
    (root / ".env").write_text("".join(f"{name}={value}\n" for name, value in environ.items()))
    config = load_config(root)
    problems = validate_blueprint(parse_blueprint(text), discover_skills(config), config)
    return [f"{problem.severity} {problem.path}: {problem.message}" for problem in problems]


BUILT_IN = """
name: built-in
inputs: {{amount: integer, rows: list}}
components:
  - {{name: it, type: {type}, config: {config}}}
flow: {{steps: [{{component: it}}]}}
"""


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        ("template", "{template: 'Pay {{ amuont }}'}"),
        ("template", "{template: x, folder: out, file: '{{ amuont }}.txt'}"),
        ("command", "{argv: [echo, '{{ amuont }}']}"),
        ("command", "{argv: [cat], stdin: '{% if amuont > 3 %}x{% endif %}'}"),
        ("http", "{url: 'https://bank.example/{{ amuont }}'}"),
        ("http", "{url: 'https://bank.example', method: POST, json_from: amuont}"),
        ("python", "{function: 'json:dumps', arguments: {obj: amuont}}"),
        ("approval", "{message: 'Pay {{ amuont }}?'}"),
        ("approval", "{message: 'Pay {% for row in rows %}{{ row.x + amuont }}{% endfor %}?'}"),
    ],
)
def test_a_name_that_nothing_sets_is_pointed_at_wherever_it_is_used(tmp_path: Path, kind: str, config: str) -> None:
    found = with_built_in(BUILT_IN.format(type=kind, config=config), tmp_path)
    sentence = "it reads 'amuont', which no input and no step before it provides; did you mean 'amount'?"
    assert f"warning flow.steps[0]: {sentence}" in found


@pytest.mark.parametrize(
    "template",
    [
        "{{ amount }}", "{{ other|default('none') }}", "{{ other is defined }}", "{% set other = 1 %}{{ other }}",
        "{% for other in rows %}{{ other.x }}{{ loop.index }}{% endfor %}", "{{ range(3)|list }}", "no template",
    ],
)  # fmt: skip
def test_names_that_are_there_or_need_not_be_are_fine(tmp_path: Path, template: str) -> None:
    config = f"{{template: {json.dumps(template)}}}"
    assert with_built_in(BUILT_IN.format(type="template", config=config), tmp_path) == []


def test_what_a_built_in_skill_sets_is_known_by_its_output(tmp_path: Path) -> None:
    text = """
name: two
inputs: {amount: integer}
components:
  - {name: run, type: command, config: {argv: [date], output: today}}
  - {name: wait, type: delay, config: {seconds: 1}}
  - {name: say, type: template, config: {template: '{{ today.stdout }} {{ todya }} {{ amount }}'}}
flow: {steps: [{component: run}, {component: wait}, {component: say}]}
"""
    assert with_built_in(text, tmp_path) == [
        "warning flow.steps[2]: say reads 'todya', which no input and no step before it provides; did you mean 'today'?"
    ]


@pytest.mark.parametrize(
    ("function", "why"),
    [
        ("no_such_module:work", "cannot be imported: ModuleNotFoundError: No module named 'no_such_module'."),
        ("json:no_such_function", "has no no_such_function"),
        ("json:decoder", "is module and not a function"),
        ("mine:broken", "cannot be imported: ZeroDivisionError"),
    ],
)
def test_a_function_that_cannot_be_called_is_an_error(tmp_path: Path, function: str, why: str) -> None:
    (tmp_path / "mine.py").write_text("1 / 0\n")
    (found,) = with_built_in(BUILT_IN.format(type="python", config=f"{{function: '{function}'}}"), tmp_path)
    assert found.startswith("error components[0].config: it: ")
    assert why in found


def test_a_variable_that_the_environment_lacks_is_a_warning(tmp_path: Path) -> None:
    config = "{argv: [echo], env: {A: '${NC_GIVEN}', B: 'x${NC_MISSING}', C: '$${NC_TEXT}'}}"
    assert with_built_in(BUILT_IN.format(type="command", config=config), tmp_path, NC_GIVEN="1") == [
        "warning components[0].config: it: the environment has no NC_MISSING now; set it, or put it into .env."
    ]
