"""Fill in a template."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from neurocore.context import FlowContext
from neurocore.errors import SkillError
from neurocore.skills import templates
from neurocore.skills.base import Skill, SkillMeta


class TemplateSkill(Skill):
    """Renders `template` (Jinja2, sandboxed) over the context into the key `output` or the file `file`.

    A file is written whole or not at all, below the project's folder; the context gets its path from there.
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
                "file": {"type": "string", "description": "A path below the project's folder; itself a template."},
            },
            "required": ["template"],
            "additionalProperties": False,
        },
    )

    @classmethod
    def template_problems(cls, config: dict[str, Any]) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """What is no template of those that are filled in."""
        return templates.problems(config, "template", "file")

    def process(self, context: FlowContext) -> FlowContext:
        """Render."""
        text = self._render(self.config["template"], context, "template")
        output = self.config.get("output", self.name)
        if "file" not in self.config:
            context.set(output, text)
            return context
        path = self._render(self.config["file"], context, "file name")
        context.set(output, _write(self.project_root.resolve(), path, text, self.name))
        return context

    def _render(self, template: str, context: FlowContext, part: str) -> str:
        wanted = templates.names(template)
        data = {key: context.get(key) for key in wanted if context.has(key)}
        return templates.render(template, data, what=f"the {part} of {self.name}")


def _write(root: Path, path: str, text: str, name: str) -> str:
    try:
        target = (root / path).resolve()
        if not target.is_relative_to(root) or target == root:
            raise SkillError(f"{name} writes below {root} only, not to {path[:200]!r}.")
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{secrets.token_hex(8)}.part")
        try:
            with temporary.open("x", encoding="utf-8", errors="surrogateescape", newline="") as file:
                file.write(text)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise SkillError(f"{name} cannot write {path[:200]!r}: {why}.") from error
    return str(target.relative_to(root))
