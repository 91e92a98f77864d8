"""What differs is found, told, and bounded by work."""

from __future__ import annotations

import functools
import random
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurocore.differences import (
    CUT,
    MOST,
    NAMED,
    TOO_DIFFERENT,
    TOO_DIFFERENT_LINES,
    Work,
    align,
    compare,
    first_difference,
    lines,
    unified,
)

items = st.lists(st.integers(0, 4), max_size=30)


def told(before: Any, after: Any) -> list[tuple[str, str]]:
    return [(one.key, one.kind) for one in compare(before, after)]


# -------------------------------------------------------------------- aligning


@given(items, items)
@settings(max_examples=400, deadline=None)
def test_the_way_from_one_sequence_to_the_other_leads_there_and_is_a_shortest_one(
    before: list[int], after: list[int]
) -> None:
    codes = align(before, after, Work())
    assert codes is not None
    made, at, edits = [], (0, 0), 0
    for kind, a, b, c, d in codes:
        assert (a, c) == at, "nothing is left out"
        at = (b, d)
        assert (kind == "equal") == (before[a:b] == after[c:d] and b > a), "what is equal is told as equal"
        made += after[c:d] if kind != "equal" else before[a:b]
        edits += 0 if kind == "equal" else (b - a) + (d - c)
    assert (made, at) == (after, (len(before), len(after)))
    assert edits == len(before) + len(after) - 2 * common(before, after)


def common(one: list[int], other: list[int]) -> int:
    """The length of the longest common subsequence, by the table."""
    row = [0] * (len(other) + 1)
    for item in one:
        row = _next(row, item, other)
    return row[-1]


def _next(row: list[int], item: int, other: list[int]) -> list[int]:
    made = [0]
    for place, found in enumerate(other):
        made.append(row[place] + 1 if item == found else max(row[place + 1], made[-1]))
    return made


@given(items, items)
@settings(max_examples=200, deadline=None)
def test_lines_tell_both_texts(before: list[int], after: list[int]) -> None:
    old, new = ("\n".join(map(str, one)) for one in (before, after))
    found = lines(old, new, context=1000)
    assert found is not None
    if before != after:
        assert [text for sign, text in found if sign in " -"] == old.splitlines()
        assert [text for sign, text in found if sign in " +"] == new.splitlines()
    else:
        assert found == []


def test_a_unified_diff_reads_like_any_other() -> None:
    old = "".join(f"{n}\n" for n in range(20))
    new = old.replace("5\n", "five\n", 1).replace("19\n", "")
    assert unified(old, old, ("a", "b")) == []
    assert unified(old, new, ("a", "b")) == [
        "--- a", "+++ b", "@@ -3,7 +3,7 @@", " 2", " 3", " 4", "-5", "+five", " 6", " 7", " 8",
        "@@ -17,4 +17,3 @@", " 16", " 17", " 18", "-19",
    ]  # fmt: skip


@given(st.text("ab", max_size=40), st.text("ab", max_size=40))
def test_where_two_texts_part(before: str, after: str) -> None:
    place = first_difference(before, after)
    assert before[:place] == after[:place]
    assert before == after or before[place : place + 1] != after[place : place + 1]


# -------------------------------------------------------------------- values


def test_one_row_that_is_gone_is_one_difference_among_fifty_thousand() -> None:
    rows = [{"id": n, "name": f"row {n}"} for n in range(50_000)]
    for place in (0, 777, 49_999):
        assert told({"rows": rows}, {"rows": rows[:place] + rows[place + 1 :]}) == [(f"rows[{place}]", "removed")]
    changed = [*rows[:10], {**rows[10], "name": "other"}, *rows[12:], {"id": -1, "name": "new"}]
    assert told({"rows": rows}, {"rows": changed}) == [
        ("rows[10].name", "changed"), ("rows[11]", "removed"), ("rows[49999]", "added")
    ]  # fmt: skip


def test_types_are_told_apart_and_ways_to_hold_the_same_are_not() -> None:
    assert told({"a": 1, "b": 1.0, "c": True}, {"a": True, "b": 1, "c": 1.0}) == [(key, "changed") for key in "abc"]
    assert told({"a": (1, 2), "b": {1, 2}}, {"a": [1, 2], "b": {2, 1}}) == []
    assert told({"a": 1, "b": 2}, {"b": 2, "a": 1}) == []
    assert told({"a": float("nan")}, {"a": float("nan")}) == []


