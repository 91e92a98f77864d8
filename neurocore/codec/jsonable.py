"""Values as JSON: lossless for backends and exports, simplified for people."""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import enum
import math
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

from msgspec import Struct

from neurocore import numerals
from neurocore.codec import tags
from neurocore.codec.decoding import parts_of, restore
from neurocore.codec.encoding import encode
from neurocore.codec.tags import SecretRef, Unreadable
from neurocore.errors import CodecError

_WORD = 2**63


def to_jsonable(value: Any) -> Any:
    """Return the value as lossless JSON data: what JSON cannot express is tagged, `{"$tuple": [1, 2]}`.

    Raises CodecError for values that `encode` refuses.
    """
    try:
        return _jsonable(value)
    except RecursionError:
        return tags.on_fresh_stack(_jsonable, value)


def _jsonable(value: Any) -> Any:
    kind = type(value)
    if value is None or kind is bool:
        return value
    if kind is int:
        return value if -_WORD <= value < _WORD else {"$int": f"{value:x}"}
    if kind is str:
        return value if _is_text(value) else _opaque(value)
    if kind is float:
        return value if math.isfinite(value) else {"$float": repr(value)}
    if kind is list:
        return [_jsonable(item) for item in value]
    if kind is dict:
        if all(type(key) is str and not key.startswith("$") and _is_text(key) for key in value):
            return {key: _jsonable(item) for key, item in value.items()}
        return {"$dict": [[_jsonable(key), _jsonable(item)] for key, item in value.items()]}
    if kind is bytes:
        return {"$bytes": base64.b64encode(value).decode()}
    if kind is tuple:
        return {"$tuple": [_jsonable(item) for item in value]}
    if kind is set or kind is frozenset:
        return {f"${kind.__name__}": [_jsonable(item) for item in sorted(value, key=encode)]}
    if kind is Decimal:
        return {"$decimal": str(value)}
    return _opaque(value)


def from_jsonable(value: Any, *, objects: bool = True) -> Any:
    """Return the value on which `to_jsonable` was called; one whose class is missing is an `Unreadable`.

    Without `objects`, each value of a class is one (`restore`). Raises CodecError for an unknown tag.
    """
    read = _Untagging(objects=objects).value
    try:
        return read(value)
    except RecursionError:
        return tags.on_fresh_stack(read, value)


class _Untagging:
    def __init__(self, *, objects: bool) -> None:
        self._objects = objects
        self._untag: dict[str, Callable[[Any], Any]] = {
            "$int": lambda text: int(text, 16),
            "$float": float,
            "$dict": lambda pairs: {self.value(key): self.value(item) for key, item in pairs},
            "$bytes": base64.b64decode,
            "$tuple": lambda items: tuple(self.value(item) for item in items),
            "$set": lambda items: {self.value(item) for item in items},
            "$frozenset": lambda items: frozenset(self.value(item) for item in items),
            "$decimal": Decimal,
            "$value": lambda text: restore(base64.b64decode(text), objects=self._objects),
        }

    def value(self, value: Any) -> Any:
        """Return the value without tags."""
        if type(value) is list:
            return [self.value(item) for item in value]
        if type(value) is not dict:
            return value
        if len(value) == 1:
            ((tag, content),) = value.items()
            if tag.startswith("$"):
                if tag not in self._untag:
                    raise CodecError(f"{tag!r} is not a tag of a stored value.")
                return self._untag[tag](content)
        return {key: self.value(item) for key, item in value.items()}


def _is_text(value: str) -> bool:
    if value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _opaque(value: Any) -> dict[str, str]:
    return {"$value": base64.b64encode(encode(value)).decode()}


def plain(value: Any) -> Any:
    """Return the value as JSON data for people and scripts, simplified: sets become lists, times and numbers text."""
    try:
        return _plain(value)
    except RecursionError:
        return tags.on_fresh_stack(_plain, value)


def _plain(value: Any) -> Any:
    kind = type(value)
    if value is None or kind is bool:
        return value
    if kind is str:
        return value.encode("utf-8", "backslashreplace").decode()
    if kind is int:
        return value
    if kind is float:
        return value if math.isfinite(value) else _FLOATS.get(value, "NaN")
    if kind is dict:
        return {
            key if type(key) is str and _is_text(key) else _plain_key(key): _plain(one) for key, one in value.items()
        }
    if kind in (list, tuple):
        return [_plain(item) for item in value]
    if kind in (set, frozenset):
        return [_plain(item) for item in _ordered(value)]
    if kind is bytes:
        return f"base64:{base64.b64encode(value).decode()}"
    return _plain_object(value, kind)


