"""Values to bytes and back, equal and of the same type (promise 9), or refused by name.

The bytes are MessagePack; what MessagePack has no word for travels as an extension whose payload is MessagePack again.
Plain values (None, booleans, 64-bit integers, floats, text, bytes, lists, dicts with text keys) cost one call of
msgspec. Classes are kept by module and name and looked up again on the way back, without calling anything but their
constructor; a class that is gone, or is not what it was, is an error that names it.
"""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import enum
import importlib
import math
import struct
import sys
import uuid
import zoneinfo
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path, PosixPath, PurePath, PurePosixPath, PureWindowsPath
from typing import Any

import msgspec
from msgspec import Struct

from neurocore.errors import CodecError

MAX_BYTES = 64 * 1024 * 1024
MAX_DEPTH = 200


class SecretRef(Struct, frozen=True):
    """A value that is kept as its reference, `${NAME}` (alone or within text), and resolved when a step reads it."""

    reference: str


# The numbers of the extensions stand in every database: they are only ever added to.
_BIGINT, _TEXT, _TUPLE, _SET, _FROZENSET, _DICT = 1, 2, 3, 4, 5, 6
_DATETIME, _DATE, _TIME, _TIMEDELTA, _DECIMAL, _UUID, _PATH = 7, 8, 9, 10, 11, 12, 13
_ENUM, _DATACLASS, _STRUCT, _PYDANTIC, _NAMEDTUPLE, _REGISTERED, _SECRET = 14, 15, 16, 17, 18, 19, 20

_pack = msgspec.msgpack.Encoder().encode
_Ext = msgspec.msgpack.Ext
_MIN_INT, _MAX_INT = -(2**63), 2**64 - 1

_by_name: dict[str, tuple[type, Callable[[Any], Any], Callable[[Any], Any]]] = {}
_by_class: dict[type, str] = {}


def encode(value: Any) -> bytes:
    """The bytes of a value: equal for equal values of the same types (dicts in the same order; sets in any).

    Raises CodecError, with the path to the value and its type, for what could not be restored as it is, for nesting
    deeper than 200 (a structure that contains itself, too) and for more than 64 MiB.
    """
    return _encode(value, _Walk(canonical=False))


def canonical(value: Any) -> bytes:
    """Like `encode`, with dict keys sorted too: what digests are computed over. Not meant to be decoded."""
    return _encode(value, _Walk(canonical=True))


def decode(data: bytes) -> Any:
    """A fresh copy of the value that was encoded. Raises CodecError when it cannot be restored (any more)."""
    try:
        return _unpack(data)
    except msgspec.DecodeError as error:
        raise CodecError(f"A stored value cannot be read: {error}.") from error


def register_codec(
    cls: type, *, name: str, to: Callable[[Any], Any], from_: Callable[[Any], Any]
) -> None:
    """Teach the codec a class: `to(value)` gives something it knows, `from_` makes the value of that again.

    `name` stands in every stored value, so it must stay. Raises ValueError when it is taken by another class.
    """
    held = _by_name.get(name)
    if held is not None and held[0] is not cls:
        raise ValueError(f"The codec name {name!r} is taken by {_name_of(held[0])}.")
    _by_name[name] = (cls, to, from_)
    _by_class[cls] = name


def is_immutable(value: Any) -> bool:
    """Whether nobody can change this value in place, so that it need not be compared when a step ends."""
    kind = type(value)
    if kind in _IMMUTABLE:
        return True
    if kind is tuple or kind is frozenset:
        return all(is_immutable(item) for item in value)
    return isinstance(value, enum.Enum)


# -------------------------------------------------------------------- to bytes


def _encode(value: Any, walk: _Walk) -> bytes:
    try:
        data: bytes = _pack(walk.wire(value, 0))
    except _Refused as refused:
        raise CodecError(refused.sentence, path=refused.path, type_name=refused.type_name) from None
    if len(data) > MAX_BYTES:
        raise CodecError(
            f"A value of {len(data) / 2**20:.0f} MiB is too large to record (the limit is 64 MiB); "
            "write it to a file and set the file's path.",
            type_name=_name_of(type(value)),
        )
    return data


class _Refused(Exception):
    """A value that cannot be encoded; the path grows as the walk unwinds."""

    def __init__(self, sentence: str, value: Any) -> None:
        self.sentence = sentence
        self.type_name = _name_of(type(value))
        self.path = ""


