"""What people may put into a YAML file, and what is refused before it costs anything."""

from __future__ import annotations

import datetime as dt
import os
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurocore.yamlfile import MAX_BYTES, MAX_DEPTH, dotted, nearest, parse, read_file, scalar

HOSTILE = {
    "deep lists": "[" * 500_000,
    "deep mappings": "\n".join(" " * depth + "a:" for depth in range(1000)),
    "half a million values": "[" + "a," * 500_000 + "]",
    "billion laughs": "a0: &a0 [x]\n"
    + "".join(f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)),
    "long text, many aliases": "a: &a " + "x" * 600_000 + "\nb: [" + "*a," * 20_000 + "]",
    "a list in itself": "&a [*a]",
    "a mapping in itself": "&a {x: *a}",
    "a merge of itself": "&a {<<: *a, b: 1}",
    "merges of merges": "m0: &m0 {a: 1}\n"
    + "".join(f"m{n}: &m{n} {{<<: [{','.join([f'*m{n - 1}'] * 10)}]}}\n" for n in range(1, 10)),
    "a number of a million digits": "a: " + "9" * 1_000_000,
    "one key again and again": "k: 1\n" * 60_000,
    "two MiB": "# " + "x" * 2 * MAX_BYTES,
    "a program": "a: !!python/object/apply:os.system ['true']",
    "a class of its own": "a: !Thing {b: 1}",
    "an unreadable date": "a: 2026-13-45",
    "an empty integer": "a: !!int ''",
    "a control character": "a: \x00",
    "a list as a key": "? [a]\n: b",
    "an alias of nothing": "a: *b",
    "two documents": "a: 1\n---\nb: 2",
    "a tab": "a:\n\tb: 1",
    "braces": "{" * 100_000 + "}" * 100_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_yaml_is_refused_within_a_second(name: str) -> None:
    started = time.process_time()
    document = parse(HOSTILE[name])
    assert time.process_time() - started < 1
    assert document.problems, f"{name} was read as {str(document.data)[:100]}"


def test_a_number_with_colons_is_text_and_takes_no_time() -> None:
    started = time.process_time()
    assert parse("a: " + "1:" * 300_000 + "1").data["a"].startswith("1:1:")
    assert time.process_time() - started < 1


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [("a: 1\nb: [1, 2\nc: 3\n", 3, 2), ("a: 1\nb:\n\tc: 2\n", 3, 1), ("a: 1\na: 2\n", 2, 1), ("a: 'x", 1, 6)],
)
def test_a_problem_says_line_and_column(text: str, line: int, column: int) -> None:
    (problem,) = parse(text).problems
    assert (problem.line, problem.column) == (line, column), str(problem)


def test_a_tab_is_named_as_what_it_is() -> None:
    assert "indented with a tab; use spaces" in str(parse("a:\n\tb: 1").problems[0])


def test_every_value_knows_its_place() -> None:
    marks = parse("flow:\n  steps:\n    - component: a\n      timeout: 3\n").marks
    assert marks["flow", "steps", 0, "timeout"] == (4, 16)
    assert dotted(("flow", "steps", 0, "timeout")) == "flow.steps[0].timeout"


def test_keys_that_yaml_takes_for_booleans_stay_text() -> None:
    assert parse("on: 1\nyes: 2\nOff: 3").data == {"on": 1, "yes": 2, "Off": 3}


def test_aliases_and_merges_unfold_into_plain_data() -> None:
    document = parse("x: &x {a: 1, b: 2}\ny: {<<: *x, b: 3}\nz: {<<: [*x, {c: 4, a: 0}]}\nw: *x\n")
    assert document.problems == []
    assert document.data["y"] == {"a": 1, "b": 3}
    assert document.data["z"] == {"a": 1, "b": 2, "c": 4}
    assert document.data["w"] is not document.data["x"], "two places must not share one object"


def test_depth_up_to_the_limit_is_read() -> None:
    depth = MAX_DEPTH - 1
    assert parse("a: " + "[" * depth + "]" * depth).problems == []
    assert "nested" in str(parse("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1)).problems[0])


def test_only_the_first_hundred_problems_are_listed() -> None:
    problems = parse("a: 1\n" * 5_000).problems
    assert len(problems) == 101
    assert str(problems[-1]) == "There are more problems; correct these first."


@settings(deadline=None)
@given(st.text(max_size=300))
def test_whatever_the_text_reading_raises_nothing(text: str) -> None:
    document = parse(text)
    assert isinstance(document.problems, list)


@settings(deadline=None)
@given(st.text(alphabet="[]{}&*!<>:,-?|'\" \n\tab01#%=~", max_size=80))
def test_whatever_the_punctuation_reading_raises_nothing(text: str) -> None:
    for problem in parse(text).problems:
        assert str(problem).endswith("."), f"{text!r} gave {problem}"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("false", False), ("No", False), ("3", 3), ("-2.5", -2.5), ("~", None), ("2026-03-31", dt.date(2026, 3, 31)),
        ("12:30", "12:30"), ("0123", "0123"), ("0x1f", 31), ("0.5", 0.5), ("0", 0),
        ("a: b", "a: b"), ("#5", "#5"), ("*x", "*x"), ("!!int 3", "!!int 3"), ("=", "="),
        ("1e3", "1e3"), ("9" * 5000, "9" * 5000), ("2026-13-45", "2026-13-45"), ("\ud800", "\ud800"), ("- a", "- a"),
    ],
)  # fmt: skip
def test_a_scalar_is_a_value_or_the_text_itself(text: str, value: object) -> None:
    assert scalar(text) == value
    assert type(scalar(text)) is type(value)


def test_names_in_messages_cannot_write_to_a_terminal() -> None:
    hint = nearest("zzz", ["a\x1b[2J", "\u202eevil"])
    assert "\x1b" not in hint
    assert "\u202e" not in hint
    assert "\x1b" not in dotted(("inputs", "a\x1b[2J"))


def test_a_file_that_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "payments.yaml").write_text("a: 1")
    (tmp_path / "latin.yaml").write_bytes(b"a: \xe9")
    (tmp_path / "big.yaml").write_bytes(b"#" * (MAX_BYTES + 1))
    os.mkfifo(tmp_path / "pipe.yaml")
    expected = {
        "payment.yaml": "There is no such file; did you mean 'payments.yaml'?",
        "latin.yaml": "It is not UTF-8 text (byte 3); save it as UTF-8.",
        "big.yaml": "It is larger than 1 MiB, the limit for YAML files.",
        "pipe.yaml": "It is not a file.",
        ".": "It is not a file.",
    }
    for name, sentence in expected.items():
        text, problem = read_file(tmp_path / name)
        assert text is None
        assert problem is not None
        assert problem.message == sentence


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    (tmp_path / "marked.yaml").write_bytes(b"\xef\xbb\xbfname: x")
    assert read_file(tmp_path / "marked.yaml") == ("name: x", None)
