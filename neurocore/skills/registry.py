"""The available skills, by name."""

from __future__ import annotations

from collections.abc import Callable

from neurocore import forks, modules
from neurocore.errors import SkillError, said
from neurocore.skills.base import Skill, SkillMeta
from neurocore.skills.ondisk import OnDisk
from neurocore.yamlfile import nearest

#: What a gate is must not depend on the installed packages.
RESERVED = "approval"
BUILT_IN = "built in"
_RESERVED_PROBLEM = "{source} brings a skill 'approval', which is the built-in gate; rename it."


class SkillRegistry:
    """Maps names to skill classes. `problems` has a sentence for every file or package that could not be loaded.

    A name has one class. If several places define a skill of one name, the project's own folder has priority over
    installed packages, and these over built-in skills. That is a problem worth a sentence, unless only a built-in skill
    is replaced. `approval` is always the built-in one.
    """

    def __init__(self) -> None:
        self._classes: dict[str, type[Skill]] = {}
        self._lazy: dict[str, Callable[[], object]] = {}
        self._sources: dict[str, str] = {}
        self._broken: dict[str, str] = {}
        self._lock = forks.rlock()
        self.problems: list[str] = []
        #: Reports what has changed in the project since it was loaded; None for skills from elsewhere.
        self.on_disk: OnDisk | None = None

    def register(self, cls: type[Skill], *, source: str = "") -> None:
        """Add a class under its `skill_meta.name`; adding the same class again is not an error.

        Raises SkillError when it is not a skill, and when another class has the name (`replace` replaces it).
        """
        meta = _meta(cls)
        with self._lock:
            if self._classes.get(meta.name) is not cls:
                if (problem := self._problem(meta.name, source or _place(cls))) is not None:
                    raise SkillError(problem)
                self._put(cls, source)

    def replace(self, cls: type[Skill], *, source: str = "") -> None:
        """Replace the skill with the name of this class, for instance a built-in one in a test.

        Raises SkillError when it is not a skill, and for `approval`.
        """
        meta = _meta(cls)
        with self._lock:
            if meta.name == RESERVED:
                raise SkillError(_RESERVED_PROBLEM.format(source=source or _place(cls)))
            self._lazy.pop(meta.name, None)
            self._broken.pop(meta.name, None)
            self._put(cls, source)

    def _put(self, cls: type[Skill], source: str) -> None:
        modules.know(cls.__module__)
        self._classes[cls.skill_meta.name] = cls
        self._sources[cls.skill_meta.name] = source or _place(cls)

    def register_lazy(self, name: str, load: Callable[[], object], *, source: str) -> None:
        """Add a name whose class is loaded when it is first used."""
        with self._lock:
            problem = self._problem(name, source)
            if problem is None:
                self._lazy[name] = load
                self._sources[name] = source
            elif source != BUILT_IN:
                self.problems.append(problem)

    def get(self, name: str) -> type[Skill] | None:
        """Return the class of this name, or None; one that cannot be loaded is noted in `problems`."""
        found = self._classes.get(name)
        if found is not None or name not in self._lazy:
            return found
        with self._lock:
            load = self._lazy.get(name)
            if load is not None:
                self._load(name, load)
            return self._classes.get(name)

    def require(self, name: str) -> type[Skill]:
        """Return the class of this name. Raises SkillError with the nearest name, or why it cannot be loaded."""
        found = self.get(name)
        if found is None:
            if name in self._broken:
                raise SkillError(f"The skill {name!r} cannot be loaded: {self._broken[name]}")
            raise SkillError(f"There is no skill {name[:200]!r}{self.hint(name)}")
        return found

    def hint(self, name: str) -> str:
        """Return the end of a sentence about a missing skill of this name: what to do."""
        on_disk = self.on_disk.hint(name) if self.on_disk is not None else None
        return on_disk or nearest(name, self.names())

    def names(self) -> list[str]:
        """Return every name, sorted."""
        with self._lock:
            return sorted({*self._classes, *self._lazy})

    def source(self, name: str) -> str:
        """Return where the skill comes from: a file, a package, or `built in`."""
        return self._sources.get(name, "")

    def __contains__(self, name: object) -> bool:
        return name in self._classes or name in self._lazy

    def __len__(self) -> int:
        return len(self.names())

    def _load(self, name: str, load: Callable[[], object]) -> None:
        source = self._sources[name]
        try:
            with modules.loading():
                found = load()
            meta = _meta(found)
            modules.know(type.__getattribute__(found, "__module__"))
            self._classes[name] = found  # type: ignore[assignment]  # _meta has seen that it is a skill
        except (Exception, SystemExit) as error:  # a package may raise anything while it is imported
            self._broken[name] = f"{source}: {_why(error)}"
            self.problems.append(f"The skill {name!r} of {self._broken[name]}")
            del self._sources[name]
        else:
            if meta.name != name:
                self.problems.append(
                    f"{source} offers a skill {meta.name!r} as {name!r}; blueprints name it {name!r}, as the entry "
                    "point does."
                )
        finally:
            del self._lazy[name]

    def _problem(self, name: str, source: str) -> str | None:
        """Return why a skill of this name cannot be added, or None."""
        if name == RESERVED and source != BUILT_IN:
            return _RESERVED_PROBLEM.format(source=source)
        if name in self:
            have = "is built in" if self._sources[name] == BUILT_IN else f"{self._sources[name]} has already"
            return f"{source} brings a skill {name!r}, which {have}; that one stays (`registry.replace` replaces it)."
        return None


def _meta(cls: object) -> SkillMeta:
    meta = getattr(cls, "skill_meta", None)
    if not isinstance(cls, type) or not issubclass(cls, Skill) or not isinstance(meta, SkillMeta):
        raise SkillError(
            f"{cls!r:.200} is not a skill: it must subclass neurocore.Skill and set skill_meta = SkillMeta(…)."
        )
    return meta


def _place(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _why(error: BaseException) -> str:
    words = " ".join(said(error).split())
    return f"{type(error).__name__}: {words}" if words else type(error).__name__