class _Walk:
    """Turns a value into what MessagePack has words for."""

    __slots__ = ("canonical",)

    def __init__(self, *, canonical: bool) -> None:
        self.canonical = canonical

    def wire(self, value: Any, depth: int) -> Any:
        kind = type(value)
        if kind is str:
            return value if value.isascii() else _text(value)
        if kind is bool or value is None or kind is bytes:
            return value
        if kind is int:
            return value if _MIN_INT <= value <= _MAX_INT else _Ext(_BIGINT, b"%x" % value)
        if kind is float:
            return math.nan if value != value else value
        if depth > MAX_DEPTH:
            raise _Refused(f"It is nested more than {MAX_DEPTH} deep, or contains itself.", value)
        if kind is dict:
            return self._dict(value, depth)
        if kind is list:
            return self._items(value, depth)
        special = _SPECIAL.get(kind)
        if special is not None:
            return special(self, value, depth)
        return self._object(value, depth)

    def _items(self, values: Any, depth: int) -> list[Any]:
        wires = []
        for place, item in enumerate(values):
            try:
                wires.append(self.wire(item, depth + 1))
            except _Refused as refused:
                refused.path = f"[{place}]{_joined(refused.path)}"
                raise
        return wires

    def _dict(self, value: dict[Any, Any], depth: int) -> Any:
        wires = {}
        plain = not self.canonical
        for key, item in value.items():
            if type(key) is not str or not (key.isascii() or type(_text(key)) is str):
                plain = False
            try:
                wires[key] = self.wire(item, depth + 1)
            except _Refused as refused:
                refused.path = f"{key}{_joined(refused.path)}"
                raise
        if plain:
            return wires
        pairs = [[_pack(self.wire(key, depth + 1)), _pack(item)] for key, item in wires.items()]
        return _Ext(_DICT, _pack(sorted(pairs) if self.canonical else pairs))

    def _tuple(self, value: Any, depth: int) -> Any:
        return _Ext(_TUPLE, _pack(self._items(value, depth)))

    def _set(self, value: Any, depth: int) -> Any:
        members = sorted(_pack(item) for item in self._items(value, depth))
        return _Ext(_SET if type(value) is set else _FROZENSET, _pack(members))

    def _fields(self, code: int, value: Any, fields: dict[str, Any], depth: int) -> Any:
        place = _place_of(value)
        wires = {}
        for name, item in fields.items():
            try:
                wires[name] = self.wire(item, depth + 1)
            except _Refused as refused:
                refused.path = f"{name}{_joined(refused.path)}"
                raise
        return _Ext(code, _pack([place, wires]))

    def _object(self, value: Any, depth: int) -> Any:
        kind = type(value)
        if kind in _by_class:
            name = _by_class[kind]
            return _Ext(_REGISTERED, _pack([name, self.wire(_by_name[name][1](value), depth + 1)]))
        if isinstance(value, enum.Enum):
            if value.name is None or kind.__members__.get(value.name) is not value:
                raise _Refused("A combination of flags cannot be restored by name; record its value.", value)
            return _Ext(_ENUM, _pack([_place_of(value), value.name]))
        if isinstance(value, PurePath):
            return _Ext(_PATH, _pack([_path_flavour(value), self.wire(str(value), depth + 1)]))
        if isinstance(value, tuple) and hasattr(kind, "_fields"):
            return _Ext(_NAMEDTUPLE, _pack([_place_of(value), self._items(value, depth)]))
        if isinstance(value, (str, bytes, int, float, list, dict, tuple, set, frozenset, dt.date, Decimal)):
            base = next(one for one in kind.__mro__ if one.__module__ in ("builtins", "datetime", "decimal"))
            raise _Refused(f"{_name_of(kind)} would come back as {base.__name__}; record {base.__name__}(value).", value)
        if isinstance(value, Struct):
            fields = {name: getattr(value, name) for name in kind.__struct_fields__ if hasattr(value, name)}
            return self._fields(_STRUCT, value, fields, depth)
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            names = [one.name for one in dataclasses.fields(value)]
            fields = {name: getattr(value, name) for name in names if hasattr(value, name)}
            return self._fields(_DATACLASS, value, fields, depth)
        if _is_pydantic(kind):
            return self._fields(_PYDANTIC, value, value.__getstate__(), depth)
        raise _Refused(
            f"A value of type {_name_of(kind)} cannot be restored after a restart; record plain data, or teach the "
            "codec the class with neurocore.register_codec.",
            value,
        )


