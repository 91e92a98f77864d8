"""The gate."""

from __future__ import annotations

from typing import Any

from neurocore.context import FlowContext
from neurocore.errors import SkillError
from neurocore.skills.base import Skill, SkillMeta

_NAMES = {"type": "array", "items": {"type": "string"}}
#: The rules about people, time and what they give; the blueprint's checks say what they may contain.
_RULES: dict[str, dict[str, Any]] = {
    "approvers": {**_NAMES, "description": "Usernames and group:NAME who are asked; empty: all approvers."},
    "required": {"type": "integer", "description": "How many people must approve; one rejection decides."},
    "stages": {"type": "array", "description": "Stages of approvers and required, one after the other."},
    "self_approval": {"type": "boolean", "description": "Whether people may approve what they started or edited."},
    "distinct_from": {**_NAMES, "description": "Gates; who approved one of them may not approve this one."},
    "deadline": {"type": "string", "description": "A duration, or an expression that gives a time with a zone."},
    "on_deadline": {"enum": ["keep", "reject"], "description": "What the deadline does: mark as overdue, or reject."},
    "escalate": {"type": "object", "description": "Who is asked as well (to) when it is open for a while (after)."},
    "remind": {"type": "string", "description": "How often people are reminded, such as 4h."},
    "form": {"type": "object", "description": "Values that an approval gives, declared as inputs are."},
    "editable": {**_NAMES, "description": "Keys of show whose values people may edit."},
    "request_changes": {"type": "object", "description": "The node that changes go back to, and how often (max)."},
    "undo": {"type": "string", "description": "How long the deciding answer can be withdrawn; at most 5m."},
    "bulk": {"type": "boolean", "description": "Whether several gates can be approved at once from a list."},
    "fresh_login": {"type": "string", "description": "How long ago people may have signed in who answer."},
    "signature": {"enum": ["none", "passkey"], "description": "Whether an answer must be signed by a passkey."},
}


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
                **_RULES,
            },
            "additionalProperties": False,
        },
    )

    def process(self, context: FlowContext) -> FlowContext:
        """Refuse: outside of a run there is nobody to ask."""
        raise SkillError("A gate has no work to do; it is decided through neurocore.runtime.executor.decide_gate.")
