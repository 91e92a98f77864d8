"""Text for terminals: safe, aligned, and short enough."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurocore.cli import output, text, values
from neurocore.cli.output import Cell, Column
from neurocore.moments import age
from neurocore.readable import safe_json, took

NOW = datetime(2026, 3, 31, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("hostile", "harmless"),
    [
        ("\x1b[2J\x1b]0;owned\x07", "\\x1b[2J\\x1b]0;owned\\x07"),
        ("a\x9b31mb", "a\\x9b31mb"),
        ("invoice\u202egpj.exe", "invoice\\u202egpj.exe"),
        ("\u2066hidden\u2069", "\\u2066hidden\\u2069"),
        ("carriage\rreturn", "carriage\\x0dreturn"),
        ("back\x08space", "back\\x08space"),
        ("\ud800", "\\ud800"),
        ("tab\there", "tab    here"),
        ("\U000e0041", "\\U000e0041"),
        ("plain – Übung 日本 👍🏽", "plain – Übung 日本 👍🏽"),
    ],
)
def test_what_could_steer_a_terminal_is_written_out(hostile, harmless):
    assert text.safe(hostile) == harmless


@given(st.text())
def test_no_text_brings_a_control_character_to_the_terminal(anything):
    shown = text.safe(anything)

    assert not [c for c in shown if (ord(c) < 32 and c != "\n") or 0x7F <= ord(c) < 0xA0 or 0xD800 <= ord(c) < 0xE000]
    assert not set(shown) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c")


@given(st.text())
def test_one_line_is_one_line(anything):
    assert len(text.line(anything).splitlines()) <= 1


@given(st.dictionaries(st.text(), st.one_of(st.text(), st.integers(), st.none(), st.lists(st.text(max_size=5)))))
def test_safe_json_is_the_same_json(document):
    shown = safe_json(json.dumps(document, ensure_ascii=False))

    assert json.loads(shown) == document
    assert "\x1b" not in shown
    assert "\u202e" not in shown


@given(st.text(), st.integers(min_value=1, max_value=30))
def test_a_cut_text_fits(anything, room):
    assert text.width(text.cut(text.safe(anything).replace("\n", " "), room)) <= room


def test_a_wide_character_takes_two_columns():
    assert text.width("日本") == 4
    assert text.cut("日本語", 5) == "日本…"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (1, "just now"), (12, "12 s ago"), (119, "1 min ago"), (3 * 3600 + 100, "3 h ago"), (47 * 3600, "1 d ago"),
        (13 * 86400, "13 d ago"), (40 * 86400, "2026-02-19"),
    ],
)  # fmt: skip
def test_a_time_is_told_as_people_do(seconds, words):
    assert text.ago((NOW - timedelta(seconds=seconds)).isoformat(), NOW) == words


@pytest.mark.parametrize(
    ("milliseconds", "words"),
    [
        (None, "–"), (0.42, "0.4 ms"), (12.4, "12 ms"), (999, "999 ms"), (1300, "1.3 s"), (59_960, "1 min"),
        (125_000, "2 min 5 s"), (11_520_000, "3 h 12 min"), (183_600_000, "2 d 3 h"),
    ],
)  # fmt: skip
def test_a_duration_is_told_as_people_do(milliseconds, words):
    assert took(milliseconds) == words


def test_a_time_that_is_none_is_shown_as_it_is():
    assert text.when("yesterday\x1b[1m") == "yesterday\\x1b[1m"
    assert text.ago(None) == "–"


@pytest.mark.parametrize("room", [40, 60, 80, 120])
def test_a_table_fits_the_room_it_has(room):
    heads = [Column("id"), Column("title", least=8), Column("note", least=8, goes="last"), Column("n", right=True)]
    rows = [["0123abcd", "A rather long title " * 3, "日本語のとても長い注釈" * 4, "7"], ["1", "short", "", "12345"]]

    lines = output.table(heads, rows, room=room).split("\n")

    assert all(text.width(one) <= room for one in lines), lines
    assert lines[1].startswith("0123abcd")
    assert lines[1].endswith("7")


def test_a_column_that_may_goes_where_there_is_no_room():
    heads = [Column("id"), Column("by", least=4, goes="first"), Column("title", least=5)]
    rows = [["0123456789", "somebody", "a title of some length"]]

    assert "somebody" in output.table(heads, rows, room=60)
    assert "somebody" not in output.table(heads, rows, room=38)


def test_numbers_stand_at_the_right():
    table = output.table([Column("n", right=True)], [["1"], [Cell("1000", "red")]], room=80)

    assert table.split("\n")[1] == "   1"


def test_a_list_of_records_is_shown_as_a_table():
    rows = [{"iban": f"DE{n:02}", "amount": n * 1000} for n in range(30)]

    lines = values.named({"suspicious": rows}, indent="  ", room=80, most=8)

    assert "IBAN" in lines[1]
    assert "AMOUNT" in lines[1]
    assert lines[-1].strip() == "… 25 more rows (`runs inspect --full` shows all)"


def test_text_keeps_its_line_breaks():
    lines = values.named({"letter": "Dear Ada,\nthank you.\n"}, indent="", room=80)

    assert [one.strip() for one in lines[1:]] == ["Dear Ada,", "thank you."]


@pytest.mark.parametrize(
    "value",
    [pytest.param(10**5000, id="huge"), None, True, 0, 1.5, "", "x" * 5000, "a\nb" * 500, [], [[]],
     [[1, [2]], {"a": {}}], {"a": {"b": {"c": [1, {"d": 2}]}}}, [{"a": 1}, {"b": [2]}], {"": ""}],
)  # fmt: skip
def test_every_value_can_be_shown_in_80_columns(value):
    lines = values.named({"key": value}, indent="  ", room=80)

    assert all(text.width(one) <= 80 for one in lines), lines
    assert 0 < len(lines) < 40


def test_a_hostile_value_is_harmless_wherever_it_stands():
    lines = values.named({"k\x1b[1m": ["\x1b[2J", {"\x9b": "\u202e"}], "t": "\x1b\n\x1b"}, indent="", room=80)

    assert not any("\x1b" in one or "\x9b" in one or "\u202e" in one for one in lines)


@pytest.mark.parametrize(("given_", "days"), [("90d", 90), ("2w", 14), ("36h", 1.5), ("1.5 d", 1.5)])
def test_an_age_is_a_number_and_a_unit(given_, days):
    assert age(given_) == timedelta(days=days)


@pytest.mark.parametrize("given_", ["", "90", "d", "-1d", "90 days", "1" * 400 + "d", "٣d"])
def test_anything_else_is_no_age(given_):
    assert age(given_) is None


@given(st.text(), st.integers(min_value=8, max_value=60))
def test_wrapped_text_fits_and_loses_nothing(anything, room):
    lines = text.wrapped(text.safe(anything), room, "  ", "    ")

    assert all(text.width(one) <= room for one in lines)
    assert "".join("".join(lines).split()) == "".join(text.safe(anything).split())