def _text(value: str) -> Any:
    try:
        value.encode()
        return value
    except UnicodeEncodeError:
        return _Ext(_TEXT, value.encode("utf-8", "surrogatepass"))


def _joined(path: str) -> str:
    return path if not path or path.startswith("[") else f".{path}"


def _name_of(kind: type) -> str:
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _place_of(value: Any) -> str:
    """Where the class can be found again, `module:name`. Raises _Refused when it cannot."""
    kind = type(value)
    place = f"{kind.__module__}:{kind.__qualname__}"
    if kind.__module__ == "__main__" or "<locals>" in place:
        raise _Refused(
            f"The class {kind.__qualname__} is defined in {'a function' if '<locals>' in place else 'the main script'} "
            "and cannot be found again after a restart; define it at the top of an importable module.",
            value,
        )
    try:
        found = _find(place)
    except CodecError:
        found = None
    if found is not kind:
        raise _Refused(f"The class {_name_of(kind)} cannot be found again under its own name.", value)
    return place


def _path_flavour(value: PurePath) -> str:
    kind = type(value)
    if kind in (PurePosixPath, PureWindowsPath):
        return kind.__name__
    if isinstance(value, Path) and kind is type(Path()):
        return "Path"
    raise _Refused(f"{_name_of(kind)} would come back as Path; record Path(value).", value)


def _datetime(walk: _Walk, value: dt.datetime, depth: int) -> Any:
    zone = _zone(value.tzinfo, value)
    return _Ext(_DATETIME, _pack([value.replace(tzinfo=None, fold=0).isoformat(), value.fold, zone]))


def _time(walk: _Walk, value: dt.time, depth: int) -> Any:
    zone = _zone(value.tzinfo, value)
    return _Ext(_TIME, _pack([value.replace(tzinfo=None, fold=0).isoformat(), value.fold, zone]))


