"""Large parts of a document: made at once for the command line, item by item when the API writes them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from msgspec import Struct


class Streamed(Struct, frozen=True):
    """A list, a mapping or a text of a document that is made while it is written.

    `items` makes it again each time: items, pairs, or pieces of the text.
    """

    items: Callable[[], Iterable[Any]]
    mapping: bool = False
    text: bool = False

    def unless(self, later: bool) -> Any:
        """Return this, or the whole list or mapping."""
        if later:
            return self
        return dict(self.items()) if self.mapping else list(self.items())
