"""Promise 9: what is recorded comes back equal and of the same type, or is refused by name."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import datetime as dt
import functools
import io
import json
import math
import subprocess
import sys
import time
import types
import zoneinfo
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, PrivateAttr

from neurocore import codec, modules, register_codec
from neurocore.codec import CodecError, SecretRef, Unreadable
from neurocore.codec import tags as codec_tags
from tests import values as samples
from tests.values import Colour, Derived, Payment, Point, Registered, Right, Row, same, values


class Model(BaseModel):
    name: str
    amounts: dict[str, Decimal] = {}
    _seen: list[int] = PrivateAttr(default_factory=list)


class Restless(msgspec.Struct):
    count: int

    def __post_init__(self) -> None:
        self.count += 1


class Calm(msgspec.Struct):
    count: int

    def __post_init__(self) -> None:
        if self.count < 0:
            raise ValueError("negative")


@dataclasses.dataclass
class Trouble(Exception):
    code: int


# -------------------------------------------------------------------- what comes back


@given(values)
@settings(max_examples=600, deadline=None)
def test_every_value_comes_back_equal_and_of_the_same_type(value):
    assert same(codec.decode(codec.encode(value)), value)


@given(values)
@settings(max_examples=300, deadline=None)
def test_every_value_comes_back_from_json_too(value):
    text = json.dumps(codec.to_jsonable(value))
    assert same(codec.from_jsonable(json.loads(text)), value)


@given(values)
@settings(max_examples=300, deadline=None)
def test_equal_values_have_equal_bytes_and_digests(value):
    again = codec.decode(codec.encode(value))
    assert codec.encode(again) == codec.encode(value)
    assert codec.canonical(again) == codec.canonical(value)


@given(values)
@settings(max_examples=200, deadline=None)
def test_every_value_can_be_shown_as_json(value):
    json.dumps(codec.plain(value), allow_nan=False).encode()


@given(st.binary(max_size=60))
@settings(max_examples=500, deadline=None)
def test_damaged_bytes_are_refused_in_a_sentence(data):
    with contextlib.suppress(CodecError):  # and nothing else
        codec.decode(data)


@given(st.integers(0, 22), st.binary(max_size=60), st.booleans())
@settings(max_examples=500, deadline=None)
def test_damaged_objects_are_shown_and_hashed_all_the_same(code, payload, objects):
    kept = codec.restore(msgspec.msgpack.encode(msgspec.msgpack.Ext(code, payload)), objects=objects)
    codec.plain(kept)
    codec.data(kept)
    with contextlib.suppress(CodecError):  # and nothing else
        codec.canonical([kept])


def test_numbers_keep_their_type_and_sign():
    for number in (
        0.0,
        -0.0,
        math.inf,
        -math.inf,
        1,
        1.0,
        True,
        10**400,
        -(2**63) - 1,
        Decimal("-0.00"),
        Decimal("sNaN"),
    ):
        assert same(codec.decode(codec.encode(number)), number), number
    assert math.isnan(codec.decode(codec.encode(math.nan)))


def test_times_keep_zone_and_fold():
    berlin = zoneinfo.ZoneInfo("Europe/Berlin")
    autumn = dt.datetime(2026, 10, 25, 2, 30, tzinfo=berlin, fold=1)
    back = codec.decode(codec.encode(autumn))
    assert (back, back.fold, back.tzinfo) == (autumn, 1, berlin)
    named = dt.datetime(2026, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=1), "here"))
    assert codec.decode(codec.encode(named)).tzname() == "here"


def test_objects_come_back_without_their_constructor_being_called():
    value = Derived(given=21)
    assert codec.decode(codec.encode(value)).doubled == 42


def test_pydantic_models_come_back_with_what_was_set_and_what_is_private():
    model = Model(name="Ada", amounts={"may": Decimal("1.50")})
    model._seen.append(7)
    back = codec.decode(codec.encode(model))
    assert type(back) is Model
    assert (back, back._seen, back.model_fields_set) == (model, [7], {"name", "amounts"})


def test_a_struct_whose_init_changes_it_is_refused_and_one_that_checks_is_not():
    assert codec.decode(codec.encode(Calm(3))) == Calm(3)
    with pytest.raises(CodecError, match=r"__post_init__ of tests.test_codec.Restless would change it"):
        codec.encode(Restless(1))


def test_flags_come_back_in_any_combination():
    for flag in (Right.READ, Right.READ | Right.WRITE, Right(0)):
        assert codec.decode(codec.encode(flag)) is flag


def test_secret_references_stay_references():
    value = {"token": SecretRef("Bearer ${TOKEN}")}
    assert codec.decode(codec.encode(value)) == value
    assert codec.plain(value) == {"token": "Bearer ${TOKEN}"}


def test_a_registered_class_comes_back_through_its_own_functions():
    register_codec(Registered, name="tests.registered", to=lambda one: one.text, from_=Registered)
    value = {"one": Registered("a"), "more": [Registered("b")]}
    assert codec.decode(codec.encode(value)) == value
    assert codec.from_jsonable(codec.to_jsonable(value)) == value
    register_codec(Registered, name="tests.registered", to=lambda one: one.text, from_=Registered)
    with pytest.raises(ValueError, match=r"'tests.registered' is taken by tests.values.Registered"):
        register_codec(Payment, name="tests.registered", to=vars, from_=lambda fields: Payment(**fields))


def test_large_text_and_keys_with_dots_are_no_trouble():
    value = {"a.b": "x" * 5 * 2**20, "": 1, "$set": [1], "ключ": 2}
    assert codec.decode(codec.encode(value)) == value
    assert codec.from_jsonable(codec.to_jsonable(value)) == value


def test_reads_are_private_copies():
    data = codec.encode({"rows": [1, 2]})
    codec.decode(data)["rows"].append(3)
    assert codec.decode(data) == {"rows": [1, 2]}


def test_dicts_keep_their_order_and_digests_do_not_mind_it():
    one, other = {"a": 1, "b": {2, 1}}, {"b": {1, 2}, "a": 1}
    assert list(codec.decode(codec.encode(other))) == ["b", "a"]
    assert codec.canonical(one) == codec.canonical(other)
    assert codec.canonical({1: "x"}) != codec.canonical({"1": "x"})
    assert codec.canonical(1) != codec.canonical(1.0) != codec.canonical(True)
    assert codec.canonical((1,)) != codec.canonical([1])


def test_what_nobody_can_change_is_known():
    for value in (1, "a", None, b"", (1, ("a",)), frozenset({1}), Colour.RED, Path("a"), dt.date(2026, 1, 1)):
        assert codec.is_immutable(value), value
    for value in ([], {}, set(), ([],), Payment("a", Decimal(1)), Point(1, []), bytearray()):
        assert not codec.is_immutable(value), value


# -------------------------------------------------------------------- what is refused


def refusal(value) -> CodecError:
    with pytest.raises(CodecError) as caught:
        codec.encode(value)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert sentence.endswith(".")
    assert not isinstance(caught.value.__cause__, RecursionError)
    with pytest.raises(CodecError):
        codec.canonical(value)
    return caught.value


def test_what_cannot_be_restored_is_refused_with_its_place_and_type(tmp_path):
    with (tmp_path / "x").open("w") as file:
        error = refusal({"rows": [{"file": 1}, {"file": file}]})
    assert (error.path, error.type_name) == ("rows[1].file", "_io.TextIOWrapper")
    assert "register_codec" in str(error)
    assert refusal([Payment("x", Decimal(1), [io.BytesIO()])]).path == "[0].notes[0]"
    for value in (object(), lambda: 1, len, types, 1j, range(3), bytearray(b"x"), Payment, (x for x in "a")):
        refusal(value)


@pytest.mark.parametrize(
    ("value", "base"),
    [
        (collections.OrderedDict(a=1), "dict"),
        (collections.defaultdict(list), "dict"),
        (collections.Counter("aab"), "dict"),
        (type("Text", (str,), {})("x"), "str"),
        (type("Number", (int,), {})(3), "int"),
        (type("Stamp", (dt.datetime,), {})(2026, 1, 1), "datetime"),
    ],
)
def test_subclasses_are_refused_rather_than_flattened(value, base):
    error = refusal({"key": value})
    assert f"would come back as {base}; record {base}(value)" in str(error)
    refusal({value: 1} if not isinstance(value, dict) else [value])


def test_classes_that_nobody_finds_again_are_refused_with_advice():
    @dataclasses.dataclass
    class Local:
        x: int

    assert "defined in a function" in str(refusal(Local(1)))
    moved = type("Row", (msgspec.Struct,), {"__annotations__": {"x": int}, "__module__": "tests.values"})
    assert "cannot be found again under its own name" in str(refusal(moved(1)))
    main = dataclasses.make_dataclass("Script", ["x"], namespace={"__module__": "__main__"})
    main.__module__ = "__main__"
    assert "the main script" in str(refusal(main(1)))
    refusal(Trouble(3))


def test_what_contains_itself_is_refused_in_a_sentence():
    mine: list = []
    mine.append(mine)
    ours: dict = {"rows": []}
    ours["rows"].append((ours,))
    knot = Row(1)
    knot.values.append(knot)
    for value in (mine, ours, knot, {"a": mine}):
        assert "contains itself" in str(refusal(value))


@pytest.mark.parametrize(
    "wrap", [lambda v: [v], lambda v: (v,), lambda v: {1: v}, lambda v: {"k": v}, lambda v: Point(1, v)]
)
def test_deep_nesting_comes_back_up_to_the_limit_even_when_the_caller_is_deep_itself(wrap):
    value = 1
    for _ in range(codec.MAX_DEPTH):
        value = wrap(value)

    def at_depth(left):
        return at_depth(left - 1) if left else codec.decode(codec.encode(value))

    assert codec.encode(at_depth(sys.getrecursionlimit() // 2)) == codec.encode(value)
    assert codec.encode(codec.from_jsonable(codec.to_jsonable(value))) == codec.encode(value)
    codec.plain(value)
    assert "nested more than 200 deep" in str(refusal(wrap(wrap(value))))


def test_too_large_a_value_is_refused_with_advice():
    for value in ("x" * (64 * 2**20 + 1), {"blob": b"x" * (65 * 2**20)}, (b"x" * (65 * 2**20),)):
        with pytest.raises(CodecError, match=r"MiB is too large to record .* set the file's path"):
            codec.encode(value)


# -------------------------------------------------------------------- what is gone, and what is hostile


def test_a_class_that_is_gone_is_named_and_its_value_kept(monkeypatch):
    data = codec.encode({"rows": [Row(1)]})
    monkeypatch.delattr(samples, "Row")
    with pytest.raises(CodecError, match=r"The class Row of tests.values is needed .* bring it back"):
        codec.decode(data)
    kept = codec.restore(data)
    assert type(kept["rows"][0]) is Unreadable
    assert codec.plain(kept) == {"rows": [{"class": "tests.values.Row", "number": 1, "values": []}]}
    assert codec.encode(kept) == data
    assert codec.encode(codec.from_jsonable(codec.to_jsonable(kept))) == data
    monkeypatch.undo()
    assert codec.decode(codec.encode(kept)) == {"rows": [Row(1)]}


def test_a_class_that_became_something_else_is_not_called(monkeypatch):
    calls = []
    for value in (Payment("a", Decimal(1)), Row(1), Point(1, 2), Colour.RED, Model(name="x")):
        data = codec.encode(value)
        module = sys.modules[type(value).__module__]
        with monkeypatch.context() as patch:
            patch.setattr(module, type(value).__name__, lambda *a, **k: calls.append(1))
            with pytest.raises(CodecError, match="is not one now"):
                codec.decode(data)
    assert not calls


@pytest.mark.parametrize(
    "place", ["os:system", "subprocess:Popen", "builtins:eval", "pathlib:Path.unlink", "subprocess:CompletedProcess"]
)
@pytest.mark.parametrize("code", range(14, 19))
def test_a_forged_value_calls_nothing(place, code, monkeypatch):
    payload = msgspec.msgpack.encode([place, {"args": "true"}])
    forged = msgspec.msgpack.encode(msgspec.msgpack.Ext(code, payload))
    monkeypatch.setattr(modules, "knows", lambda name: False)  # whatever other tests have loaded
    with pytest.raises(CodecError, match=r"no skill has loaded (os|subprocess|builtins|pathlib): import it"):
        codec.decode(forged)
    monkeypatch.setattr(codec_tags, "met", {place})  # as if a skill had loaded what it names
    with pytest.raises(CodecError, match=r"not one now|no member"):
        codec.decode(forged)


@pytest.mark.parametrize("code", range(14, 20))
def test_no_value_causes_an_import(code, tmp_path, monkeypatch):
    (tmp_path / "harmful.py").write_text("raise SystemExit('imported')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    parts = ["harmful:Thing", {"a": 1}, *(["harmful"] if code == codec_tags.REGISTERED else [])]
    forged = msgspec.msgpack.encode(msgspec.msgpack.Ext(code, msgspec.msgpack.encode(parts)))
    with pytest.raises(CodecError, match=r"no skill has loaded harmful|import harmful, which does so, at the top"):
        codec.decode(forged)
    for objects in (True, False):
        kept = codec.restore(forged, objects=objects)
        assert type(kept) is Unreadable
        assert codec.encode(kept) == forged
        codec.canonical(kept)
        assert "harmful" in str(codec.plain(kept))
    assert "harmful" not in sys.modules


@given(values)
@settings(max_examples=300, deadline=None)
def test_what_nobody_restores_has_the_bytes_the_digest_and_the_json_of_the_value(value):
    data = codec.encode(value)
    kept = codec.restore(data, objects=False)
    assert codec.encode(kept) == data
    assert codec.canonical(kept) == codec.canonical(value)
    text = json.dumps(codec.to_jsonable(value))
    assert codec.encode(codec.from_jsonable(json.loads(text), objects=False)) == data
    json.dumps(codec.plain(kept), allow_nan=False).encode()


def test_what_is_not_restored_is_shown_as_the_data_it_is_kept_as():
    register_codec(Registered, name="tests.registered", to=lambda one: one.text, from_=Registered)
    model = Model(name="Ada", amounts={"may": Decimal("1.50")})
    value = [Payment("a", Decimal(1)), Point(1, (2,)), Colour.RED, Right.READ | Right.WRITE, Registered("x"), model]
    assert codec.plain(codec.restore(codec.encode(value), objects=False)) == [
        {"class": "tests.values.Payment", "iban": "a", "amount": "1", "notes": []},
        {"class": "tests.values.Point", "value": [1, [2]]}, "tests.values.Colour.RED",
        f"tests.values.Right({(Right.READ | Right.WRITE).value})", {"class": "tests.registered", "value": "x"},
        {"class": "tests.test_codec.Model", "name": "Ada", "amounts": {"may": "1.50"}},
    ]  # fmt: skip


def test_a_field_that_is_new_since_takes_its_default_or_is_named(monkeypatch):
    data = codec.encode(Payment("a", Decimal(1)))
    longer = dataclasses.make_dataclass("Payment", ["iban", "amount", "notes", ("paid", bool, False)])
    monkeypatch.setattr(samples, "Payment", longer)
    assert codec.decode(data).paid is False
    strict = dataclasses.make_dataclass("Payment", ["iban", "amount", "notes", "bank"])
    monkeypatch.setattr(samples, "Payment", strict)
    with pytest.raises(CodecError, match="has a field bank now"):
        codec.decode(data)


def test_a_process_that_has_loaded_nothing_of_a_value_shows_it_and_restores_it_once_it_has():
    data = codec.encode([Payment("a", Decimal("1.5")), Colour.GREEN, Point(1, (2,))])
    script = f"""
