"""Render a template."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from neurocore.context import FlowContext
from neurocore.secrets import find_references
from neurocore.skills import templates
from neurocore.skills.base import Skill, SkillMeta
from neurocore.skills.confined import folder_problem, write_below


class TemplateSkill(Skill):
    """Renders `template` (Jinja2, sandboxed) over the context into the key `output` or the file `file`.

    A file is written whole or not at all. It is below `folder` (of the project); without one, below the folder that
    `file` names before its first tag, so that no value can lead elsewhere. The context gets its path from the project.
    """

    skill_meta = SkillMeta(
        name="template",
        version="1.0.0",
        description="Fill in a template from the context.",
        author="NeuroCore",
        tags=["text"],
        config_schema={
            "properties": {
                "template": {"type": "string"},
                "output": {"type": "string"},
                "folder": {"type": "string", "description": "The folder of the project below which files lie."},
                "file": {"type": "string", "description": "The path of the file; itself a template."},
            },
            "required": ["template"],
            "additionalProperties": False,
        },
    )

    template_keys = ("template", "file")
    sets_output = True

    @classmethod
    def template_problems(cls, config: dict[str, Any]) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """Yield the problem of each invalid template, and of a file that is not confined to a folder."""
        found = list(super().template_problems(config))
        file = config.get("file")
        if "folder" not in config and isinstance(file, str) and not find_references(file):
            wrong = folder_problem(file)
            if wrong and not any(place == ("file",) for place, _ in found):
                found.append((("file",), wrong))
        yield from found

    def process(self, context: FlowContext) -> FlowContext:
        """Render the template into the key or the file."""
        text = self._render(self.config["template"], context, "template")
        output = self.config.get("output", self.name)
        if "file" not in self.config:
            context.set(output, text)
            return context
        folder, file = self.config.get("folder"), self.config["file"]
        name = self._render(file, context, "file name")
        context.set(output, write_below(self.project_root, folder, file, name, text, what=self.name))
        return context

    def _render(self, template: str, context: FlowContext, part: str) -> str:
        wanted = templates.names(template)
        data = {key: context.get(key) for key in wanted if context.has(key)}
        return templates.render(template, data, what=f"the {part} of {self.name}")