def test_what_is_veiled_is_neither_compared_nor_told() -> None:
    def mask(values: dict[Any, Any]) -> dict[Any, Any]:
        return {key: "•••" if key == "pin" else item for key, item in values.items()}

    assert compare({"pin": 1, "n": {"pin": 2}}, {"pin": 3, "n": {"pin": 4}}, mask=mask) == []
    assert [one.after for one in compare({}, {"pin": 3}, mask=mask)] == ["•••"]


def test_the_end_says_that_there_is_more() -> None:
    found = compare({}, {str(n): n for n in range(5_000)})
    assert len(found) == MOST + 1
    first, *rest = map(str, range(MOST, MOST + NAMED))
    names = ", ".join([first, *rest])
    assert (found[-1].kind, found[-1].note) == ("cut", f"{CUT}: {names} and {5_000 - MOST - NAMED:,} more")
    work = Work(1_000)
    found = compare({"a": list(range(9_000))}, {"a": list(range(1, 9_001))}, work=work)
    assert found[-1].note in (f"{CUT}: a", TOO_DIFFERENT)
    (one,) = compare({"a": 1}, {"a": 2}, work=work)
    assert one.kind == "cut", "what several comparisons may do together is used up"


def test_lists_that_have_nothing_in_common_are_told_as_a_whole() -> None:
    (one,) = compare({"a": list(range(3_000))}, {"a": list(range(10_000, 12_000))})
    assert (one.key, one.kind, one.note) == ("a", "changed", TOO_DIFFERENT)
    before, after = ("".join(f"{n}\n" for n in many) for many in (range(3_000), range(10_000, 12_000)))
    assert lines(before, after) is None
    assert unified(before, after, ("a", "b")) == ["--- a", "+++ b", f"@@ {TOO_DIFFERENT_LINES} @@"]


EQUAL = [{"iban": "DE1", "amount": 5}] * 2_000
SHUFFLED = random.Random(1).sample(range(20_000), 20_000)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (EQUAL, EQUAL[:-1]),
        (EQUAL, [*EQUAL[:1_000], {"iban": "AT2"}, *EQUAL[:1_000]]),
        (EQUAL, [{"iban": "AT2"}] * 1_999),
        ([1, 2] * 25_000, [2, 1] * 24_990),
        ([0] * 50_000 + [1], [2] + [0] * 49_000),
        (list(range(50_000)), SHUFFLED),
        (SHUFFLED, SHUFFLED[::-1][:-1]),
        ([[[n] * 50] * 50 for n in range(50)], [[[n] * 50] * 51 for n in range(50)]),
        ({str(n): n for n in range(200_000)}, {str(n): n + 1 for n in range(200_000)}),
        (["x" * 10_000] * 500, ["x" * 9_999] * 499),
        ([list(range(n)) for n in range(300)], [list(range(n + 1)) for n in range(300)]),
        ("a\n" * 100_000, "a\n" * 99_999 + "b"),
        (
            {"k": [{"a": n, "b": [n] * 20} for n in range(5_000)]},
            {"k": [{"a": -n, "b": [n] * 20} for n in range(4_999)]},
        ),
    ],
)
def test_no_comparison_takes_long(before: Any, after: Any) -> None:
    for one, other in ((before, after), (after, before)):
        took = seconds(functools.partial(compare, one, other))
        assert took < 1.5, f"{took:.1f} s"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (["a"] * 2_000, ["a"] * 1_999),
        (["a", "b"] * 50_000, ["b", "a"] * 49_000),
        (["a"] * 2_000 + ["b"], ["c"] + ["a"] * 2_000),
        ([str(n) for n in range(100_000)], [str(-n) for n in range(100_000)]),
        (["x" * 1_000_000], ["x" * 999_999 + "y"]),
    ],
)
def test_no_text_takes_long(before: list[str], after: list[str]) -> None:
    assert seconds(lambda: lines("\n".join(before), "\n".join(after))) < 1
    assert seconds(lambda: unified("\n".join(before), "\n".join(after), ("a", "b"))) < 1


def seconds(call: Callable[[], object]) -> float:
    began = time.thread_time()
    call()
    return time.thread_time() - began
