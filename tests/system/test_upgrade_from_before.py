"""What the version before recorded, and what it still drives, goes on under this version."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

import pytest

from neurocore.config import load_config
from neurocore.drivers.dispatch import InlineDispatcher
from neurocore.drivers.sweep import sweep_once
from neurocore.errors import StoreInUse
from neurocore.persistence import GateStatus, RunStatus, SQLiteRunStore
from neurocore.persistence.admin import check
from neurocore.runtime.executor import decide_gate
from neurocore.skills.loader import discover_skills
from tests.system.old.before import run_before, start_before
from tests.waiting import until

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]

SKILLS = '''
from neurocore import FlowContext, Skill, SkillMeta


def note(skill, context):
    with (skill.project_root / "ledger.txt").open("a") as file:
        file.write(f"{context.metadata.run_id} {context.node_id} {context.attempt}\\n")


class Work(Skill):
    skill_meta = SkillMeta(name="work")

    def process(self, context: FlowContext) -> FlowContext:
        note(self, context)
        context.set("amount", 12)
        context.set("tags", {"a", "b"})
        return context


class Hold(Skill):
    """Works until somebody writes into the pipe."""

    skill_meta = SkillMeta(name="hold")

    def process(self, context: FlowContext) -> FlowContext:
        note(self, context)
        (self.project_root / "pipe").read_text()
        context.set("held", True)
        return context


class Fail(Skill):
    skill_meta = SkillMeta(name="fail")

    def process(self, context: FlowContext) -> FlowContext:
        note(self, context)
        raise TimeoutError("the bank does not answer")
'''
BLUEPRINTS = {
    "driven": "components: [{name: a, type: hold}, {name: b, type: work}]\n"
    "flow: {steps: [{component: a}, {component: b}]}",
    "gated": "components: [{name: a, type: work}, {name: b, type: work}]\n"
    "flow: {steps: [{component: a}, {approval: {name: ok, message: 'Pay {{ amount }}?'}}, {component: b}]}",
    "retried": "components: [{name: a, type: fail}]\n"
    "flow: {steps: [{component: a, retry: {max: 1, delay: 3600}}]}",
}  # fmt: skip


class Project:
    """A project in which the version before has worked."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.store: SQLiteRunStore | None = None
        (root / "skills").mkdir()
        (root / "blueprints").mkdir()
        (root / "neurocore.yaml").write_text("project: {name: before}\n")
        (root / "skills" / "s.py").write_text(SKILLS)
        for name, text in BLUEPRINTS.items():
            (root / "blueprints" / f"{name}.yaml").write_text(f"name: {name}\n{text}\n")
        os.mkfifo(root / "pipe")

    def ledger(self) -> list[str]:
        """Which steps had their effect, in order."""
        file = self.root / "ledger.txt"
        return file.read_text().splitlines() if file.exists() else []

    def wait_for(self, line: str) -> None:
        """Wait until a step has had its effect."""
        until(lambda: line in self.ledger(), line)

    def wait_for_pause(self, run_id: str) -> None:
        """Wait until a failed try of a step is recorded, after which the process waits for the next one."""
        asked = "SELECT count(*) FROM steps JOIN runs USING (run) WHERE run_id = ?"
        with contextlib.closing(sqlite3.connect(self.root / "data" / "runs.db")) as connection:
            until(lambda: connection.execute(asked, (run_id,)).fetchone()[0], f"a try of {run_id}")

    def open(self) -> None:
        """From here on, this version works on it."""
        self.config = load_config(self.root)
        self.registry = discover_skills(self.config)
        self.store = SQLiteRunStore(self.config.runs_db_path)

    def run(self, run_id: str):
        """The run as it is stored."""
        assert self.store is not None
        run = self.store.load_run(run_id)
        assert run is not None, run_id
        return run

    def sweep(self):
        """Hand in whatever nobody drives."""
        dispatch = InlineDispatcher(self.registry, self.config, self.store)
        return sweep_once(self.config, run_store=self.store, dispatch=dispatch)


@pytest.fixture
def project(tmp_path):
    """What the version before left: a run at its gate, one decided, one ended, one that died between two tries."""
    made = Project(tmp_path)
    for name in ("waiting", "owed", "ended"):
        run_before(tmp_path, "run", "gated", "--run-id", name, "-q")
    run_before(tmp_path, "runs", "approve", "owed", "--by", "ann", "--note", "fine", "--no-resume", "-q")
    run_before(tmp_path, "runs", "approve", "ended", "--by", "ann", "-q")
    retried = start_before(tmp_path, "run", "retried", "--run-id", "retried", "-q")
    made.wait_for_pause("retried")
    retried.kill()
    retried.communicate()
    yield made
    if made.store is not None:
        made.store.close()


def test_what_the_version_before_left_goes_on(project):
    project.open()
    assert check(project.store).problems == []
    assert {run.run_id for run in project.store.list_runs()} == {"waiting", "owed", "ended", "retried"}

    (gate,) = project.store.load_gates("waiting")
    decision = decide_gate("waiting", approved=True, by="bea", digest=gate.digest, run_store=project.store)
    assert decision.effect == "took_effect"
    project.sweep()

    assert {name: project.run(name).status for name in ("waiting", "owed", "ended")} == dict.fromkeys(
        ("waiting", "owed", "ended"), RunStatus.COMPLETED
    )
    assert [gate.status for gate in project.store.load_gates("waiting")] == [GateStatus.DONE]
    assert check(project.store).problems == []
    work = [line for line in project.ledger() if not line.startswith("retried")]
    assert sorted(work) == sorted(f"{run} {node} 1" for run in ("waiting", "owed", "ended") for node in "ab")


def test_a_run_that_died_between_two_tries_gets_no_more_of_them_than_it_had(project):
    project.open()
    report = project.sweep()
    assert "retried" in report.lost
    assert project.run("retried").status is RunStatus.FAILED
    assert [line for line in project.ledger() if line.startswith("retried")] == ["retried a 1", "retried a 2"]


def test_a_living_process_of_the_version_before_keeps_its_run(project):
    old = start_before(project.root, "run", "driven", "--run-id", "driven", "-q")
    project.wait_for("driven a 1")
    with pytest.raises(StoreInUse, match=f"stop process {old.pid} on "):
        project.open()
    (project.root / "pipe").write_text("go on")
    said, _ = old.communicate(timeout=60)
    assert old.returncode == 0, said
    project.open()
    project.sweep()
    assert project.run("driven").status is RunStatus.COMPLETED
    assert [line for line in project.ledger() if line.startswith("driven")] == ["driven a 1", "driven b 1"]
