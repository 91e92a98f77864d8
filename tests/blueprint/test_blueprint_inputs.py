"""What a run is given and gives back, from Python, from a command line, and in a title."""

from __future__ import annotations

import datetime as dt
import json
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from neurocore import codec
from neurocore.blueprint.inputs import check_inputs, check_outputs, read_data_option
from neurocore.blueprint.model import Blueprint, Component, Flow, InputSpec, Step
from neurocore.blueprint.title import render_title
from neurocore.codec import SecretRef
from neurocore.errors import InputError, UsageError


def blueprint(title: str | None = None, outputs: dict[str, InputSpec] | None = None, **inputs: InputSpec) -> Blueprint:
    return Blueprint(
        name="pay",
        title=title,
        inputs=inputs,
        outputs=outputs or {},
        components=[Component(name="a", type="t")],
        flow=Flow(steps=[Step(component="a")]),
    )


def spec(type_: Any, **more: Any) -> InputSpec:
    return InputSpec(type=type_, **more)


def problems_of(one: Blueprint, data: dict[Any, Any], environ: dict[str, str] | None = None) -> dict[str, str]:
    with pytest.raises(InputError) as caught:
        check_inputs(one, data, environ or {})
    for name in caught.value.problems:
        assert name.isprintable() is False or name in str(caught.value)
    return caught.value.problems


@pytest.mark.parametrize(
    ("type_", "given_", "value"),
    [
        ("string", "3", "3"),
        ("integer", "3", 3),
        ("integer", " -3 ", -3),
        ("integer", 3.0, 3),
        ("integer", "010", 10),
        ("number", "3", 3),
        ("number", "2.5", 2.5),
        ("number", ".5", 0.5),
        ("number", Decimal("1.1"), Decimal("1.1")),
        ("number", "12345678901234567890", 12345678901234567890),
        ("decimal", "0.10", Decimal("0.10")),
        ("decimal", 0.1, Decimal("0.1")),
        ("decimal", 3, Decimal(3)),
        ("boolean", "no", False),
        ("boolean", "TRUE", True),
        ("boolean", "0", False),
        ("list", "[1, 2]", [1, 2]),
        ("list", "- 1\n- 2\n", [1, 2]),
        ("list", (1, 2), (1, 2)),
        ("mapping", '{"a": [1.5]}', {"a": [1.5]}),
        ("mapping", "a: 1", {"a": 1}),
        ("path", "a/b", Path("a/b")),
        ("date", "2026-03-31", dt.date(2026, 3, 31)),
        ("any", "3", "3"),
        ("any", None, None),
        ("datetime", "2026-03-31T12:00:00Z", dt.datetime(2026, 3, 31, 12, tzinfo=dt.UTC)),
    ],
)
def test_text_is_read_as_the_declared_type_where_nothing_is_lost(type_: str, given_: Any, value: Any) -> None:
    one = blueprint(x=spec(type_))
    checked = check_inputs(one, {"x": given_}, {})
    assert checked == {"x": value}
    assert type(checked["x"]) is type(value)
    assert check_inputs(one, checked, {}) == checked, "what was checked once must fit again (replay)"


@pytest.mark.parametrize(
    ("type_", "given_"),
    [
        ("string", 3),
        ("string", None),
        ("string", b"x"),
        ("integer", "3.5"),
        ("integer", 3.5),
        ("integer", True),
        ("integer", "٣"),
        ("integer", "9" * 500),
        ("integer", "1_000"),
        ("number", "inf"),
        ("number", "nan"),
        ("number", "x"),
        ("number", True),
        ("decimal", "NaN"),
        ("decimal", float("inf")),
        ("decimal", True),
        ("boolean", 1),
        ("boolean", "maybe"),
        ("list", "a: 1"),
        ("list", 'x"'),
        ("list", {"a": 1}),
        ("mapping", "[1]"),
        ("date", "2026-13-01"),
        ("date", dt.datetime(2026, 1, 1, tzinfo=dt.UTC)),
        ("datetime", dt.date(2026, 1, 1)),
        ("path", ""),
        ("path", "a\0b"),
        ("path", 3),
        ("list", "[" * 5000),
    ],
)
def test_what_would_lose_something_is_refused_by_name(type_: str, given_: Any) -> None:
    problems = problems_of(blueprint(x=spec(type_)), {"x": given_})
    assert list(problems) == ["x"]
    assert problems["x"].startswith("Expected ")


