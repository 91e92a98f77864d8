"""Values of every type that the codec promises to restore, for hypothesis; the classes can be imported again."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import zoneinfo
from decimal import Decimal
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, NamedTuple

import msgspec
from hypothesis import strategies as st


class Colour(enum.Enum):
    RED = "red"
    GREEN = ("green", 2)


class Size(enum.IntEnum):
    SMALL = 1
    LARGE = 2


class Word(enum.StrEnum):
    YES = "yes"


class Right(enum.Flag):
    READ = 1
    WRITE = 2


class Point(NamedTuple):
    x: int
    y: Any


@dataclasses.dataclass
class Payment:
    iban: str
    amount: Decimal
    notes: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True, slots=True)
class Leg:
    start: dt.date
    via: tuple[str, ...] = ()


@dataclasses.dataclass
class Derived:
    """Its init would not accept its own fields: nothing of the class may be called on the way back."""

    doubled: int = dataclasses.field(init=False)
    given: dataclasses.InitVar[int] = 1

    def __post_init__(self, given: int) -> None:
        self.doubled = given * 2


class Row(msgspec.Struct):
    number: int
    values: list[Any] = []


class Fixed(msgspec.Struct, frozen=True, kw_only=True, tag=True, rename="camel"):
    long_name: str
    parent: Row | None = None


class Registered:
    """Nothing that the codec knows by itself; tests register it."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __eq__(self, other: object) -> bool:
        return type(other) is Registered and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)


ZONES = ("Europe/Berlin", "America/New_York", "UTC", "Asia/Kathmandu")
zones = (
    st.none()
    | st.sampled_from(ZONES).map(zoneinfo.ZoneInfo)
    | st.just(dt.UTC)
    | st.integers(-14 * 3600, 14 * 3600).map(lambda seconds: dt.timezone(dt.timedelta(seconds=seconds)))
    | st.builds(
        dt.timezone, st.integers(-12, 12).map(lambda hours: dt.timedelta(hours=hours)), st.text(min_size=1, max_size=5)
    )
)
texts = st.text(st.characters(codec=None), max_size=20)  # lone surrogates, too
numbers = st.integers() | st.sampled_from([2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 2**64, 10**400, -(10**400)])

leaves: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    numbers,
    st.floats(allow_nan=True, allow_infinity=True),
    texts,
    st.binary(max_size=20),
    st.datetimes(timezones=zones, allow_imaginary=True),
    st.datetimes().map(lambda moment: moment.replace(fold=1)),
    st.dates(),
    st.times(timezones=zones),
    st.timedeltas(),
    st.decimals(allow_nan=True, allow_infinity=True),
    st.uuids(),
    texts.filter(lambda text: "\0" not in text).map(Path),
    st.sampled_from([PurePosixPath("/a/b"), PureWindowsPath("C:/a"), Path("../x y")]),
    st.sampled_from([*Colour, *Size, *Word, *Right, Right.READ | Right.WRITE]),
    st.builds(Leg, st.dates(), st.tuples(texts)),
)

#: What can be a key or a member of a set: hashable, and equal to itself.
hashables = st.recursive(
    leaves.filter(lambda value: _is_hashable(value) and value == value),
    lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=3),
    max_leaves=4,
)

values: st.SearchStrategy[Any] = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.sets(hashables, max_size=3),
        st.frozensets(hashables, max_size=3),
        st.dictionaries(texts, inner, max_size=4),
        st.dictionaries(hashables, inner, max_size=3),
        st.builds(Point, st.integers(), inner),
        st.builds(Payment, texts, st.decimals(allow_nan=False), st.lists(texts, max_size=2)),
        st.builds(Row, st.integers(), st.lists(inner, max_size=2)),
        st.builds(Fixed, long_name=texts, parent=st.none() | st.builds(Row, st.integers())),
    ),
    max_leaves=12,
)


def same(one: Any, other: Any) -> bool:
    """Equal, and of the same type all the way down; NaN is the same as NaN, 0.0 is not the same as -0.0."""
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        return repr(one) == repr(other)
    if type(one) is Decimal:
        return one.as_tuple() == other.as_tuple()
    if isinstance(one, dict):
        pairs = zip(one.items(), other.items(), strict=False)
        return len(one) == len(other) and all(same(a, c) and same(b, d) for (a, b), (c, d) in pairs)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, (set, frozenset)):
        return one == other and sorted(map(_shape, one)) == sorted(map(_shape, other))
    if isinstance(one, (dt.datetime, dt.time)):
        zones_match = str(one.tzinfo) == str(other.tzinfo) and type(one.tzinfo) is type(other.tzinfo)
        return one.replace(tzinfo=None) == other.replace(tzinfo=None) and one.fold == other.fold and zones_match
    if isinstance(one, msgspec.Struct):
        return all(same(getattr(one, name), getattr(other, name)) for name in one.__struct_fields__)
    if dataclasses.is_dataclass(one):
        fields = dataclasses.fields(one)
        return all(same(getattr(one, field.name), getattr(other, field.name)) for field in fields)
    return bool(one == other)


def _shape(value: Any) -> str:
    inner = f"({','.join(sorted(map(_shape, value)))})" if isinstance(value, (tuple, frozenset)) else ""
    return f"{type(value).__qualname__}{inner}"


def _is_hashable(value: Any) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True
