"""The examples of docs/skills.md, run as they stand there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from neurocore import FlowContext, SkillMeta
from neurocore.errors import SkillError
from neurocore.skills.loader import BUILTIN
from tests.aside import ended
from tests.runtime.worlds import World


@pytest.fixture
def guide(root: Path) -> str:
    """The text of the page."""
    return (root / "docs" / "skills.md").read_text("utf-8")


@pytest.fixture
def world(tmp_path: Path, guide: str) -> Iterator[World]:
    """A project whose skills are the examples."""
    from neurocore.skills.loader import discover_skills

    (tmp_path / "skills").mkdir()
    for number, code in enumerate(blocks(guide, "python")):
        (tmp_path / "skills" / f"example_{number}.py").write_text(code)
    made = World(tmp_path)
    made.registry = discover_skills(made.config)
    assert made.registry.problems == []
    yield made
    made.store.close()


def blocks(text: str, language: str) -> list[str]:
    """The page's blocks of code in this language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def test_the_first_skill_greets(world: World) -> None:
    skill = world.registry.require("greet")()
    skill.init({"word": "Welcome"})
    assert skill.process(FlowContext({"name": "Ada"})).get("greeting") == "Welcome, Ada!"
    assert skill.config_problems({"words": 1}) == ["there is no config key 'words'; did you mean 'word'?"]


@pytest.mark.parametrize(
    ("currency", "after"), [("USD", {"tell": "1 EUR = 1.08 USD"}), ("XYZ", {"ask": "Nobody knows XYZ"})]
)
def test_an_async_skill_is_tried_again_and_its_port_chooses_the_way(
    world: World, guide: str, currency: str, after: dict[str, str]
) -> None:
    (blueprint,) = blocks(guide, "yaml")
    context = world.run(blueprint, initial_data={"currency": currency})
    assert {key: context.get(key) for key in ("tell", "ask") if context.has(key)} == after
    assert world.story(context.metadata.run_id)[:2] == ["rate 1.1 failed", "rate 1.2 completed"]


def test_the_health_of_a_skill_is_its_own_business(world: World) -> None:
    skill = world.registry.require("fetch-rate")()
    assert not skill.health_check()
    skill.init({"table": "daily"})
    assert skill.health_check()
    skill.init({"table": "weekly"})
    assert not skill.health_check()
    with pytest.raises(ConnectionError):
        ended(skill.process(FlowContext({"currency": "EUR"})))


def test_the_guide_has_every_field_of_a_skill_and_every_key_of_what_is_built_in(world: World, guide: str) -> None:
    for name in SkillMeta.__dataclass_fields__:
        assert f"`{name}`" in guide
    for name in BUILTIN:
        (row,) = re.findall(rf"^\| `{name}` \|.*$", guide, re.MULTILINE)
        for key in world.registry.require(name).skill_meta.config_schema["properties"]:
            assert f"`{key}`" in row
    with pytest.raises(SkillError):
        world.registry.require("not-in-the-guide")