def test_every_problem_is_named_at_once() -> None:
    one = blueprint(a=spec("integer"), b=spec("date", description="When"), c=spec("string", enum=["x", "y"]))
    assert problems_of(one, {"a": "many", "c": "z", "d": 1, 3: 4}) == {
        "a": "Expected a whole number, not 'many'.",
        "b": "It is required: give a date (2026-03-31) (When).",
        "c": "Expected one of x, y, not 'z'.",
        "d": "pay has no such input; known here: a, b, c.",
        "3": "An input's name must be text.",
    }


def test_an_unknown_input_names_the_nearest() -> None:
    assert problems_of(blueprint(batch=spec("any")), {"bathc": 1})["bathc"] == (
        "pay has no such input; did you mean 'batch'?"
    )


def test_where_nothing_is_declared_anything_goes_under_a_name_that_can_be_shown() -> None:
    assert check_inputs(blueprint(), {"a b": 1, "ü": b"x"}, {}) == {"a b": 1, "ü": b"x"}
    for key in ("", "a\x1b[2J", "\udc80", "k" * 201, "\u202e"):
        assert list(problems_of(blueprint(), {key: 1})) == [key[:200]]


def test_defaults_are_filled_in_as_their_type_and_never_shared() -> None:
    one = blueprint(
        d=spec("date", default="2026-03-31"), rows=spec("list", default=[1]), n=spec("string", default=None)
    )
    first = check_inputs(one, {}, {})
    assert first == {"d": dt.date(2026, 3, 31), "rows": [1], "n": None}
    first["rows"].append(2)
    assert check_inputs(one, {}, {})["rows"] == [1]


def test_an_optional_input_without_a_default_is_left_out() -> None:
    assert check_inputs(blueprint(x=spec("string", required=False)), {}, {}) == {}


def test_a_choice_is_of_the_declared_type() -> None:
    one = blueprint(x=spec("decimal", enum=["1.50", 2]), y=spec("any", enum=[1], required=False))
    assert check_inputs(one, {"x": "1.5"}, {})["x"] == Decimal("1.5")
    assert "y" in problems_of(one, {"x": 2, "y": True})


# -------------------------------------------------------------------- secrets


def test_a_secret_input_takes_only_a_reference_and_keeps_it() -> None:
    one = blueprint(token=spec("string", secret=True))
    checked = check_inputs(one, {"token": "${TOKEN}"}, {"TOKEN": "hunter2hunter2"})
    assert checked == {"token": SecretRef("${TOKEN}")}
    assert check_inputs(one, checked, {"TOKEN": "x"}) == checked
    assert b"hunter2" not in codec.encode(checked)


@pytest.mark.parametrize("value", ["hunter2hunter2", "${A}${B}", "x ${A}", "$A", "${A", 3, None, ["${A}"]])
def test_a_secret_given_as_itself_is_refused_without_being_shown(value: Any) -> None:
    problems = problems_of(blueprint(token=spec("any", secret=True)), {"token": value}, {"A": "1", "B": "2"})
    assert problems["token"] == (
        "A secret input takes only a reference such as ${NAME}, so that its value is stored nowhere."
    )


def test_a_secret_that_the_environment_lacks_is_named_before_the_run_starts() -> None:
    one = blueprint(token=spec("any", secret=True, default="${TOKEN}"))
    assert problems_of(one, {}) == {"token": "The environment has no TOKEN; set it, or put it into .env."}
    assert check_inputs(one, {}, {"TOKEN": "x"}) == {"token": SecretRef("${TOKEN}")}


