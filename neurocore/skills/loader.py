"""Discover skills: the project's `skills/` folder, entry points of installed packages, and the built-in ones.

Files of the folder are imported as `neurocore_project_skills.<file>` (`neurocore.modules`): they may import one another
relatively, and modules of the project's root by name. Packages are only looked up; their code is imported when one of
their skills is first used.
"""

from __future__ import annotations

import importlib
import sys
import traceback
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from neurocore import forks, modules
from neurocore.config import DOTENV, FILE_NAME, NeuroCoreConfig
from neurocore.errors import SkillError
from neurocore.skills.base import Skill
from neurocore.skills.ondisk import OnDisk
from neurocore.skills.registry import BUILT_IN, SkillRegistry

GROUP = "neurocore.skills"

BUILTIN = {
    "approval": "approval:ApprovalSkill",
    "command": "command:CommandSkill",
    "delay": "delay:DelaySkill",
    "http": "http:HttpSkill",
    "python": "python:PythonSkill",
    "template": "template:TemplateSkill",
}

_discovering = forks.lock()


def discover_skills(
    config: NeuroCoreConfig | None = None, *, skills_dir: Path | None = None, process: str = "process"
) -> SkillRegistry:
    """Return a registry of every skill. A file that cannot be loaded is a problem in `registry.problems`.

    `process` is what messages call this process, when files have changed since (`registry.on_disk`).
    """
    registry = SkillRegistry()
    folder = skills_dir or (config.skills_dir if config is not None else None)
    if folder is not None:
        with _discovering:
            folder = Path(folder).resolve()
            root = config.project_root if config is not None else folder.parent
            modules.serve(root, folder)
            settings = (root / FILE_NAME, root / DOTENV) if config is not None else ()
            registry.on_disk = OnDisk(root, partial(_files, folder), settings, process=process)
            with modules.loading():
                _from_folder(registry, folder)
            registry.on_disk.loaded()
    for point in _distinct(entry_points(group=GROUP)):
        source = f"package {point.dist.name}" if point.dist is not None else f"entry point {point.value}"
        registry.register_lazy(point.name, point.load, source=source)
    for name, place in BUILTIN.items():
        registry.register_lazy(name, lambda place=place: _builtin(place), source=BUILT_IN)  # type: ignore[misc]
    return registry


def _distinct(points: Any) -> list[EntryPoint]:
    """Return each entry point once, although a distribution may be found at two places of the path."""
    return list({(point.name, point.value): point for point in reversed(list(points))}.values())[::-1]


def _builtin(place: str) -> object:
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(f"neurocore.skills.builtin.{module}"), name)


def _from_folder(registry: SkillRegistry, folder: Path) -> None:
    try:
        files = _files(folder)
    except OSError as error:
        registry.problems.append(f"The skills folder {folder} cannot be read: {error.strerror or error}.")
        return
    importlib.invalidate_caches()
    for file in files:
        name = file.parent.name if file.name == "__init__.py" else file.stem
        if not name.isidentifier():
            registry.problems.append(
                f"{file}: A skill's file needs a name that Python can import, such as {_tidy(name)}.py."
            )
            continue
        _from_module(registry, f"{modules.PACKAGE}.{name}", file)


def _files(folder: Path) -> list[Path]:
    """Return modules and packages that may contain skills; names with `_` or `test_` first are helpers and tests."""
    if not folder.exists():
        return []
    found = [path if path.suffix == ".py" else path / "__init__.py" for path in sorted(folder.iterdir())]
    helpers = ("_", ".", "test_")
    return [
        file
        for file in found
        if file.suffix == ".py" and file.is_file() and not file.relative_to(folder).parts[0].startswith(helpers)
    ]


def _from_module(registry: SkillRegistry, name: str, file: Path) -> None:
    try:
        module = importlib.import_module(name)
        own = [one for one in vars(module).values() if _is_own_skill(one, name)]
        for cls in dict.fromkeys(own):
            if hasattr(cls, "skill_meta"):
                _register(registry, cls, file)
            elif not any(cls in other.__mro__[1:] for other in own) and not cls.__name__.startswith("_"):
                registry.problems.append(
                    f"{file}: The class {cls.__name__} has no skill_meta; set skill_meta = SkillMeta(name=…), or begin "
                    "its name with _ if it is a base of others."
                )
    except (Exception, SystemExit) as error:  # a skill's file may raise anything
        sys.modules.pop(name, None)
        registry.problems.append(_why(file, error))


def _register(registry: SkillRegistry, cls: type[Skill], file: Path) -> None:
    inherited = "skill_meta" not in vars(cls)
    if inherited or cls.__name__.startswith("_"):
        return
    try:
        registry.register(cls, source=str(file))
    except SkillError as error:
        registry.problems.append(str(error) if str(file) in str(error) else f"{file}: {error}")


def _is_own_skill(value: object, module: str) -> bool:
    return isinstance(value, type) and issubclass(value, Skill) and value.__module__.startswith(module)


def _why(file: Path, error: BaseException) -> str:
    line: int | None = None
    if isinstance(error, SyntaxError) and error.filename == str(file):
        line = error.lineno
    else:
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
        line = frames[-1].lineno if frames else None
    said = " ".join(str(error.msg if isinstance(error, SyntaxError) else error).split())[:500]
    return f"{file}{f':{line}' if line else ''}: {type(error).__name__}{f': {said}' if said else ''}"


def _tidy(name: str) -> str:
    tidy = "".join(character if character.isalnum() else "_" for character in name)
    return tidy if tidy.isidentifier() else f"skill_{tidy}"
