"""Large encoded values are looked at a part at a time, and look the same as whole."""

from __future__ import annotations

import math
import random
import tracemalloc
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurocore import codec
from neurocore.codec import slicing
from neurocore.documents.masking import masked, masked_under
from neurocore.documents.stored import stored, stored_under
from webapp.streaming import encoded, pieces


@dataclass
class Payment:
    iban: str
    amount: Decimal


def rows(count=2_000):
    return [{"iban": f"DE{number:020}", "name": "Müller", "amount": number * 1.5} for number in range(count)]


LARGE = {
    "a list": rows(),
    "numbers": [number * 1_000_003 for number in range(40_000)],
    "numbers of every size": [(-1) ** number * 2 ** (number % 70) for number in range(20_000)],
    "a tuple": tuple(rows()),
    "a mapping": {f"key {number}": number for number in range(10_000)},
    "a mapping of numbers": {number: f"text {number}" for number in range(10_000)},
    "a set": {f"text {number}" for number in range(10_000)},
    "a frozen set of pairs": frozenset((number, str(number)) for number in range(10_000)),
    "text": "a line of text\n" * 10_000,
    "other text": "äß\u2028😀" * 20_000,
    "half characters": "\udc80 text " * 20_000,
    "bytes": bytes(range(256)) * 1_000,
    "an object": [Payment("DE" * 40_000, Decimal(1))],
    "objects": [Payment(f"DE{number}", Decimal(number)) for number in range(3_000)],
    "large within large": {"rows": rows(), "more": [rows(), {"deeper": tuple(rows())}], "text": "x" * 200_000},
    "a large key": {"k" * 100_000: 1, "password": rows()},
    "secrets": [{"password": "hush", "rows": rows(), "api_key": rows()}] * 2,
    "floats": [math.nan, math.inf, -math.inf, 0.1] * 10_000,
    "dates": [date(2026, 1, 1), None, True, b"bytes"] * 10_000,
    "empty ones": [[], {}, (), "", b""] * 20_000,
    "deep": [[[[[["x" * 1000] * 100]]]]],
}  # fmt: skip


def written(value):
    return b"".join(pieces(value))


@pytest.mark.parametrize("value", LARGE.values(), ids=LARGE)
def test_a_large_value_is_written_in_parts_as_it_would_be_at_once(value):
    data = codec.encode(value)
    assert len(data) > codec.SLICE
    assert written(stored(data)) == encoded(masked(value))


@pytest.mark.parametrize("key", ["rows", "password", "api_key", "about the password"])
def test_a_large_value_under_a_key_is_masked_as_it_would_be_at_once(key):
    for value in (rows(), "x" * 100_000, {"password": "x" * 100_000}):
        assert written(stored_under(key, codec.encode(value))) == encoded(masked_under(key, value))


@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.dates() | st.decimals(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner)
    | st.dictionaries(st.integers(), inner) | st.frozensets(st.integers() | st.text()),
    max_leaves=30,
))  # fmt: skip
@settings(max_examples=150, deadline=None)
def test_any_value_cut_into_small_parts_is_written_as_it_would_be_at_once(value):
    data = codec.encode(value)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(slicing, "SLICE", 3)
        assert written(stored(data)) == encoded(masked(codec.restore(data)))


def test_no_part_is_much_larger_than_a_slice():
    for value in (rows(20_000), {str(number): rows(2) for number in range(5_000)}, "ä" * 1_000_000, b"x" * 1_000_000):
        whole = codec.encode(value)
        sizes = [len(piece) for piece in pieces(stored(whole))]
        assert max(sizes) < 5 * codec.SLICE
        assert len(sizes) > 10


def test_writing_a_large_value_takes_the_memory_of_a_few_parts():
    data = codec.encode(rows(60_000))
    tracemalloc.start()
    try:
        written_bytes = sum(len(piece) for piece in pieces(stored(data)))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert written_bytes > 3_000_000
    assert peak < 2_000_000, "the whole as objects takes thirty times as much"


def test_a_value_that_is_damaged_is_shown_as_unreadable_and_not_in_part():
    whole = codec.encode(rows())
    for data in (whole[:-3], whole + b"\x01", b"\xc1" * 100_000, b"\xdd\xff\xff\xff\xff" + bytes(100_000)):
        assert "unreadable" in str(masked(codec.restore(data)))
        assert written(stored(data)) == encoded(masked(codec.restore(data)))


def test_whatever_bytes_stand_in_a_store_they_are_written_to_the_end():
    chance, whole = random.Random(5), codec.encode([rows(), set(map(str, range(20_000))), {1: rows(), (2, 3): "x"}])
    for _ in range(60):
        data = bytearray(whole)
        for _ in range(chance.randint(1, 5)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        assert written(stored(bytes(data)))
