"""Skills: the base classes, the registry, discovery, and the ones that are built in."""

from neurocore.skills.base import AsyncSkill, Skill, SkillMeta, is_async_skill

__all__ = ["AsyncSkill", "Skill", "SkillMeta", "is_async_skill"]
