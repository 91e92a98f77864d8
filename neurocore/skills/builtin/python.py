"""Call a function by its import path."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from neurocore import modules
from neurocore.context import FlowContext
from neurocore.errors import SkillError
from neurocore.secrets import find_references
from neurocore.skills.base import Skill, SkillMeta


class PythonSkill(Skill):
    """Calls `function` with `arguments` (parameter to context key) and `values` (parameter to value).

    `function` is `module:name`, of a module in the project's root folder or of an installed package. Its result is set
    at `output` (default: the component's name). Async functions are awaited.
    """

    skill_meta = SkillMeta(
        name="python",
        version="1.0.0",
        description="Call a Python function.",
        author="NeuroCore",
        tags=["code"],
        config_schema={
            "properties": {
                "function": {"type": "string", "pattern": r"^[\w.]+:[\w.]+$"},
                "arguments": {"type": "object", "additionalProperties": {"type": "string"}},
                "values": {"type": "object"},
                "output": {"type": "string"},
            },
            "required": ["function"],
            "additionalProperties": False,
        },
    )

    sets_output = True

    @classmethod
    def keys_read(cls, config: dict[str, Any]) -> Iterable[str]:
        """Return the keys of its arguments."""
        arguments = config.get("arguments")
        return [str(key) for key in arguments.values()] if isinstance(arguments, dict) else []

    @classmethod
    def modules_of(cls, config: dict[str, Any]) -> Iterable[str]:
        """Return the module of the function."""
        function = config.get("function")
        return [function.partition(":")[0]] if isinstance(function, str) else []

    @classmethod
    def project_problems(cls, config: dict[str, Any], root: Path) -> Iterable[str]:
        """Return why its function cannot be called."""
        skill = cls(name="it")
        skill.project_root, skill.config = root, config
        if find_references(config.get("function")):
            return
        try:
            skill._function()
        except SkillError as error:
            yield str(error).removeprefix("it: ")

    def process(self, context: FlowContext) -> Any:
        """Call the function."""
        arguments = dict(self.config.get("values", {}))
        for parameter, key in self.config.get("arguments", {}).items():
            if not context.has(key):
                raise SkillError(f"{self.name} needs the context key {key!r} for {parameter}, and nothing has set it.")
            arguments[parameter] = context.get(key)
        result = self._function()(**arguments)
        output = self.config.get("output", self.name)
        if inspect.isawaitable(result):
            return self._awaited(context, output, result)
        context.set(output, result)
        return context

    async def _awaited(self, context: FlowContext, output: str, result: Any) -> FlowContext:
        context.set(output, await result)
        return context

    def _function(self) -> Callable[..., Any]:
        path: str = self.config["function"]
        module, _, name = path.partition(":")
        modules.serve(self.project_root)
        try:
            found: Any = importlib.import_module(module)
        except Exception as error:  # the module may raise anything
            raise SkillError(f"{self.name}: {path} cannot be imported: {type(error).__name__}: {error}.") from error
        file = getattr(found, "__file__", None) or "built in"
        for part in name.split("."):
            if not hasattr(found, part):
                raise SkillError(f"{self.name}: {module} ({file}) has no {name}{self._shadowed(module, file)}.")
            found = getattr(found, part)
        if not callable(found):
            raise SkillError(f"{self.name}: {path} is {type(found).__name__} and not a function.")
        function: Callable[..., Any] = found
        return function

    def _shadowed(self, module: str, file: str) -> str:
        """Return a hint if the project has a module whose name Python or a package already uses."""
        top = self.project_root / module.partition(".")[0]
        own = next((one for one in (top.with_suffix(".py"), top) if one.exists()), None)
        if own is None or Path(file).is_relative_to(self.project_root):
            return ""
        return f", and it hides the project's {own.name}; rename that"
