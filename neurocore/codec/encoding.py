"""Encode values to bytes."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import functools
import math
import uuid
import zoneinfo
from collections.abc import Callable, Iterable
from decimal import Decimal
from pathlib import Path, PosixPath, PurePath, PurePosixPath, PureWindowsPath
from typing import Any, Final

import msgspec
from msgspec import Struct

from neurocore import modules
from neurocore.codec import tags
from neurocore.codec.decoding import FIELDS, parts_of
from neurocore.codec.tags import MAX_BYTES, MAX_DEPTH, SecretRef, Unreadable, name_of
from neurocore.errors import CodecError

_pack = msgspec.msgpack.Encoder().encode
_Ext = msgspec.msgpack.Ext
_MIN_INT, _MAX_INT = -(2**63), 2**64 - 1
_LEAVES: Final = frozenset({str, int, float, bool, type(None), bytes})
_TOO_DEEP = f"It is nested more than {MAX_DEPTH} deep, or contains itself."


def encode(value: Any, *, lasting: bool = False) -> bytes:
    """Return the bytes of a value: equal for equal values of the same types (dicts in the same order; sets in any).

    With `lasting`, every process that loads the skills must be able to restore it. Raises CodecError, with the path to
    the value and its type, for values that could not be restored exactly, for nesting deeper than 200 (also a structure
    that contains itself) and for more than 64 MiB.
    """
    if type(value) in _LEAVES or _is_plain(value, 0):
        try:
            data = _pack(value)
        except (OverflowError, UnicodeEncodeError):
            pass  # an integer beyond 64 bits, or text that UTF-8 cannot encode
        else:
            return data if len(data) <= MAX_BYTES else _refuse_size(data, value)
    return _walked(value, _Walk(canonical=False, lasting=lasting))


def canonical(value: Any) -> bytes:
    """Like `encode`, with dict keys sorted too: digests cover this. It is not meant to be decoded."""
    return _walked(value, _Walk(canonical=True))


def is_immutable(value: Any) -> bool:
    """Return whether nobody can change this value in place, so that it need not be compared when a step ends."""
    kind = type(value)
    if kind in _IMMUTABLE:
        return True
    if kind is tuple or kind is frozenset:
        return all(is_immutable(item) for item in value)
    return isinstance(value, enum.Enum)


def know_view(kind: type, seen: Callable[[Any], dict[Any, Any]]) -> None:
    """Encode objects of this class, which are views of a dict, as that dict."""
    _SPECIAL[kind] = lambda walk, value, depth: walk.wire(seen(value), depth)


def _is_plain(value: Any, depth: int) -> bool:
    """Return whether MessagePack can express every part of this list or dict (apart from the size of numbers)."""
    kind = type(value)
    if depth > MAX_DEPTH:
        return False
    if kind is dict:
        for key, item in value.items():
            if type(key) is not str or (type(item) not in _LEAVES and not _is_plain(item, depth + 1)):
                return False
        return True
    if kind is list:
        for item in value:  # noqa: SIM110 (a generator would cost more than the look)
            if type(item) not in _LEAVES and not _is_plain(item, depth + 1):
                return False
        return True
    return False


def _walked(value: Any, walk: _Walk) -> bytes:
    try:
        try:
            data = _pack(walk.wire(value, 0))
        except RecursionError:
            data = tags.on_fresh_stack(lambda one: _pack(walk.wire(one, 0)), value)
    except _Refused as refused:
        raise CodecError(refused.sentence, path=refused.path, type_name=refused.type_name) from None
    return data if len(data) <= MAX_BYTES else _refuse_size(data, value)


def _refuse_size(data: bytes, value: Any) -> bytes:
    raise CodecError(
        f"A value of {len(data) / 2**20:.0f} MiB is too large to record (the limit is 64 MiB); "
        "write it to a file and set the file's path.",
        type_name=name_of(type(value)),
    )


class _Refused(Exception):
    """A value that cannot be encoded; the path grows as the walk unwinds."""

    def __init__(self, sentence: str, value: Any) -> None:
        self.sentence = sentence
        self.type_name = name_of(type(value))
        self.path = ""

    def came_through(self, step: str) -> None:
        """Prepend a key or an index to the path."""
        dot = "." if self.path and not self.path.startswith("[") else ""
        self.path = f"{step}{dot}{self.path}"


class _Walk:
    """Converts values to what MessagePack can express."""

    __slots__ = ("canonical", "lasting")

    def __init__(self, *, canonical: bool, lasting: bool = False) -> None:
        self.canonical = canonical
        self.lasting = lasting

    def wire(self, value: Any, depth: int) -> Any:
        """Return the encodable form of `value`; raises _Refused."""
        kind = type(value)
        if kind is str:
            return value if value.isascii() else _text(value)
        if kind is bool or value is None or kind is bytes:
            return value
        if kind is int:
            return value if _MIN_INT <= value <= _MAX_INT else _Ext(tags.BIGINT, b"%x" % value)
        if kind is float:
            return math.nan if value != value else value
        if depth > MAX_DEPTH:
            raise _Refused(_TOO_DEEP, value)
        if kind is dict:
            return self._dict(value, depth)
        if kind is list:
            return self._items(value, depth)
        special = _SPECIAL.get(kind)
        if special is not None:
            return special(self, value, depth)
        return self._object(value, depth)

    # A nested value costs two or three frames here, whatever it is: no function is called in between.

    def _items(self, values: Iterable[Any], depth: int) -> list[Any]:
        wires: list[Any] = []
        try:
            for item in values:
                wires.append(self.wire(item, depth + 1))  # noqa: PERF401
        except _Refused as refused:
            refused.came_through(f"[{len(wires)}]")
            raise
        return wires

    def _dict(self, value: dict[Any, Any], depth: int) -> Any:
        wires: list[tuple[Any, Any]] = []
        key: Any = None
        try:
            for key, item in value.items():
                wires.append((self.wire(key, depth + 1), self.wire(item, depth + 1)))
        except _Refused as refused:
            refused.came_through(str(key))
            raise
        if not self.canonical and all(type(key) is str for key, _ in wires):
            return dict(wires)
        pairs = [[_pack(key), _pack(item)] for key, item in wires]
        return _Ext(tags.DICT, _pack(sorted(pairs) if self.canonical else pairs))

    def _tuple(self, value: Any, depth: int) -> Any:
        return _Ext(tags.TUPLE, _pack(self._items(value, depth)))

    def _set(self, value: Any, depth: int) -> Any:
        members = sorted(_pack(item) for item in self._items(value, depth))
        return _Ext(tags.SET if type(value) is set else tags.FROZENSET, _pack(members))

    def _fields(self, code: int, value: Any, fields: dict[str, Any], depth: int) -> Any:
        wires: dict[str, Any] = {}
        name = ""
        try:
            for name, item in fields.items():
                wires[name] = self.wire(item, depth + 1)
        except _Refused as refused:
            refused.came_through(name)
            raise
        return _Ext(code, _pack([self._place_of(value), wires]))

    def _object(self, value: Any, depth: int) -> Any:
        kind = type(value)
        if kind in tags.by_class:
            name = tags.by_class[kind]
            held = tags.by_name[name]
            if self.lasting and not (modules.was_loaded_early(held.module) or modules.knows(held.module)):
                raise _Refused(_late(name_of(kind), held.module), value)
            return _Ext(tags.REGISTERED, _pack([name, self.wire(held.to(value), depth + 1), held.module]))
        if isinstance(value, enum.Enum):
            return _Ext(tags.ENUM, _pack([self._place_of(value), *self._member(value, depth)]))
        if isinstance(value, PurePath):
            return _Ext(tags.PATH, _pack([_path_flavour(value), self.wire(str(value), depth + 1)]))
        if isinstance(value, tuple) and hasattr(kind, "_fields") and hasattr(kind, "_make"):
            return _Ext(tags.NAMEDTUPLE, _pack([self._place_of(value), self._items(value, depth)]))
        base = next((one for one in kind.__mro__ if one in _BASES), None)
        if base is not None:
            raise _Refused(f"{name_of(kind)} would come back as {base.__name__}; record {base.__name__}(value).", value)
        if kind is Unreadable:
            return self._as_kept(value, depth)
        if isinstance(value, Struct):
            fields = {name: getattr(value, name) for name in kind.__struct_fields__ if hasattr(value, name)}
            if hasattr(kind, "__post_init__") and kind(**fields) != value:
                raise _Refused(f"The __post_init__ of {name_of(kind)} would change it when it is read again.", value)
            return self._fields(tags.STRUCT, value, {**fields, **_set_besides(value, [*fields])}, depth)
        if dataclasses.is_dataclass(value) and _has_plain_new(kind):
            names = [one.name for one in dataclasses.fields(value)]
            fields = {name: getattr(value, name) for name in names if hasattr(value, name)}
            return self._fields(tags.DATACLASS, value, {**fields, **_set_besides(value, names)}, depth)
        if tags.is_pydantic(kind):
            return self._fields(tags.PYDANTIC, value, value.__getstate__(), depth)
        raise _Refused(
            f"A value of type {name_of(kind)} cannot be restored after a restart; record plain data, or teach the "
            "codec the class with neurocore.register_codec.",
            value,
        )

    def _as_kept(self, value: Unreadable, depth: int) -> Any:
        """Return the stored bytes; in canonical form those of the object itself, so that digests are the same."""
        code, parts = parts_of(value) if self.canonical else (0, None)
        if parts is None:
            return msgspec.Raw(value.data)
        if code in FIELDS and isinstance(parts[1], dict):
            wires: Any = {name: self.wire(item, depth + 1) for name, item in parts[1].items()}
            return _Ext(code, _pack([parts[0], wires]))
        return _Ext(code, _pack([self.wire(item, depth + 1) for item in parts]))

    def _place_of(self, value: Any) -> str:
        """Return where the class can be found again, `module:name`. Raises _Refused when it cannot."""
        kind = type(value)
        place = f"{kind.__module__}:{kind.__qualname__}"
        if kind.__module__ == "__main__" or "<locals>" in place:
            where = "a function" if "<locals>" in place else "the main script"
            raise _Refused(
                f"The class {kind.__qualname__} is defined in {where} and cannot be found again after a restart; "
                "define it at the top of an importable module.",
                value,
            )
        if tags.look_up(place) is not kind:
            raise _Refused(f"The class {name_of(kind)} cannot be found again under its own name.", value)
        if self.lasting and not modules.knows(kind.__module__):
            raise _Refused(_late(name_of(kind), kind.__module__), value)
        tags.met.add(place)
        return place

    def _member(self, value: enum.Enum, depth: int) -> list[Any]:
        """Return the name of a member, or None and the value of a combination of flags, which has no name."""
        if type(value).__members__.get(value.name) is value:
            return [value.name]
        return [None, self.wire(value.value, depth + 1)]


def _has_plain_new(kind: Any) -> bool:
    """Return whether an object of this class can be made without running its code (an exception's cannot)."""
    return kind.__new__ is object.__new__


def _set_besides(value: Any, names: list[str]) -> dict[str, Any]:
    """Return what else an object holds (its `__post_init__` may set more); cached properties are computed again."""
    kind = type(value)
    return {
        name: item
        for name, item in getattr(value, "__dict__", {}).items()
        if name not in names and not isinstance(getattr(kind, name, None), functools.cached_property)
    }


def _text(value: str) -> Any:
    try:
        value.encode()
    except UnicodeEncodeError:
        return _Ext(tags.TEXT, value.encode("utf-8", "surrogatepass"))
    return value


def _late(name: str, module: str) -> str:
    return (
        f"{name} is in {module}, which is not loaded with the skills, so that another process could not restore the "
        f"value; import {module} at the top of a skill's file."
    )


def _path_flavour(value: PurePath) -> str:
    kind = type(value)
    if kind in (PurePosixPath, PureWindowsPath):
        return kind.__name__
    if kind is type(Path()):
        return "Path"
    raise _Refused(f"{name_of(kind)} would come back as Path; record Path(value).", value)


def _moment(code: int, value: Any) -> Any:
    return _Ext(code, _pack([value.replace(tzinfo=None, fold=0).isoformat(), value.fold, _zone(value.tzinfo)]))


def _zone(zone: dt.tzinfo | None) -> Any:
    """Return None, the key of an IANA zone, or [microseconds of offset, name or None] of a fixed one."""
    if zone is None:
        return None
    if type(zone) is zoneinfo.ZoneInfo and zone.key:
        return zone.key
    if type(zone) is dt.timezone:
        arguments: tuple[Any, ...] = zone.__getinitargs__()  # type: ignore[attr-defined]
        return [arguments[0] // dt.timedelta(microseconds=1), arguments[1] if len(arguments) > 1 else None]
    raise _Refused(f"A time zone of type {name_of(type(zone))} cannot be restored; use datetime.UTC or zoneinfo.", zone)


#: Subclasses of these would lose what they add; the refusal names the nearest.
_BASES: Final = frozenset(
    {
        str, bytes, int, float, list, dict, tuple, set, frozenset, dt.date, dt.datetime, dt.time, dt.timedelta, Decimal,
        uuid.UUID,
    }
)  # fmt: skip

_SPECIAL: dict[type, Callable[[_Walk, Any, int], Any]] = {
    tuple: _Walk._tuple,
    set: _Walk._set,
    frozenset: _Walk._set,
    dt.datetime: lambda walk, value, depth: _moment(tags.DATETIME, value),
    dt.date: lambda walk, value, depth: _Ext(tags.DATE, value.isoformat().encode()),
    dt.time: lambda walk, value, depth: _moment(tags.TIME, value),
    dt.timedelta: lambda walk, value, depth: _Ext(
        tags.TIMEDELTA, _pack([value.days, value.seconds, value.microseconds])
    ),
    Decimal: lambda walk, value, depth: _Ext(tags.DECIMAL, str(value).encode()),
    uuid.UUID: lambda walk, value, depth: _Ext(tags.UUID, value.bytes),
    PosixPath: lambda walk, value, depth: _Ext(tags.PATH, _pack(["Path", walk.wire(str(value), depth + 1)])),
    SecretRef: lambda walk, value, depth: _Ext(tags.SECRET, value.reference.encode("utf-8", "surrogatepass")),
}

_IMMUTABLE: Final = _LEAVES | {
    dt.datetime, dt.date, dt.time, dt.timedelta, Decimal, uuid.UUID, PosixPath, PurePosixPath, PureWindowsPath,
    type(Path()), SecretRef,
}  # fmt: skip
