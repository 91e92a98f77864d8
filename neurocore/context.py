"""The context: the shared state that skills read and write.

A step gets a `FlowContext` over the committed context at its start: encoded bytes per key, decoded when a key is read,
so that a large context costs nothing to a step that does not use it. Reads return private copies; `changes()` compares
what the step set, deleted or read as a mutable value with the committed values. A context that a test or a script
builds itself (`FlowContext({"name": "Ada"})`) behaves the same way.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, ItemsView, Iterator, KeysView, Mapping, ValuesView
from typing import Any

from msgspec import Struct

from neurocore import codec

_ABSENT: Any = object()

#: The keys that only NeuroCore sets: the recorded answers of gates, and the data of a resume.
RESERVED_KEYS = frozenset({"approval", "approvals", "resume_data"})


def reserved_problem(key: str) -> str | None:
    """Return why nobody else may set this key, else None."""
    if key not in RESERVED_KEYS:
        return None
    what = "the data of a resume" if key == "resume_data" else "the recorded answers of gates"
    return f"Only NeuroCore sets {key}, to {what}; choose another name."


class ExecutionMetadata(Struct, eq=False):
    """What a context knows about its run.

    On the context that a run returns: `run_id`, `status`, `suspended`, `suspended_at_node`, `suspension_reason` and
    `completed_nodes` (one entry per completed visit, in order).
    """

    run_id: str = ""
    status: str | None = None
    suspended: bool = False
    suspended_at_node: str | None = None
    suspension_reason: str | None = None
    completed_nodes: list[str] = []

    @property
    def flow_id(self) -> str:
        """Return the run's id under its name in 0.4."""
        return self.run_id

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by name."""
        return {name: getattr(self, name) for name in self.__struct_fields__}


class FlowContext:
    """The state that one step sees: `get`, `set`, `has`, `delete`, or `context.data.<key>`.

    `attempt` counts the attempts of this visit from 1, `first_started_at` is when the first of them started (ISO, UTC),
    `idempotency_key` is the same for all of them (a hash of run, node and visit), `resume_data` is what a person or a
    script gave when it resumed this step, else None.
    """

    __slots__ = (
        "_base", "_values", "_clean", "_deleted", "_secrets", "_port", "_data",
        "metadata", "input", "node_id", "visit", "attempt", "first_started_at", "resume_data", "deadline",
    )  # fmt: skip

    def __init__(self, data: Mapping[str, Any] | None = None) -> None:
        self._base: Mapping[str, bytes] = {}
        self._values: dict[str, Any] = {}
        self._clean: set[str] = set()
        self._deleted: set[str] = set()
        self._secrets: Callable[[codec.SecretRef], str] | None = None
        self._port: str | None = None
        self._data: ContextData | None = None
        self.metadata = ExecutionMetadata()
        self.input: Any = None
        self.node_id = ""
        self.visit = 1
        self.attempt = 1
        self.first_started_at = ""
        self.resume_data: Any = None
        self.deadline: float | None = None
        if data:
            for key, value in data.items():
                self.set(key, value)

    @classmethod
    def over(
        cls, base: Mapping[str, bytes], *, run_id: str = "", secrets: Callable[[codec.SecretRef], str] | None = None
    ) -> FlowContext:
        """Return a view of committed, encoded values; `secrets` turns a reference into its value when it is read."""
        context = cls()
        context._base = base
        context._secrets = secrets
        context.metadata.run_id = run_id
        return context

    # ---------------------------------------------------------------- reading and writing

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value at `key`, a private copy, or `default` if it is not set."""
        value = self._values.get(key, _ABSENT)
        if value is not _ABSENT:
            return value
        data = None if key in self._deleted else self._base.get(key)
        if data is None:
            return self.resume_data if key == "resume_data" and self.resume_data is not None else default
        value = codec.decode(data)
        if type(value) is codec.SecretRef:
            value = self._secrets(value) if self._secrets else value.reference
            self._clean.add(key)
        elif codec.is_immutable(value):
            self._clean.add(key)
        self._values[key] = value
        return value

    def set(self, key: str, value: Any) -> None:
        """Set `key`. Raises TypeError when the key is not a string."""
        if not isinstance(key, str):
            raise TypeError(f"A context key must be a string, not {type(key).__name__}.")
        self._values[key] = value._dict if type(value) is DotDict else value
        self._clean.discard(key)
        self._deleted.discard(key)

    def has(self, key: str) -> bool:
        """Return whether `key` is set."""
        if key in self._values or (key in self._base and key not in self._deleted):
            return True
        return key == "resume_data" and self.resume_data is not None

    def delete(self, key: str) -> None:
        """Remove `key`; a missing key is not an error."""
        self._values.pop(key, None)
        self._clean.discard(key)
        if key in self._base:
            self._deleted.add(key)

    def keys(self) -> list[str]:
        """Return every key that is set."""
        kept = [key for key in self._base if key not in self._deleted]
        return kept + [key for key in self._values if key not in self._base]

    @property
    def data(self) -> ContextData:
        """Return the same state by attribute: `context.data.user.name`; a missing key is None."""
        if self._data is None:
            self._data = ContextData(self)
        return self._data

    # ---------------------------------------------------------------- steering the flow

    def set_port(self, port: str) -> None:
        """Choose the output port: of the edges that name a port, only those that name this one are taken."""
        self._port = port

    def get_active_port(self) -> str | None:
        """Return the chosen output port, or None."""
        return self._port

    def clear_port(self) -> None:
        """Reset the output port."""
        self._port = None

    def suspend(self, node_id: str = "", reason: str = "") -> None:
        """Stop after this step until somebody resumes the run with data; the same visit then runs again.

        `node_id` is accepted for skills written for 0.4, but ignored: a step suspends at its own node.
        """
        self.metadata.suspended = True
        self.metadata.suspended_at_node = self.node_id or node_id
        self.metadata.suspension_reason = reason

    @property
    def idempotency_key(self) -> str:
        """Return 32 hexadecimal digits, the same for every attempt of this visit: for effects that must happen once."""
        return idempotency_key(self.metadata.run_id, self.node_id, self.visit)

    # ---------------------------------------------------------------- what came of it

    @property
    def is_touched(self) -> bool:
        """Return whether anything was read, set or deleted."""
        return bool(self._values or self._deleted)

    def changes(self, *, lasting: bool = False) -> tuple[dict[str, bytes], list[str]]:
        """Return the differences from the committed context: encoded values by key, and deleted keys.

        `lasting` is as in `codec.encode`. Raises CodecError, with the key as its path, for a value that could not be
        restored exactly.
        """
        changed: dict[str, bytes] = {}
        for key, value in self._values.items():
            if key in self._clean:
                continue
            try:
                data = codec.encode(value, lasting=lasting)
            except codec.CodecError as error:
                path = error.path if error.path.startswith("[") or not error.path else f".{error.path}"
                raise codec.CodecError(str(error), path=f"{key}{path}", type_name=error.type_name) from None
            if self._base.get(key) != data:
                changed[key] = data
        return changed, sorted(self._deleted) if self._deleted else []

    def to_dict(self) -> dict[str, Any]:
        """Return `{"data": …, "metadata": …}`, with secrets as references."""
        return {"data": self.data.to_dict(), "metadata": self.metadata.to_dict(), "input": self.input}

    def to_json(self, indent: int = 2) -> str:
        """Return `to_dict` as JSON text for people; values that JSON cannot express are shown, not restorable."""
        return json.dumps(codec.plain(self.to_dict()), indent=indent, ensure_ascii=False)

    def _peek(self, key: str) -> Any:
        """Like `get`, but a secret stays a reference and the read is not recorded."""
        if key in self._values and key not in self._clean:
            return self._values[key]
        return codec.decode(self._base[key]) if key in self._base else self._values[key]

    def __repr__(self) -> str:
        return f"<FlowContext of run {self.metadata.run_id or '–'}: {', '.join(self.keys()[:8])}>"


