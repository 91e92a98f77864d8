"""Bytes to values."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import enum
import importlib
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
    """A fresh copy of the value that was encoded. Raises CodecError when it cannot be restored (any more)."""
    try:
        return _unpack(data)
    except RecursionError:
        return tags.on_fresh_stack(_unpack, data)
    except (msgspec.DecodeError, UnicodeDecodeError, TypeError) as error:
        raise CodecError(f"A stored value cannot be read: {error}.") from error


def restore(data: bytes) -> Any:
    """Like `decode`, but an `Unreadable` for what cannot be restored: for looking at a run, not for running it."""
    try:
        return decode(data)
    except CodecError as error:
        return Unreadable(bytes(data), str(error))


def secrets_in(values: Iterable[bytes]) -> list[SecretRef]:
    """The references to secrets among encoded values; no other value is decoded."""
    return [_unpack(data) for data in values if _is_secret(data)]


def _is_secret(data: bytes) -> bool:
    """Whether an encoded value is the extension of a reference; MessagePack puts its number behind the length."""
    place = {0xC7: 2, 0xC8: 3, 0xC9: 5}.get(data[0], 1 if 0xD4 <= data[0] <= 0xD8 else None)
    return place is not None and len(data) > place and data[place] == tags.SECRET


def _extension(code: int, payload: memoryview) -> Any:
    try:
        return _DECODERS[code](bytes(payload))
    except (CodecError, RecursionError):
        raise
    except KeyError as error:
        raise CodecError(
            f"A stored value (extension {code}) was written by a newer NeuroCore, or is damaged."
        ) from error
    except Exception as error:
        raise CodecError(f"A stored value cannot be restored ({type(error).__name__}: {said(error)}).") from error


_unpack = msgspec.msgpack.Decoder(ext_hook=_extension).decode


def _dict(data: bytes) -> dict[Any, Any]:
    return {_unpack(key): _unpack(item) for key, item in _unpack(data)}


def _datetime(data: bytes) -> dt.datetime:
    text, fold, zone = _unpack(data)
    return dt.datetime.fromisoformat(text).replace(fold=fold, tzinfo=_zone(zone))


def _time(data: bytes) -> dt.time:
    text, fold, zone = _unpack(data)
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


def _path(data: bytes) -> PurePath:
    flavour, text = _unpack(data)
    kinds: dict[str, type[PurePath]] = {
        "Path": Path,
        "PurePosixPath": PurePosixPath,
        "PureWindowsPath": PureWindowsPath,
    }
    return kinds[flavour](text)


def _class(place: str, fits: Callable[[Any], bool], what: str) -> Any:
    """The class at `place`, when it is still one of this family: nothing else is ever called."""
    found = tags.find(place)
    if not isinstance(found, type) or not fits(found):
        raise CodecError(f"{place} was a {what} when a value of it was stored and is none now.", type_name=place)
    return found


def _enum(data: bytes) -> enum.Enum:
    place, name, *value = _unpack(data)
    kind = _class(place, lambda one: issubclass(one, enum.Enum), "Enum")
    try:
        member: enum.Enum = kind[name] if name is not None else kind(*value)
    except (KeyError, ValueError):
        raise CodecError(f"{place} has no member {name or value[0]} any more.", type_name=place) from None
    return member


def _dataclass(data: bytes) -> Any:
    place, fields = _unpack(data)
    kind = _class(place, dataclasses.is_dataclass, "dataclass")
    value = object.__new__(kind)
    for name in fields.keys() - {one.name for one in dataclasses.fields(kind)}:
        with contextlib.suppress(AttributeError):  # a field that is gone, of a class that has slots
            object.__setattr__(value, name, fields[name])
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


def _struct(data: bytes) -> Any:
    place, fields = _unpack(data)
    kind = _class(place, lambda one: issubclass(one, Struct), "Struct")
    besides = fields.keys() - set(kind.__struct_fields__) if kind.__dictoffset__ else set()
    value = kind(**{name: item for name, item in fields.items() if name not in besides})
    if besides:
        value.__dict__.update({name: fields[name] for name in besides})
    return value


def _pydantic(data: bytes) -> Any:
    place, state = _unpack(data)
    kind = _class(place, tags.is_pydantic, "pydantic model")
    value = kind.__new__(kind)
    value.__setstate__(state)
    return value


def _namedtuple(data: bytes) -> Any:
    place, items = _unpack(data)
    return _class(place, lambda one: issubclass(one, tuple) and hasattr(one, "_make"), "named tuple")._make(items)


def _registered(data: bytes) -> Any:
    name, plain_value, *module = _unpack(data)
    if name not in tags.by_name and module:
        with contextlib.suppress(Exception):  # whatever the module raises while it is imported
            importlib.import_module(module[0])
    held = tags.by_name.get(name)
    if held is None:
        raise CodecError(f"A stored value needs the codec {name!r}; register it with neurocore.register_codec.")
    return held.from_(plain_value)


_DECODERS: dict[int, Callable[[bytes], Any]] = {
    tags.BIGINT: lambda data: int(data, 16),
    tags.TEXT: lambda data: data.decode("utf-8", "surrogatepass"),
    tags.TUPLE: lambda data: tuple(_unpack(data)),
    tags.SET: lambda data: {_unpack(item) for item in _unpack(data)},
    tags.FROZENSET: lambda data: frozenset(_unpack(item) for item in _unpack(data)),
    tags.DICT: _dict,
    tags.DATETIME: _datetime,
    tags.DATE: lambda data: dt.date.fromisoformat(data.decode()),
    tags.TIME: _time,
    tags.TIMEDELTA: lambda data: dt.timedelta(*_unpack(data)),
    tags.DECIMAL: lambda data: Decimal(data.decode()),
    tags.UUID: lambda data: uuid.UUID(bytes=data),
    tags.PATH: _path,
    tags.ENUM: _enum,
    tags.DATACLASS: _dataclass,
    tags.STRUCT: _struct,
    tags.PYDANTIC: _pydantic,
    tags.NAMEDTUPLE: _namedtuple,
    tags.REGISTERED: _registered,
    tags.SECRET: lambda data: SecretRef(data.decode("utf-8", "surrogatepass")),
}
