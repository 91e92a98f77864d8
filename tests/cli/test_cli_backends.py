"""The command line over a backend that has the six methods and nothing else, and over runs of 0.4's kind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from neurocore import persistence
from neurocore.persistence.base import RunStore
from neurocore.persistence.records import RunRecord, RunStatus, StepRecord


class Folder(RunStore):
    """Runs as JSON files in a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)

    def save_run(self, run):
        (self.root / f"{run.run_id}.json").write_text(json.dumps(run.to_dict()))
        return run.run_id

    def save_step(self, step):
        (self.root / f"{step.run_id}.{step.step_index}.step").write_text(json.dumps(step.to_dict()))

    def load_run(self, run_id):
        path = self.root / f"{run_id}.json"
        return RunRecord.from_dict(json.loads(path.read_text())) if path.exists() else None

    def load_steps(self, run_id):
        steps = [StepRecord.from_dict(json.loads(path.read_text())) for path in self.root.glob(f"{run_id}.*.step")]
        return sorted(steps, key=lambda step: step.step_index)

    def list_runs(self, *, status: RunStatus | None = None, blueprint: str | None = None, limit: int = 50):
        runs = [RunRecord.from_dict(json.loads(path.read_text())) for path in self.root.glob("*.json")]
        fitting = [run for run in runs if status in (None, run.status) and blueprint in (None, run.blueprint_name)]
        return sorted(fitting, key=lambda run: run.created_at, reverse=True)[:limit]

    def delete_run(self, run_id):
        for path in self.root.glob(f"{run_id}.*"):
            path.unlink()


@pytest.fixture
def simple(project, monkeypatch):
    monkeypatch.setattr(persistence, "_installed", lambda name, config: Folder(config.data_dir / "runs"))
    (project.root / "neurocore.yaml").write_text("persistence: {backend: folder}\n")
    return project


def test_everything_works_with_six_methods(simple):
    run_id = simple.run("gated", "--tag", "t", "--by", "ada")
    failed = simple.run("plain", "--data", "mode=fail", code=1)

    assert "Payments of may" in simple.ok("runs", "list", "--waiting")
    assert "Approve → runs book" in simple.ok("runs", "inspect", run_id[:6])
    assert simple.json("runs", "approve", run_id, "--by", "ada")["status"] == "completed"
    assert simple.call("runs", "approve", run_id, "--by", "bob").exit_code == 4
    simple.ok("runs", "resume", failed, code=1)
    assert simple.json("runs", "replay", run_id)["status"] == "suspended"
    assert len(simple.json("runs", "list", "--limit", "2")["runs"]) == 2
    simple.ok("runs", "diff", run_id, failed)
    simple.ok("runs", "logs", failed)
    simple.ok("runs", "delete", failed, "--yes")
    assert simple.call("runs", "inspect", failed).exit_code == 3


def test_doctor_says_what_such_a_backend_cannot_do(simple):
    said = " ".join(finding["message"] for finding in simple.json("doctor")["findings"])

    assert "Folder supports only one process" in said
    assert "tombstones" in said
    assert "logs" in said


def test_what_is_for_database_files_only_is_refused_naming_the_backend(simple):
    for command in (("backup", "x.db"), ("migrate",)):
        result = simple.call("db", *command)
        assert result.exit_code in (2, 4), result.output
        assert "Folder" in result.stderr
