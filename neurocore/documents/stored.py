"""Stored values as parts of a document: a large one is restored and masked while it is written, a part at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from neurocore import codec
from neurocore.codec import Encoded
from neurocore.documents.later import Later
from neurocore.runtime.definition import shown, shown_under
from neurocore.secrets import looks_secret

#: Large values that are nested deeper are restored at once.
_DEEPEST = 20


def stored(data: bytes | memoryview, depth: int = 0) -> Any:
    """What `shown` makes of a stored value; of a large one, what writes it later."""
    found = codec.slices(data) if depth < _DEEPEST else None
    if found is None:
        return shown(codec.restore(data))
    if found.kind == "text":
        return Later(lambda: _parts(data), text=True)
    if found.kind == "list":
        return Later(lambda: (_item(one, depth) for one in _parts(data)))
    return Later(lambda: (pair for key, one in _parts(data) for pair in _pair(key, one, depth)), mapping=True)


def stored_under(key: Any, data: bytes | memoryview, depth: int = 0) -> Any:
    """What `shown_under` makes of a stored value: under a key that is called like a credential, nothing of it."""
    if isinstance(key, str) and looks_secret(key):
        return shown_under(key, codec.restore(data))
    return stored(data, depth)


def _parts(data: bytes | memoryview) -> Iterator[Any]:
    found = codec.slices(data)
    return found.parts if found is not None else iter(())


def _item(one: Any, depth: int) -> Any:
    return stored(one.data, depth + 1) if isinstance(one, Encoded) else shown(one)


def _pair(key: Any, one: Any, depth: int) -> Iterator[tuple[str, Any]]:
    if not isinstance(one, Encoded):
        yield from shown({key: one}).items()
        return
    (name,) = shown({key: None})  # keys are text in a document
    yield name, stored_under(name, one.data, depth + 1)
