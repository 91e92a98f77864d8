"""The skills of one driver: one instance per node, built when the node first runs, torn down when the run stops."""

from __future__ import annotations

import contextlib
import importlib
import inspect
from collections.abc import Callable, Iterable
from typing import Any

from neurocore import codec, modules, secrets
from neurocore.blueprint.plan import PlanNode
from neurocore.codec import SecretRef
from neurocore.config import NeuroCoreConfig
from neurocore.context import FlowContext
from neurocore.errors import CodecError, Interruption, SkillError, said
from neurocore.skills.base import Skill, is_async_skill
from neurocore.skills.registry import SkillRegistry


class Instance:
    """A skill at a node. `config` is the recorded form: secrets as references, credentials masked."""

    __slots__ = ("skill", "config", "version", "is_set_up", "_prepared")

    def __init__(self, skill: Skill, config: dict[str, Any]) -> None:
        self.skill = skill
        self.config = config
        self.version = skill.skill_meta.version
        self.is_set_up = False
        self._prepared: tuple[int, dict[str, bytes], list[str]] | None = None

    def set_up(self, context: FlowContext) -> None:
        """Record that `setup` was called with this context. All attempts of this visit see what it set."""
        self.is_set_up = True
        if context.is_touched:
            with contextlib.suppress(CodecError):  # the skill may still replace a value that cannot be recorded
                self._prepared = (context.visit, *context.changes())

    def prepare(self, context: FlowContext) -> None:
        """Apply the changes of `setup` to another attempt of the visit in which it was called."""
        if self._prepared is not None and self._prepared[0] == context.visit:
            _, changed, deleted = self._prepared
            for key, data in changed.items():
                context.set(key, codec.decode(data))
            for key in deleted:
                context.delete(key)

    def recorded(self) -> None:
        """Forget the changes of `setup`: they are recorded now, and this visit continues from there."""
        self._prepared = None


class Instances:
    """Builds and keeps the instances; knows the secrets that were resolved so far (`redactor`)."""

    def __init__(self, registry: SkillRegistry, config: NeuroCoreConfig) -> None:
        self._registry = registry
        self._config = config
        self._instances: dict[str, Instance] = {}
        self._kinds: dict[str, tuple[type[Skill], dict[str, Any]]] = {}
        self._async: dict[str, bool] = {}
        self._environ: dict[str, str] | None = None
        self.redactor = secrets.Redactor(())
        self.on_secrets: Callable[[], None] | None = None

    @property
    def environ(self) -> dict[str, str]:
        """Return the environment that references are resolved from."""
        if self._environ is None:
            self._environ = self._config.environ
        return self._environ

    def load(self, nodes: Iterable[PlanNode]) -> None:
        """Import the modules that the skills of these nodes name: stored values may have classes defined there."""
        for node in nodes:
            skill_class = self._registry.get(node.type)
            for name in skill_class.modules_of(node.config) if skill_class is not None else ():
                modules.serve(self._config.project_root)
                with modules.loading(), contextlib.suppress(Exception, SystemExit):  # the step reports what is wrong
                    importlib.import_module(name)
                modules.know(name)

    def note(self, traceback: str) -> str:
        """Return a note for a traceback that shows other lines than those that ran; empty if it does not."""
        on_disk = self._registry.on_disk
        return on_disk.note(traceback) if on_disk is not None else ""

    def is_async(self, node: PlanNode) -> bool:
        """Return whether the node's skill runs on the event loop; False if there is no such skill (its step fails)."""
        found = self._async.get(node.type)
        if found is None:
            skill_class = self._registry.get(node.type)
            found = self._async[node.type] = skill_class is not None and is_async_skill(skill_class)
        return found

    def get(self, node: PlanNode) -> Instance:
        """Return the instance at `node`, built with its secrets resolved. Raises SkillError or ConfigError."""
        instance = self._instances.get(node.id)
        if instance is None:
            instance = self._instances[node.id] = self._build(node)
        return instance

    def resolve(self, reference: SecretRef) -> str:
        """Return the value of a secret input, and redact it from now on."""
        value = self._resolve(reference.reference)
        return str(value)

    def secrets_of(self, references: list[SecretRef]) -> None:
        """Load the values of the run's secret inputs that are set, so that nothing can print them."""
        for reference in references:
            for name in secrets.find_references(reference.reference):
                if name in self.environ:
                    self._learn([self.environ[name]])

    def tear_down(self, base: dict[str, bytes], run_id: str, await_: Callable[[Any], Any]) -> list[str]:
        """Call `teardown` of every instance that was set up; return a sentence for each that failed."""
        problems = []
        for node_id, instance in self._instances.items():
            if not instance.is_set_up:
                continue
            instance.is_set_up = False
            context = FlowContext.over(base, run_id=run_id, secrets=self.resolve)
            context.node_id = node_id
            try:
                result = instance.skill.teardown(context)
                if inspect.isawaitable(result):
                    await_(result)
            except (KeyboardInterrupt, Interruption):
                raise
            except BaseException as error:
                problems.append(self.redactor.text(f"The teardown of {node_id} failed: {said(error)}"))
        return problems

    def _build(self, node: PlanNode) -> Instance:
        skill_class, base = self._kinds.get(node.type) or self._kind(node.type)
        merged = {**base, **node.config}
        resolved = self._resolve(merged) if merged else {}
        try:
            skill = skill_class(name=node.component)
            skill.project_root = self._config.project_root
            skill.init(resolved)
        except SkillError:
            raise
        except Exception as error:
            words = f"{type(error).__name__}: {said(error)}"
            raise SkillError(f"The skill {node.type} of {node.component} cannot be initialised: {words}") from error
        problems = [*skill.validate_config(), *skill.llm_problems(resolved)]
        if problems:
            raise SkillError(f"The configuration of {node.component} is wrong: {'; '.join(problems)}")
        if skill.skill_meta.requires_llm:
            from neurocore.llm.provider import build_provider

            skill.llm = build_provider(resolved)
        return Instance(skill, secrets.mask(merged, skill.skill_meta.config_schema) if merged else {})

    def _kind(self, name: str) -> tuple[type[Skill], dict[str, Any]]:
        """Return the class of a type and its configuration in neurocore.yaml, looked up once per driver."""
        skill_class = self._registry.require(name)
        kind = self._kinds[name] = (skill_class, self._config.skill_config(name, llm=skill_class.wants_llm()))
        return kind

    def _resolve(self, value: Any) -> Any:
        resolved, used = secrets.resolve(value, self.environ)
        self._learn(list(used.values()))
        return resolved

    def _learn(self, values: list[str]) -> None:
        if values:
            self.redactor.add(values)
            if self.on_secrets:
                self.on_secrets()
