"""Large parts of a document: made at once for the command line, one item after the other where the API writes them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from msgspec import Struct


class Streamed(Struct, frozen=True):
    """A list of a document, a mapping or a text that is made while it is written.

    `items` makes it anew: items, pairs, or pieces of the text.
    """

    items: Callable[[], Iterable[Any]]
    mapping: bool = False
    text: bool = False

    def unless(self, later: bool) -> Any:
        """This, or the list or mapping whole."""
        if later:
            return self
        return dict(self.items()) if self.mapping else list(self.items())
