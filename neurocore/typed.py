"""Convert plain data, of YAML or JSON, to types, safely on all threads.

msgspec inspects a type when it is first used, and other threads can see the unfinished result: a thread that creates a
value of it at that moment crashes the process. So each type is learned under a lock before it is used.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from neurocore import forks

_Kind = TypeVar("_Kind")
_lock = forks.lock()
_learned: set[Any] = set()


def convert(data: Any, kind: type[_Kind], *, strict: bool = True) -> _Kind:
    """Return `data` as a value of `kind`. Raises msgspec.ValidationError."""
    learn(kind)
    return msgspec.convert(data, kind, strict=strict)  # noqa: TID251 - this is the place


def decode(text: bytes, kind: type[_Kind]) -> _Kind:
    """Return JSON as a value of `kind`. Raises msgspec.DecodeError."""
    learn(kind)
    return msgspec.json.decode(text, type=kind)


def learn(*kinds: Any) -> None:
    """Let msgspec inspect these types; call it before asking msgspec for their structure, which does the same."""
    for kind in kinds:
        if kind not in _learned:
            with _lock:
                msgspec.json.Decoder(kind)
                _learned.add(kind)


def described(schema: Any) -> Any:
    """Return a JSON Schema made by msgspec, identical for every version of Python and msgspec.

    Each description is as `inspect.getdoc` shows it: Python 3.13 removes the indentation of docstrings. `null` comes
    last in `anyOf`: versions of msgspec differ in the order.
    """
    import inspect

    if isinstance(schema, (list, tuple)):
        return [described(one) for one in sorted(schema, key=lambda one: one == {"type": "null"})]
    if not isinstance(schema, dict):
        return schema
    return {
        key: inspect.cleandoc(value) if key == "description" and isinstance(value, str) else described(value)
        for key, value in schema.items()
    }
