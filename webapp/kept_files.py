"""A cache of what was made from files. An entry is valid until the content of its file changes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Generic, TypeVar

from neurocore.contents import Contents

_Made = TypeVar("_Made")


class KeptFiles(Generic[_Made]):
    """Calls `make` for a file if its content is new; otherwise returns what was made before."""

    def __init__(self, make: Callable[[Path], _Made]) -> None:
        self._make = make
        self._contents = Contents()
        self._kept: dict[Path, tuple[bytes | None, _Made]] = {}

    def get(self, path: Path) -> _Made:
        """Return what `make(path)` made from the current content. Raises what `make` raises."""
        content = self._contents.of(path)
        kept = self._kept.get(path)
        if kept is None or kept[0] != content:
            kept = self._kept[path] = (content, self._make(path))
        return kept[1]

    def forget_all_but(self, paths: Iterable[Path]) -> None:
        """Remove the entries of files that no longer exist."""
        there = set(paths)
        self._contents.forget_all_but(there)
        for path in [path for path in self._kept if path not in there]:
            self._kept.pop(path, None)
