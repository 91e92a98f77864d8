"""JSON written in pieces, so that a large document is never in memory as text too.

msgspec writes small values at once. Large values are split into their items, and small items of one list are written
together.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from io import BytesIO
from tempfile import TemporaryFile
from typing import IO, Any

import msgspec
from flask import Response
from msgspec import Struct

from neurocore.documents.streamed import Streamed

#: The approximate number of JSON characters that are written at once.
PIECE = 64 * 1024

#: The size up to which an answer is made in memory; a larger one is made in a temporary file.
WHOLE = 1_000_000

#: Values nested deeper than this are written at once, however large.
_DEEPEST = 40

#: The least weight of a value.
_LEAST = 8


def written(made: Iterator[bytes], *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return an answer with these pieces of JSON. All are made before it begins, so it is never incomplete."""
    file: IO[bytes] = BytesIO()
    try:
        for piece in made:
            if isinstance(file, BytesIO) and file.tell() > WHOLE:
                begun, file = file.getvalue(), TemporaryFile()  # noqa: SIM115 - the answer closes it
                file.write(begun)
            file.write(piece)
    except BaseException:
        file.close()
        raise
    length = {"Content-Length": str(file.tell())}
    whole = file.getvalue() if isinstance(file, BytesIO) else _read(file)
    response = Response(whole, status, {**(headers or {}), **length}, content_type="application/json")
    response.call_on_close(file.close)  # even if nobody reads it, as after HEAD
    return response


def _read(file: IO[bytes]) -> Iterator[bytes]:
    """Yield the whole file from its beginning, and close it at the end."""
    with file:
        file.seek(0)
        while piece := file.read(PIECE):
            yield piece


def pieces(value: Any, depth: int = 0) -> Iterator[bytes]:
    """Yield JSON in UTF-8 in pieces that are not much larger than `PIECE`."""
    if depth > _DEEPEST or _weight(value) <= PIECE:
        yield encoded(value)
    elif isinstance(value, str):
        yield b'"'
        for place in range(0, len(value), PIECE):
            yield encoded(value[place : place + PIECE])[1:-1]
        yield b'"'
    elif isinstance(value, Streamed) and value.text:
        yield b'"'
        yield from (encoded(one)[1:-1] for one in value.items())
        yield b'"'
    elif isinstance(value, Streamed):
        yield from _mapping(value.items(), depth) if value.mapping else _list(value.items(), depth)
    elif isinstance(value, Struct):
        names = zip(value.__struct_encode_fields__, value.__struct_fields__, strict=True)
        yield from _mapping(((name, getattr(value, field)) for name, field in names), depth)
    elif isinstance(value, dict):
        yield from _mapping(value.items(), depth)
    elif isinstance(value, (list, tuple)):
        yield from _list(value, depth)
    else:
        yield encoded(value)


def _mapping(items: Iterable[tuple[str, Any]], depth: int) -> Iterator[bytes]:
    together: dict[str, Any] = {}
    held, comma = 0, b"{"
    for key, one in items:
        size = _weight(one) + len(key)
        if together and held + size > PIECE:
            yield comma + encoded(together)[1:-1]
            together, held, comma = {}, 0, b","
        if size > PIECE:
            yield comma + encoded(key) + b":"
            yield from pieces(one, depth + 1)
            comma = b","
        else:
            together[key] = one
            held += size
    yield (comma + encoded(together)[1:-1] if together else b"{" if comma == b"{" else b"") + b"}"


def _list(items: Iterable[Any], depth: int) -> Iterator[bytes]:
    together: list[Any] = []
    held, comma = 0, b"["
    for one in items:
        size = _weight(one)
        if together and held + size > PIECE:
            yield comma + encoded(together)[1:-1]
            together, held, comma = [], 0, b","
        if size > PIECE:
            yield comma
            yield from pieces(one, depth + 1)
            comma = b","
        else:
            together.append(one)
            held += size
    yield (comma + encoded(together)[1:-1] if together else b"[" if comma == b"[" else b"") + b"]"


def _weight(value: Any) -> int:
    """Return the approximate length of the value as JSON; stop counting when it is too long for one piece."""
    total, left = 0, [value]
    while left and total <= PIECE:
        one = left.pop()
        kind = type(one)
        total += _LEAST
        if kind is str:
            total += len(one)
        elif kind is int:
            total += one.bit_length() // 3
        elif kind is dict or kind is list or kind is tuple:
            total += _LEAST * len(one)
            if total <= PIECE:
                left += one
                if kind is dict:
                    left += one.values()
        elif kind is Streamed:
            return PIECE + 1
        elif isinstance(one, Struct):
            left += [getattr(one, name) for name in one.__struct_fields__]
    return total


# -------------------------------------------------------------------- at once


def encoded(document: Any) -> bytes:
    """Return JSON in UTF-8, made at once.

    Values that msgspec cannot write are rare and take the slow way: lone surrogates, which UTF-8 cannot express, are
    escaped; numbers with more digits than Python converts to text are written as hexadecimal text.
    """
    try:
        return msgspec.json.encode(document)
    except (UnicodeEncodeError, ValueError):
        return json.dumps(_writable(msgspec.to_builtins(document, str_keys=True))).encode()


def _writable(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _writable(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_writable(inner) for inner in value]
    return hex(value) if type(value) is int and value.bit_length() > _MOST_BITS else value


#: About 4,200 decimal digits; Python refuses to write more than 4,300.
_MOST_BITS = 14_000
