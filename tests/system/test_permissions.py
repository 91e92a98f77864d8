"""Who may read what is made: its user alone, or whom `persistence.mode` lets in; never others, not for a moment."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from neurocore import files
from neurocore.persistence import SQLiteRunStore
from neurocore.persistence.restoring import restore
from tests.cli.conftest import Project, command, environment, make_project, wait_for
from tests.locks import folder_of_everybody, in_another_process

OURS = ("data", "logs", "made")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = make_project(tmp_path / "work")
    (made.root / "neurocore.yaml").write_text("logging: {file: deep/neurocore.log}\n")
    (made.root / "made").mkdir(0o700)
    return made


def with_mode(project: Project, mode: str) -> None:
    with (project.root / "neurocore.yaml").open("a") as file:
        file.write(f"persistence: {{mode: {mode}}}\n")


WORK = [
    ("run", "plain"), ("db", "backup", "made/copy.db"), ("db", "export", "made/runs.jsonl"),
    ("db", "restore", "made/copy.db"), ("run", "gated", "--run-id", "g"), ("runs", "approve", "g", "--no-resume"),
]  # fmt: skip


def made_by(project: Project, *, umask: int) -> dict[str, int]:
    """The permissions of everything that the commands above have made, and a dashboard."""
    for args in WORK:
        project.script(*args, code=0, umask=umask)
    server = subprocess.Popen(
        command("serve", "--port", "0"), cwd=project.root, env=environment(), stdout=subprocess.PIPE, text=True,
        stderr=subprocess.DEVNULL, umask=umask,
    )  # fmt: skip
    assert server.stdout is not None
    assert server.stdout.readline()
    until = time.monotonic() + 30
    while not list((project.root / "data" / "runs.db-owners").glob("*.lock")):  # it drives what is owed
        assert time.monotonic() < until
    found = [one for name in OURS for one in (project.root / name, *(project.root / name).rglob("*"))]
    permissions = {str(one.relative_to(project.root)): one.stat().st_mode & 0o777 for one in found}
    server.terminate()
    server.communicate(timeout=30)
    return permissions


def test_everything_that_is_made_is_for_its_user_alone(project: Project) -> None:
    permissions = made_by(project, umask=0)
    folders = {name for name in permissions if (project.root / name).is_dir()}
    assert {name for name, mode in permissions.items() if mode != (0o700 if name in folders else 0o600)} == set()
    names = " ".join(permissions)
    for one in ("runs.db ", "-wal", "-shm", "-owners/2-", "-before-", "copy.db", "runs.jsonl", "deep/neurocore.log"):
        assert one in names, f"{one} is not looked at"


def test_a_group_is_let_in_by_persistence_mode_whatever_the_umask(project: Project) -> None:
    with_mode(project, '"0660"')
    permissions = made_by(project, umask=0o077)
    keys = {name for name in permissions if name.endswith(".key")}
    assert len(keys) == 1
    for name, mode in permissions.items():
        if name in keys or name == "made":
            assert mode & 0o077 == 0, "the key of the dashboard's forms is for its user alone"
        elif name.endswith(".lock"):
            assert mode == 0o640, "others look at a lock, and hold their own"
        else:
            assert mode == (0o770 if (project.root / name).is_dir() else 0o660), name


@pytest.mark.parametrize("args", [*WORK, ("runs", "sweep")])
def test_nothing_is_wider_for_a_moment(project: Project, args: tuple[str, ...], tmp_path: Path) -> None:
    for earlier in WORK[: WORK.index(args) if args in WORK else 1]:
        project.script(*earlier, code=0)
    told = tmp_path / "calls"
    subprocess.run(
        ["strace", "-f", "-e", "trace=open,openat,creat,mkdir,mkdirat,chmod,fchmod,fchmodat", "-o", str(told),
         *command(*args)],
        cwd=project.root, env=environment(PYTHONDONTWRITEBYTECODE="1"), check=True, capture_output=True, umask=0,
    )  # fmt: skip
    made = [
        (call, int(mode, 8))
        for call, mode in re.findall(r"\d+ +(\w+\(.*(?:O_CREAT.*|mkdir.*|chmod.*), (0\d+)\)) += \d", told.read_text())
        if "/dev/null" not in call
    ]
    assert len(made) > 2
    assert [call for call, mode in made if mode & 0o077] == []


def test_what_is_there_keeps_its_permissions_and_doctor_says_where_they_are_wider(project: Project) -> None:
    for args in WORK:
        project.script(*args, code=0)
    wide = {"data": 0o755, "data/runs.db": 0o644, "data/runs.db-owners": 0o777, "logs/deep/neurocore.log": 0o604}
    for name, mode in wide.items():
        (project.root / name).chmod(mode)
    project.script("run", "plain", code=0)
    told = project.script("doctor", code=0).stdout.replace("\n               ", " ")
    for name, mode in wide.items():
        assert (project.root / name).stat().st_mode & 0o777 == mode
        narrow = "0700" if mode & 0o100 else "0600"
        assert f"{name} has mode {mode:04o}, but persistence.mode allows only {narrow}." in told
        assert f"`chmod {narrow} {name}`" in told
    for name, mode in wide.items():
        (project.root / name).chmod(0o700 if mode & 0o100 else 0o600)
    assert "permissions" not in project.script("doctor", code=0).stdout


def test_a_restored_history_has_the_permissions_and_the_owner_of_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    for place in (path, tmp_path / "good.db"):
        SQLiteRunStore(place).close()
    path.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(path, 60001, 60000)
    before = path.stat()
    restore(path, tmp_path / "good.db")
    after = path.stat()
    assert after.st_ino != before.st_ino
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)


@pytest.mark.parametrize("mode", ['"0777"', '"660"', "660", '"0o660"', '"rw"', "[]", '"0400"'])
def test_a_mode_that_is_none_is_refused_naming_those_that_are(project: Project, mode: str) -> None:
    with_mode(project, mode)
    refused = project.script("run", "plain", code=2)
    assert "persistence.mode: Expected one of 0600, 0640, 0644, 0660, 0664, 0666, not" in refused.stderr
    assert not (project.root / "data").exists()


def test_a_mode_may_be_written_as_yaml_writes_octal_numbers(project: Project) -> None:
    with_mode(project, "0640")
    project.script("run", "plain", code=0, umask=0o077)
    assert (project.root / "data" / "runs.db").stat().st_mode & 0o777 == 0o640


def test_a_file_system_without_permissions_is_no_trouble(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "fchmod", refused)
    os.close(files.create(tmp_path / "file", 0o660))
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o600


# ---------------------------------------------------------------- a group of users


GROUP, ANN, BEN = 60000, 60001, 60002


@pytest.fixture
def shared() -> Iterator[Project]:
    """A project that a group of users shares (without root, they are one user)."""
    with folder_of_everybody() as folder:
        project = make_project(folder / "work")
        with_mode(project, '"0660"')
        (project.root / "data").mkdir()
        if os.geteuid() == 0:
            for path in (project.root, *project.root.rglob("*")):
                os.chown(path, ANN, GROUP)
                path.chmod(0o2770 if path.is_dir() else 0o660)
        yield project


def as_user(user: int, work: Callable[[], object]) -> str:
    return in_another_process(work, user=user, group=GROUP) if os.geteuid() == 0 else in_another_process(work)


def test_users_of_a_group_drive_and_decide_each_others_runs(shared: Project, tmp_path: Path) -> None:
    imports_everything = make_project(tmp_path / "other")
    imports_everything.run("gated", "--run-id", "g")
    imports_everything.ok("runs", "approve", "g")
    imports_everything.ok("runs", "sweep")
    imports_everything.ok("runs", "list", "--json")

    def other_looks() -> str:
        return as_user(BEN, lambda: [one["state"] for one in shared.json("runs", "list")["runs"]])

    assert "waits at review" in as_user(ANN, lambda: shared.ok("run", "gated", "--run-id", "g"))
    assert other_looks() == "['idle']"
    assert "completed" in as_user(BEN, lambda: shared.ok("runs", "approve", "g"))
    process = shared.spawn("run", "plain", "--run-id", "live", "--data", "mode=wait")
    wait_for(shared.root / "waiting", process)
    assert other_looks() == "['driven', 'idle']"
    process.kill()
    process.communicate(timeout=30)
    assert other_looks() == "['lost', 'idle']"
    (shared.root / "waiting").unlink()
    (shared.root / "go").touch()
    assert "Run live was lost." in as_user(BEN, lambda: shared.ok("runs", "sweep"))
    assert "completed" in as_user(ANN, lambda: shared.ok("runs", "inspect", "live"))
