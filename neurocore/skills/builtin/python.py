"""Call a function by its import path."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from typing import Any

from neurocore.context import FlowContext
from neurocore.errors import SkillError
from neurocore.skills.base import Skill, SkillMeta


class PythonSkill(Skill):
    """Calls `function` (`module:name`) with `arguments` (parameter to context key) and `values` (parameter to value).

    What it returns is set at `output` (default: the component's name). Async functions are awaited.
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
        module, _, name = self.config["function"].partition(":")
        try:
            found: Any = importlib.import_module(module)
            for part in name.split("."):
                found = getattr(found, part)
        except (ImportError, AttributeError) as error:
            path = self.config["function"]
            raise SkillError(f"{self.name}: the function {path} cannot be imported: {error}.") from error
        if not callable(found):
            raise SkillError(f"{self.name}: {self.config['function']} is no function.")
        function: Callable[..., Any] = found
        return function
