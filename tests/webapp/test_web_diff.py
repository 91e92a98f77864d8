"""Before and after, path by path."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from webapp.html.diff import GONE, MOST_CHANGES, Change, changes


def told(before, after):
    return [(one.path, one.kind) for one in changes(before, after)]


def test_nested_values_are_gone_into():
    before = {"payments": [{"flag": None, "row": 1}, {"flag": None, "row": 2}], "total": 3}
    after = {"payments": [{"flag": "4x", "row": 1}, {"flag": None, "row": 2}], "total": 3, "new": 1}
    assert told(before, after) == [("payments[0].flag", "changed"), ("new", "added")]


def test_an_item_put_in_front_does_not_change_all_behind_it():
    assert told(["b", "c"], ["a", "b", "c"]) == [("[0]", "added")]
    assert told(["a", "b", "c"], ["a", "c"]) == [("[1]", "removed")]


def test_many_items_in_one_place_are_told_together():
    (one,) = changes({"rows": [{"row": 0}]}, {"rows": [{"row": n} for n in range(80)]})
    assert (one.path, one.kind) == ("rows[1–79]", "added")
    assert "79 items" in one.html


def test_types_are_told_apart():
    assert told({"x": 1}, {"x": True}) == [("x", "changed")]
    assert told({"x": 1}, {"x": 1.0}) == [("x", "changed")]
    assert told({"x": float("nan")}, {"x": float("nan")}) == []


def test_a_gap_is_marked_only_where_lines_are_left_out():
    long = "".join(f"{number}\n" for number in range(20))
    assert [sign for sign, _ in Change("x", long, f"new\n{long}").lines] == ["+", " "]
    assert [sign for sign, _ in Change("x", "", "a\nb\n").lines] == ["+", "+"]
    assert [sign for sign, _ in Change("x", long, f"{long}new\n").lines] == ["@", " ", "+"]


def test_text_over_lines_is_compared_by_line():
    (one,) = changes({"letter": "Dear Ann,\nno.\nBye"}, {"letter": "Dear Ann,\nyes.\nBye"})
    assert ("-", "no.") in one.lines
    assert ("+", "yes.") in one.lines


def test_of_long_text_the_place_that_differs_is_shown():
    (one,) = changes("x" * 5000 + "OLD", "x" * 5000 + "NEW")
    assert "OLD" in one.html
    assert "NEW" in one.html
    assert len(one.html) < 600


def test_credentials_are_masked_in_differences_too():
    (one,) = changes({"password": None, "user": "a"}, {"password": "sekret123", "user": "a"})
    assert "sekret123" not in one.html


def test_odd_keys_have_a_path():
    assert told({"a b": 1, 3: 1}, {}) == [("['a b']", "removed"), ("[3]", "removed")]


def test_there_is_an_end():
    found = changes({}, {str(n): n for n in range(5000)})
    assert len(found) == MOST_CHANGES + 1
    assert found[-1].kind == "cut"
    assert "more may differ" in found[-1].html


def test_texts_that_have_nothing_in_common_say_so():
    (one,) = changes("".join(f"{n}\n" for n in range(3000)), "".join(f"-{n}\n" for n in range(2000)))
    assert one.lines == []
    assert "too different to compare line by line" in one.html


values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text("ab", max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("kl", max_size=2), inner, max_size=3),
    max_leaves=12,
)


@given(values)
@settings(max_examples=100, deadline=None)
def test_a_value_does_not_differ_from_itself(value):
    assert changes(value, value) == []


@given(values, values)
@settings(max_examples=200, deadline=None)
def test_different_values_differ_and_every_difference_can_be_told(before, after):
    found = changes(before, after)
    assert bool(found) == (repr(before) != repr(after)) or before == after
    for one in found:
        assert one.before is GONE or one.after is GONE or repr(one.before) != repr(one.after)
        assert one.html
