"""Decode bytes to values."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import enum
import uuid
import zoneinfo
from collections.abc import Callable, Iterable
from decimal import Decimal
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import Any

import msgspec
from msgspec import Struct

from neurocore.codec import tags
from neurocore.codec.tags import SecretRef, Unreadable
from neurocore.errors import CodecError, said


def decode(data: bytes) -> Any:
    """Return a new copy of the encoded value. Raises CodecError when it cannot be restored (any more, or here)."""
    return _decoded(_strict, data)


def restore(data: bytes | memoryview, *, objects: bool = True) -> Any:
    """Like `decode`, with an `Unreadable` for each part that cannot be restored: for showing values, not for runs.

    Without `objects`, no part of a custom class is restored: for data from outside.
    """
    try:
        return _decoded(_lenient if objects else _plainly, data)
    except CodecError as error:
        return Unreadable(bytes(data), str(error))


def secrets_in(values: Iterable[bytes]) -> list[SecretRef]:
    """Return the references to secrets among encoded values; no other value is decoded."""
    return [_strict(data) for data in values if _is_secret(data)]


def _is_secret(data: bytes) -> bool:
    """Return whether an encoded value is the extension of a reference; its number follows the length."""
    place = {0xC7: 2, 0xC8: 3, 0xC9: 5}.get(data[0], 1 if 0xD4 <= data[0] <= 0xD8 else None)
    return place is not None and len(data) > place and data[place] == tags.SECRET


def parts_of(kept: Unreadable) -> tuple[int, list[Any] | None]:
    """Return how an object is stored: the number of its extension, and the place of its class with its content.

    The second is None if it is not an object.
    """
    extension = _extension_of(kept.data)
    if extension is None or extension.code not in OBJECTS:
        return 0, None
    parts = restore(bytes(extension.data))
    fits = isinstance(parts, list) and len(parts) > 1 and isinstance(parts[0], str)
    return extension.code, parts if fits else None


def _extension_of(data: bytes) -> msgspec.msgpack.Ext | None:
    """Return the outermost extension, undecoded; None if the data is not one."""
    try:
        found = msgspec.msgpack.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, TypeError):
        return None
    return found if isinstance(found, msgspec.msgpack.Ext) else None


def _decoded(unpack: Callable[[bytes], Any], data: Any) -> Any:
    try:
        return unpack(data)
    except RecursionError:
        return tags.on_fresh_stack(unpack, data)
    except (msgspec.DecodeError, UnicodeDecodeError, TypeError) as error:
        raise CodecError(f"A stored value cannot be read: {error}.") from error


Unpack = Callable[[bytes], Any]


def _reader(*, lenient: bool, objects: bool = True) -> Unpack:
    """Return a function from bytes to a value that treats every extension within by the same rules."""

    def extension(code: int, payload: memoryview) -> Any:
        data = bytes(payload)
        try:
            if code in OBJECTS and not objects:
                raise CodecError("It is shown as stored data, and is not restored here.")
            return _DECODERS[code](data, unpack)
        except RecursionError:
            raise
        except Exception as error:
            why = _why(error, code)
            if not lenient and why is error:
                raise
            if not lenient:
                raise why from error
            return Unreadable(msgspec.msgpack.encode(msgspec.msgpack.Ext(code, data)), str(why))

    unpack: Unpack = msgspec.msgpack.Decoder(ext_hook=extension).decode
    return unpack


def _why(error: Exception, code: int) -> CodecError:
    if isinstance(error, CodecError):
        return error
    if code not in _DECODERS:
        return CodecError(f"A stored value (extension {code}) was written by a newer NeuroCore, or is damaged.")
    return CodecError(f"A stored value cannot be restored ({type(error).__name__}: {said(error)}).")


def _dict(data: bytes, unpack: Unpack) -> dict[Any, Any]:
    return {unpack(key): unpack(item) for key, item in unpack(data)}


def _datetime(data: bytes, unpack: Unpack) -> dt.datetime:
    text, fold, zone = unpack(data)
    return dt.datetime.fromisoformat(text).replace(fold=fold, tzinfo=_zone(zone))


def _time(data: bytes, unpack: Unpack) -> dt.time:
    text, fold, zone = unpack(data)
    return dt.time.fromisoformat(text).replace(fold=fold, tzinfo=_zone(zone))


def _zone(zone: Any) -> dt.tzinfo | None:
    if zone is None:
        return None
    if isinstance(zone, str):
        try:
            return zoneinfo.ZoneInfo(zone)
        except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError) as error:
            raise CodecError(f"This machine has no time zone {zone!r}: pip install tzdata.") from error
    offset, name = dt.timedelta(microseconds=zone[0]), zone[1]
    if name is not None:
        return dt.timezone(offset, name)
    return dt.timezone(offset) if offset else dt.UTC


def _path(data: bytes, unpack: Unpack) -> PurePath:
    flavour, text = unpack(data)
    kinds: dict[str, type[PurePath]] = {
        "Path": Path,
        "PurePosixPath": PurePosixPath,
        "PureWindowsPath": PureWindowsPath,
    }
    return kinds[flavour](text)


def _class(place: str, fits: Callable[[Any], bool], what: str) -> Any:
    """Return the class at `place`, if it still belongs to this family: nothing else is ever called."""
    found = tags.find(place)
    if not isinstance(found, type) or not fits(found):
        raise CodecError(f"{place} was a {what} when a value of it was stored, and is not one now.", type_name=place)
    return found


def _enum(data: bytes, unpack: Unpack) -> enum.Enum:
    place, name, *value = unpack(data)
    kind = _class(place, lambda one: issubclass(one, enum.Enum), "Enum")
    try:
        member: enum.Enum = kind[name] if name is not None else kind(*value)
    except (KeyError, ValueError):
        raise CodecError(f"{place} has no member {name or value[0]} any more.", type_name=place) from None
    return member


def _dataclass(data: bytes, unpack: Unpack) -> Any:
    place, fields = unpack(data)
    kind = _class(place, dataclasses.is_dataclass, "dataclass")
    value = object.__new__(kind)
    declared = {one.name for one in dataclasses.fields(kind)}
    for name in [one for one in fields if one not in declared]:  # in their order, which digests depend on
        with contextlib.suppress(AttributeError):  # a removed field of a class with slots
            object.__setattr__(value, name, fields[name])
    for one in dataclasses.fields(kind):
        if one.name in fields:
            object.__setattr__(value, one.name, fields[one.name])
        elif one.default is not dataclasses.MISSING:
            object.__setattr__(value, one.name, one.default)
        elif one.default_factory is not dataclasses.MISSING:
            object.__setattr__(value, one.name, one.default_factory())
        elif one.init:
            raise CodecError(f"{place} has a field {one.name} now that a stored value does not have.", type_name=place)
    return value


def _struct(data: bytes, unpack: Unpack) -> Any:
    place, fields = unpack(data)
    kind = _class(place, lambda one: issubclass(one, Struct), "Struct")
    besides = [one for one in fields if one not in kind.__struct_fields__] if kind.__dictoffset__ else []
    value = kind(**{name: item for name, item in fields.items() if name not in besides})
    if besides:
        value.__dict__.update({name: fields[name] for name in besides})
    return value


def _pydantic(data: bytes, unpack: Unpack) -> Any:
    place, state = unpack(data)
    kind = _class(place, tags.is_pydantic, "pydantic model")
    value = kind.__new__(kind)
    value.__setstate__(state)
    return value


def _namedtuple(data: bytes, unpack: Unpack) -> Any:
    place, items = unpack(data)
    return _class(place, lambda one: issubclass(one, tuple) and hasattr(one, "_make"), "named tuple")._make(items)


def _registered(data: bytes, unpack: Unpack) -> Any:
    name, plain_value, *module = unpack(data)
    held = tags.by_name.get(name)
    if held is None:
        way_out = f"import {str(module[0])[:200]}, which does so," if module and module[0] else "do so"
        raise CodecError(
            f"A stored value needs the codec {str(name)[:200]!r}, which is not registered; {way_out} at the top of a "
            "skill's file."
        )
    return held.from_(plain_value)


_DECODERS: dict[int, Callable[[bytes, Unpack], Any]] = {
    tags.BIGINT: lambda data, unpack: int(data, 16),
    tags.TEXT: lambda data, unpack: data.decode("utf-8", "surrogatepass"),
    tags.TUPLE: lambda data, unpack: tuple(unpack(data)),
    tags.SET: lambda data, unpack: {unpack(item) for item in unpack(data)},
    tags.FROZENSET: lambda data, unpack: frozenset(unpack(item) for item in unpack(data)),
    tags.DICT: _dict,
    tags.DATETIME: _datetime,
    tags.DATE: lambda data, unpack: dt.date.fromisoformat(data.decode()),
    tags.TIME: _time,
    tags.TIMEDELTA: lambda data, unpack: dt.timedelta(*unpack(data)),
    tags.DECIMAL: lambda data, unpack: Decimal(data.decode()),
    tags.UUID: lambda data, unpack: uuid.UUID(bytes=data),
    tags.PATH: _path,
    tags.ENUM: _enum,
    tags.DATACLASS: _dataclass,
    tags.STRUCT: _struct,
    tags.PYDANTIC: _pydantic,
    tags.NAMEDTUPLE: _namedtuple,
    tags.REGISTERED: _registered,
    tags.SECRET: lambda data, unpack: SecretRef(data.decode("utf-8", "surrogatepass")),
}

#: The extensions that name a class, and those of them that store its fields by name.
OBJECTS = frozenset({tags.ENUM, tags.DATACLASS, tags.STRUCT, tags.PYDANTIC, tags.NAMEDTUPLE, tags.REGISTERED})
FIELDS = frozenset({tags.DATACLASS, tags.STRUCT, tags.PYDANTIC})

_strict = _reader(lenient=False)
_lenient = _reader(lenient=True)
_plainly = _reader(lenient=True, objects=False)
