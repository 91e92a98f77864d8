"""Values for reading: text with its line breaks, records as tables, long ones folded, never HTML."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import uuid
from decimal import Decimal
from pathlib import Path

import pytest

from neurocore.codec import SecretRef
from webapp.html.diff import changes
from webapp.html.rendering import Page, number, short
from webapp.html.text import line


@dataclasses.dataclass
class Account:
    iban: str
    password: str = "hunter2hunter2"


class Colour(enum.Enum):
    RED = 1


def html(value, **options):
    return str(Page(**options).value(value))


def test_text_keeps_its_line_breaks_and_is_never_html():
    assert html("first\n  <b>second</b>") == '<div class="text">first\n  &lt;b&gt;second&lt;/b&gt;</div>'


def test_a_line_is_cut_between_words_where_one_ends_near():
    assert line("export it again with invoice, payee, purpose", 38) == "export it again with invoice, payee,…"
    assert line("x" * 50 + " tail", 20) == "x" * 19 + "…"
    assert line("abc defghijklmnop", 10) == "abc defgh…", "not half of it is thrown away"
    for limit in range(1, 40):
        assert len(line("one two three four five six seven " * 3, limit)) <= limit


def test_a_list_of_records_is_a_table_with_its_numbers_aligned():
    table = html(
        [{"payee": "A", "amount": Decimal("9800.00")}, {"payee": "B", "amount": Decimal("1250.5"), "why": "twice"}]
    )
    assert '<th scope="col" class="num">amount</th>' in table
    assert '<td class="num"><span class="number">9,800.00</span></td>' in table
    assert table.count("<tr>") == 3


def test_long_tables_show_their_first_rows_and_fold_the_rest():
    table = html([{"row": n, "x": n} for n in range(1000)], more="/all")
    assert "980 rows more" in table
    assert "780 rows more" in table, "what is folded has an end too"
    assert '<a href="/all">' in table


def test_named_figures_are_aligned():
    assert '<td class="num"><span class="number">198</span></td>' in html(
        {"payments": 198, "amount": Decimal("48210.50")}
    )


def test_long_text_is_folded_and_says_how_long_it_is():
    folded = html("word " * 50_000)
    assert folded.startswith('<details class="fold">')
    assert "250.0 KB" in folded
    assert len(folded) < 30_000
    assert "word…</span>" in folded
    assert "……" not in folded


def test_credentials_are_masked_at_every_depth_and_in_objects():
    for value in (
        {"api_key": "sekret123"},
        [{"x": {"password": "sekret123"}}],
        Account("DE89", "sekret123"),
        {"a": [Account("b", "sekret123")]},
    ):
        assert "sekret123" not in html(value), value
        assert "•••" in html(value), value
        (change, *_) = changes({}, {"v": value})
        assert "sekret123" not in change.html, value
    assert "${TOKEN}" in html(SecretRef("${TOKEN}"))


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "none"),
        (True, "yes"),
        ("", "empty text"),
        ([], "empty list"),
        ({}, "empty"),
        (float("nan"), "not a number"),
        (float("-inf"), "−∞"),
        (10**700, "a number of about 700 digits"),
        (-1234.5, "-1,234.5"),
        (4711000, "4711000"),
        (Decimal("1E+5"), "100,000"),
        (dt.datetime(2026, 3, 31, 12, tzinfo=dt.UTC), "2026-03-31 12:00:00+00:00"),
        (dt.date(2026, 3, 31), "2026-03-31"),
        (dt.timedelta(days=2), "2 days"),
        (b"\x00\x01", "2 B: base64 AAE="),
        ({3, 1, 2}, "1, 2, 3"),
        ((1, "a"), "1, a"),
        (Colour.RED, "Colour.RED"),
        (Path("/tmp/x"), "/tmp/x"),
        (uuid.UUID(int=5), "00000000-0000-0000-0000-000000000005"),
    ],
)
def test_every_type_reads_as_what_it_is(value, said):
    assert said in html(value)


def test_an_object_that_cannot_say_itself_does_not_break_the_page():
    class Mute:
        def __str__(self):
            raise RuntimeError

    assert "a Mute" in html(Mute())


def test_deep_and_endless_values_come_to_an_end():
    deep = value = {}
    for _ in range(200):
        value["down"] = value = {}
    assert len(html(deep)) < 20_000
    assert len(html([list(range(1000))] * 1000, budget=50_000)) < 120_000


def test_whole_numbers_are_not_grouped_because_they_may_be_ids():
    assert number(1234567) == "1234567"
    assert number(1234567.25) == "1,234,567.25"


def test_short_forms_tell_what_is_inside_when_it_is_little():
    assert short({"a": 1, "b": "x"}) == "a 1, b x"
    assert short(list(range(100))) == "100 items"
    assert short({"password": "hunter2hunter2"}) == "password •••"
