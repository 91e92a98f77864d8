"""A registry of stand-in skills, so that these tests need no room above the blueprint's."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from neurocore.skills.builtin.approval import ApprovalSkill


@dataclass
class StubMeta:
    provides: list[str] = field(default_factory=list)
    consumes: list[str] = field(default_factory=list)


class StubSkill:
    """What linting asks of a skill class."""

    def __init__(
        self, *, provides: str = "", consumes: str = "", is_gate: bool = False, keys: str | None = None
    ) -> None:
        self.skill_meta = StubMeta(provides.split(), consumes.split())
        self.is_gate = is_gate
        self.keys = None if keys is None else keys.split()

    def config_problems(self, config: dict[str, Any]) -> list[str]:
        if self.keys is None:
            return []
        return [f"there is no config key {key!r}." for key in config if key not in self.keys]

    def template_problems(self, config: dict[str, Any]) -> list[tuple[tuple[str, ...], str]]:
        return []

    def project_problems(self, config: dict[str, Any], root: object) -> list[str]:
        return []

    def llm_problems(self, config: dict[str, Any]) -> list[str]:
        return []


class StubRegistry:
    def __init__(self, **skills: StubSkill) -> None:
        self.skills: dict[str, Any] = {
            "approval": ApprovalSkill,
            "silent": StubSkill(),
            **skills,
        }

    def get(self, name: str) -> Any:
        return self.skills.get(name)

    def names(self) -> list[str]:
        return sorted(self.skills)


@pytest.fixture
def registry() -> StubRegistry:
    """`load` provides rows, `sum` reads rows and provides total, `send` reads total and provides receipt."""
    return StubRegistry(
        load=StubSkill(provides="rows", keys="file"),
        sum=StubSkill(consumes="rows", provides="total"),
        send=StubSkill(consumes="total", provides="receipt"),
    )
