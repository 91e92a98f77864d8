"""Check plain data against a msgspec type: every problem is reported with its place, not only the first."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Annotated, Any, Literal

import msgspec
from msgspec import inspect

from neurocore import typed
from neurocore.yamlfile import Document, Place, Problem, nearest, said


def check(document: Document, data: Any, kind: Any, *, at: Place = ()) -> Any:
    """Convert `data` at `at` to `kind` (a msgspec type); each mismatch is added as a problem, and the result is None.

    An empty key counts as missing if it is optional. `data` is changed accordingly.
    """
    before = len(document.problems)
    _check(document, data, _type_info(kind), at)
    if len(document.problems) > before or document.full or document.unsure(at):
        return None
    try:
        return typed.convert(data, kind)
    except (msgspec.ValidationError, ValueError) as error:
        document.problems.append(Problem(message=f"{error}.", file=document.file))
        return None


_WORDS: dict[Any, str] = {
    inspect.StrType: "text", inspect.IntType: "a whole number", inspect.FloatType: "a number",
    inspect.BoolType: "true or false", inspect.ListType: "a list", inspect.DictType: "a mapping",
    inspect.StructType: "a mapping", inspect.NoneType: "nothing",
}  # fmt: skip


@lru_cache(maxsize=64)
def _type_info(kind: Any) -> Any:
    typed.learn(kind)
    return inspect.type_info(kind)


def _word(kind: Any) -> str:
    if isinstance(kind, inspect.Metadata):
        return _word(kind.type)
    if isinstance(kind, inspect.LiteralType):
        return "one of " + ", ".join(map(str, kind.values))
    if isinstance(kind, inspect.UnionType):
        return " or ".join(_word(one) for one in kind.types if not isinstance(one, inspect.NoneType))
    return _WORDS.get(type(kind), "a value")


def _check(document: Document, value: Any, kind: Any, path: Place) -> None:
    for one in _fitting(kind):
        if isinstance(one, inspect.AnyType):
            return
        if isinstance(one, inspect.StructType) and isinstance(value, dict):
            _check_struct(document, value, one, path)
            return
        if isinstance(one, inspect.ListType) and isinstance(value, list):
            for place, item in enumerate(value):
                if not document.full:
                    _check(document, item, one.item_type, (*path, place))
            return
        if isinstance(one, inspect.DictType) and isinstance(value, dict):
            _check_dict(document, value, one, path)
            return
        if _scalar_fits(value, one):
            _check_bounds(document, value, one, path)
            return
    kind = next(iter(_fitting(kind)))
    if isinstance(kind, (inspect.StructType, inspect.ListType, inspect.DictType)):
        hint = _written_out(value, kind, path)
    elif isinstance(kind, (inspect.FloatType, inspect.IntType)) and (seconds := _seconds(value)) is not None:
        hint = f"; write the seconds: {seconds}."
    elif isinstance(kind, (inspect.FloatType, inspect.IntType)) and _is_number(value):
        hint = "; remove the quotes."
    elif isinstance(kind, inspect.LiteralType):
        hint = nearest(value, [str(one) for one in kind.values])
        hint = hint if hint.startswith("; did") else "."
    else:
        hint = "; put it in quotes." if isinstance(kind, inspect.StrType) and _quotable(value) else "."
    document.add(path, f"Expected {_word(kind)}, not {said(value)}{hint}")


def _written_out(value: Any, kind: Any, path: Place) -> str:
    """Return how to write a single value where a mapping or a list is required; its type defines the short form.

    A type has `SHORT_FOR`: the keys that one value stands for.
    """
    before = f"{path[-1]}: " if path and isinstance(path[-1], str) else "- " if path else ""
    if isinstance(kind, inspect.DictType) and isinstance(value, list) and value:
        first = value[0].get("name", value[0].get("key")) if isinstance(value[0], dict) else value[0]
        return f"; write `{before}{{{first}: …}}`." if _is_word(first) else "."
    if isinstance(kind, inspect.ListType):
        key = _short_for(kind.item_type)[:1]
        if isinstance(value, dict) and value and key and _is_word(first := next(iter(value))):
            return f"; write a list: `- {{{key[0]}: {first}, …}}`."
        return f"; write `{before}[{value}]`." if _is_word(value) and _takes_text(kind.item_type) else "."
    keys = _short_for(kind)
    fits = [one.type for one in kind.fields if one.encode_name in keys] if isinstance(kind, inspect.StructType) else []
    if not any(_scalar_fits(value, one) for type_ in fits for one in _fitting(type_)):
        return "."
    shown = value if len(str(value)) <= 60 else "…"
    return f"; write `{before}{{{', '.join(f'{key}: {shown}' for key in keys)}}}`."


def _short_for(kind: Any) -> tuple[str, ...]:
    """Return the keys of a mapping for which one value may be short."""
    found = getattr(kind.cls, "SHORT_FOR", ()) if isinstance(kind, inspect.StructType) else ()
    return (found,) if isinstance(found, str) else found


def _is_word(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[\w.#-]{1,60}", value) is not None


def _takes_text(kind: Any) -> bool:
    return any(isinstance(one, inspect.StrType) for one in _fitting(kind))


def _is_number(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[+-]?\d{1,20}(\.\d{1,20})?", value, re.ASCII) is not None


def _seconds(value: Any) -> int | float | None:
    """Return the seconds of a duration as people write it: `90s`, `5m`, `1.5h`, `2d`."""
    match = (
        re.fullmatch(r"(\d{1,9}(?:\.\d{1,3})?)\s*(ms|[smhd])\w*", value, re.ASCII) if isinstance(value, str) else None
    )
    if match is None:
        return None
    seconds = float(match[1]) * {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}[match[2]]
    return int(seconds) if seconds == int(seconds) else seconds


def _fitting(kind: Any) -> Iterator[Any]:
    """Yield the alternatives of a type."""
    if isinstance(kind, inspect.Metadata):
        yield from _fitting(kind.type)
    elif isinstance(kind, inspect.UnionType):
        nothing = [one for one in kind.types if isinstance(one, inspect.NoneType)]
        for one in [*(one for one in kind.types if one not in nothing), *nothing]:
            yield from _fitting(one)
    else:
        yield kind


def _quotable(value: Any) -> bool:
    return value is not None and not isinstance(value, (list, dict, bytes))


def _scalar_fits(value: Any, kind: Any) -> bool:
    if isinstance(kind, inspect.NoneType):
        return value is None
    if isinstance(kind, inspect.LiteralType):
        return isinstance(value, str) and value in kind.values
    if isinstance(kind, inspect.StrType):
        return isinstance(value, str)
    if isinstance(kind, inspect.BoolType):
        return isinstance(value, bool)
    if isinstance(kind, inspect.IntType):
        return isinstance(value, int) and not isinstance(value, bool)
    if isinstance(kind, inspect.FloatType):
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return False


def _check_bounds(document: Document, value: Any, kind: Any, path: Place) -> None:
    try:
        typed.convert(value, _annotated(kind))
    except (msgspec.ValidationError, OverflowError) as error:
        what = str(error).replace("`", "").replace("str of", "text of").replace("Expected int", "Expected a number")
        document.add(path, f"{what.replace('Expected float', 'Expected a number')}, not {said(value)}.")


def _annotated(kind: Any) -> Any:
    if isinstance(kind, inspect.LiteralType):
        return Literal[kind.values]
    names = ("gt", "ge", "lt", "le", "min_length", "max_length", "pattern")
    bounds = {name: getattr(kind, name) for name in names if getattr(kind, name, None) is not None}
    bases = ((inspect.StrType, str), (inspect.IntType, int), (inspect.FloatType, float))
    base: Any = next((base for one, base in bases if isinstance(kind, one)), Any)
    return Annotated[base, msgspec.Meta(**bounds)] if bounds else base


def _check_dict(document: Document, value: dict[Any, Any], kind: Any, path: Place) -> None:
    for key, item in value.items():
        if document.full:
            return
        if not isinstance(key, str):
            document.add((*path, str(key)), f"A key must be text, not {said(key)}; put it in quotes.", key=True)
        else:
            _check(document, item, kind.value_type, (*path, key))


def _check_struct(document: Document, value: dict[Any, Any], kind: Any, path: Place) -> None:
    fields = {one.encode_name: one for one in kind.fields}
    other_words: dict[Any, str] = getattr(kind.cls, "OTHER_WORDS", {})
    elsewhere: dict[Any, str] = getattr(kind.cls, "ELSEWHERE", {})
    meant = {other_words[key] for key in value if key in other_words}
    for key in list(value):
        one = fields.get(key) if isinstance(key, str) else None
        if document.full:
            return
        if one is None:
            place = key if isinstance(key, str) else str(key)
            hint = f"; write {other_words[key]!r}." if key in other_words else nearest(key, fields)
            hint = f"; it belongs {elsewhere[key]}." if key in elsewhere else hint
            document.add((*path, place), f"There is no key {said(key)} here{hint}", key=True)
        elif value[key] is None and not one.required and not _allows_nothing(one.type):
            del value[key]
        else:
            _check(document, value[key], one.type, (*path, key))
    for name, one in fields.items():
        if one.required and name not in value and name not in meant:
            document.add(path, f"The key {name!r} is missing; it takes {_word(one.type)}.")


def _allows_nothing(kind: Any) -> bool:
    return any(isinstance(one, (inspect.NoneType, inspect.AnyType)) for one in _fitting(kind))
