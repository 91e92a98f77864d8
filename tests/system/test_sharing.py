"""One database, shared by projects and users: each run is driven once, and everybody sees by whom."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import make_project, wait_for
from tests.locks import SOMEBODY_ELSE, as_somebody_else, folder_of_everybody


@pytest.fixture
def shared() -> Iterator[Path]:
    with folder_of_everybody() as made:
        yield made


@pytest.mark.system
def test_two_projects_that_share_a_database_drive_each_run_once(tmp_path: Path) -> None:
    projects = [make_project(tmp_path / name) for name in ("a", "b")]
    for one in projects:
        (one.root / "neurocore.yaml").write_text(f"persistence: {{path: {tmp_path}/shared/runs.db}}\n")
    a, b = projects
    process = a.spawn("run", "plain", "--run-id", "live", "--data", "mode=wait")
    wait_for(a.root / "waiting", process)
    try:
        assert b.json("runs", "list")["runs"][0]["state"] == "driven"
        assert b.json("runs", "sweep")["lost"] == []
        assert f"process {process.pid}" in b.call("runs", "resume", "live").stderr
    finally:
        (a.root / "go").write_text("")
        process.communicate(timeout=30)
    assert [step["attempt"] for step in b.json("runs", "inspect", "live")["steps"]] == [1]


@pytest.mark.system
@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_what_root_drives_by_hand_is_seen_to_live_by_the_user_of_the_service(
    shared: Path, tmp_path: Path, umask: int
) -> None:
    """Without root, both are the same user, who sees it too."""
    imports_everything = make_project(tmp_path / "other")
    imports_everything.ok("db", "migrate")
    imports_everything.ok("runs", "list", "--json")
    imports_everything.ok("runs", "sweep", "--json")
    project = make_project(shared / "work")
    (project.root / "data").mkdir()
    if os.geteuid() == 0:
        for path in (project.root, *project.root.rglob("*")):
            os.chown(path, SOMEBODY_ELSE, SOMEBODY_ELSE)
    as_somebody_else(lambda: project.ok("db", "migrate"))
    process = project.spawn("run", "plain", "--run-id", "live", "--data", "mode=wait", umask=umask)
    wait_for(project.root / "waiting", process)
    try:
        (run,) = json.loads(as_somebody_else(lambda: project.ok("runs", "list", "--json")))["runs"]
        assert (run["status"], run["state"]) == ("running", "driven")
        found = json.loads(as_somebody_else(lambda: project.ok("runs", "sweep", "--json")))
        assert (found["lost"], found["left"]) == ([], [])
    finally:
        (project.root / "go").write_text("")
        process.communicate(timeout=30)
    assert [step["attempt"] for step in project.json("runs", "inspect", "live")["steps"]] == [1]
    database, locks = ((project.root / "data" / name).stat() for name in ("runs.db", "runs.db-owners"))
    assert locks.st_uid == database.st_uid
