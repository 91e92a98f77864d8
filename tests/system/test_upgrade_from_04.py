"""A runs.db that NeuroCore 0.4 wrote opens: every run and step is there, and goes on where 0.4 stored enough."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from neurocore import failpoints
from neurocore.config import load_config
from neurocore.drivers.dispatch import InlineDispatcher
from neurocore.errors import DecisionRefused, GateRejected, NotResumable, StoreError
from neurocore.persistence import RunStatus, SQLiteRunStore, StepStatus
from neurocore.persistence.admin import check
from neurocore.runtime.executor import decide_gate, replay_run, resume_blueprint
from neurocore.skills.loader import discover_skills
from tests.system.old.environment import recorded

pytestmark = [pytest.mark.system, pytest.mark.packages, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return recorded(tmp_path_factory.mktemp("old") / "project")


class Project:
    """A copy of what 0.4 left, opened by this version."""

    def __init__(self, source: Path, ids: dict[str, str], root: Path) -> None:
        shutil.copytree(source, root)
        self.root, self.ids = root, ids
        self.file = root / "data" / "runs.db"
        self.rows = old_rows(self.file)
        self.config = load_config(root)
        self.registry = discover_skills(self.config)
        self.store = SQLiteRunStore(self.file)
        self.forget()

    def run(self, name: str):
        found = self.store.load_run(self.ids[name])
        assert found is not None, name
        return found

    def steps(self, name: str):
        return self.store.load_steps(self.ids[name])

    def resume(self, name: str, **data):
        return resume_blueprint(
            self.ids[name], self.registry, self.config, run_store=self.store, resume_data=data or None
        )

    def decide(self, name: str, **answer):
        dispatch = InlineDispatcher(self.registry, self.config, self.store)
        return decide_gate(self.ids[name], run_store=self.store, dispatch=dispatch, **answer)

    def forget(self) -> None:
        (self.root / "done").write_text("")

    def done(self) -> list[str]:
        return (self.root / "done").read_text().split()


@pytest.fixture
def project(made, tmp_path, monkeypatch):
    source, ids = made
    monkeypatch.setenv("DONE", str(tmp_path / "project" / "done"))
    opened = Project(source, ids, tmp_path / "project")
    yield opened
    opened.store.close()


def old_rows(file: Path) -> dict[str, list[dict]]:
    with sqlite3.connect(file) as connection:
        connection.row_factory = sqlite3.Row
        tables = {
            table: [dict(row) for row in connection.execute(f"SELECT * FROM {table}")]
            for table in ("runs", "steps", "checkpoints")
        }
    connection.close()
    return tables


def test_every_run_is_there_as_it_was(project):
    old = {row["run_id"]: row for row in project.rows["runs"]}
    listed = project.store.list_runs(limit=1000)
    assert {run.run_id for run in listed} == set(old)
    assert [run.created_at for run in listed] == sorted((run.created_at for run in listed), reverse=True)
    for run_id, row in old.items():
        run = project.store.load_run(run_id)
        for name in ("blueprint_name", "blueprint_version", "blueprint_path", "flow_type", "duration_ms"):
            assert getattr(run, name) == row[name], name
        assert run.blueprint_snapshot == json.loads(row["blueprint_snapshot"])
        assert run.initial_data == json.loads(row["initial_data"])
        assert run.created_at == row["created_at"]
        assert run.legacy is not None
        if row["status"] != "running":
            assert run.status == row["status"]
            assert run.error == row["error"]


def test_every_step_is_there_as_it_was(project):
    for row in project.rows["steps"]:
        steps = project.store.load_steps(row["run_id"])
        (step,) = [one for one in steps if one.started_at == row["started_at"] and row["component"] in names(one)]
        assert (step.skill_type, step.error) == (row["skill_type"], row["error"])
        assert step.duration_ms == pytest.approx(row["duration_ms"])
        assert step.output_keys == json.loads(row["output_keys"])
        assert step.status in (row["status"], StepStatus.SUSPENDED)
        if row["context_snapshot"]:
            assert step.context_snapshot == json.loads(row["context_snapshot"])


def names(step) -> set[str]:
    return {step.component, step.node_id, step.node_id.partition("#")[0]}


def test_the_context_is_the_one_that_04_stored(project):
    compared = 0
    for row in project.rows["runs"]:
        final = json.loads(row["final_context"] or "null")
        run = project.store.load_run(row["run_id"])
        if final is not None and not run.replay_only:
            assert run.final_context["data"] == final["data"], row["blueprint_name"]
            compared += 1
    assert compared > 12


def test_the_database_is_sound_and_a_copy_of_the_old_one_lies_beside_it(project):
    report = check(project.store)
    assert report.problems == []
    copy = project.file.with_name("runs.db.0.4.bak")
    assert old_rows(copy) == project.rows
    assert copy.stat().st_mode & 0o777 == 0o600, "the copy is for its user alone"
    assert sorted(path.name for path in project.file.parent.iterdir() if "partial" in path.name) == []
    project.store.close()
    SQLiteRunStore(project.file).close()  # opening it again changes nothing
    assert old_rows(copy) == project.rows


def test_a_suspended_run_is_approved_and_goes_on(project):
    gate = project.run("waits").gates[0]
    assert (gate.message, gate.values) == ("Go on?", {"rows": [1, 2, 3], "total": 6})
    decision = project.decide("waits", approved=True, by="ada", note="fine", digest=gate.digest)
    assert decision.effect == "took_effect"
    run = project.run("waits")
    assert run.status is RunStatus.COMPLETED
    assert run.final_context["data"]["n"] == 1
    assert run.final_context["data"]["when"] == "2026-01-02"
    assert project.done() == ["add"], "a completed step ran again, or the next one did not"
    assert [step.node_id for step in project.steps("waits")] == ["load", "review", "add"]


def test_the_command_line_approves_it_too(project):
    project.store.close()
    command = [sys.executable, "-m", "neurocore", "runs", "approve", project.ids["waits"][:8], "--by", "ada"]
    told = subprocess.run(command, cwd=project.root, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
    command = [sys.executable, "-m", "neurocore", "runs", "inspect", project.ids["broke-later"]]
    told = subprocess.run(command, cwd=project.root, capture_output=True, text=True, check=False)
    assert "cannot be resumed, only replayed" in " ".join(told.stdout.split())


def test_a_run_that_is_over_is_not_told_as_waiting(project):
    project.store.close()
    command = [sys.executable, "-m", "neurocore", "runs", "inspect", project.ids["ports-done"]]
    told = subprocess.run(command, cwd=project.root, capture_output=True, text=True, check=False)
    assert "review" in told.stdout, told.stderr
    assert "waiting for" not in told.stdout


def test_a_rejection_ends_the_run_and_an_optional_one_goes_on(project):
    with pytest.raises(GateRejected):
        project.resume("waits", approved=False, by="ada", note="no")
    assert project.run("waits").status is RunStatus.FAILED
    project.resume("waits-optional", approved=False, by="ada")
    assert project.run("waits-optional").status is RunStatus.COMPLETED
    assert project.done() == ["add"]


@pytest.mark.parametrize(
    ("name", "ran", "n"),
    [
        ("waits-unsaid", ["add"], 1), ("waits-twice", ["one"], 2), ("layers", ["c_c"], 2), ("ports", ["z_c"], 2),
        ("joined", ["z_c"], 3), ("loop", ["z_c"], 2),
    ],
)  # fmt: skip
def test_a_gate_in_any_flow_is_approved_and_nothing_runs_twice(project, name, ran, n):
    assert [gate.status for gate in project.run(name).gates] == ["open"]
    project.resume(name, approved=True, by="ada")
    run = project.run(name)
    assert (run.status, run.error) == (RunStatus.COMPLETED, None)
    assert project.done() == ran
    assert run.final_context["data"]["n"] == n
    assert run.final_context["data"]["approval"]["by"] == "ada"


def test_a_step_that_waits_for_data_gets_it(project):
    project.resume("asks", number=7)
    run = project.run("asks")
    assert run.status is RunStatus.COMPLETED
    assert run.final_context["data"]["asked"] == 7
    assert (run.final_context["data"]["begun"], run.final_context["data"]["n"]) == (True, 2)
    assert project.done() == ["ask", "two"]


def test_where_04_ran_past_a_suspension_nothing_runs_again(project):
    assert "did not stop where it was suspended" in project.run("ran-past").legacy
    project.resume("ran-past")
    assert project.run("ran-past").status is RunStatus.COMPLETED
    assert project.done() == []


def test_a_failed_run_is_resumed_where_04_kept_the_context(project, monkeypatch):
    monkeypatch.setenv("MENDED", "yes")
    project.resume("broke-kept")
    data = project.run("broke-kept").final_context["data"]
    assert (data["n"], data["by_one"], data["by_three"]) == (3, True, True)
    assert project.done() == ["three"]
    project.forget()
    project.resume("broke-first")
    assert project.run("broke-first").final_context["data"]["n"] == 3
    assert project.done() == ["one", "two", "three"]


@pytest.mark.parametrize(
    "name", ["broke-second", "broke-later", "broke-after-gate", "some-broke", "late-broke", "running"]
)
def test_a_run_that_cannot_go_on_says_why_and_can_be_replayed(project, name, monkeypatch):
    monkeypatch.setenv("MENDED", "yes")
    run = project.run(name)
    assert run.status is RunStatus.FAILED
    assert "NeuroCore 0.4 did not store" in run.replay_only
    assert run.replay_only in run.legacy
    with pytest.raises(NotResumable, match=r"NeuroCore 0.4 did not store .* `neurocore runs replay"):
        project.resume(name)
    assert project.done() == []
    again = replay_run(run.run_id, project.registry, project.config, run_store=project.store)
    replayed = project.store.load_run(again.metadata.run_id)
    assert replayed.replay_of == run.run_id
    assert replayed.initial_data == run.initial_data


def test_what_was_rejected_stays_rejected(project):
    failure = project.run("rejected").failure
    assert (failure.kind, failure.node) == ("rejected", "review")
    with pytest.raises(NotResumable, match="was rejected at gate review"):
        project.resume("rejected")
    with pytest.raises(DecisionRefused):
        project.decide("rejected", approved=True, by="bob")


def test_a_run_that_was_running_is_not_swept_up(project):
    assert "running" not in [run.status for run in project.store.active_runs()]
    assert project.run("running").failure.kind == "lost"


@pytest.mark.parametrize("name", ["migrate.before_commit", "migrate.after_commit"])
def test_killed_while_migrating_the_old_file_still_opens(made, tmp_path, name):
    source, ids = made
    file = tmp_path / "runs.db"
    shutil.copy(source / "data" / "runs.db", file)
    before = old_rows(file)
    script = f"from neurocore.persistence import SQLiteRunStore; SQLiteRunStore({str(file)!r})"
    environ = {**os.environ, failpoints.ENVIRONMENT: name}
    killed = subprocess.run([sys.executable, "-c", script], env=environ, capture_output=True, text=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    if name == "migrate.before_commit":
        assert old_rows(file) == before
    store = SQLiteRunStore(file)
    assert {run.run_id for run in store.list_runs(limit=1000)} == set(ids.values())
    assert check(store).problems == []
    assert old_rows(file.with_name("runs.db.0.4.bak")) == before
    store.close()


@pytest.mark.parametrize("links", ["links", "no links"])
def test_many_processes_that_open_it_at_once_migrate_it_once(made, tmp_path, links, request):
    if links == "no links":
        request.getfixturevalue("no_hard_links")
    source, ids = made
    file = tmp_path / "runs.db"
    shutil.copy(source / "data" / "runs.db", file)
    before = old_rows(file)
    script = (
        "import sys; from neurocore.persistence import SQLiteRunStore; sys.stdin.read(); "
        f"print(len(SQLiteRunStore({str(file)!r}).list_runs(limit=1000)))"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(6)
    ]
    assert {int(one.communicate("")[0]) for one in started} == {len(ids)}
    assert old_rows(file.with_name("runs.db.0.4.bak")) == before


def test_a_row_that_04_never_wrote_is_named_and_the_file_left_as_it_was(made, tmp_path):
    source, ids = made
    file = tmp_path / "runs.db"
    shutil.copy(source / "data" / "runs.db", file)
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE runs SET status = 'odd' WHERE run_id = ?", (ids["waits"],))
    connection.close()
    before = old_rows(file)
    with pytest.raises(
        StoreError, match=rf"Run {ids['waits']} of NeuroCore 0.4 is not what 0.4 wrote .*the file is unchanged"
    ) as told:
        SQLiteRunStore(file)
    assert "\n" not in str(told.value)
    assert old_rows(file) == before
