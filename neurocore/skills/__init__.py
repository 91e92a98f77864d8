"""Skills: the base classes, the registry, discovery, and the built-in ones."""

from neurocore.skills.base import AsyncSkill, Skill, SkillMeta, is_async_skill

__all__ = ["AsyncSkill", "Skill", "SkillMeta", "is_async_skill"]
