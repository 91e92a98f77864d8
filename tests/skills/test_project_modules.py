"""What the project's own code defines is found by name: by the console script, in any folder, in another process."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from neurocore import FlowContext, modules
from neurocore.errors import SkillError
from neurocore.skills.builtin.python import PythonSkill
from neurocore.skills.loader import discover_skills

SCRIPT = Path(sys.executable).with_name("neurocore")

JOBS = """
import os
from dataclasses import dataclass

@dataclass
class Invoice:
    number: int

def make(number):
    return Invoice(number)

def late(invoice):
    from helpers.money import twice
    return {"class": type(invoice).__module__, "twice": twice(invoice.number), "url": os.environ["SERVICE_URL"]}
"""

COUNT = """
from dataclasses import dataclass
from jobs import Invoice
from neurocore import Skill, SkillMeta, register_codec

@dataclass
class Counted:
    number: int

class Money:
    def __init__(self, cents):
        self.cents = cents
    def __str__(self):
        return f"{self.cents} cents"

register_codec(Money, name="money", to=lambda money: money.cents, from_=Money)

class Count(Skill):
    skill_meta = SkillMeta(name="count")
    def process(self, context):
        context.set("counted", Counted(context.get("invoice").number))
        context.set("money", Money(500))
        return context
"""

BLUEPRINT = """
name: book
components:
  - {name: make, type: python, config: {function: "jobs:make", values: {number: 21}, output: invoice}}
  - {name: count, type: count}
  - {name: late, type: python, config: {function: "jobs:late", arguments: {invoice: invoice}}}
flow:
  steps:
    - component: make
    - component: count
    - approval: {name: review, message: "Book {{ invoice.number }}?", show: [invoice, counted, money]}
    - component: late
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project whose skills use modules of its root."""
    for folder in ("blueprints", "skills", "helpers", "deep"):
        (tmp_path / folder).mkdir()
    (tmp_path / "neurocore.yaml").write_text("project: {name: own}\n")
    (tmp_path / ".env").write_text("SERVICE_URL=http://of.dotenv\n")
    (tmp_path / "jobs.py").write_text(JOBS)
    (tmp_path / "helpers" / "money.py").write_text("def twice(number):\n    return 2 * number\n")
    (tmp_path / "skills" / "count.py").write_text(COUNT)
    (tmp_path / "blueprints" / "book.yaml").write_text(BLUEPRINT)
    return tmp_path


def neurocore(project: Path, *arguments: str) -> Any:
    """What the console script prints, called in a folder below the project, as JSON."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    done = subprocess.run(
        [str(SCRIPT), *arguments, "--json"], cwd=project / "deep", env=kept, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_modules_of_the_root_are_found_from_any_folder_and_their_values_in_every_process(project: Path) -> None:
    run_id = neurocore(project, "run", "book")["run_id"]
    (gate,) = neurocore(project, "runs", "inspect", run_id)["gates"]
    assert "Book 21?" in json.dumps(gate)
    assert "500 cents" in json.dumps(gate)
    context = neurocore(project, "runs", "approve", run_id)["data"]
    assert context["late"] == {"class": "jobs", "twice": 42, "url": "http://of.dotenv"}


def test_python_and_what_is_installed_go_before_the_project(tmp_path: Path) -> None:
    (tmp_path / "code.py").write_text("def run():\n    return 1\n")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "fine.py").write_text("class Made:\n    @staticmethod\n    def run():\n        return 1\n")
    before = list(sys.path)
    with pytest.raises(SkillError, match=r"code \(.*code\.py\) has no run, and it hides the project's code\.py; "):
        called(tmp_path, "code:run")
    assert called(tmp_path, "sub.fine:Made.run") == 1
    assert sys.path == before


@pytest.mark.parametrize(
    ("function", "said"),
    [
        ("nowhere:run", "nowhere:run cannot be imported: ModuleNotFoundError: No module named 'nowhere'"),
        ("raises:run", "raises:run cannot be imported: ZeroDivisionError: division by zero"),
        ("plain:gone", r"plain \(.*plain\.py\) has no gone\."),
        ("plain:number", "plain:number is int and not a function"),
    ],
)
def test_a_function_that_is_not_there_is_told(tmp_path: Path, function: str, said: str) -> None:
    (tmp_path / "plain.py").write_text("number = 1\n")
    (tmp_path / "raises.py").write_text("1 / 0\n")
    with pytest.raises(SkillError, match=said):
        called(tmp_path, function)


def test_another_project_brings_its_own_modules(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name / "skills").mkdir(parents=True)
        (tmp_path / name / "which.py").write_text(f"def name():\n    return {name!r}\n")
        (tmp_path / name / "skills" / "own.py").write_text(
            f"from which import name\nfrom neurocore import Skill, SkillMeta\nassert name() == {name!r}\n"
            f"class Own(Skill):\n    skill_meta = SkillMeta(name={name!r})\n"
        )
    for name in ("one", "two", "one"):
        registry = discover_skills(skills_dir=tmp_path / name / "skills")
        assert registry.problems == []
        assert name in registry
        assert called(tmp_path / name, "which:name") == name
    modules.serve(tmp_path)
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("which")


def called(root: Path, function: str) -> Any:
    """What a function of a project gives."""
    skill = PythonSkill(name="it")
    skill.project_root = root
    skill.init({"function": function})
    return skill.process(FlowContext()).get("it")
