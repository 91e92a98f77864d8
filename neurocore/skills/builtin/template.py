"""Fill in a template."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from neurocore.context import FlowContext
from neurocore.errors import SkillError
from neurocore.skills import templates
from neurocore.skills.base import Skill, SkillMeta


class TemplateSkill(Skill):
    """Renders `template` (Jinja2, sandboxed) over the context into the key `output` or the file `file`.

    A file is written whole or not at all, below the working folder; the context gets its path.
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
                "file": {"type": "string", "description": "A path below the working folder; itself a template."},
            },
            "required": ["template"],
            "additionalProperties": False,
        },
    )

    def process(self, context: FlowContext) -> FlowContext:
        """Render."""
        text = self._render(self.config["template"], context, "template")
        output = self.config.get("output", self.name)
        if "file" not in self.config:
            context.set(output, text)
            return context
        path = self._render(self.config["file"], context, "file name")
        context.set(output, _write(Path(path), text, self.name))
        return context

    def _render(self, template: str, context: FlowContext, part: str) -> str:
        wanted = templates.names(template)
        data = {key: context.get(key) for key in wanted if context.has(key)}
        return templates.render(template, data, what=f"the {part} of {self.name}")


def _write(path: Path, text: str, name: str) -> str:
    root = Path.cwd().resolve()
    target = (root / path).resolve()
    if not target.is_relative_to(root) or target == root:
        raise SkillError(f"{name} writes below {root} only, not to {str(path)[:200]!r}.")
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(text)
        Path(temporary).replace(target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return str(target.relative_to(root))
