"""A configuration against its skill's JSON Schema: in sentences, before the run starts."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from neurocore import Skill, SkillMeta
from neurocore.skills.schema import coerced, config_problems

SCHEMA: dict[str, Any] = {
    "properties": {
        "size": {"type": "integer", "minimum": 1, "maximum": 9},
        "rate": {"type": ["number", "null"]},
        "mode": {"enum": ["fast", "careful"]},
        "names": {"type": "array", "items": {"type": "string", "minLength": 2}, "maxItems": 2},
        "deep": {"type": "object", "properties": {"on": {"type": "boolean"}}, "required": ["on"]},
        "code": {"type": "string", "pattern": "^[a-z]+$"},
        "api_key": {"type": "string"},
        "pin": {"type": "integer", "secret": True},
        "either": {"anyOf": [{"type": "integer"}, {"const": "all"}]},
    },
    "required": ["size"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    "config",
    [
        {"size": 3},
        {"size": 9, "rate": None, "mode": "fast", "names": ["ab"], "deep": {"on": True, "more": 1}, "code": "x"},
        {"size": "${SIZE}", "mode": "${MODE}", "code": "${CODE}-1", "names": ["${A}"], "pin": "${PIN}"},
        {"size": 1, "either": 3},
        {"size": 1, "either": "all"},
        {"size": 1, "either": "${EITHER}"},
    ],
)
def test_what_fits_has_no_problem(config: dict[str, Any]) -> None:
    assert config_problems(SCHEMA, config) == []


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({}, "the config key 'size' is missing."),
        ({"size": 1, "deep": {}}, "the config key 'deep.on' is missing."),
        ({"size": 1, "sise": 2}, "there is no config key 'sise'; did you mean 'size'?"),
        ({"size": 1, "sise": "${SIZE}"}, "there is no config key 'sise'; did you mean 'size'?"),
        ({"size": "big"}, "the config key 'size' must be a whole number, not 'big'."),
        ({"size": True}, "the config key 'size' must be a whole number, not true."),
        ({"size": 10}, "the config key 'size' must be at most 9, not 10."),
        ({"size": 1, "rate": []}, "the config key 'rate' must be a number or nothing, not a list."),
        ({"size": 1, "mode": "fats"}, "the config key 'mode' must be one of fast, careful, not 'fats'; did you mean"),
        ({"size": 1, "names": ["ab", 1]}, "the config key 'names.1' must be text, not 1."),
        ({"size": 1, "names": ["a"]}, "the config key 'names.0' must be of at least so many characters: 2, not 'a'."),
        ({"size": 1, "code": "A1"}, "the config key 'code' must match ^[a-z]+$, and 'A1' does not."),
        ({"size": 1, "api_key": 1234567890}, "the config key 'api_key' must be text, not •••."),
        ({"size": 1, "pin": "hunter22"}, "the config key 'pin' must be a whole number, not •••."),
        ({"size": 1, "either": "some"}, "the config key 'either' does not fit its schema: 'some' is not"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_one_sentence_that_says_where(config: dict[str, Any], said: str) -> None:
    problems = config_problems(SCHEMA, config)
    assert len(problems) == 1
    assert problems[0].startswith(said)


def test_every_misfit_is_told_at_once() -> None:
    assert len(config_problems(SCHEMA, {"mode": 1, "names": 2, "other": 3})) == 4


def test_a_schema_that_is_none_is_the_skills_mistake() -> None:
    for wrong in ({"properties": {"size": {"type": "int"}}}, {"required": True}, {"properties": 3}):
        assert config_problems(wrong, {"size": 1})[0].startswith("its config_schema is not a JSON Schema: ")


def test_a_flaw_of_a_schema_stops_no_configuration_that_does_not_meet_it() -> None:
    of_draft_3 = {"properties": {"size": {"type": "integer", "required": True}}}
    assert config_problems(of_draft_3, {"size": 1}) == []
    assert config_problems(of_draft_3, {"size": "big"})[0].startswith("its config_schema is not a JSON Schema: ")


def test_a_schema_is_built_once_however_often_it_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    from jsonschema import Draft202012Validator

    built: list[object] = []
    monkeypatch.setattr(Draft202012Validator, "check_schema", built.append)
    one, twin = ({"properties": {"size": {"not": {"const": 0}}}} for _ in range(2))
    for _ in range(3):
        assert config_problems(one, {"size": 1}) == []
        assert config_problems(one, {"size": 0}) != []
    assert config_problems(twin, {"size": 0}) == config_problems(one, {"size": 0})
    assert built == [one, twin]


def test_what_plainly_fits_needs_no_jsonschema() -> None:
    code = (
        "import sys; from neurocore.skills.loader import discover_skills; get = discover_skills().require;"
        "assert get('python').config_problems({'function': 'a:b', 'values': {'n': 1}}) == [];"
        "assert get('http').config_problems({'url': '${URL}', 'method': 'POST', 'timeout': 1.5}) == [];"
        "assert 'jsonschema' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_text_from_the_environment_becomes_the_number_that_is_asked_for() -> None:
    schema = {
        "properties": {
            "size": {"type": "integer"}, "rate": {"type": "number"}, "on": {"type": "boolean"},
            "code": {"type": "string"}, "either": {"type": ["string", "integer"]},
            "many": {"items": {"type": "integer"}},
        }
    }  # fmt: skip
    given = {"size": " 12 ", "rate": "1e3", "on": "True", "code": "007", "either": "5", "many": ["1", "x"], "own": "1"}
    assert coerced(schema, given) == {
        "size": 12, "rate": 1000.0, "on": True, "code": "007", "either": "5", "many": [1, "x"], "own": "1"
    }  # fmt: skip
    for digits in ("\u0663", "\uff13", "1_0", "inf"):
        assert coerced(schema, {"rate": digits, "size": digits}) == {"rate": digits, "size": digits}
    assert coerced(schema, {"rate": "nan", "size": "1.5", "on": "yes"}) == {"rate": "nan", "size": "1.5", "on": "yes"}


class Asking(Skill):
    """Names a setting of the language model in its schema."""

    skill_meta = SkillMeta(name="asking", config_schema={"properties": {"llm_model": {"type": "string"}}})


class Strict(Skill):
    """Requires a language model and knows no key of its own."""

    skill_meta = SkillMeta(name="strict", requires_llm=True, config_schema={"additionalProperties": False})


class Plain(Skill):
    """Wants no language model."""

    skill_meta = SkillMeta(name="plain")


def test_the_settings_of_the_language_model_go_to_those_who_want_them() -> None:
    assert [kind.wants_llm() for kind in (Asking, Strict, Plain)] == [True, True, False]
    assert Strict.config_problems({"llm_provider": "own", "llm_max_tokens": 5}) == []
    assert Asking.config_problems({"llm_model": 5}) == ["the config key 'llm_model' must be text, not 5."]
