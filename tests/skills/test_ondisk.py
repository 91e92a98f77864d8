"""A process that runs for long says when the code that it has loaded is not the code on the disk any more."""

from __future__ import annotations

import logging
import os
import shutil
import time

import pytest

from neurocore import contents
from neurocore.blueprint.lint import validate_blueprint
from neurocore.config import load_config
from neurocore.errors import SkillError
from neurocore.runtime.blueprint import parse_blueprint
from neurocore.skills import ondisk
from neurocore.skills.loader import discover_skills

SKILL = """
from neurocore import Skill, SkillMeta
{imports}

class {name}(Skill):
    skill_meta = SkillMeta(name="{skill}")

    def process(self, context):
        {body}
        return context
"""


def skill(name, *, imports="", body="pass"):
    return SKILL.format(name=name.title(), skill=name, imports=imports, body=body)


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A project whose skill imports from the project; each look is a new one."""
    monkeypatch.setattr(ondisk, "EVERY", 0.0)
    (tmp_path / "skills" / "pack").mkdir(parents=True)
    (tmp_path / "neurocore.yaml").write_text("project: {name: p}\n")
    (tmp_path / "skills" / "one.py").write_text(skill("one", imports="import tools_of_p\nfrom ._helper import help"))
    (tmp_path / "skills" / "_helper.py").write_text("def help(): pass\n")
    (tmp_path / "skills" / "pack" / "__init__.py").write_text(skill("packed", imports="from .inner import VALUE"))
    (tmp_path / "skills" / "pack" / "inner.py").write_text("VALUE = 1\n")
    (tmp_path / "tools_of_p.py").write_text("VALUE = 1\n")
    (tmp_path / "unused_of_p.py").write_text("VALUE = 1\n")
    return tmp_path


@pytest.fixture
def registry(root):
    return discover_skills(load_config(root), process="server")


@pytest.fixture
def said(registry):
    assert registry.on_disk.sentence() is None
    return registry.on_disk.sentence


BEGINS = "Skills changed on disk since this server started; restart it to use them: "


@pytest.mark.parametrize(
    "name", ["skills/one.py", "skills/_helper.py", "skills/pack/__init__.py", "skills/pack/inner.py", "tools_of_p.py"]
)
def test_a_changed_module_is_named_until_it_is_as_it_was(root, said, name):
    before = (root / name).read_text()
    (root / name).write_text(f"{before}\n# changed")
    assert said() == f"{BEGINS}{name} (changed)."
    (root / name).unlink()
    assert said() == f"{BEGINS}{name} (removed)."
    (root / name).write_text(before)
    assert said() is None


def test_new_content_with_the_times_of_the_old_is_seen(root, said):
    file = root / "tools_of_p.py"
    was = file.stat()
    file.write_text("VALUE = 2\n")
    os.utime(file, ns=(was.st_atime_ns, was.st_mtime_ns))
    assert said() == f"{BEGINS}tools_of_p.py (changed)."


def test_the_same_content_again_is_no_change(root, said):
    for name in ("skills/one.py", "tools_of_p.py"):
        (root / name).touch()
    shutil.copytree(root / "skills", root / "copy")
    shutil.rmtree(root / "skills")
    (root / "copy").rename(root / "skills")
    assert said() is None


def test_new_files_are_named_if_they_may_hold_skills(root, said):
    (root / "skills" / "_more.py").write_text("")
    (root / "skills" / "test_one.py").write_text("")
    (root / "unused_of_p.py").write_text("VALUE = 2\n")
    assert said() is None
    (root / "skills" / "two.py").write_text(skill("two"))
    assert said() == f"{BEGINS}skills/two.py (new)."


def test_a_file_that_could_not_be_loaded_and_was_mended_is_named(root):
    (root / "skills" / "broken.py").write_text("this is no Python")
    registry = discover_skills(load_config(root), process="server")
    assert registry.problems
    (root / "skills" / "broken.py").write_text(skill("mended"))
    assert registry.on_disk.sentence() == f"{BEGINS}skills/broken.py (changed)."
    assert "skills/broken.py changed on disk" in registry.hint("mended")


def test_a_module_that_a_step_imports_is_looked_at_from_then_on(root, registry, said):
    (root / "late_of_p.py").write_text("VALUE = 1\n")
    import importlib

    importlib.import_module("late_of_p")
    assert said() is None
    (root / "late_of_p.py").write_text("VALUE = 2\n")
    assert said() == f"{BEGINS}late_of_p.py (changed)."


def test_skills_that_are_discovered_again_are_still_the_old_code(root, said):
    (root / "skills" / "one.py").write_text(skill("one", body="print('new')"))
    (root / "tools_of_p.py").write_text("VALUE = 2\n")
    again = discover_skills(load_config(root), process="server").on_disk
    assert again.sentence() == f"{BEGINS}skills/one.py (changed), tools_of_p.py (changed)."


def test_settings_are_told_as_well(root, said):
    (root / ".env").write_text("A=1\n")
    assert said() == "Settings changed on disk since this server started; restart it to use them: .env (new)."
    (root / "neurocore.yaml").write_text("project: {name: q}\n")
    (root / "skills" / "one.py").unlink()
    assert said() == (
        "Skills and settings changed on disk since this server started; restart it to use them: .env (new), "
        "neurocore.yaml (changed), skills/one.py (removed)."
    )


def test_many_changes_are_counted(root, said):
    for number in range(8):
        (root / "skills" / f"new{number}.py").write_text("")
    assert said().endswith("skills/new4.py (new) and 3 more.")


def test_a_change_is_logged_once(root, registry, caplog):
    with caplog.at_level(logging.WARNING):
        assert registry.on_disk.news() is None
        (root / "tools_of_p.py").write_text("VALUE = 2\n")
        assert registry.on_disk.news() == f"{BEGINS}tools_of_p.py (changed)."
        assert registry.on_disk.news() is None
        (root / "skills" / "two.py").write_text(skill("two"))
        assert "skills/two.py (new)" in registry.on_disk.news()
    assert [record.getMessage().startswith(BEGINS) for record in caplog.records] == [True, True]


def test_within_a_second_nothing_is_looked_at_again_and_a_file_at_rest_is_not_read(root, registry, monkeypatch):
    at_rest = time.time_ns() + 2 * contents.SETTLED
    monkeypatch.setattr(contents.time, "time_ns", lambda: at_rest)
    registry.on_disk.changes()
    monkeypatch.setattr(contents, "_content", lambda path: pytest.fail("it was read again"))
    registry.on_disk.changes()
    monkeypatch.setattr(ondisk, "EVERY", 60.0)
    registry.on_disk.changes()
    monkeypatch.setattr(contents, "_identity", lambda path: pytest.fail("it was looked at again"))
    registry.on_disk.changes()


def test_a_blueprint_that_names_a_skill_of_a_new_file_says_so(root, registry):
    blueprint = parse_blueprint("name: b\ncomponents: [{name: a, type: two}]\nflow: {steps: [{component: a}]}\n")
    (plain,) = validate_blueprint(blueprint, registry)
    assert "on disk" not in str(plain)
    (root / "skills" / "any_name.py").write_text(skill("two"))
    (problem,) = validate_blueprint(blueprint, registry)
    sentence = "There is no skill 'two' yet: skills/any_name.py changed on disk since this server started; restart it."
    assert sentence in str(problem)
    with pytest.raises(SkillError) as refused:
        registry.require("two")
    assert str(refused.value) == sentence


def test_looking_executes_nothing(root, registry):
    (root / "skills" / "two.py").write_text("import pathlib\npathlib.Path('executed').touch()\n" + skill("two"))
    registry.hint("two")
    assert not (root / "executed").exists()
