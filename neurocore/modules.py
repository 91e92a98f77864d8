"""The code of the project that is open: its skills' files and the modules of its root, importable by name.

Nothing is put on `sys.path`. A finder at the end of `sys.meta_path` serves the files of the skills folder as
`neurocore_project_skills.<file>`, and looks in the project's root for what is found nowhere else, so that no file there
stands in for the standard library or an installed package. So a class that is defined there can be found again when a
stored value of it is read in another process. One project is served at a time: when another is opened, the modules of
the one before are forgotten.
"""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

PACKAGE = "neurocore_project_skills"


class _ProjectFinder:
    """What `importlib.abc.MetaPathFinder` asks for, whose module is slow to import."""

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
_lock = threading.Lock()


def serve(root: Path, skills: Path | None = None) -> None:
    """Serve the modules of this root and, where it is given, of this skills folder, in place of those before."""
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


def _forget(is_meant: Callable[[str], bool]) -> None:
    gone = [name for name in sys.modules if is_meant(name.partition(".")[0])]
    for name in gone:
        del sys.modules[name]
    if gone:
        importlib.invalidate_caches()
