"""The base of skills: a class with `skill_meta` and `process(context) -> context`.

Its life at a node of a run: `__init__(name)`, `init(config)`, then, before its first step there, `setup(context)`;
`process(context)` once per attempt; `teardown(context)` when the run stops in this process for any reason.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from neurocore.context import FlowContext
from neurocore.errors import ExecutionError, SkillError
from neurocore.skills import templates
from neurocore.skills.schema import coerced, config_problems

#: What `llm:` of neurocore.yaml adds to the configuration of skills that use a language model.
LLM_KEYS = ("llm_provider", "llm_model", "llm_api_key", "llm_base_url", "llm_max_tokens", "llm_temperature")


@dataclass(frozen=True)
class SkillMeta:
    """What a skill declares about itself.

    `requires` are pip requirements, `provides` and `consumes` context keys, `config_schema` a JSON Schema of its
    configuration (a property with `secret: true` is masked wherever it is shown). An exception of `retry_on` (empty:
    any) is retried up to `max_retries` times, first after `retry_delay_base` seconds, doubled up to `retry_delay_max`.
    """

    name: str
    version: str = "0.1.0"
    description: str = ""
    author: str = ""
    requires: list[str] = field(default_factory=list)
    provides: list[str] = field(default_factory=list)
    consumes: list[str] = field(default_factory=list)
    config_schema: dict[str, Any] = field(default_factory=dict)
    tags: list[str] = field(default_factory=list)
    requires_llm: bool = False
    max_retries: int = 0
    retry_delay_base: float = 1.0
    retry_delay_max: float = 60.0
    retry_on: tuple[type[BaseException], ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.strip():
            raise SkillError(f"The name of a skill must be text, not {self.name!r:.100}.")
        for key in ("requires", "provides", "consumes", "tags"):
            if isinstance(getattr(self, key), str):
                raise SkillError(f"{key} of the skill {self.name} must be a list of texts: [{getattr(self, key)!r}].")
        if not isinstance(self.config_schema, dict):
            raise SkillError(f"config_schema of the skill {self.name} must be a dict, a JSON Schema.")


class Skill:
    """One unit of work. Subclasses set `skill_meta` and implement `process`; everything else is optional.

    `is_gate` marks skills that wait for a person's decision; the runtime never calls their `process`. `config` is the
    configuration with secrets resolved, `llm` the language model if `requires_llm` asks for one, `project_root` the
    project's folder (outside of a run: the current one).
    """

    skill_meta: ClassVar[SkillMeta]
    is_gate: ClassVar[bool] = False
    #: The keys of the configuration that hold templates; a gate that names none has its `message`.
    template_keys: ClassVar[tuple[str, ...]] = ()
    #: Whether an instance sets one key: the one that its configuration calls `output`, else its own name.
    sets_output: ClassVar[bool] = False
    _project_root: Path | None = None

    def __init__(self, name: str | None = None) -> None:
        meta = getattr(type(self), "skill_meta", None)
        if not isinstance(meta, SkillMeta):
            raise SkillError(
                f"The class {type(self).__name__} has no skill_meta; set skill_meta = SkillMeta(name=…, version=…)."
            )
        self.name = name or meta.name
        self.config: dict[str, Any] = {}
        self.llm: Any = None
        self._initialized = False

    @property
    def project_root(self) -> Path:
        """Return the project's folder; outside of a run the current one."""
        return self._project_root or Path.cwd()

    @project_root.setter
    def project_root(self, folder: Path) -> None:
        self._project_root = folder

    @property
    def is_initialized(self) -> bool:
        """Return whether `init` was called."""
        return self._initialized

    def init(self, config: dict[str, Any]) -> None:
        """Set the configuration, with secrets resolved. An override calls `super().init(config)`.

        Text becomes a number or a boolean if the schema asks for one: environment variables are always text.
        """
        self.config = coerced(self.skill_meta.config_schema, dict(config)) if config else {}
        self._initialized = True

    def setup(self, context: FlowContext) -> Any:
        """Prepare, once per process and node, before the first step there; changes belong to that step."""

    def process(self, context: FlowContext) -> Any:
        """Do the work; return the context."""
        raise NotImplementedError(f"{type(self).__name__} does not implement process().")

    def teardown(self, context: FlowContext) -> Any:
        """Clean up when the run stops in this process; changes are dropped."""

    def validate_config(self) -> list[str]:
        """Return a sentence for each problem in `self.config`; an empty list means that it is valid."""
        return type(self).config_problems(self.config)

    @classmethod
    def config_problems(cls, config: dict[str, Any]) -> list[str]:
        """Return a sentence for each problem in a configuration, by `config_schema`; checked before a run starts."""
        schema = cls.skill_meta.config_schema
        if not schema:
            return []
        known = schema.get("properties", ())
        return config_problems(schema, {k: v for k, v in config.items() if k not in LLM_KEYS or k in known})

    @classmethod
    def template_problems(cls, config: dict[str, Any]) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """Yield the place and the problem of each invalid template in a configuration, at `template_keys`."""
        return templates.problems(config, *cls._template_keys())

    @classmethod
    def modules_of(cls, config: dict[str, Any]) -> Iterable[str]:
        """Return the modules that a configuration names: loaded before a run reads values of their classes."""
        return ()

    @classmethod
    def keys_read(cls, config: dict[str, Any]) -> Iterable[str] | None:
        """Return the context keys that an instance with this configuration needs; None: those in `consumes`."""
        keys = cls._template_keys()
        return templates.needed_by(config, *keys) if keys else None

    @classmethod
    def keys_set(cls, config: dict[str, Any], name: str) -> Iterable[str] | None:
        """Return the context keys that a component with this name and configuration sets; None: those in `provides`."""
        return [str(config.get("output", name))] if cls.sets_output else None

    @classmethod
    def _template_keys(cls) -> tuple[str, ...]:
        return cls.template_keys or (("message",) if cls.is_gate else ())

    @classmethod
    def project_problems(cls, config: dict[str, Any], root: Path) -> Iterable[str]:
        """Return a sentence for each thing that a configuration names and the project in the folder `root` lacks."""
        return ()

    @classmethod
    def wants_llm(cls) -> bool:
        """Return whether the settings of `llm:` are for this skill: it requires a model, or its schema names one."""
        return cls.skill_meta.requires_llm or any(
            key in cls.skill_meta.config_schema.get("properties", ()) for key in LLM_KEYS
        )

    @classmethod
    def llm_problems(cls, config: dict[str, Any]) -> list[str]:
        """Return what is missing for the required language model; also checked before a run starts."""
        if not cls.skill_meta.requires_llm:
            return []
        from neurocore.llm.provider import build_provider

        try:
            if build_provider(config) is not None:
                return []
        except SkillError as error:
            return [str(error)]
        settings = "llm.provider, llm.model and llm.base_url"
        return [f"it needs a language model and none is configured; set {settings} in neurocore.yaml."]

    def health_check(self) -> bool:
        """Return whether the skill could work now."""
        return self._initialized

    def set_output_port(self, context: FlowContext, port: str) -> None:
        """Choose the output port (`context.set_port`)."""
        context.set_port(port)

    def check_deadline(self, context: FlowContext) -> None:
        """Raise when the step's time is up: for long loops in sync skills, which cannot be interrupted."""
        if context.deadline is not None and time.perf_counter() >= context.deadline:
            raise ExecutionError(f"The time of {self.name} is up.", node=self.name, kind="timeout")

    def __repr__(self) -> str:
        return f"{type(self).__name__}(name={self.name!r})"


class AsyncSkill(Skill):
    """A skill whose `process` is a coroutine; a timeout or a cancellation really ends it."""

    async def process(self, context: FlowContext) -> Any:
        """Do the work; return the context."""
        raise NotImplementedError(f"{type(self).__name__} does not implement process().")


def is_async_skill(skill: Skill | type[Skill]) -> bool:
    """Return whether `process` is a coroutine function."""
    return inspect.iscoroutinefunction(skill.process)