def test_a_value_under_a_name_like_a_credential_s_is_not_shown_in_its_error() -> None:
    assert "hunter2" not in problems_of(blueprint(password=spec("integer")), {"password": "hunter2"})["password"]


# -------------------------------------------------------------------- outputs


def test_outputs_must_be_there_and_have_their_type_already() -> None:
    one = blueprint(outputs={"a": spec("integer"), "b": spec("string", required=False), "file": spec("path")})
    check_outputs(one, {"a": 3, "file": "out.txt", "more": 1})
    with pytest.raises(InputError) as caught:
        check_outputs(one, {"a": "3", "b": 3})
    assert caught.value.problems == {
        "a": "Expected a whole number, not '3'.",
        "b": "Expected text, not 3.",
        "file": "The flow ended without setting this output.",
    }


# -------------------------------------------------------------------- --data


@pytest.mark.parametrize(
    ("pair", "value"),
    [
        ("x=false", False),
        ("x=3", 3),
        ("x=2.5", 2.5),
        ("x=", ""),
        ("x=~", None),
        ("x=a=b", "a=b"),
        ("x=a: b", "a: b"),
        ("x=12:30", "12:30"),
        ("x=0123", "0123"),
        ("x=-07", "-07"),
        ("x=0", 0),
        ("x=#5", "#5"),
        ("x=- a", "- a"),
        ("x=[1, a]", [1, "a"]),
        ('x={"a": 1e400}', {"a": float("inf")}),
        ("x={a: 1}", {"a": 1}),
        ("x='5'", "5"),
        ('x="5"', "5"),
        ("x='5", "'5"),
        ("x=@@home", "@home"),
        ("x= 5", " 5"),
        ("x=!!python/object:os.x", "!!python/object:os.x"),
        ("x=*a", "*a"),
        ("x=${HOME}", "${HOME}"),
        ("x=\udcff", "\udcff"),
        ("x=2026-03-31", dt.date(2026, 3, 31)),
        ("x=" + "9" * 5000, "9" * 5000),
        ("x='; drop table runs; --", "'; drop table runs; --"),
    ],
)
def test_what_nobody_declared_is_read_as_a_yaml_scalar(pair: str, value: Any) -> None:
    assert read_data_option([pair]) == {"x": value}


@pytest.mark.parametrize(
    ("type_", "text", "value"),
    [
        ("string", "3", "3"),
        ("string", "false", "false"),
        ("string", "[1]", "[1]"),
        ("integer", "010", 10),
        ("boolean", "no", False),
        ("decimal", "1.10", Decimal("1.10")),
        ("date", "2026-03-31", dt.date(2026, 3, 31)),
        ("list", "[1, 2]", [1, 2]),
        ("mapping", "{a: 1}", {"a": 1}),
        ("any", "3", 3),
        ("path", "x", Path("x")),
    ],
)
def test_what_is_declared_is_read_by_its_type(type_: str, text: str, value: Any) -> None:
    data = read_data_option([f"x={text}"], blueprint(x=spec(type_)))
    assert data == {"x": value}
    assert type(data["x"]) is type(value)


def test_a_secret_stays_the_text_that_was_given() -> None:
    assert read_data_option(["x=${TOKEN}"], blueprint(x=spec("any", secret=True))) == {"x": "${TOKEN}"}


