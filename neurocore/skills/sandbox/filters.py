"""Jinja2's filters and tests, each with a check of its input: no filter does more work than is left."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

from jinja2 import Environment, pass_environment
from jinja2.filters import FILTERS, make_attrgetter
from jinja2.tests import TESTS
from jinja2.utils import _PassArg

from neurocore.skills.sandbox.budget import MAX_COUNTED, MAX_OUTPUT, Budget, Refused, current, number
from neurocore.skills.sandbox.budget import width as wide
from neurocore.skills.sandbox.methods import percent, written

Guard = Callable[..., Any]

MAX_PRECISION = 400


def _text(budget: Budget, value: Any, *_: Any, **__: Any) -> Any:
    return written(budget, value)


def _short(most: int) -> Guard:
    def guard(budget: Budget, value: Any, *_: Any, **__: Any) -> Any:
        text = written(budget, value)
        if len(text) > most:
            raise Refused(f"the filter takes a text of at most {most:,} characters")
        return text

    return guard


def _centred(budget: Budget, value: Any, width: Any = 80) -> Any:
    wide(width)
    return written(budget, value)


def _indented(budget: Budget, value: Any, width: Any = 4, *_: Any, **__: Any) -> Any:
    text = written(budget, value)
    size = len(budget.text(width)) if isinstance(width, str) else wide(width)
    budget.room(len(text) + (text.count("\n") + 2) * max(size, 0))
    return text


def _replaced(budget: Budget, s: Any, old: Any, new: Any, count: Any = None) -> Any:
    text, before, after = written(budget, s), written(budget, old), written(budget, new)
    found = text.count(before) if count is None else min(text.count(before), max(int(count), 0))
    budget.room(len(text) + found * max(len(after) - len(before), 0))
    return text


def _wrapped(budget: Budget, s: Any, width: Any = 79, *args: Any, **kwargs: Any) -> Any:
    if wide(width) < 1:
        raise Refused("wordwrap needs a width of 1 or more")
    text = _short(20_000)(budget, s)
    budget.spend(sum(len(line) * (1 + len(line) // (2_000 * int(width))) for line in text.splitlines()))
    for one in (*args, *kwargs.values()):
        if isinstance(one, str):
            budget.room(len(one) * (len(text) + 1))
    return text


def _weighed(most: int = MAX_OUTPUT) -> Guard:
    def guard(budget: Budget, value: Any, *_: Any, **__: Any) -> Any:
        budget.weigh(value, most)
        return value

    return guard


def _truncated(budget: Budget, s: Any, *_: Any, **__: Any) -> Any:
    """Return the text; copying it is not counted, because little of it is left."""
    return s if isinstance(s, str) else written(budget, s)


def _numeric(budget: Budget, value: Any, *args: Any, **kwargs: Any) -> Any:
    for one in (*args, *kwargs.values()):
        if isinstance(one, int) and abs(one) > MAX_PRECISION:
            raise Refused(f"a number has no more than {MAX_PRECISION} places here")
    if isinstance(value, str):
        budget.text(value)
    return number(value)


def _one(budget: Budget, value: Any, *_: Any, **__: Any) -> Any:
    return budget.each(value) if isinstance(value, Iterator) else value


def _items(budget: Budget, value: Any, *_: Any, **__: Any) -> Any:
    return budget.each(value)


def _batched(budget: Budget, value: Any, linecount: Any, *_: Any, **__: Any) -> Any:
    return _divided(budget, value, linecount)


def _sliced(budget: Budget, value: Any, slices: Any, *_: Any, **__: Any) -> Any:
    return _divided(budget, value, slices)


def _divided(budget: Budget, value: Any, count: Any) -> Any:
    if not 0 < int(number(count)) <= MAX_COUNTED:
        raise Refused(f"a list is divided by a number from 1 to {MAX_COUNTED:,}")
    budget.spend(int(count))
    return budget.each(value)


def _ordered(budget: Budget, value: Any, *_: Any, **__: Any) -> Any:
    """Sort; this makes a lower-case copy of every text, and compares."""
    items = list(budget.each(value)) if isinstance(value, (list, tuple, Iterator)) else budget.each(value)
    texts = items.values() if isinstance(items, dict) else items if isinstance(items, list) else ()
    budget.spend(sum(len(one) for one in texts if isinstance(one, str)) // 16)
    return items


_GUARDS: dict[str, Guard] = {
    **dict.fromkeys(("abs", "filesizeformat", "float", "int", "round"), _numeric),
    **dict.fromkeys(("capitalize", "e", "escape", "forceescape", "lower", "safe", "string", "title", "trim"), _text),
    **dict.fromkeys(("upper", "wordcount"), _text),
    **dict.fromkeys(("items", "list", "map", "reject", "rejectattr", "reverse", "select", "selectattr"), _items),
    **dict.fromkeys(("dictsort", "groupby", "max", "min", "sort", "unique"), _ordered),
    **dict.fromkeys(("tojson", "urlencode", "xmlattr"), _weighed()),
    "batch": _batched, "center": _centred, "first": _one, "indent": _indented, "last": _one,
    "pprint": _weighed(64 * 1024), "replace": _replaced, "slice": _sliced, "striptags": _short(65_536),
    "truncate": _truncated, "urlize": _short(4_096), "wordwrap": _wrapped,
}  # fmt: skip

#: These only read their input.
_AS_THEY_ARE = ("count", "d", "default", "length")
_COMPARING = (
    "!=", "<", "<=", "==", ">", ">=", "eq", "equalto", "ge", "greaterthan", "gt", "le", "lessthan", "lt", "ne", "sameas"
)  # fmt: skip
_CALCULATING = ("divisibleby", "even", "odd")


def filters() -> dict[str, Any]:
    """Return the filters by name. `random` is not among them: rendering twice must give the same."""
    found = {name: _bounded(FILTERS[name], guard) for name, guard in _GUARDS.items() if name in FILTERS}
    found |= {name: FILTERS[name] for name in _AS_THEY_ARE}
    return found | {"attr": _attr, "format": _format, "join": _join, "money": _money, "sum": _sum}


def tests() -> dict[str, Any]:
    """Return the tests by name."""
    found: dict[str, Callable[..., Any]] = {
        **dict.fromkeys(_COMPARING, Budget.compared), "in": Budget.searched, **dict.fromkeys(_CALCULATING, _calculated),
        "lower": written, "upper": written,
    }  # fmt: skip
    return {**TESTS, **{name: _looked_at(TESTS[name], look) for name, look in found.items()}}


def _calculated(_: Budget, *values: Any) -> None:
    """Check a division: the remainder of a text would be a formatted text."""
    for one in values:
        if not isinstance(one, (int, float, Decimal)):
            raise Refused(f"a value of type {type(one).__name__} cannot be divided")
        number(one)


def _bounded(function: Any, guard: Guard) -> Any:
    passed = 0 if _PassArg.from_obj(function) is None else 1

    @functools.wraps(function)
    def bounded(*args: Any, **kwargs: Any) -> Any:
        budget = current()
        budget.spend(3)
        value = guard(budget, *args[passed:], **kwargs)
        return function(*args[:passed], value, *args[passed + 1 :], **kwargs)

    return bounded


def _looked_at(function: Any, look: Callable[..., Any]) -> Any:
    @functools.wraps(function)
    def looked_at(*values: Any) -> Any:
        look(current(), *values)
        return function(*values)

    return looked_at


def dumps(value: Any, **options: Any) -> str:
    """Return `json.dumps` of a weighed value; stop if indentation makes it too large."""
    budget = current()
    if isinstance(options.get("indent"), int):
        options["indent"] = max(0, min(options["indent"], 16))
    parts, size = [], 0
    for part in json.JSONEncoder(**options).iterencode(value):
        size += len(part)
        budget.room(size)
        parts.append(part)
    return "".join(parts)


# -------------------------------------------------------------------- filters of our own


@pass_environment
def _attr(environment: Environment, value: Any, name: str) -> Any:
    return environment.getattr(value, str(name))


def _format(value: Any, *args: Any, **kwargs: Any) -> str:
    if args and kwargs:
        raise Refused("the filter format takes values by place or by name, not both")
    return percent(current(), written(current(), value), kwargs or args)


@pass_environment
def _join(environment: Environment, value: Any, d: str = "", attribute: str | int | None = None) -> str:
    budget = current()
    separator, size, parts = written(budget, d), 0, []
    get = make_attrgetter(environment, attribute)
    for item in budget.each(value):
        parts.append(written(budget, get(item)))
        size += len(parts[-1]) + len(separator)
        budget.room(size) if size > MAX_OUTPUT else None
    return separator.join(parts)


def _money(value: Any) -> str:
    return f"{number(value):,.2f}"


@pass_environment
def _sum(environment: Environment, iterable: Any, attribute: str | int | None = None, start: Any = 0) -> Any:
    budget = current()
    get = make_attrgetter(environment, attribute)
    total = start
    for item in budget.each(iterable):
        one = get(item)
        if not isinstance(one, (int, float, Decimal)):
            raise Refused(f"the filter sum adds numbers only, not {type(one).__name__}")
        total = number(total + one)
    return total
