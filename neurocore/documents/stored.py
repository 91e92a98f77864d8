"""Stored values as parts of a document: a large one is restored and masked part by part while it is written."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from neurocore import codec
from neurocore.codec import Encoded
from neurocore.documents.masking import masked, masked_under
from neurocore.documents.streamed import Streamed
from neurocore.secrets import looks_secret

#: Large values that are nested deeper are restored at once.
_DEEPEST = 20


def stored(data: bytes | memoryview, depth: int = 0) -> Any:
    """Return `masked` of a stored value; for a large one, an object that writes it later."""
    found = codec.slices(data) if depth < _DEEPEST else None
    if found is None:
        return masked(codec.restore(data))
    if found.kind == "text":
        return Streamed(lambda: _parts(data), text=True)
    if found.kind == "list":
        return Streamed(lambda: (_item(one, depth) for one in _parts(data)))
    return Streamed(lambda: (pair for key, one in _parts(data) for pair in _pair(key, one, depth)), mapping=True)


def stored_under(key: Any, data: bytes | memoryview, depth: int = 0) -> Any:
    """Return `masked_under` of a stored value: under a key that looks like a credential, nothing of it."""
    if isinstance(key, str) and looks_secret(key):
        return masked_under(key, codec.restore(data))
    return stored(data, depth)


def _parts(data: bytes | memoryview) -> Iterator[Any]:
    found = codec.slices(data)
    return found.parts if found is not None else iter(())


def _item(one: Any, depth: int) -> Any:
    return stored(one.data, depth + 1) if isinstance(one, Encoded) else masked(one)


def _pair(key: Any, one: Any, depth: int) -> Iterator[tuple[str, Any]]:
    if not isinstance(one, Encoded):
        yield from masked({key: one}).items()
        return
    (name,) = masked({key: None})  # keys are text in a document
    yield name, stored_under(name, one.data, depth + 1)
