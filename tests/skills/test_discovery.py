"""Skills are found in the project's folder, in packages and among what is built in; nothing broken hides another."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType

import pytest

from neurocore import FlowContext, Skill, SkillMeta
from neurocore.errors import SkillError
from neurocore.modules import PACKAGE
from neurocore.skills import loader
from neurocore.skills.loader import discover_skills
from neurocore.skills.registry import SkillRegistry

GOOD = "from neurocore import Skill, SkillMeta\nclass Good(Skill):\n    skill_meta = SkillMeta(name='good')\n"


class Fine(Skill):
    """A skill that a package could bring."""

    skill_meta = SkillMeta(name="fine")


class Gate(Skill):
    """Somebody else's idea of the gate."""

    skill_meta = SkillMeta(name="approval")


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The entry points of installed packages, name to place, to be filled in by the test."""
    points: dict[str, str] = {}
    module = ModuleType("installed_skills")
    module.__dict__.update(Fine=Fine, Gate=Gate, number=7)
    monkeypatch.setitem(sys.modules, "installed_skills", module)

    def found(*, group: str) -> list[EntryPoint]:
        return [EntryPoint(name, value, group) for name, value in points.items()]

    monkeypatch.setattr(loader, "entry_points", found)
    return points


def test_a_broken_file_is_reported_with_its_line_and_hides_no_other(tmp_path: Path) -> None:
    (tmp_path / "good.py").write_text(GOOD)
    (tmp_path / "broken.py").write_text("x = (\n")
    (tmp_path / "raises.py").write_text("\n\n1 / 0\n")
    (tmp_path / "leaves.py").write_text("import sys\nsys.exit('bye')\n")
    (tmp_path / "twin.py").write_text(GOOD)
    (tmp_path / "not-a-name.py").write_text(GOOD)
    (tmp_path / "bare.py").write_text("from neurocore import Skill\nclass Bare(Skill):\n    pass\n")
    (tmp_path / "odd.py").write_text("from neurocore import Skill\nclass Odd(Skill):\n    skill_meta = 'odd'\n")
    registry = discover_skills(skills_dir=tmp_path)
    assert registry.get("good") is not None
    text = "\n".join(registry.problems)
    for said in (
        "broken.py:1: SyntaxError",
        "raises.py:3: ZeroDivisionError: division by zero",
        "leaves.py:2: SystemExit: bye",
        "twin.py brings a skill 'good'",
        "not-a-name.py: A skill's file needs a name that Python can import, such as not_a_name.py",
        "bare.py: The class Bare has no skill_meta",
        "odd.py: <class 'neurocore_project_skills.odd.Odd'> is not a skill",
    ):
        assert said in text
    assert len(registry.problems) == 7
    with pytest.raises(SkillError, match="did you mean 'good'"):
        registry.require("goood")


def test_helpers_tests_and_bases_are_no_skills(tmp_path: Path) -> None:
    (tmp_path / "_shared.py").write_text("SUFFIX = '!'\nfrom neurocore import Skill\nclass Base(Skill):\n    pass\n")
    (tmp_path / "test_loud.py").write_text("raise RuntimeError\n")
    (tmp_path / "loud.py").write_text(
        "from neurocore import SkillMeta\nfrom ._shared import SUFFIX, Base\n"
        "class Middle(Base):\n    pass\n"
        "class Loud(Middle):\n    skill_meta = SkillMeta(name='loud')\n"
        "    def process(self, context):\n        context.set('said', 'hey' + SUFFIX)\n        return context\n"
        "class Louder(Loud):\n    pass\n"
    )
    (tmp_path / "whole").mkdir()
    (tmp_path / "whole" / "__init__.py").write_text("from .part import Part\n")
    (tmp_path / "whole" / "part.py").write_text(GOOD.replace("Good", "Part").replace("good", "part"))
    registry = discover_skills(skills_dir=tmp_path)
    assert registry.problems == []
    assert {"loud", "part"} <= set(registry.names())
    assert registry.require("loud")().process(FlowContext()).get("said") == "hey!"


def test_a_changed_file_and_another_project_are_read_anew(tmp_path: Path) -> None:
    for project in ("one", "two"):
        (tmp_path / project).mkdir()
        (tmp_path / project / "good.py").write_text(GOOD.replace("'good'", f"'{project}'"))
    assert "one" in discover_skills(skills_dir=tmp_path / "one")
    registry = discover_skills(skills_dir=tmp_path / "two")
    assert "two" in registry
    assert "one" not in registry
    assert sys.modules[f"{PACKAGE}.good"].__file__ == str(tmp_path / "two" / "good.py")


def test_a_folder_that_is_not_there_is_no_trouble_and_one_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    assert discover_skills(skills_dir=tmp_path / "none").problems == []
    (tmp_path / "file").write_text("")
    assert "file cannot be read: Not a directory." in discover_skills(skills_dir=tmp_path / "file").problems[0]


def test_the_code_of_a_package_is_loaded_when_its_skill_is_asked_for(installed: dict[str, str]) -> None:
    installed |= {
        "fine": "installed_skills:Fine",
        "broken": "installed_skills:Gone",
        "odd": "installed_skills:number",
    }
    registry = discover_skills()
    assert {"fine", "broken", "odd"} <= set(registry.names())
    assert registry.problems == []
    assert registry.require("fine") is Fine
    with pytest.raises(
        SkillError, match="'broken' cannot be loaded: entry point installed_skills:Gone: AttributeError"
    ):
        registry.require("broken")
    assert registry.get("odd") is None
    assert ["'broken'" in registry.problems[0], "7 is not a skill" in registry.problems[1]] == [True, True]
    assert "broken" not in registry


def test_a_package_may_name_its_skill_otherwise_and_blueprints_use_its_name(installed: dict[str, str]) -> None:
    installed |= {"finest": "installed_skills:Fine"}
    registry = discover_skills()
    assert registry.require("finest") is Fine
    assert "offers a skill 'fine' as 'finest'" in registry.problems[0]


def test_the_project_goes_before_packages_and_those_before_what_is_built_in(
    installed: dict[str, str], tmp_path: Path
) -> None:
    installed |= {"good": "installed_skills:Fine", "delay": "installed_skills:Fine"}
    (tmp_path / "good.py").write_text(GOOD)
    registry = discover_skills(skills_dir=tmp_path)
    assert registry.source("good") == str(tmp_path / "good.py")
    assert registry.require("delay") is Fine
    assert "entry point installed_skills:Fine brings a skill 'good'" in registry.problems[0]


def test_what_the_gate_is_does_not_depend_on_what_is_installed(installed: dict[str, str], tmp_path: Path) -> None:
    installed |= {"approval": "installed_skills:Gate"}
    (tmp_path / "gate.py").write_text(GOOD.replace("'good'", "'approval'"))
    registry = discover_skills(skills_dir=tmp_path)
    assert registry.source("approval") == "built in"
    assert registry.require("approval").is_gate
    assert ["which is the built-in gate" in problem for problem in registry.problems] == [True, True]


def test_a_class_that_is_no_skill_is_refused_by_the_registry() -> None:
    registry = SkillRegistry()
    for wrong in (int, "text", Skill):
        with pytest.raises(SkillError, match="is not a skill: it must subclass"):
            registry.register(wrong)  # type: ignore[arg-type]
    registry.register(Fine)
    registry.register(Fine)
    assert (len(registry), registry.problems, registry.source("fine")) == (1, [], f"{__name__}.Fine")


@pytest.mark.parametrize(
    ("meta", "said"),
    [
        ({"name": ""}, "The name of a skill must be text"),
        ({"name": "x", "provides": "rows"}, r"provides of the skill x must be a list of texts: \['rows'\]"),
        ({"name": "x", "config_schema": []}, "config_schema of the skill x must be a dict"),
    ],
)
def test_what_a_skill_says_of_itself_is_checked(meta: dict[str, object], said: str) -> None:
    with pytest.raises(SkillError, match=said):
        SkillMeta(**meta)  # type: ignore[arg-type]


def fake(name: str) -> type[Skill]:
    """A class that has the name of another skill."""

    class Fake(Skill):
        skill_meta = SkillMeta(name=name)

        def process(self, context: FlowContext) -> FlowContext:
            context.set("fake", True)
            return context

    return Fake


@pytest.mark.parametrize("name", ["http", "command", "delay"])
def test_a_class_that_has_the_name_of_a_built_in_skill_is_refused_or_replaces_it_where_that_is_said(name):
    registry = discover_skills()
    real = registry.require(name)
    with pytest.raises(SkillError, match=rf"Fake brings a skill '{name}', which is built in; that one stays \(`regist"):
        registry.register(fake(name))
    assert registry.require(name) is real
    mine = fake(name)
    registry.replace(mine)
    assert registry.require(name) is mine
    assert registry.source(name).endswith("Fake")
    registry.register(mine)


def test_a_name_that_another_class_has_is_refused():
    registry = SkillRegistry()
    first = fake("mine")
    registry.register(first)
    registry.register(first)
    with pytest.raises(SkillError, match=r"which .*Fake has already"):
        registry.register(fake("mine"))
    assert registry.problems == []


@pytest.mark.parametrize("method", ["register", "replace"])
def test_the_gate_that_is_built_in_is_never_replaced(method):
    registry = discover_skills()
    with pytest.raises(SkillError, match="which is the built-in gate; rename it"):
        getattr(registry, method)(fake("approval"))
    assert registry.source("approval") == "built in"