from neurocore import codec, modules
data = bytes.fromhex({data.hex()!r})
print(codec.plain(codec.restore(data)))
try:
    codec.decode(data)
except codec.CodecError as error:
    print(error)
import tests.values
modules.know("tests.values")
print(codec.decode(data))
"""
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert "{'class': 'tests.values.Payment', 'iban': 'a', 'amount': '1.5', 'notes': []}" in told
    assert "no skill has loaded tests.values: import it at the top of a skill's file." in told
    assert "Payment(iban='a', amount=Decimal('1.5'), notes=[])" in told
    assert "Colour.GREEN" in told


def test_unknown_tags_and_extensions_are_refused():
    with pytest.raises(CodecError, match=r"'\$what' is not a tag"):
        codec.from_jsonable({"$what": 1})
    with pytest.raises(CodecError, match="newer NeuroCore, or is damaged"):
        codec.decode(msgspec.msgpack.encode(msgspec.msgpack.Ext(99, b"")))


def test_small_plain_values_cost_microseconds():
    value = {"name": "Ada", "n": 3, "ok": True, "tags": ["a", "b"], "score": 0.7}
    best = math.inf
    for _ in range(20):
        start = time.process_time()
        for _ in range(1000):
            codec.encode(value)
        best = min(best, (time.process_time() - start) * 1000)
    assert best < 200, f"{best:.1f} µs to encode five small values"


@dataclasses.dataclass
class Reading:
    """Holds more than its fields say."""

    value: int

    def __post_init__(self) -> None:
        self.doubled = [self.value * 2]

    @functools.cached_property
    def costly(self) -> object:
        """What cannot be kept, and can be made again."""
        return object()


class Noted(msgspec.Struct, frozen=True, dict=True):
    number: int


def test_what_a_struct_holds_beside_its_fields_comes_back_too() -> None:
    noted = Noted(1)
    noted.__dict__["note"] = ["seen"]
    back = codec.decode(codec.encode(noted))
    assert (back, back.__dict__) == (noted, {"note": ["seen"]})
    assert codec.decode(codec.encode(Noted(2))) == Noted(2)


def test_what_an_object_holds_beside_its_fields_keeps_its_order_on_which_digests_rest() -> None:
    for value in (Reading(2), Noted(2)):
        for name in "zyxabcdefgh":
            value.__dict__[name] = name
        data = codec.encode(value)
        assert codec.encode(codec.decode(data)) == data


def test_what_a_dataclass_holds_beside_its_fields_comes_back_too() -> None:
    reading = Reading(2)
    assert reading.costly
    reading.doubled.append(7)
    back = codec.decode(codec.encode(reading))
    assert (back, back.doubled) == (reading, [4, 7])
    reading.doubled.append(open)  # type: ignore[arg-type]
    with pytest.raises(CodecError, match="cannot be restored") as refused:
        codec.encode(reading)
    assert refused.value.path == "doubled[2]"
