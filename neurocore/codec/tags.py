"""What both directions of the codec share: the extension numbers, the registered classes, the codec's own types."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from msgspec import Struct

from neurocore import modules
from neurocore.errors import CodecError

MAX_BYTES = 64 * 1024 * 1024
MAX_DEPTH = 200

# The numbers of the extensions are in every database: new ones may be added, none may change.
BIGINT, TEXT, TUPLE, SET, FROZENSET, DICT = 1, 2, 3, 4, 5, 6
DATETIME, DATE, TIME, TIMEDELTA, DECIMAL, UUID, PATH = 7, 8, 9, 10, 11, 12, 13
ENUM, DATACLASS, STRUCT, PYDANTIC, NAMEDTUPLE, REGISTERED, SECRET = 14, 15, 16, 17, 18, 19, 20

_Result = TypeVar("_Result")


class SecretRef(Struct, frozen=True):
    """A value that is stored as its reference, `${NAME}` (alone or within text), and resolved when a step reads it."""

    reference: str


class Unreadable(Struct, frozen=True):
    """Stands for a stored value that is not restored here, such as one whose class no skill has loaded.

    It is shown as its stored data (`codec.plain`); encoding it returns the stored bytes.
    """

    data: bytes
    reason: str

    def __str__(self) -> str:
        return f"(unreadable: {self.reason})"


class Registered(Struct, frozen=True):
    """A class registered with `register_codec`, and the module that registered it."""

    module: str
    cls: type
    to: Callable[[Any], Any]
    from_: Callable[[Any], Any]


by_name: dict[str, Registered] = {}
by_class: dict[type, str] = {}
#: Places of classes whose objects this process has encoded itself: no stored value introduced them.
met: set[str] = set()


def register_codec(cls: type, *, name: str, to: Callable[[Any], Any], from_: Callable[[Any], Any]) -> None:
    """Register a class with the codec: `to(value)` returns a value that the codec knows, `from_` converts it back.

    `name` and the calling module are in every stored value, so they must stay. A process that reads such a value must
    have loaded the module: import it at the top of a skill's file, unless it is one. A class of the same name and
    module (a file imported again) replaces the previous one. Raises ValueError when another class has the name.
    """
    held = by_name.get(name)
    if held is not None and name_of(held.cls) != name_of(cls):
        raise ValueError(f"The codec name {name!r} is taken by {name_of(held.cls)}.")
    by_name[name] = Registered(sys._getframe(1).f_globals.get("__name__", ""), cls, to, from_)
    by_class[cls] = name


def name_of(kind: type) -> str:
    """Return the name of a class for people."""
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def find(place: str) -> Any:
    """Return the class at `module:name` of a stored value. Raises CodecError if it is missing or not known.

    Nothing is imported and no code runs: the module must be one that skills have loaded (`neurocore.modules`).
    """
    module, _, name = place.partition(":")
    type_name = f"{module}.{name}"
    if module not in sys.modules or not (place in met or modules.knows(module)):
        raise CodecError(
            f"The class {name} of {module} is needed to read a stored value, and no skill has loaded {module[:200]}: "
            "import it at the top of a skill's file.",
            type_name=type_name,
        )
    found = look_up(place)
    if found is None:
        raise CodecError(
            f"The class {name} of {module} is needed to read a stored value and cannot be found; bring it back.",
            type_name=type_name,
        )
    return found


def look_up(place: str) -> Any:
    """Return what is at `module:name` in a loaded module, or None. No attribute is computed for it."""
    module, _, name = place.partition(":")
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, "__dict__", {}).get(part)
    return found


def is_pydantic(kind: type) -> bool:
    """Return whether this is a pydantic model, without importing pydantic."""
    return hasattr(kind, "__pydantic_fields_set__") and hasattr(kind, "model_construct")


def on_fresh_stack(function: Callable[[Any], _Result], value: Any) -> _Result:
    """Call `function(value)` on a thread of its own: a caller deep in recursion leaves too little stack."""
    outcome: list[_Result] = []
    errors: list[BaseException] = []

    def call() -> None:
        try:
            outcome.append(function(value))
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=call, name="codec")
    thread.start()
    thread.join()
    if errors and isinstance(errors[0], RecursionError):
        raise CodecError("A value is nested too deep to be read.") from errors[0]
    if errors:
        raise errors[0]
    return outcome[0]