_FLOATS = {math.inf: "Infinity", -math.inf: "-Infinity"}


def _plain_key(key: Any) -> str:
    too_long = type(key) is int and key.bit_length() > _MOST_BITS
    return hex(key) if too_long else str(_plain(key))


#: Some 4,200 decimal digits; Python writes no more than 4,300.
_MOST_BITS = 14_000


def _plain_object(value: Any, kind: type) -> Any:
    if kind is SecretRef:
        return value.reference
    if isinstance(value, enum.Enum):
        return _plain(value.value)
    if kind is Decimal:
        return numerals.written(value)
    if isinstance(value, (dt.date, dt.time)):
        return value.isoformat()
    if kind is Unreadable:
        return _plain_kept(value)
    if isinstance(value, Struct):
        return {name: _plain(getattr(value, name)) for name in kind.__struct_fields__}  # type: ignore[attr-defined]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {one.name: _plain(getattr(value, one.name)) for one in dataclasses.fields(value)}
    if tags.is_pydantic(kind):
        return _plain(value.model_dump())
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    return str(value).encode("utf-8", "backslashreplace").decode()


def data(value: Any) -> Any:
    """Return the value as plain data: text, numbers, None, times, lists, tuples and mappings, without custom classes.

    An object becomes a mapping of its fields, a set a list in an order that is the same everywhere, an Enum its value,
    a path or a UUID text, bytes base64. A value with a registered codec becomes the mapping that the codec returns,
    else its text.
    """
    try:
        return _data(value)
    except RecursionError:
        return tags.on_fresh_stack(_data, value)


_AS_IT_IS = frozenset({str, int, float, bool, type(None), Decimal, dt.datetime, dt.date, dt.time, dt.timedelta})


def _data(value: Any) -> Any:
    kind = type(value)
    if kind in _AS_IT_IS:
        return value
    if kind is list:
        return [_data(item) for item in value]
    if kind is dict:
        return {_data_key(key): _data(item) for key, item in value.items()}
    if kind is tuple:
        return tuple(_data(item) for item in value)
    if kind in (set, frozenset):
        return _in_order([_data(item) for item in value])
    if isinstance(value, enum.Enum):
        return _data(value.value)
    fields = _fields(value, kind)
    if fields is not None:
        return {name: _data(item) for name, item in fields.items()}
    if kind in tags.by_class:
        made = tags.by_name[tags.by_class[kind]].to(value)
        return _data(made) if type(made) is dict else str(value)
    return _plain_object(value, kind) if kind is not bytes else _plain(value)


def _data_key(key: Any) -> Any:
    seen = _data(key)
    return seen if type(seen) in _AS_IT_IS else str(seen)


def _fields(value: Any, kind: Any) -> dict[str, Any] | None:
    """Return what an object holds, by the names of its fields; None if it is no such object."""
    if kind in (SecretRef, Unreadable):
        return None
    if isinstance(value, tuple) and hasattr(kind, "_fields"):
        return dict(zip(kind._fields, value, strict=True))
    if isinstance(value, Struct):
        return {name: getattr(value, name) for name in kind.__struct_fields__}
    if dataclasses.is_dataclass(kind):
        return {one.name: getattr(value, one.name) for one in dataclasses.fields(value) if hasattr(value, one.name)}
    if tags.is_pydantic(kind):
        return {**value.__dict__, **(getattr(value, "__pydantic_extra__", None) or {})}
    return None


def _in_order(items: list[Any]) -> list[Any]:
    """Return the members of a set by value if they are all text or all numbers, else by type and encoded bytes."""
    if all(type(item) is str for item in items) or all(type(item) in (int, float) and item == item for item in items):
        return sorted(items)
    return sorted(items, key=lambda item: (type(item).__name__, encode(item)))


def _plain_kept(value: Unreadable) -> Any:
    """Return an object that is not restored as its stored data, with the name of its class (no field is named so)."""
    code, parts = parts_of(value)
    if parts is None:
        return str(value)
    name = parts[0].replace(":", ".")
    if code == tags.ENUM:
        return f"{name}.{parts[1]}" if parts[1] is not None else f"{name}({_plain(parts[-1])})"
    fields = parts[1].get("__dict__", parts[1]) if code == tags.PYDANTIC and type(parts[1]) is dict else parts[1]
    shown = _plain(fields)
    return {"class": name, **(shown if type(shown) is dict else {"value": shown})}


def _ordered(values: Iterable[Any]) -> list[Any]:
    try:
        return sorted(values, key=encode)
    except CodecError:
        return sorted(values, key=repr)
