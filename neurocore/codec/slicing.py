"""Read large encoded values part by part: 25 MB of them need not become Python objects all at once."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct

from neurocore.codec import tags
from neurocore.codec.decoding import restore
from neurocore.codec.tags import Unreadable

#: A value that is encoded in fewer bytes is restored at once; a longer one in parts of this size.
SLICE = 64 * 1024


class Slices(Struct, frozen=True):
    """The parts of a large value: of a `list`, of a `mapping`, or of a `text`.

    A list yields its items, a mapping its pairs of key and value; `Encoded` stands for a value that is large itself. A
    text yields pieces of text.
    """

    kind: str
    parts: Iterator[Any]


class Encoded(Struct, frozen=True):
    """A value within a large one, which is large itself."""

    data: memoryview


def slices(data: bytes | memoryview) -> Slices | None:
    """Return the parts of a large value as `plain` shows it; None if it is not large, or has no parts."""
    if len(data) <= SLICE or not _is_whole(data):
        return None
    view = memoryview(data)
    head = _head(view, 0)
    if head.kind != "extension":
        found = _PARTS.get(head.kind)
        return Slices(found[0], found[1](view, head)) if found is not None else None
    within = _EXTENSIONS.get(head.extension)
    if within is None or not _is_whole(view[head.start :]) or _head(view, head.start).kind != "array":
        return None
    return Slices(within[0], within[1](view, _head(view, head.start)))


def _is_whole(data: bytes | memoryview) -> bool:
    """Return whether this is exactly one MessagePack value; nothing is decoded."""
    try:
        msgspec.msgpack.decode(data, type=msgspec.Raw)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


# -------------------------------------------------------------------- parts


def _items(view: memoryview, head: _Head) -> Iterator[Any]:
    for start, end, count in _together(view, head.start, head.count, 1):
        if count == 1 and end - start > SLICE:
            yield Encoded(view[start:end])
            continue
        values = restore(b"\xdd" + count.to_bytes(4, "big") + view[start:end])
        yield from values if type(values) is list else [values]


def _pairs(view: memoryview, head: _Head) -> Iterator[Any]:
    for start, end, count in _together(view, head.start, head.count, 2):
        if count == 1 and end - start > SLICE:
            middle = _end(view, start)
            yield restore(view[start:middle]), _small_or_encoded(view[middle:end])
            continue
        values = restore(b"\xdf" + count.to_bytes(4, "big") + view[start:end])
        yield from values.items() if type(values) is dict else [("", values)]


def _members(view: memoryview, head: _Head) -> Iterator[Any]:
    """Yield the members of a set, which are stored in order, each encoded separately."""
    place = head.start
    for _ in range(head.count):
        member = _head(view, place)
        if member.kind != "bytes":
            yield Unreadable(bytes(view[place:]), "it is not a member of a set")
            return
        place = member.start + member.count
        yield _small_or_encoded(view[member.start : place])


def _loose_pairs(view: memoryview, head: _Head) -> Iterator[Any]:
    """Yield the pairs of a mapping whose keys are not text: lists of two, each encoded separately."""
    place = head.start
    for _ in range(head.count):
        pair = _head(view, place)
        key = _head(view, pair.start)
        value = _head(view, key.start + key.count) if key.kind == "bytes" else key
        if (pair.kind, pair.count, value.kind) != ("array", 2, "bytes"):
            yield "", Unreadable(bytes(view[place:]), "it is not a pair of a mapping")
            return
        place = value.start + value.count
        yield restore(view[key.start : key.start + key.count]), _small_or_encoded(view[value.start : place])


def _small_or_encoded(data: memoryview) -> Any:
    return Encoded(data) if len(data) > SLICE else restore(data)


def _text(view: memoryview, head: _Head) -> Iterator[str]:
    place, last = head.start, head.start + head.count
    while place < last:
        end = min(place + SLICE, last)
        while end < last and view[end] & 0xC0 == 0x80:  # within a character
            end += 1
        yield str(view[place:end], "utf-8", "replace")
        place = end


def _base64(view: memoryview, head: _Head) -> Iterator[str]:
    yield "base64:"
    step = SLICE // 3 * 3
    for place in range(head.start, head.start + head.count, step):
        yield base64.b64encode(view[place : min(place + step, head.start + head.count)]).decode()


_PARTS = {
    "array": ("list", _items), "map": ("mapping", _pairs), "text": ("text", _text), "bytes": ("text", _base64),
}  # fmt: skip
_EXTENSIONS = {
    tags.TUPLE: ("list", _items), tags.SET: ("list", _members), tags.FROZENSET: ("list", _members),
    tags.DICT: ("mapping", _loose_pairs),
}  # fmt: skip


def _together(view: memoryview, place: int, count: int, each: int) -> Iterator[tuple[int, int, int]]:
    """Yield where this many items are, each of this many values: from, to and how many; a large one alone."""
    start, held = place, 0
    for _ in range(count):
        end = place
        for _ in range(each):
            end = _end(view, end)
        if held and end - start > SLICE:
            yield start, place, held
            start, held = place, 0
        place, held = end, held + 1
    if held:
        yield start, place, held


# -------------------------------------------------------------------- MessagePack


class _Head(Struct, frozen=True):
    """The beginning of a value: what it is, where its content starts, and how many items or bytes it has."""

    kind: str
    start: int
    count: int
    extension: int = 0


#: By first byte, for values with a length: the kind, and how many bytes the length has.
_LENGTHS = {
    0xC4: ("bytes", 1), 0xC5: ("bytes", 2), 0xC6: ("bytes", 4), 0xC7: ("extension", 1), 0xC8: ("extension", 2),
    0xC9: ("extension", 4), 0xD9: ("text", 1), 0xDA: ("text", 2), 0xDB: ("text", 4), 0xDC: ("array", 2),
    0xDD: ("array", 4), 0xDE: ("map", 2), 0xDF: ("map", 4),
}  # fmt: skip


def _fixed(byte: int) -> tuple[int, int]:
    """Return how long a value with this first byte is, and how many values it contains; 0 if a length follows."""
    if byte in _LENGTHS:
        return 0, 0
    if 0x80 <= byte <= 0x9F:
        return 1, (byte & 0x0F) * (2 if byte < 0x90 else 1)
    if 0xA0 <= byte <= 0xBF:
        return 1 + (byte & 0x1F), 0
    numbers = {0xCA: 5, 0xCB: 9, 0xCC: 2, 0xCD: 3, 0xCE: 5, 0xCF: 9, 0xD0: 2, 0xD1: 3, 0xD2: 5, 0xD3: 9}
    extensions = {0xD4: 3, 0xD5: 4, 0xD6: 6, 0xD7: 10, 0xD8: 18}
    return {**numbers, **extensions}.get(byte, 1), 0


_SIZES = [_fixed(byte) for byte in range(256)]


def _head(view: memoryview, place: int) -> _Head:
    byte = view[place]
    if byte not in _LENGTHS:
        if 0x80 <= byte <= 0x8F:
            return _Head("map", place + 1, byte & 0x0F)
        if 0x90 <= byte <= 0x9F:
            return _Head("array", place + 1, byte & 0x0F)
        return _Head("else", place + 1, 0)
    kind, width = _LENGTHS[byte]
    start = place + 1 + width
    count = int.from_bytes(view[place + 1 : start], "big")
    if kind == "extension":
        return _Head(kind, start + 1, count, extension=view[start])
    return _Head(kind, start, count)


def _end(view: memoryview, place: int) -> int:
    """Return where a value ends."""
    left = 1
    while left:
        left -= 1
        size, within = _SIZES[view[place]]
        if size:
            place += size
            left += within
            continue
        kind, width = _LENGTHS[view[place]]
        count = int.from_bytes(view[place + 1 : place + 1 + width], "big")
        place += 1 + width
        if kind == "array":
            left += count
        elif kind == "map":
            left += 2 * count
        else:
            place += count + (kind == "extension")
    return place
