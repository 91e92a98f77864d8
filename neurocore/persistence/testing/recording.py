"""A store in memory that records the calls to it, so that a test can assert "one commit"."""

from __future__ import annotations

import functools
import threading
from typing import Any

from neurocore.persistence.base import FURTHER_ABILITIES, REQUIRED
from neurocore.persistence.memory import InMemoryRunStore

_METHODS = frozenset((*REQUIRED, *FURTHER_ABILITIES))


class RecordingRunStore(InMemoryRunStore):
    """The store in memory; `asked` has the name of each method that was called, in order.

    Calls from one of its methods to another are not recorded: they are not requests of the caller.
    """

    def __init__(self) -> None:
        self.asked: list[str] = []
        self._inside = threading.local()
        super().__init__()

    def __getattribute__(self, name: str) -> Any:
        value = super().__getattribute__(name)
        return functools.partial(self._record, name, value) if name in _METHODS else value

    def _record(self, name: str, method: Any, *given: Any, **named: Any) -> Any:
        if getattr(self._inside, "a_call", False):
            return method(*given, **named)
        self.asked.append(name)
        self._inside.a_call = True
        try:
            return method(*given, **named)
        finally:
            self._inside.a_call = False
