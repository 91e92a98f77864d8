"""Discovery: the project's `skills/` folder, entry points of installed packages, and what is built in.

Files of the folder are imported as `neurocore_project_skills.<file>`, a package whose path the last discovery set, so
that a class defined there can be found again when a stored value of it is read.
"""

from __future__ import annotations

import importlib
import inspect
import sys
import traceback
import types
from importlib.metadata import entry_points
from pathlib import Path
from typing import TypeGuard

from neurocore.config import NeuroCoreConfig
from neurocore.skills.base import Skill
from neurocore.skills.registry import SkillRegistry

PACKAGE = "neurocore_project_skills"
GROUP = "neurocore.skills"

BUILTIN = {
    "approval": "approval:ApprovalSkill",
    "command": "command:CommandSkill",
    "delay": "delay:DelaySkill",
    "http": "http:HttpSkill",
    "python": "python:PythonSkill",
    "template": "template:TemplateSkill",
}


def discover_skills(config: NeuroCoreConfig | None = None, *, skills_dir: Path | None = None) -> SkillRegistry:
    """Every skill there is. A file that cannot be loaded is reported in `registry.problems` and hides no other."""
    registry = SkillRegistry()
    folder = skills_dir or (config.skills_dir if config is not None else None)
    if folder is not None and folder.is_dir():
        _from_folder(registry, folder)
    for point in entry_points(group=GROUP):
        source = f"package {point.dist.name}" if point.dist is not None else f"entry point {point.value}"
        registry.register_lazy(point.name, point.load, source=source)
    for name, place in BUILTIN.items():
        registry.register_lazy(name, lambda place=place: _builtin(place), source="built in")  # type: ignore[misc]
    return registry


def _builtin(place: str) -> type[Skill]:
    module, _, name = place.partition(":")
    found: type[Skill] = getattr(importlib.import_module(f"neurocore.skills.builtin.{module}"), name)
    return found


def _from_folder(registry: SkillRegistry, folder: Path) -> None:
    _point_package_at(folder)
    for file in sorted(folder.glob("*.py")):
        if file.stem.startswith(("_", "test_")):
            continue
        name = f"{PACKAGE}.{file.stem}"
        try:
            module = importlib.import_module(name)
        except (Exception, SystemExit) as error:
            sys.modules.pop(name, None)
            registry.problems.append(_why(file, error))
            continue
        found = [cls for _, cls in inspect.getmembers(module, inspect.isclass) if _is_own_skill(cls, name)]
        for cls in sorted(found, key=lambda cls: inspect.getsourcelines(cls)[1]):
            registry.register(cls, source=str(file))


def _is_own_skill(cls: type, module: str) -> TypeGuard[type[Skill]]:
    return issubclass(cls, Skill) and cls.__module__ == module and "skill_meta" in vars(cls)


def _point_package_at(folder: Path) -> None:
    """Make the folder importable; modules of another project's folder are forgotten."""
    package = sys.modules.get(PACKAGE)
    if package is None or list(getattr(package, "__path__", [])) != [str(folder)]:
        for name in [name for name in sys.modules if name.startswith(f"{PACKAGE}.")]:
            del sys.modules[name]
        package = types.ModuleType(PACKAGE)
        package.__path__ = [str(folder)]
        sys.modules[PACKAGE] = package
    importlib.invalidate_caches()


def _why(file: Path, error: BaseException) -> str:
    line: int | None = error.lineno if isinstance(error, SyntaxError) else None
    if line is None:
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
        line = frames[-1].lineno if frames else None
    where = f"{file}:{line}" if line else str(file)
    return f"{where}: {type(error).__name__}: {error}"