def _zone(zone: dt.tzinfo | None, value: Any) -> Any:
    """None, the key of an IANA zone, or [microseconds of offset, name or None] of a fixed one."""
    if zone is None:
        return None
    if isinstance(zone, zoneinfo.ZoneInfo) and zone.key:
        return zone.key
    if type(zone) is dt.timezone:
        offset, name = zone.__getinitargs__() if len(zone.__getinitargs__()) == 2 else (zone.utcoffset(None), None)  # type: ignore[attr-defined]
        return [offset // dt.timedelta(microseconds=1), name]
    raise _Refused(f"A time zone of type {_name_of(type(zone))} cannot be restored; use datetime.UTC or zoneinfo.", value)


_SPECIAL: dict[type, Callable[[_Walk, Any, int], Any]] = {
    tuple: _Walk._tuple,
    set: _Walk._set,
    frozenset: _Walk._set,
    dt.datetime: _datetime,
    dt.date: lambda walk, value, depth: _Ext(_DATE, value.isoformat().encode()),
    dt.time: _time,
    dt.timedelta: lambda walk, value, depth: _Ext(_TIMEDELTA, _pack([value.days, value.seconds, value.microseconds])),
    Decimal: lambda walk, value, depth: _Ext(_DECIMAL, str(value).encode()),
    uuid.UUID: lambda walk, value, depth: _Ext(_UUID, value.bytes),
    PosixPath: lambda walk, value, depth: _Ext(_PATH, _pack(["Path", walk.wire(str(value), depth + 1)])),
    SecretRef: lambda walk, value, depth: _Ext(_SECRET, value.reference.encode("utf-8", "surrogatepass")),
}

_IMMUTABLE = frozenset(
    {
        str, int, float, bool, bytes, type(None), dt.datetime, dt.date, dt.time, dt.timedelta, Decimal, uuid.UUID,
        PosixPath, PurePosixPath, PureWindowsPath, type(Path()), SecretRef,
    }
)  # fmt: skip


# -------------------------------------------------------------------- from bytes


def _extension(code: int, payload: memoryview) -> Any:
    data = bytes(payload)
    try:
        return _DECODERS[code](data)
    except CodecError:
        raise
    except Exception as error:
        raise CodecError(f"A stored value (extension {code}) cannot be restored: {type(error).__name__}: {error}.") from error


_unpack = msgspec.msgpack.Decoder(ext_hook=_extension).decode


def _undict(data: bytes) -> dict[Any, Any]:
    return {_unpack(key): _unpack(item) for key, item in _unpack(data)}


def _undatetime(data: bytes) -> dt.datetime:
    text, fold, zone = _unpack(data)
    return dt.datetime.fromisoformat(text).replace(fold=fold, tzinfo=_unzone(zone))


def _untime(data: bytes) -> dt.time:
    text, fold, zone = _unpack(data)
    return dt.time.fromisoformat(text).replace(fold=fold, tzinfo=_unzone(zone))


def _unzone(zone: Any) -> dt.tzinfo | None:
    if zone is None:
        return None
    if isinstance(zone, str):
        return zoneinfo.ZoneInfo(zone)
    offset, name = dt.timedelta(microseconds=zone[0]), zone[1]
    if name is not None:
        return dt.timezone(offset, name)
    return dt.timezone(offset) if offset else dt.UTC


def _unpath(data: bytes) -> PurePath:
    flavour, text = _unpack(data)
    return {"Path": Path, "PurePosixPath": PurePosixPath, "PureWindowsPath": PureWindowsPath}[flavour](text)


def _find(place: str) -> Any:
    module, _, name = place.partition(":")
    try:
        found: Any = sys.modules.get(module) or importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise CodecError(
            f"The class {name} of {module} is needed to read a stored value and cannot be found; bring it back.",
            type_name=f"{module}.{name}",
        ) from error
    return found


def _class(place: str, fits: Callable[[Any], bool], what: str) -> Any:
    found = _find(place)
    if not isinstance(found, type) or not fits(found):
        raise CodecError(f"{place} was a {what} when a value of it was stored and is none now.", type_name=place)
    return found


def _unenum(data: bytes) -> enum.Enum:
    place, name = _unpack(data)
    kind = _class(place, lambda one: issubclass(one, enum.Enum), "Enum")
    try:
        member: enum.Enum = kind[name]
    except KeyError:
        raise CodecError(f"{place} has no member {name} any more, which a stored value is.", type_name=place) from None
    return member


def _undataclass(data: bytes) -> Any:
    place, fields = _unpack(data)
    kind = _class(place, dataclasses.is_dataclass, "dataclass")
    value = object.__new__(kind)
    for one in dataclasses.fields(kind):
        if one.name in fields:
            object.__setattr__(value, one.name, fields[one.name])
        elif one.default is not dataclasses.MISSING:
            object.__setattr__(value, one.name, one.default)
        elif one.default_factory is not dataclasses.MISSING:
            object.__setattr__(value, one.name, one.default_factory())
        elif one.init:
            raise CodecError(f"{place} has a field {one.name} now that a stored value has not.", type_name=place)
    return value


def _unstruct(data: bytes) -> Any:
    place, fields = _unpack(data)
    return _class(place, lambda one: issubclass(one, Struct), "Struct")(**fields)


def _unpydantic(data: bytes) -> Any:
    place, state = _unpack(data)
    kind = _class(place, _is_pydantic, "pydantic model")
    value = kind.__new__(kind)
    value.__setstate__(state)
    return value


def _unnamedtuple(data: bytes) -> Any:
    place, items = _unpack(data)
    return _class(place, lambda one: issubclass(one, tuple) and hasattr(one, "_make"), "named tuple")._make(items)


def _unregistered(data: bytes) -> Any:
    name, plain_value = _unpack(data)
    held = _by_name.get(name)
    if held is None:
        raise CodecError(f"A stored value needs the codec {name!r}; register it with neurocore.register_codec.")
    return held[2](plain_value)


def _is_pydantic(kind: type) -> bool:
    return hasattr(kind, "__pydantic_fields_set__") and hasattr(kind, "model_construct")


_DECODERS: dict[int, Callable[[bytes], Any]] = {
    _BIGINT: lambda data: int(data, 16),
    _TEXT: lambda data: data.decode("utf-8", "surrogatepass"),
    _TUPLE: lambda data: tuple(_unpack(data)),
    _SET: lambda data: {_unpack(item) for item in _unpack(data)},
    _FROZENSET: lambda data: frozenset(_unpack(item) for item in _unpack(data)),
    _DICT: _undict,
    _DATETIME: _undatetime,
    _DATE: lambda data: dt.date.fromisoformat(data.decode()),
    _TIME: _untime,
    _TIMEDELTA: lambda data: dt.timedelta(*_unpack(data)),
    _DECIMAL: lambda data: Decimal(data.decode()),
    _UUID: lambda data: uuid.UUID(bytes=data),
    _PATH: _unpath,
    _ENUM: _unenum,
    _DATACLASS: _undataclass,
    _STRUCT: _unstruct,
    _PYDANTIC: _unpydantic,
    _NAMEDTUPLE: _unnamedtuple,
    _REGISTERED: _unregistered,
    _SECRET: lambda data: SecretRef(data.decode("utf-8", "surrogatepass")),
}


# -------------------------------------------------------------------- JSON


def to_jsonable(value: Any) -> Any:
    """The value as JSON data without loss: what JSON has no word for is tagged, `{"$tuple": [1, 2]}`."""
    kind = type(value)
    if value is None or kind is bool or kind is int:
        return value
    if kind is str:
        return value if value.isascii() or type(_text(value)) is str else _opaque(value)
    if kind is float:
        return value if math.isfinite(value) else {"$float": repr(value)}
    if kind is list:
        return [to_jsonable(item) for item in value]
    if kind is dict:
        if all(type(key) is str and not key.startswith("$") and type(to_jsonable(key)) is str for key in value):
            return {key: to_jsonable(item) for key, item in value.items()}
        return {"$dict": [[to_jsonable(key), to_jsonable(item)] for key, item in value.items()]}
    if kind is bytes:
        return {"$bytes": base64.b64encode(value).decode()}
    if kind is tuple:
        return {"$tuple": [to_jsonable(item) for item in value]}
    if kind is set or kind is frozenset:
        return {f"${kind.__name__}": [to_jsonable(item) for item in sorted(value, key=encode)]}
    if kind is Decimal:
        return {"$decimal": str(value)}
    return _opaque(value)


def from_jsonable(value: Any) -> Any:
    """The value that `to_jsonable` was called on. Raises CodecError for an unknown tag."""
    if type(value) is list:
        return [from_jsonable(item) for item in value]
    if type(value) is not dict:
        return value
    if len(value) == 1:
        (tag, content), = value.items()
        if tag.startswith("$"):
            if tag not in _UNTAG:
                raise CodecError(f"{tag!r} is no tag of a stored value.")
            return _UNTAG[tag](content)
    return {key: from_jsonable(item) for key, item in value.items()}


def _opaque(value: Any) -> dict[str, str]:
    return {"$value": base64.b64encode(encode(value)).decode()}


_UNTAG: dict[str, Callable[[Any], Any]] = {
    "$float": float,
    "$dict": lambda pairs: {from_jsonable(key): from_jsonable(item) for key, item in pairs},
    "$bytes": base64.b64decode,
    "$tuple": lambda items: tuple(from_jsonable(item) for item in items),
    "$set": lambda items: {from_jsonable(item) for item in items},
    "$frozenset": lambda items: frozenset(from_jsonable(item) for item in items),
    "$decimal": Decimal,
    "$value": lambda text: decode(base64.b64decode(text)),
}


def plain(value: Any) -> Any:
    """The value as JSON data for people and scripts, with loss: sets become lists, times and numbers text."""
    kind = type(value)
    if value is None or kind is bool or kind is str or kind is int:
        return value if kind is not str else value.encode("utf-8", "backslashreplace").decode()
    if kind is float:
        return value if math.isfinite(value) else str(value)
    if kind is dict:
        return {key if type(key) is str else str(plain(key)): plain(item) for key, item in value.items()}
    if kind in (list, tuple):
        return [plain(item) for item in value]
    if kind in (set, frozenset):
        return [plain(item) for item in sorted(value, key=encode)]
    if kind is bytes:
        return f"base64:{base64.b64encode(value).decode()}"
    if kind is SecretRef:
        return value.reference
    if isinstance(value, enum.Enum):
        return plain(value.value)
    if isinstance(value, (dt.date, dt.time)):
        return value.isoformat()
    if isinstance(value, Struct):
        return {name: plain(getattr(value, name)) for name in kind.__struct_fields__}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {one.name: plain(getattr(value, one.name)) for one in dataclasses.fields(value)}
    if _is_pydantic(kind):
        return plain(value.model_dump())
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    return str(value)
