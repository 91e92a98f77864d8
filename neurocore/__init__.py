"""NeuroCore: durable YAML workflows of Python skills, with approval gates that hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.5.0"

__all__ = ["AsyncSkill", "FlowContext", "Skill", "SkillMeta", "__version__", "is_async_skill", "register_codec"]

if TYPE_CHECKING:
    from neurocore.codec import register_codec
    from neurocore.context import FlowContext
    from neurocore.skills.base import AsyncSkill, Skill, SkillMeta, is_async_skill

_PLACES = {
    "FlowContext": "neurocore.context",
    "register_codec": "neurocore.codec",
    "AsyncSkill": "neurocore.skills.base",
    "Skill": "neurocore.skills.base",
    "SkillMeta": "neurocore.skills.base",
    "is_async_skill": "neurocore.skills.base",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that `import neurocore` costs almost nothing."""
    if name in _PLACES:
        from importlib import import_module

        return getattr(import_module(_PLACES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
