"""Data never causes an import: classes of stored values are those that the project's skills have loaded."""

from __future__ import annotations

import base64
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest

from neurocore import codec, modules
from neurocore.codec import tags
from neurocore.persistence import InMemoryRunStore, SQLiteRunStore
from neurocore.persistence.records import RunStatus
from neurocore.persistence.testing.contract import run, step
from neurocore.persistence.transfer import export_history, import_history

SCRIPT = Path(sys.executable).with_name("neurocore")

MODELS = """
from dataclasses import dataclass
from pathlib import Path
Path(__file__).with_suffix(".loaded").write_text("yes")

@dataclass
class Order:
    number: int

def make(number):
    return Order(number)
"""

#: Imports what it is told at the top of the file, or while it works.
SKILL = """
from neurocore import Skill, SkillMeta
{top}

class Make(Skill):
    skill_meta = SkillMeta(name="make")
    def process(self, context):
        {within}
        context.set("order", [{order}(7)])
        return context

class Use(Skill):
    skill_meta = SkillMeta(name="use")
    def process(self, context):
        context.set("used", context.get("order")[0].number)
        return context
"""

BLUEPRINT = """
name: order
components:
  - {make}
  - {{name: use, type: use}}
flow:
  steps:
    - component: make
    - approval: {{name: review, message: "Order {{{{ order }}}}?", show: [order]}}
    - component: use
"""


