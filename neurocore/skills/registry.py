"""The skills there are, by name."""

from __future__ import annotations

from collections.abc import Callable

from neurocore.errors import SkillError
from neurocore.skills.base import Skill, SkillMeta
from neurocore.yamlfile import nearest


class SkillRegistry:
    """Names to skill classes. `problems` has a sentence for every file or package that could not be loaded.

    A name that is registered twice keeps its first class: the project's own folder comes before installed packages,
    which come before what is built in.
    """

    def __init__(self) -> None:
        self._classes: dict[str, type[Skill]] = {}
        self._lazy: dict[str, Callable[[], type[Skill]]] = {}
        self._sources: dict[str, str] = {}
        self.problems: list[str] = []

    def register(self, cls: type[Skill], *, source: str = "") -> None:
        """Add a class under its `skill_meta.name`. Raises SkillError when it is no skill."""
        meta = getattr(cls, "skill_meta", None)
        if not isinstance(cls, type) or not issubclass(cls, Skill) or not isinstance(meta, SkillMeta):
            raise SkillError(f"{cls!r} is no skill: it must subclass neurocore.Skill and set skill_meta.")
        if self._taken(meta.name, source, cls):
            return
        self._classes[meta.name] = cls
        self._sources[meta.name] = source

    def register_lazy(self, name: str, load: Callable[[], type[Skill]], *, source: str) -> None:
        """Add a name whose class is loaded when it is first asked for."""
        if not self._taken(name, source, None):
            self._lazy[name] = load
            self._sources[name] = source

    def get(self, name: str) -> type[Skill] | None:
        """The class of this name, or None; one that cannot be loaded is noted in `problems`."""
        found = self._classes.get(name)
        if found is None and name in self._lazy:
            load = self._lazy.pop(name)
            try:
                found = self._classes[name] = load()
            except Exception as error:  # whatever a package does while it is imported
                self.problems.append(f"{self._sources[name]}: {type(error).__name__}: {error}")
                self._sources.pop(name, None)
        return found

    def require(self, name: str) -> type[Skill]:
        """The class of this name. Raises SkillError naming the nearest."""
        found = self.get(name)
        if found is None:
            raise SkillError(f"There is no skill {name!r}{nearest(name, self.names())}")
        return found

    def names(self) -> list[str]:
        """Every name, sorted."""
        return sorted({*self._classes, *self._lazy})

    def source(self, name: str) -> str:
        """Where the skill comes from: a file, a package, or `built in`."""
        return self._sources.get(name, "")

    def __contains__(self, name: object) -> bool:
        return name in self._classes or name in self._lazy

    def _taken(self, name: str, source: str, cls: type[Skill] | None) -> bool:
        if name not in self:
            return False
        other = self._classes.get(name) is not cls or cls is None
        if other and self._sources.get(name) != source and source != "built in":
            self.problems.append(
                f"{source} brings a skill {name!r}, which {self._sources.get(name)} has already; the first is used."
            )
        return True
