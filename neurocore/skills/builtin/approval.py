"""The gate."""

from __future__ import annotations

from neurocore.context import FlowContext
from neurocore.errors import SkillError
from neurocore.skills.base import Skill, SkillMeta


class ApprovalSkill(Skill):
    """Waits until a person approves or rejects. The runtime opens and completes it; `process` is never called."""

    is_gate = True
    skill_meta = SkillMeta(
        name="approval",
        version="1.0.0",
        description="Stop until a person approves or rejects.",
        author="NeuroCore",
        provides=["approval", "approvals"],
        tags=["gate", "human"],
        config_schema={
            "properties": {
                "message": {"type": "string", "description": "What is asked; a template over the context."},
                "show": {"type": "array", "items": {"type": "string"}, "description": "Context keys to show."},
                "require": {"type": "boolean", "description": "Whether a rejection ends the run (the default)."},
                "on_reject": {"type": "string", "description": "The node a rejection goes to instead."},
                "note": {"enum": ["optional", "required", "on_reject"], "description": "When a note is needed."},
            },
            "additionalProperties": False,
        },
    )

    def process(self, context: FlowContext) -> FlowContext:
        """Refuse: outside of a run there is nobody to ask."""
        raise SkillError("A gate has no work to do; it is decided through neurocore.runtime.executor.decide_gate.")