class ContextData:
    """A context by attribute and by item. Dicts read by attribute also give attribute access."""

    __slots__ = ("_context",)

    def __init__(self, context: FlowContext) -> None:
        object.__setattr__(self, "_context", context)

    def __getattr__(self, key: str) -> Any:
        if key.startswith("__"):
            raise AttributeError(key)
        return _dotted(self._context.get(key))

    def __setattr__(self, key: str, value: Any) -> None:
        self._context.set(key, value)

    def __delattr__(self, key: str) -> None:
        self._context.delete(key)

    def __getitem__(self, key: str) -> Any:
        value = self._context.get(key, _ABSENT)
        if value is _ABSENT:
            raise KeyError(key)
        return value

    def __setitem__(self, key: str, value: Any) -> None:
        self._context.set(key, value)

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and self._context.has(key)

    def __iter__(self) -> Iterator[str]:
        return iter(self._context.keys())

    def __len__(self) -> int:
        return len(self._context.keys())

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value at `key`, or `default`."""
        return self._context.get(key, default)

    def keys(self) -> list[str]:
        """Return every key that is set."""
        keys: list[str] = self._context.keys()
        return keys

    def values(self) -> list[Any]:
        """Return every value, secrets as references."""
        return list(self.to_dict().values())

    def items(self) -> list[tuple[str, Any]]:
        """Return pairs of key and value, secrets as references."""
        return list(self.to_dict().items())

    def update(self, data: Mapping[str, Any]) -> None:
        """Set every key of `data`."""
        for key, value in data.items():
            self._context.set(key, value)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as a plain dict; a secret stays a reference."""
        return {key: self._context._peek(key) for key in self}

    def __repr__(self) -> str:
        return f"ContextData({self._context.keys()!r})"


