"""Detect whether the code of a project on disk differs from what this process has loaded.

Python loads a module once. A long-running process keeps using the old code of a skill after somebody changes it, and
this reports it. A check costs one `stat` per file, at most once per second. A file is read only if its `stat` differs.
"""

from __future__ import annotations

import ast
import hashlib
import logging
import os
import sys
import time
import weakref
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType

from neurocore import forks
from neurocore.contents import Contents
from neurocore.readable import one_line

#: How long a result is valid, in seconds.
EVERY = 1.0
#: How many files a message names.
NAMED = 5
#: Folders below the project whose modules do not belong to the project.
_NOT_OURS = ("site-packages", "dist-packages")
_log = logging.getLogger(__name__)
#: The content of each module when it was loaded: discovering skills again does not reload modules.
_loaded: weakref.WeakKeyDictionary[ModuleType, bytes | None] = weakref.WeakKeyDictionary()


class OnDisk:
    """Compares the files of a project's skills, of what they import from the project, and of its settings."""

    def __init__(
        self, root: Path, list_skills: Callable[[], Iterable[Path]], settings: Iterable[Path], *, process: str
    ) -> None:
        """Record the files as they are now: create this before the skills are loaded, and call `loaded` after that."""
        self._root = os.path.realpath(root)
        self._list_skills = list_skills
        self._settings = tuple(settings)
        self._process = process
        self._lock = forks.lock()
        self._contents = Contents()
        #: The content of each file that was loaded.
        self._known: dict[Path, bytes | None] = {}
        self._modules = 0
        self._found: dict[Path, str] = {}
        self._until = 0.0
        self._last = ""
        self._offered: dict[bytes, frozenset[str]] = {}
        for path in (*self._skills(), *self._settings):
            self._note(path)

    def loaded(self) -> None:
        """Record the imported modules of the project, each as it was when it was first recorded."""
        self._modules = len(sys.modules)
        for module in list(sys.modules.values()):
            file = getattr(module, "__file__", None)
            if isinstance(module, ModuleType) and isinstance(file, str) and self._is_ours(file):
                path = Path(file)
                if path not in self._known:
                    self._note(path)
                self._known[path] = _loaded.setdefault(module, self._known[path])

    def changes(self, *, at_once: bool = False) -> dict[Path, str]:
        """Return the files that differ from what was loaded, each with `changed`, `new` or `removed`.

        The result is at most a second old; `at_once` checks now.
        """
        with self._lock:
            now = time.monotonic()
            if at_once or now >= self._until:
                if len(sys.modules) != self._modules:  # a step has imported more
                    self.loaded()
                self._found = self._look()
                self._until = now + EVERY
            return self._found

    def sentence(self) -> str | None:
        """Return what changed since this process started, with what to do; None if nothing did."""
        found = self.changes()
        if not found:
            return None
        kinds = {"settings" if path in self._settings else "skills" for path in found}
        what = " and ".join(sorted(kinds, reverse=True)).capitalize()
        names = [f"{self._name(path)} ({how})" for path, how in sorted(found.items())]
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        return (
            f"{what} changed on disk since this {self._process} started; restart it to use them: "
            f"{', '.join(names[:NAMED])}{more}."
        )

    def news(self) -> str | None:
        """Return the sentence if it is new since the last call; it is then logged as a warning."""
        sentence = self.sentence() or ""
        if sentence == self._last:
            return None
        self._last = sentence
        if sentence:
            _log.warning("%s", sentence)
        return sentence or None

    def hint(self, skill: str) -> str | None:
        """Return the end of a sentence about a missing skill, if a file on disk provides it by now."""
        for path, how in self.changes(at_once=True).items():
            if how != "removed" and path.suffix == ".py" and skill in self._offers(path):
                return f" yet: {self._name(path)} changed on disk since this {self._process} started; restart it."
        return None

    def note(self, traceback: str) -> str:
        """Return a note for a traceback whose lines Python has read from a file that changed since it was loaded."""
        for path in self.changes(at_once=True):
            if f'File "{path}"' in traceback:
                return f"{self._name(path)} changed on disk since this {self._process} started: other lines ran.\n"
        return ""

    def _look(self) -> dict[Path, str]:
        found = {}
        for path, before in list(self._known.items()):
            now = self._contents.of(path)
            if now != before:
                found[path] = "removed" if now is None else "new" if before is None else "changed"
        found.update((path, "new") for path in self._skills() if path not in self._known)
        return found

    def _note(self, path: Path) -> None:
        self._known[path] = self._contents.of(path)

    def _skills(self) -> list[Path]:
        try:
            return list(self._list_skills())
        except OSError:
            return []

    def _is_ours(self, file: str) -> bool:
        """Return whether a module's file belongs to the project, and not to an environment within it."""
        real = os.path.realpath(file)
        within = real.startswith(self._root + os.sep)
        environment = self._root != sys.prefix and real.startswith(os.path.realpath(sys.prefix) + os.sep)
        return within and not environment and not any(f"{os.sep}{one}{os.sep}" in real for one in _NOT_OURS)

    def _name(self, path: Path) -> str:
        real = os.path.realpath(path)
        return one_line(real.removeprefix(self._root + os.sep))

    def _offers(self, path: Path) -> frozenset[str]:
        """Return the names of skills that a file defines literally; nothing of it is executed."""
        try:
            text = path.read_bytes()
            key = hashlib.sha256(text).digest()
            if key not in self._offered:
                self._offered[key] = frozenset(_names(ast.parse(text)))
            return self._offered[key]
        except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
            return frozenset({path.stem})


def _names(tree: ast.AST) -> Iterable[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) == "SkillMeta":
            for value in (*node.args[:1], *(one.value for one in node.keywords if one.arg == "name")):
                if isinstance(value, ast.Constant) and isinstance(value.value, str):
                    yield value.value
