"""`build_run_store` opens what `persistence` names; a backend of another package comes by its entry point."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import neurocore.persistence
from neurocore.config import load_config
from neurocore.errors import ConfigError, StoreError
from neurocore.persistence import InMemoryRunStore, SQLiteRunStore, build_run_store
from tests.persistence.json_store import JsonFolderStore

ROOT = Path(__file__).resolve().parents[2]


def config_of(folder: Path, persistence: str):
    (folder / "neurocore.yaml").write_text(f"persistence: {persistence}\n")
    return load_config(folder)


def test_sqlite_is_the_default_and_lies_in_the_data_folder(tmp_path):
    store = build_run_store(config_of(tmp_path, "{}"))
    assert isinstance(store, SQLiteRunStore)
    assert store.path == tmp_path / "data" / "runs.db"
    assert store.path.exists()
    store.close()
    full = build_run_store(config_of(tmp_path, "{durability: full, path: other.db}"))
    assert isinstance(full, SQLiteRunStore)
    assert full.path == tmp_path / "data" / "other.db"
    assert full.database.full
    full.close()


def test_memory_and_nothing_at_all(tmp_path):
    assert isinstance(build_run_store(config_of(tmp_path, "{backend: memory}")), InMemoryRunStore)
    assert build_run_store(config_of(tmp_path, "{enabled: false}")) is None


def test_an_unknown_backend_is_refused_with_those_that_are_there(tmp_path):
    with pytest.raises(ConfigError, match=r"names 'mongo', which is not installed; there are .*memory, sqlite\."):
        build_run_store(config_of(tmp_path, "{backend: mongo}"))


def test_public_names_are_there_without_importing_sqlite():
    assert set(neurocore.persistence.__all__) <= set(dir(neurocore.persistence)) | {
        "InMemoryRunStore",
        "SQLiteRunStore",
    }
    script = (
        "import sys, neurocore.persistence; assert 'sqlite3' not in sys.modules; neurocore.persistence.SQLiteRunStore"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT)
    with pytest.raises(AttributeError):
        neurocore.persistence.Nothing  # noqa: B018


# -------------------------------------------------------------------- a backend from another package

PLUGIN = """
from pathlib import Path
from tests.persistence.json_store import JsonFolderStore

def build(config):
    return JsonFolderStore(config.data_dir / "runs")
"""
SKILLS = """
from pathlib import Path
from neurocore import Skill, SkillMeta

class Count(Skill):
    skill_meta = SkillMeta(name="count", provides=["rows"])

    def process(self, context):
        context.set("rows", {1, 2, 3})
        return context

class Pay(Skill):
    skill_meta = SkillMeta(name="pay")

    def process(self, context):
        Path("paid.txt").open("a").write(f"{sorted(context.get('rows'))}\\n")
        return context
"""
BLUEPRINT = """
name: payouts
components: [{name: count, type: count}, {name: pay, type: pay}]
flow:
  steps:
    - component: count
    - approval: {name: review, message: "Pay?"}
    - component: pay
"""


@pytest.fixture
def installed(tmp_path):
    """A project whose backend is a package that was installed: a module and its entry point."""
    site = tmp_path / "site"
    info = site / "json_runs-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "json_runs.py").write_text(PLUGIN)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: json-runs\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[neurocore.run_stores]\njson-folder = json_runs:build\n")
    root = tmp_path / "project"
    (root / "skills").mkdir(parents=True)
    (root / "blueprints").mkdir()
    (root / "neurocore.yaml").write_text("persistence: {backend: json-folder}\n")
    (root / "skills" / "all.py").write_text(SKILLS)
    (root / "blueprints" / "payouts.yaml").write_text(BLUEPRINT)
    environ = {**os.environ, "PYTHONPATH": f"{site}{os.pathsep}{ROOT}"}

    def command(*arguments: str) -> str:
        told = subprocess.run(
            [sys.executable, "-m", "neurocore", *arguments], cwd=root, env=environ, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        assert told.returncode == 0, told.stderr
        return told.stdout + told.stderr

    return root, command


def test_everything_works_with_a_backend_of_six_methods_that_was_installed(installed):
    root, command = installed
    command("run", "payouts")
    store = JsonFolderStore(root / "data" / "runs")
    (waiting,) = store.list_runs()
    assert waiting.status == "suspended"
    assert waiting.run_id in command("runs", "list", "--json")
    assert "Pay?" in command("runs", "inspect", waiting.run_id[:8])
    command("runs", "approve", waiting.run_id[:8], "--by", "ada", "--note", "fine")
    assert (root / "paid.txt").read_text() == "[1, 2, 3]\n"
    (done,) = store.list_runs()
    assert done.status == "completed"
    assert done.final_context["data"]["rows"] == {1, 2, 3}
    assert done.completed_nodes == ["count", "review", "pay"]
    assert done.gates[0].decision.by == "ada"
    assert "json-folder" not in command("db", "check")
    assert "one process" in " ".join(command("doctor").split())


BROKEN = """
def unreachable(config):
    raise OSError(f"no answer from {config.environ['DSN']}")

def something(config):
    return [config]
"""


@pytest.mark.parametrize(
    ("backend", "said"),
    [
        (
            "unreachable",
            "The backend 'unreachable' (broken_runs:unreachable) cannot be opened: OSError: no answer from",
        ),
        ("misspelt", "cannot be opened: AttributeError: module 'broken_runs' has no attribute 'mispelt'"),
        ("something", "The backend 'something' (broken_runs:something) returned a list, which is not a RunStore"),
    ],
)
def test_an_installed_backend_that_does_not_open_is_named_with_the_reason(tmp_path, monkeypatch, backend, said):
    info = tmp_path / "site" / "broken_runs-1.0.dist-info"
    info.mkdir(parents=True)
    (tmp_path / "site" / "broken_runs.py").write_text(BROKEN)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-runs\nVersion: 1.0\n")
    points = (
        "unreachable = broken_runs:unreachable\nmisspelt = broken_runs:mispelt\nsomething = broken_runs:something\n"
    )
    (info / "entry_points.txt").write_text(f"[neurocore.run_stores]\n{points}")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.setenv("DSN", "postgres://me:hunter2hunter2@db")
    (tmp_path / "neurocore.yaml").write_text(f"persistence: {{backend: {backend}, path: '${{DSN}}'}}\n")

    with pytest.raises(StoreError) as caught:
        build_run_store(load_config(tmp_path))

    assert said in str(caught.value)
    assert "hunter2" not in str(caught.value)
