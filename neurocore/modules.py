"""Import the code of the open project by name: the files of its skills and the modules of its root.

Nothing is put on `sys.path`. A finder at the end of `sys.meta_path` serves the files of the skills folder as
`neurocore_project_skills.<file>`, and searches the project's root for names that are found nowhere else, so that no
file there hides the standard library or an installed package. One project is served at a time: when another is opened,
the modules of the previous one are forgotten.

Stored values name their classes, and data never causes an import. So a class is looked up only in known modules: those
of skills (and others that code names with `know`), and those to which the names in them lead. Of the standard library
and of NeuroCore, only modules that are named there count.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

from neurocore import forks

PACKAGE = "neurocore_project_skills"


class _ProjectFinder:
    """Implements `importlib.abc.MetaPathFinder`, whose module is slow to import."""

    root = ""
    skills = ""

    def __init__(self) -> None:
        self.found: set[str] = set()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if path is not None:  # a submodule is found by its package's path
            return None
        if fullname == PACKAGE and self.skills:
            spec = ModuleSpec(PACKAGE, None, is_package=True)
            spec.submodule_search_locations = [self.skills]
            return spec
        found = PathFinder.find_spec(fullname, [self.root], target) if self.root else None
        if found is not None:
            self.found.add(fullname)
        return found


_finder = _ProjectFinder()
_lock = forks.lock()


def serve(root: Path, skills: Path | None = None) -> None:
    """Serve the modules of this root and, if given, of this skills folder, in place of the previous ones."""
    with _lock:
        if _finder not in sys.meta_path:
            sys.meta_path.append(_finder)
        if _finder.root != str(root):
            _forget(_finder.found.__contains__)
            _finder.found.clear()
            _finder.root = str(root)
        if skills is not None and _finder.skills != str(skills):
            _forget(PACKAGE.__eq__)
            _finder.skills = str(skills)


class _Known:
    """The modules in which classes of stored values are looked up."""

    def __init__(self) -> None:
        self.roots: set[str] = set()
        #: The modules loaded together with the first skills; None before. A module that a step imports while it works
        #: is not included: another process may not have loaded it when it needs the class.
        self.early: set[str] | None = None
        self._found: set[str] = set()
        self._as_of: tuple[int, int] = (-1, -1)

    def __contains__(self, name: str) -> bool:
        now = (len(self.roots), len(sys.modules))
        if name not in self._found and now != self._as_of:
            self._found, self._as_of = self._reached(), now
        return name in self._found

    def forget(self, names: list[str]) -> None:
        self.roots -= set(names)
        self.early = None if self.early is None else self.early - set(names)
        self._found, self._as_of = set(), (-1, -1)

    def _reached(self) -> set[str]:
        """Return every module that the names in the roots lead to, through modules that are not Python's or ours."""
        found: set[str] = set()
        todo = [*self.roots, *(name for name in list(sys.modules) if name.startswith(f"{PACKAGE}."))]
        while todo:
            name = todo.pop()
            module = sys.modules.get(name)
            if name in found or not isinstance(module, ModuleType):
                continue
            found.add(name)
            if name.partition(".")[0] in _CLOSED:
                continue
            todo += [name.rpartition(".")[0], *self._named_in(module, name)]
        return found

    def _named_in(self, module: ModuleType, name: str) -> Iterator[str]:
        for value in list(vars(module).values()):
            if not isinstance(value, ModuleType):
                get = type.__getattribute__ if isinstance(value, type) else object.__getattribute__
                with suppress(Exception):  # an object of the project may raise anything for its attributes
                    yield str(get(value, "__module__"))
            elif self.is_early(value.__name__) or not value.__name__.startswith(f"{name}."):
                yield value.__name__
                yield from self._below(value.__name__)

    def _below(self, name: str) -> Iterator[str]:
        """Yield the submodules of a standard library package: `import concurrent.futures` names only `concurrent`."""
        if name.partition(".")[0] in sys.stdlib_module_names:
            yield from (one for one in list(sys.modules) if one.startswith(f"{name}.") and self.is_early(one))

    def is_early(self, name: str) -> bool:
        """Return whether the module was loaded when the skills had been loaded."""
        return self.early is None or name in self.early


#: The names in these modules lead no further.
_CLOSED = frozenset({*sys.stdlib_module_names, "neurocore", "webapp"})
_known = _Known()


def know(name: str) -> None:
    """Also look up classes of stored values in this module, and in what it has loaded."""
    with _lock:
        _known.roots.add(name)


def knows(name: str) -> bool:
    """Return whether classes of stored values are looked up in this module."""
    with _lock:
        return name in _known


def was_loaded_early(name: str) -> bool:
    """Return whether this module was loaded when the skills had been loaded."""
    return _known.is_early(name)


@contextmanager
def loading() -> Iterator[None]:
    """Count imports within the block as made by loading skills: every process that loads them has these modules."""
    before = None if _known.early is None else set(sys.modules)
    try:
        yield
    finally:
        with _lock:
            _known.early = set(sys.modules) if before is None else (_known.early or set()) | (set(sys.modules) - before)


def _forget(is_meant: Callable[[str], bool]) -> None:
    gone = [name for name in sys.modules if is_meant(name.partition(".")[0])]
    for name in gone:
        del sys.modules[name]
    if gone:
        _known.forget(gone)
        importlib.invalidate_caches()