class Project:
    """A project folder, its skill written anew for each way of importing."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for folder in ("blueprints", "skills", "shop"):
            (root / folder).mkdir()
        (root / "neurocore.yaml").write_text("project: {name: shop}\n")
        (root / "models.py").write_text(MODELS)
        (root / "shop" / "__init__.py").write_text("")
        (root / "shop" / "models.py").write_text(MODELS)

    @property
    def loaded(self) -> bool:
        """Whether the module with the classes was imported, and not told of it again."""
        marks = list(self.root.rglob("*.loaded"))
        for mark in marks:
            mark.unlink()
        return bool(marks)

    def skill(self, *, top: str = "", within: str = "pass", order: str = "models.Order") -> None:
        (self.root / "skills" / "make.py").write_text(SKILL.format(top=top, within=within, order=order))

    def blueprint(self, make: str = "{name: make, type: make}") -> None:
        (self.root / "blueprints" / "order.yaml").write_text(BLUEPRINT.format(make=make))

    def call(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
        return subprocess.run(
            [str(SCRIPT), *arguments], cwd=self.root, env=kept, capture_output=True, text=True, check=False
        )

    def json(self, *arguments: str, code: int = 0) -> Any:
        done = self.call(*arguments, "--json")
        assert done.returncode == code, done.stdout + done.stderr
        return json.loads(done.stdout)

    def run(self) -> str:
        run_id: str = self.json("run", "order")["run_id"]
        return run_id


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


@pytest.mark.parametrize(
    ("top", "order"),
    [
        ("import models", "models.Order"), ("from models import Order", "Order"), ("from models import make", "make"),
        ("import shop.models", "shop.models.Order"), ("from shop import models", "models.Order"),
        ("from ._helper import new", "new"),
    ],
)  # fmt: skip
def test_what_a_skill_s_file_imports_at_its_top_is_known_in_every_process(
    project: Project, top: str, order: str
) -> None:
    (project.root / "skills" / "_helper.py").write_text(
        "from shop import models\n\ndef new(n):\n    return models.Order(n)\n"
    )
    project.skill(top=top, order=order)
    project.blueprint()
    run_id = project.run()
    assert project.json("runs", "inspect", run_id)["gates"][0]["shown"] == {"order": [{"number": 7}]}
    assert project.json("runs", "approve", run_id)["data"]["used"] == 7


@pytest.mark.parametrize("within", ["import models", "import shop.models", "from shop import models"])
def test_what_a_step_imports_while_it_works_is_refused_then_and_not_in_the_next_process(
    project: Project, within: str
) -> None:
    project.skill(top="import shop", within=within, order="shop.models.Order" if "shop.m" in within else "models.Order")
    project.blueprint()
    done = project.call("run", "order")
    module = "models" if within == "import models" else "shop.models"
    assert done.returncode == 1
    assert (
        f"the value at order[0] ({module}.Order) could not be restored as it is. {module}.Order is in {module}, which "
        f"is not loaded with the skills, so that another process could not restore the value; import {module} at the "
        "top of a skill's file."
    ) in " ".join(done.stderr.split())


def test_what_a_blueprint_names_to_be_called_is_known_too(project: Project) -> None:
    project.skill()
    make = '{function: "models:make", values: {number: 5}, output: order}'
    use = '{function: "models:vars_of", arguments: {it: order}}'
    project.blueprint(f"{{name: make, type: python, config: {make}}}")
    file = project.root / "blueprints" / "order.yaml"
    file.write_text(file.read_text().replace("type: use", f"type: python, config: {use}"))
    (project.root / "models.py").write_text(MODELS + "\ndef vars_of(it):\n    return vars(it)\n")
    run_id = project.run()
    assert project.json("runs", "approve", run_id)["data"]["use"] == {"number": 5}


def test_a_value_whose_class_nothing_loads_any_more_is_shown_and_refused_where_it_is_needed(project: Project) -> None:
    project.skill(top="import models")
    project.blueprint()
    run_id = project.run()
    assert project.loaded
    project.skill(order="dict")
    shown = {"order": [{"class": "models.Order", "number": 7}]}
    assert project.json("runs", "inspect", run_id)["gates"][0]["shown"] == shown
    assert "models.Order" in project.call("runs", "inspect", run_id).stdout
    assert project.json("runs", "inspect", run_id)["run"]["context"] == shown
    done = project.call("runs", "approve", run_id)
    assert done.returncode == 1
    assert "no skill has loaded models: import it at the top of a skill's file" in done.stderr
    assert not project.loaded
    project.skill(top="import models")
    assert project.json("runs", "resume", run_id)["data"]["used"] == 7


def test_what_a_skill_s_file_prints_is_no_part_of_what_is_shown(project: Project) -> None:
    project.skill(top="import models; print('hello from the file')")
    project.blueprint()
    project.call("run", "order", "--run-id", "r1", "--json")
    assert project.json("runs", "inspect", "r1")["gates"][0]["shown"] == {"order": [{"number": 7}]}
    assert project.json("runs", "diff", "r1", "r1")["inputs"] == []


def test_an_import_loads_and_builds_nothing_of_what_its_values_name(project: Project, tmp_path: Path) -> None:
    project.skill(top="import models")
    project.blueprint()
    run_id = project.run()
    whole = project.call("db", "export").stdout
    forged = msgspec.msgpack.encode(
        msgspec.msgpack.Ext(tags.DATACLASS, msgspec.msgpack.encode(["shop.models:Order", {"number": 1}]))
    )
    lines = [json.loads(line) for line in whole.splitlines()]
    for line in lines:
        if "run" in line:
            line["run"]["initial_data"] = {"order": {"$value": base64.b64encode(forged).decode()}}
    (project.root / "forged.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    lines[-1]["end"]["runs"] = 9
    (project.root / "refused.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    other = Project(_made(tmp_path / "other"))
    other.skill()
    assert not other.loaded
    assert other.call("db", "import", str(project.root / "refused.jsonl")).returncode == 2
    assert other.call("db", "import", str(project.root / "forged.jsonl")).returncode == 0
    found = other.json("runs", "inspect", run_id)
    assert found["run"]["initial_data"] == {"order": {"class": "shop.models.Order", "number": 1}}
    assert found["gates"][0]["shown"] == {"order": [{"class": "models.Order", "number": 7}]}
    assert not other.loaded


class Loud:
    """Tells when it is made of a stored value."""

    made: ClassVar[list[Any]] = []

    def __init__(self, value: Any) -> None:
        self.made.append(value)


def test_an_import_builds_no_object_of_a_class_that_is_known_either(tmp_path: Path) -> None:
    codec.register_codec(Loud, name="tests.loud", to=lambda one: 1, from_=Loud)
    source, target = InMemoryRunStore(), SQLiteRunStore(tmp_path / "runs.db")
    loud = Loud(0)
    source.create_run(run("r1", status=RunStatus.COMPLETED, initial_data={"loud": [loud]}))
    source.save_step(step("r1", 0, sets={"loud": loud}, config={"loud": loud}))
    file = io.StringIO()
    export_history(source, file)
    Loud.made.clear()
    import_history(target, file.getvalue().splitlines(keepends=True))
    assert Loud.made == []
    assert target.load_context("r1") == source.load_context("r1")
    target.close()


def test_an_opened_foreign_database_loads_nothing_of_what_its_values_name(project: Project, tmp_path: Path) -> None:
    project.skill(top="import models")
    project.blueprint()
    run_id = project.run()
    other = Project(_made(tmp_path / "other"))
    other.skill()
    (project.root / "data").rename(other.root / "data")
    for command in (["runs", "list"], ["runs", "inspect", run_id, "--full"], ["db", "export"], ["doctor"]):
        other.call(*command)
    assert not other.loaded


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def test_what_is_loaded_by_others_than_skills_is_not_known() -> None:
    """In a process of its own: pytest has loaded everything."""
    script = """
