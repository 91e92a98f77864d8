"""Values as JSON: without loss for backends and exports, with loss for people."""

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

from neurocore.codec import tags
from neurocore.codec.decoding import restore
from neurocore.codec.encoding import encode
from neurocore.codec.tags import SecretRef
from neurocore.errors import CodecError

_WORD = 2**63


def to_jsonable(value: Any) -> Any:
    """The value as JSON data without loss: what JSON has no word for is tagged, `{"$tuple": [1, 2]}`.

    Raises CodecError for what `encode` refuses.
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


def from_jsonable(value: Any) -> Any:
    """The value that `to_jsonable` was called on; one whose class is gone is an `Unreadable`.

    Raises CodecError for an unknown tag.
    """
    try:
        return _value(value)
    except RecursionError:
        return tags.on_fresh_stack(_value, value)


def _value(value: Any) -> Any:
    if type(value) is list:
        return [_value(item) for item in value]
    if type(value) is not dict:
        return value
    if len(value) == 1:
        ((tag, content),) = value.items()
        if tag.startswith("$"):
            if tag not in _UNTAG:
                raise CodecError(f"{tag!r} is no tag of a stored value.")
            return _UNTAG[tag](content)
    return {key: _value(item) for key, item in value.items()}


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


_UNTAG: dict[str, Callable[[Any], Any]] = {
    "$int": lambda text: int(text, 16),
    "$float": float,
    "$dict": lambda pairs: {_value(key): _value(item) for key, item in pairs},
    "$bytes": base64.b64decode,
    "$tuple": lambda items: tuple(_value(item) for item in items),
    "$set": lambda items: {_value(item) for item in items},
    "$frozenset": lambda items: frozenset(_value(item) for item in items),
    "$decimal": Decimal,
    "$value": lambda text: restore(base64.b64decode(text)),
}


def plain(value: Any) -> Any:
    """The value as JSON data for people and scripts, with loss: sets become lists, times and numbers text."""
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
            key if type(key) is str and _is_text(key) else str(_plain(key)): _plain(one) for key, one in value.items()
        }
    if kind in (list, tuple):
        return [_plain(item) for item in value]
    if kind in (set, frozenset):
        return [_plain(item) for item in _ordered(value)]
    if kind is bytes:
        return f"base64:{base64.b64encode(value).decode()}"
    return _plain_object(value, kind)


_FLOATS = {math.inf: "Infinity", -math.inf: "-Infinity"}


def _plain_object(value: Any, kind: type) -> Any:
    if kind is SecretRef:
        return value.reference
    if isinstance(value, enum.Enum):
        return _plain(value.value)
    if isinstance(value, (dt.date, dt.time)):
        return value.isoformat()
    if isinstance(value, Struct) and kind is not tags.Unreadable:
        return {name: _plain(getattr(value, name)) for name in kind.__struct_fields__}  # type: ignore[attr-defined]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {one.name: _plain(getattr(value, one.name)) for one in dataclasses.fields(value)}
    if tags.is_pydantic(kind):
        return _plain(value.model_dump())
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    return str(value).encode("utf-8", "backslashreplace").decode()


def _ordered(values: Iterable[Any]) -> list[Any]:
    try:
        return sorted(values, key=encode)
    except CodecError:
        return sorted(values, key=repr)