@pytest.mark.parametrize(
    ("pairs", "sentence"),
    [
        (["x"], "--data takes key=value, not 'x'."),
        (["=3"], "--data takes key=value, not '=3'."),
        (["x=1", "x=2"], "--data gives 'x' twice; give it once."),
        (["x=@nowhere.json"], "there is no such file"),
        (["x=@/dev/zero"], "that is not a file"),
        (["x=@/"], "that is not a file"),
        (["x=[1"], "is neither JSON nor YAML"),
        (['x={"a":1,"a":2}'], "x: The key 'a' appears twice; keep one of them."),
        (['x=[{"b": {"a":1,"a":1}}]'], "x: The key 'a' appears twice; keep one of them."),
        (["x={a: 1, a: 2}"], "x: The key 'a' appears twice; keep one of them."),
        (["x=[a: &a [*a]]"], "is neither JSON nor YAML"),
        (["x=" + "[" * 100_000], "is neither JSON nor YAML"),
        (["x=@" + "y" * 5000], "--data x=@"),
        (["x=@a\0b"], "--data x=@"),
    ],
)
def test_hostile_data_is_one_sentence_within_a_second(pairs: list[str], sentence: str) -> None:
    started = time.process_time()
    with pytest.raises(UsageError) as caught:
        read_data_option(pairs)
    assert time.process_time() - started < 1
    assert sentence in str(caught.value)


@pytest.mark.parametrize("text", ['{"a":1,"a":2}', "{a: 1, a: 2}", "a: 1\na: 2"])
def test_a_key_that_stands_twice_is_refused_in_json_as_in_yaml(text: str, tmp_path: Path) -> None:
    one = blueprint(m=spec("mapping"))
    (tmp_path / "m").write_text(text)
    for read in (
        lambda: read_data_option([f"m={text}"], one),
        lambda: read_data_option([f"m=@{tmp_path / 'm'}"], one),
        lambda: check_inputs(one, {"m": text}, {}),
    ):
        with pytest.raises(InputError, match=r"^m: The key 'a' appears twice; keep one of them\.$"):
            read()


def test_values_that_do_not_fit_are_all_named() -> None:
    one = blueprint(a=spec("integer"), b=spec("date"))
    with pytest.raises(InputError, match=r"a: Expected a whole number, not 'x'\. b: Expected a date"):
        read_data_option(["a=x", "b=y"], one)


def test_all_that_is_wrong_with_the_data_option_is_told_at_once() -> None:
    one = blueprint(a=spec("integer"), b=spec("date"), c=spec("string", secret=True), d=spec("any"))
    with pytest.raises(InputError) as caught:
        read_data_option(["a=x", "c=abc", "d=[1", "e=1"], one, {})
    assert {key: text.split()[0] for key, text in caught.value.problems.items()} == {
        "a": "Expected", "b": "It", "c": "A", "d": "'[1'", "e": "pay",
    }  # fmt: skip


def test_a_file_is_read_as_what_the_input_is(tmp_path: Path) -> None:
    rows = tmp_path / "rows.json"
    rows.write_text(json.dumps([{"n": number} for number in range(50_000)]))
    assert len(read_data_option([f"x=@{rows}"], blueprint(x=spec("list")))["x"]) == 50_000
    assert read_data_option([f"x=@{rows}"], blueprint(x=spec("string")))["x"].startswith('[{"n": 0}')
    (tmp_path / "latin.txt").write_bytes(b"\xe9")
    with pytest.raises(UsageError, match="cannot be read as UTF-8 text"):
        read_data_option([f"x=@{tmp_path / 'latin.txt'}"])


@settings(deadline=None)
@given(st.lists(st.text(st.characters(exclude_characters="@"), max_size=40), max_size=3))
def test_any_arguments_are_data_or_a_usage_error(pairs: list[str]) -> None:
    try:
        data = read_data_option(pairs)
    except UsageError:
        return
    assert len(data) == len(pairs)


# -------------------------------------------------------------------- titles


def test_a_title_is_filled_in_from_the_inputs() -> None:
    one = blueprint("Payments of {{ batch }} for {{ who.name }}{{missing}}")
    assert render_title(one, {"batch": "May", "who": {"name": "Ada"}}) == "Payments of May for Ada"
    assert render_title(blueprint(), {}) == ""