import http, json, sys
from neurocore import codec, modules
from neurocore.skills.loader import discover_skills
import shop_things
registry = discover_skills()
registry.require("python")
for name in ("http", "json", "neurocore.config", "neurocore.persistence.records", "shop_things", "click"):
    assert not modules.knows(name), name
import shop_skills
registry.register(shop_skills.Sell)
for name in ("shop_skills", "shop_things", "http", "decimal"):
    assert modules.knows(name), name
for name in ("json", "subprocess", "neurocore.config"):
    assert not modules.knows(name), name
"""
    files = {
        "shop_things.py": "from decimal import Decimal\nclass Thing:\n    price: Decimal\n",
        "shop_skills.py": (
            "from http import HTTPStatus\nfrom shop_things import Thing\nfrom neurocore import Skill, SkillMeta\n"
            "class Sell(Skill):\n    skill_meta = SkillMeta(name='sell')\n"
        ),
    }
    _in_a_process(script, files)


def _in_a_process(script: str, files: dict[str, str]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        for name, text in files.items():
            (Path(folder) / name).write_text(text)
        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=False,
            env={**os.environ, "PYTHONPATH": folder},
        )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_the_modules_of_an_installed_package_are_known_once_its_skill_is_asked_for() -> None:
    script = """
from neurocore import codec, modules
from neurocore.skills.loader import discover_skills
registry = discover_skills()
assert not modules.knows("shop_package.models")
registry.require("sell")
assert modules.knows("shop_package.models")
assert codec.decode(codec.encode(__import__("shop_package.models").models.Thing(1), lasting=True)).number == 1
"""
    package = (
        "from shop_package.models import Thing\nfrom neurocore import Skill, SkillMeta\n"
        "class Sell(Skill):\n    skill_meta = SkillMeta(name='sell')\n"
    )
    models = "from dataclasses import dataclass\n@dataclass\nclass Thing:\n    number: int\n"
    script = (
        f"""
import pathlib, sys
root = pathlib.Path(sys.path[1] if sys.path[0] == "" else sys.path[0])
(root / "shop_package").mkdir()
(root / "shop_package" / "__init__.py").write_text("")
(root / "shop_package" / "skills.py").write_text({package!r})
(root / "shop_package" / "models.py").write_text({models!r})
info = root / "shop-1.0.dist-info"
info.mkdir()
(info / "METADATA").write_text("Name: shop\\nVersion: 1.0\\n")
(info / "entry_points.txt").write_text("[neurocore.skills]\\nsell = shop_package.skills:Sell\\n")
"""
        + script
    )
    _in_a_process(script, {})


@pytest.mark.parametrize("name", ["nowhere", "", "os.path", "a..b", "\0", "neurocore_project_skills.none"])
def test_names_of_nothing_are_not_known(name: str) -> None:
    assert not modules.knows(name) or name == "os.path"
