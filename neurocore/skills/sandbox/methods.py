"""The methods and attributes that a template may use, by the type of the value."""

from __future__ import annotations

import datetime as dt
import re
import time
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from jinja2 import Environment
from jinja2.runtime import LoopContext, Macro, Undefined
from jinja2.sandbox import SandboxedFormatter
from jinja2.utils import Cycler
from markupsafe import Markup, escape

from neurocore import numerals
from neurocore.skills.sandbox.budget import Budget, Refused, number, width, widths

Guard = Callable[[Budget, Any, tuple[Any, ...]], None]


class Method:
    """A method of a value, before it is called."""

    __slots__ = ("name", "owner")

    def __init__(self, owner: Any, name: str) -> None:
        self.owner = owner
        self.name = name

    def __str__(self) -> str:
        raise Refused(f"{self.name} is a method; write {self.name}(…) to call it")

    def call(self, environment: Environment, budget: Budget, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Return the method's result, if its arguments are within the limits."""
        owner = self.owner
        if isinstance(owner, str):
            if self.name in ("format", "format_map"):
                fields = (args, kwargs) if self.name == "format" else ((), dict(*args, **kwargs))
                return type(owner)(_Formatter(environment, budget, owner).vformat(budget.text(owner), *fields))
            budget.text(owner)
            if self.name in _GUARDS:
                _GUARDS[self.name](budget, owner, (*args, *kwargs.values()))
        else:
            budget.compared(*args)
            budget.each(owner)
        for one in (*args, *kwargs.values()):
            if isinstance(one, str):
                budget.text(one)
            number(one)
        if self.name == "strftime":
            widths(str(args[0]) if args else "")
        found = getattr(owner, self.name)(*args, **kwargs)
        return str(found) if isinstance(found, dt.tzinfo) else found


class _Formatter(SandboxedFormatter):
    """`str.format` over plain data: fields as a template sees them, limited widths, markup escaped."""

    def __init__(self, environment: Environment, budget: Budget, text: str) -> None:
        super().__init__(environment)
        self._budget = budget
        self._text = escape if isinstance(text, Markup) else str

    def format_field(self, value: Any, format_spec: str) -> Any:
        """Return the value in its format."""
        widths(format_spec)
        if isinstance(value, Undefined):
            return str(value)
        if format_spec and not isinstance(value, str):
            return self._budget.text(format(number(value), format_spec))
        return format(self._text(written(self._budget, value)), format_spec)

    def convert_field(self, value: Any, conversion: Any) -> Any:
        """Return the value, or `repr` of it for `!r`."""
        if conversion is not None:
            self._budget.weigh(value)
        return super().convert_field(value, conversion)


MISSING: Any = object()


def attribute(value: Any, name: str) -> Any:
    """Return the attribute or the method of this name, else the item, else MISSING."""
    kind = Markup if isinstance(value, Markup) else type(value)
    if name in _METHODS.get(kind, ()):
        return Method(value, name)
    if name in _ATTRIBUTES.get(kind, ()):
        found = getattr(value, name)
        return str(found) if isinstance(found, dt.tzinfo) else found
    if isinstance(value, Mapping):
        return value.get(name, MISSING)
    return MISSING


def written(budget: Budget, value: Any) -> str:
    """Return the value as text."""
    if isinstance(value, str):
        return budget.text(value)
    if isinstance(value, Undefined):
        return str(value)  # names what is missing
    if isinstance(value, (dict, list, tuple)):
        budget.weigh(value)
    elif isinstance(value, _WRITTEN):
        number(value)
    elif hasattr(value, "__next__"):
        raise Refused("a sequence is not written out yet; add `| list` or `| join(', ')`")
    elif callable(value) and not isinstance(value, Method):
        raise Refused("a function cannot be shown; call it")
    return numerals.written(value) if isinstance(value, (float, Decimal)) else str(value)


def percent(budget: Budget, text: str, values: Any) -> str:
    """Return `text % values`."""
    if len(budget.text(text)) > MAX_PERCENT:
        raise Refused("a text before % is longer than 64 KiB")
    by_name = isinstance(values, Mapping) and "%(" in text
    sizes = {key: len(written(budget, one)) for key, one in values.items()} if by_name else None
    total = len(text)
    for found in _PERCENT.finditer(text):
        if "*" in found[2]:
            raise Refused("a width by `*` cannot be used in a template")
        widths(found[2])
        total += sum(int(one) for one in re.findall(r"\d+", found[2])) + (sizes or {}).get(found[1], 0)
        budget.room(total)
    if sizes is None:
        given = values if isinstance(values, tuple) else (values,)
        budget.room(total + sum(len(written(budget, one)) for one in given))
    return str(text % values) if type(text) is str else text % values


MAX_PERCENT = 64 * 1024
_PERCENT = re.compile(r"%(?:\(([^)]{0,200})\))?([^a-zA-Z%(]{0,40})")


# -------------------------------------------------------------------- what could make much of little


def _aligned(_: Budget, __: str, args: tuple[Any, ...]) -> None:
    width(args[0] if args else 0)


def _expanded(budget: Budget, text: str, args: tuple[Any, ...]) -> None:
    size = width(args[0] if args else 8)
    budget.room(len(text) + text.count("\t") * max(size, 0))


def _joined(budget: Budget, text: str, args: tuple[Any, ...]) -> None:
    items = args[0] if args else ()
    if not isinstance(items, (list, tuple, str, dict)):
        raise Refused("join takes a list; add `| list`")
    budget.each(items)
    budget.room(sum(len(one) for one in items if isinstance(one, str)) + len(text) * max(len(items) - 1, 0))


def _replaced(budget: Budget, text: str, args: tuple[Any, ...]) -> None:
    if len(args) < 2:
        return
    old, new, most = str(args[0]), str(args[1]), int(args[2]) if len(args) > 2 else -1
    count = text.count(old)
    count = min(count, most) if most >= 0 else count
    budget.room(len(text) + count * max(len(new) - len(old), 0))


def _from_the_right(budget: Budget, text: str, args: tuple[Any, ...]) -> None:
    """Charge for searching backwards, which compares again at each place."""
    for one in args:
        if isinstance(one, str):
            budget.spend(len(text) * min(len(one), len(text)) // 1_000)


_GUARDS: dict[str, Guard] = {
    "center": _aligned, "ljust": _aligned, "rjust": _aligned, "zfill": _aligned, "expandtabs": _expanded,
    "join": _joined, "replace": _replaced, "rfind": _from_the_right, "rindex": _from_the_right,
    "rpartition": _from_the_right, "rsplit": _from_the_right,
}  # fmt: skip

_TEXT = frozenset(
    {
        "capitalize", "casefold", "center", "count", "endswith", "expandtabs", "find", "format", "format_map", "index",
        "isalnum", "isalpha", "isascii", "isdecimal", "isdigit", "isidentifier", "islower", "isnumeric", "isprintable",
        "isspace", "istitle", "isupper", "join", "ljust", "lower", "lstrip", "partition", "removeprefix",
        "removesuffix", "replace", "rfind", "rindex", "rjust", "rpartition", "rsplit", "rstrip", "split", "splitlines",
        "startswith", "strip", "swapcase", "title", "upper", "zfill",
    }
)  # fmt: skip
_DATE = frozenset(
    {"ctime", "isocalendar", "isoformat", "isoweekday", "replace", "strftime", "timetuple", "toordinal", "weekday"}
)
_CLOCK = frozenset({"dst", "isoformat", "replace", "strftime", "tzname", "utcoffset"})

_DECIMAL = frozenset(
    {
        "adjusted", "as_integer_ratio", "as_tuple", "copy_abs", "is_finite", "is_nan", "is_signed", "is_zero",
        "normalize", "quantize", "to_integral_value",
    }
)  # fmt: skip
_LOOP = frozenset(
    {
        "depth", "depth0", "first", "index", "index0", "last", "length", "nextitem", "previtem", "revindex",
        "revindex0",
    }
)  # fmt: skip

_METHODS: dict[type, frozenset[str]] = {
    str: _TEXT,
    Markup: _TEXT | {"striptags", "unescape"},
    dict: frozenset({"get", "items", "keys", "values"}),
    list: frozenset({"count", "index"}),
    tuple: frozenset({"count", "index"}),
    int: frozenset({"as_integer_ratio", "bit_length"}),
    bool: frozenset({"bit_length"}),
    float: frozenset({"as_integer_ratio", "is_integer"}),
    Decimal: _DECIMAL,
    dt.date: _DATE,
    dt.datetime: _DATE | _CLOCK | {"astimezone", "date", "time", "timestamp", "timetz"},
    dt.time: _CLOCK,
    dt.timedelta: frozenset({"total_seconds"}),
    LoopContext: frozenset({"changed", "cycle"}),
    Cycler: frozenset({"next", "reset"}),
}

_PARTS_OF_DATE = frozenset({"day", "month", "year"})
_PARTS_OF_TIME = frozenset({"fold", "hour", "microsecond", "minute", "second", "tzinfo"})
_ATTRIBUTES: dict[type, frozenset[str]] = {
    int: frozenset({"denominator", "imag", "numerator", "real"}),
    float: frozenset({"imag", "real"}),
    dt.date: _PARTS_OF_DATE,
    dt.datetime: _PARTS_OF_DATE | _PARTS_OF_TIME,
    dt.time: _PARTS_OF_TIME,
    dt.timedelta: frozenset({"days", "microseconds", "seconds"}),
    time.struct_time: frozenset(
        f"tm_{one}" for one in ["year", "mon", "mday", "hour", "min", "sec", "wday", "yday", "isdst", "zone", "gmtoff"]
    ),
    type(dt.date(1, 1, 1).isocalendar()): frozenset({"week", "weekday", "year"}),
    LoopContext: _LOOP,
    Macro: frozenset({"arguments", "caller", "catch_kwargs", "catch_varargs", "name"}),
    Cycler: frozenset({"current"}),
}

_WRITTEN = (int, float, Decimal, dt.date, dt.time, dt.timedelta, type(None), Method, range)