def test_a_run_without_a_title_is_named_by_its_first_inputs_and_never_by_a_secret() -> None:
    data = {
        "batch": "May",
        "rows": [1],
        "api_key": "hunter2",
        "limit": Decimal("2.50"),
        "on": dt.date(2026, 5, 1),
        "n": 4,
    }
    assert render_title(blueprint(), data) == "batch: May, limit: 2.50, on: 2026-05-01"
    declared = blueprint(n=spec("integer"), pin=spec("any", secret=True), batch=spec("string"))
    assert render_title(declared, {"batch": "May", "pin": "hunter2", "n": 4}) == "n: 4, batch: May"
    assert render_title(blueprint(), {"a": SecretRef("${TOKEN}"), "b": "x" * 500, "c": 10**9999}) == f"b: {'x' * 60}"


def test_a_title_is_one_line_of_200_characters_that_a_page_can_show() -> None:
    one = blueprint("{{ a }}")
    assert render_title(one, {"a": "x" * 10_000}) == "x" * 199 + "…"
    assert render_title(one, {"a": "one\n two\x1b[2J\t\0three"}) == "one two [2J three"
    assert render_title(one, {"a": "\ud800\u202eb\u2028c"}) == "��b�c"
    assert render_title(one, {"a": "{{ b }}", "b": "never"}) == "{{ b }}", "values are not templates"
    assert render_title(one, {"a": "<b>ü</b>"}) == "<b>ü</b>", "escaping is the page's work"


def test_a_secret_is_never_in_a_title() -> None:
    one = blueprint("{{ token }} {{ who.password }} {{ key }}", key=spec("any", secret=True))
    title = render_title(one, {"token": "hunter2", "who": {"password": "hunter2"}, "key": "hunter2"})
    assert title == "••• ••• •••"
    assert render_title(blueprint("{{ a }}"), {"a": SecretRef("${TOKEN}")}) == "•••"


# -------------------------------------------------------------------- all together

fitting = {
    "string": st.text(max_size=5),
    "integer": st.integers(),
    "number": st.integers() | st.floats(allow_nan=False),
    "boolean": st.booleans(),
    "list": st.lists(st.integers(), max_size=3),
    "date": st.dates(),
    "datetime": st.datetimes(),
    "mapping": st.dictionaries(st.text(max_size=3), st.integers(), max_size=3),
    "path": st.just(Path("a/b")),
    "decimal": st.decimals(allow_nan=False, allow_infinity=False),
    "any": st.none() | st.binary(max_size=3),
}


@settings(deadline=None)
@given(st.data())
def test_values_of_the_declared_types_come_through_as_they_are(data: st.DataObject) -> None:
    types = data.draw(st.lists(st.sampled_from(sorted(fitting)), max_size=5))
    one = structs.replace(blueprint(), inputs={f"x{place}": spec(type_) for place, type_ in enumerate(types)})
    values = {f"x{place}": data.draw(fitting[type_]) for place, type_ in enumerate(types)}
    checked = check_inputs(one, values, {})
    assert checked == values
    assert {name: type(value) for name, value in checked.items()} == {
        name: type(value) for name, value in values.items()
    }
    check_outputs(blueprint(outputs=dict(one.inputs)), checked)


anything = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12) | st.binary(max_size=4)


@settings(deadline=None)
@given(st.sampled_from(sorted(fitting)), anything)
def test_any_value_fits_or_is_an_input_error(type_: str, value: object) -> None:
    one = blueprint(x=spec(type_))
    try:
        checked = check_inputs(one, {"x": value}, {})
    except InputError as error:
        (sentence,) = error.problems.values()
    else:
        sentence = "It fits."
        assert repr(check_inputs(one, checked, {})) == repr(checked)
    assert sentence.endswith(".")


def test_a_title_is_the_same_everywhere_and_no_value_keeps_a_run_from_being_named() -> None:
    class Quarrelsome:
        def __str__(self) -> str:
            raise SystemExit("no name for this")

    one = blueprint("{{ a }}")
    assert render_title(one, {"a": {"b", "a", "c"}}) == "['a', 'b', 'c']"
    assert render_title(one, {"a": 10**9999}) == "(int)"
    assert render_title(one, {"a": Quarrelsome()}) == "(Quarrelsome)"