class DotDict:
    """Attribute access over a dict in a context: changes affect the dict itself. A missing key is None."""

    __slots__ = ("_dict",)

    def __init__(self, values: dict[str, Any] | None = None) -> None:
        object.__setattr__(self, "_dict", {} if values is None else values)

    def __getattr__(self, key: str) -> Any:
        if key.startswith("__"):
            raise AttributeError(key)
        return _dotted(self._dict.get(key))

    def __setattr__(self, key: str, value: Any) -> None:
        self._dict[key] = value._dict if type(value) is DotDict else value

    def __delattr__(self, key: str) -> None:
        self._dict.pop(key, None)

    def __getitem__(self, key: str) -> Any:
        return self._dict[key]

    def __setitem__(self, key: str, value: Any) -> None:
        setattr(self, key, value)

    def __contains__(self, key: object) -> bool:
        return key in self._dict

    def __iter__(self) -> Iterator[str]:
        return iter(self._dict)

    def __len__(self) -> int:
        return len(self._dict)

    def __eq__(self, other: object) -> bool:
        return bool(self._dict == (other._dict if type(other) is DotDict else other))

    __hash__ = None  # type: ignore[assignment]

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value at `key`, or `default`."""
        return self._dict.get(key, default)

    def keys(self) -> KeysView[str]:
        """Return the keys."""
        keys: KeysView[str] = self._dict.keys()
        return keys

    def values(self) -> ValuesView[Any]:
        """Return the values."""
        values: ValuesView[Any] = self._dict.values()
        return values

    def items(self) -> ItemsView[str, Any]:
        """Return pairs of key and value."""
        items: ItemsView[str, Any] = self._dict.items()
        return items

    def to_dict(self) -> dict[str, Any]:
        """Return a shallow copy as a plain dict."""
        return dict(self._dict)

    def __repr__(self) -> str:
        return f"DotDict({self._dict!r})"


codec.know_view(DotDict, lambda view: view._dict)


def idempotency_key(run_id: str, node_id: str, visit: int) -> str:
    """Return the key of one visit of one node in one run: the first 32 hexadecimal digits of a SHA-256."""
    return hashlib.sha256(f"{run_id}\0{node_id}\0{visit}".encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _dotted(value: Any) -> Any:
    return DotDict(value) if type(value) is dict else value
