"""Single values as text and HTML. Values whose keys look like secrets are masked."""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import enum
import math
from decimal import Decimal
from typing import Any

import msgspec
from markupsafe import Markup

from neurocore import codec, numerals
from neurocore.codec import SecretRef
from neurocore.readable import counted, safe
from neurocore.secrets import looks_secret, mask
from webapp.html.text import html, line, size

#: Text up to this length is shown unfolded, and fits into a cell of a table.
LONG_TEXT = 400

NONE = Markup('<span class="none">none</span>')


def scalar(value: Any) -> Markup:
    """Return a value that is neither text, list nor mapping as HTML."""
    if value is None:
        return NONE
    if isinstance(value, bool):
        return html('<span class="bool">{}</span>', "yes" if value else "no")
    if isinstance(value, (int, float, Decimal)):
        return html('<span class="number">{}</span>', number(value))
    if isinstance(value, SecretRef):
        return html('<code title="taken from the environment when a step starts">{}</code>', safe(value.reference))
    return html('<span class="text">{}</span>', short(value, LONG_TEXT))


def number(value: float | Decimal) -> str:
    """Return the digits. Decimal fractions are grouped by thousands; whole numbers are not, because they may be ids."""
    if isinstance(value, int):
        if value.bit_length() > 2000:
            return f"a number of about {int(value.bit_length() * 0.30103):,} digits"
        return str(value)
    text = numerals.written(value)
    if isinstance(value, float) and not math.isfinite(value):
        return {"nan": "not a number", "inf": "∞", "-inf": "−∞"}[text]
    whole, point, fraction = text.partition(".")
    sign, digits = ("-", whole[1:]) if whole.startswith("-") else ("", whole)
    if not digits.isdigit() or len(text) > 60:
        return text[:200]
    return f"{sign}{int(digits):,}{point}{fraction}"


def whole_text(value: Any) -> str | None:
    """Return the whole text of a value that `scalar` might cut, or None if it never cuts it."""
    if value is None or isinstance(value, (bool, SecretRef, dt.date, dt.time)):
        return None
    if isinstance(value, int):
        return (
            hex(value) if value.bit_length() > 14_000 else str(value)
        )  # Python refuses to write longer decimal numbers
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"base64 {base64.b64encode(bytes(value)).decode()}"
    try:
        return str(value)
    except Exception:
        return None


def short(value: Any, limit: int = 80) -> str:
    """Return a value on one line: text is cut, lists and mappings are shown by size. The result is text, not HTML."""
    value = plain_types(value)
    if isinstance(value, str):
        return line(value, limit) if value else "empty text"
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (int, float, Decimal)):
        return number(value)
    if isinstance(value, (list, dict)):
        return _brief(value, limit)
    if isinstance(value, SecretRef):
        return line(value.reference, limit)
    if isinstance(value, (bytes, bytearray, memoryview)):
        data = bytes(value)
        text = base64.b64encode(data[:48]).decode()
        return f"{size(len(data))}: base64 {text}{'…' if len(data) > 48 else ''}"
    if isinstance(value, dt.datetime):
        return value.isoformat(" ")
    if isinstance(value, (dt.date, dt.time)):
        return value.isoformat()
    if isinstance(value, enum.Enum):
        return line(f"{type(value).__name__}.{value.name}", limit)
    try:
        return line(str(value), limit)
    except Exception:  # `str` of a class of the project may fail
        return line(f"a {type(value).__name__}", limit)


def _brief(value: list[Any] | dict[Any, Any], limit: int) -> str:
    """Return a small list or mapping with its content, a large one as its size."""
    if isinstance(value, list):
        parts = [short(item, 40) for item in value] if 0 < len(value) <= 8 and all(map(is_scalar, value)) else []
        name = counted(len(value), "item")
    else:
        small = 0 < len(value) <= 6 and all(map(is_scalar, value.values()))
        parts = [f"{key_text(key)} {short(item, 40)}" for key, item in masked_values(value).items()] if small else []
        name = counted(len(value), "key")
    text = ", ".join(parts)
    return text if parts and len(text) <= limit else name


def plain_types(value: Any) -> Any:
    """Turn tuples and sets into lists, and objects with fields into mappings; return other values unchanged."""
    kind = type(value)
    if kind in (str, dict, list, int, float, bool) or value is None or kind is SecretRef:
        return value
    if kind is codec.Unreadable:
        return codec.plain(value)
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, (set, frozenset)):
        return sorted(value, key=lambda item: (type(item).__name__, str(item)))
    if isinstance(value, msgspec.Struct):
        return {name: getattr(value, name, None) for name in value.__struct_fields__}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {one.name: getattr(value, one.name, None) for one in dataclasses.fields(value)}
    if callable(getattr(value, "model_dump", None)):
        return dict(value.model_dump())
    return value


def masked_values(values: dict[Any, Any]) -> dict[Any, Any]:
    """Mask the values whose keys look like secrets. Nested values are masked when they are shown."""
    return {key: mask({key: item})[key] if _is_credential(key) else item for key, item in values.items()}


def _is_credential(key: Any) -> bool:
    return isinstance(key, str) and looks_secret(key[:200])


def is_scalar(value: Any) -> bool:
    """Return whether a value is neither list nor mapping, and fits into a cell of a table."""
    value = plain_types(value)
    return not isinstance(value, (dict, list)) and not (isinstance(value, str) and len(value) > LONG_TEXT)


def key_text(key: Any, length: int = 120) -> str:
    """Return the key of a mapping as text for people."""
    return line(plain_key(key, length), length)


def plain_key(key: Any, length: int = 100) -> str:
    """Return a text key unchanged, and any other key as `short` does."""
    return key if isinstance(key, str) else short(key, length)
