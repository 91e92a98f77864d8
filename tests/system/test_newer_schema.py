"""Versions side by side: a newer one that brings a history up, and an older one that has it open."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock

from neurocore.errors import StoreError, StoreInUse, StoreTooNew
from neurocore.persistence import SQLiteRunStore, admin, migrate, schema
from neurocore.persistence.contract.ownership import Life
from neurocore.persistence.owners import Owners
from neurocore.persistence.testing.contract import answer, event, give, run, waiting
from tests.cli.conftest import Project, make_project, wait_for
from tests.locks import nobody_can_look_at
from tests.persistence.older import take_back

NEWER = schema.VERSION + 1


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_project(tmp_path / "work")


def bring_up(path: Path, version: int = NEWER) -> None:
    """What another version does to the file while others have it open."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {version}")


# ---------------------------------------------------------------- a newer one, under this version


def test_a_run_that_is_driven_while_a_newer_version_brings_the_history_up_ends_in_one_sentence(
    project: Project,
) -> None:
    process = project.spawn("run", "plain", "--run-id", "driven", "--data", "mode=wait", "-q")
    wait_for(project.root / "waiting", process)
    path = project.root / "data" / "runs.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        before = connection.execute("SELECT * FROM runs").fetchall()
        bring_up(path)
        (project.root / "go").write_text("")
        _, said = process.communicate(timeout=30)
        assert process.returncode == 1
        assert said.splitlines() == [f"Error: {migrate.too_new(path, NEWER)}"]
        assert connection.execute("SELECT * FROM runs").fetchall() == before
        assert connection.execute("SELECT count(*) FROM steps").fetchone()[0] == 0


def test_nothing_is_written_and_soon_nothing_is_read_in_a_newer_schema(tmp_path: Path) -> None:
    store = SQLiteRunStore(tmp_path / "runs.db")
    store.create_run(waiting("r1"))
    bring_up(store.path)
    for write in (
        lambda: store.claim("r1", owner="me@here:1", expected_epoch=0),
        lambda: give(store, "r1", answer(), event=event()),
        lambda: store.create_run(run("r2")),
        lambda: store.save_run(run("r1")),
        lambda: store.delete_run("r1"),
    ):
        with pytest.raises(StoreTooNew, match="install that version"):
            write()
    with pytest.raises(StoreTooNew):
        read_for_a_while(store)
    store.close()


def read_for_a_while(store: SQLiteRunStore) -> None:
    until = time.monotonic() + 10
    while time.monotonic() < until:
        store.load_summary("r1")


def test_an_older_file_that_was_copied_over_the_open_one_is_noticed(tmp_path: Path) -> None:
    store = SQLiteRunStore(tmp_path / "runs.db")
    bring_up(store.path, schema.VERSION - 1)
    with pytest.raises(StoreError, match="removed or replaced while in use"):
        store.create_run(run("r1"))
    store.close()


DRIVE = """
import sys, threading
from neurocore.config import NeuroCoreConfig
from neurocore.persistence import SQLiteRunStore
from neurocore.persistence.testing.contract import run
from neurocore.persistence.ownership import driving, owner_of_this_process
store = SQLiteRunStore(sys.argv[1])
print(owner_of_this_process(NeuroCoreConfig(), store), flush=True)
for name in ("r1", "r2"):
    try:
        with driving("other") if name == "r1" else driving("r2"):
            with driving("r1"):
                sys.stdin.readline()
                store.create_run(run(name))
    except Exception as error:
        print(type(error).__name__, flush=True)
sys.stdin.read()
"""


def test_a_process_that_can_drive_no_more_lets_others_take_its_runs_over(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    SQLiteRunStore(path).close()
    process = subprocess.Popen(
        [sys.executable, "-c", DRIVE, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    token = process.stdout.readline().partition("@")[0]
    place = Owners.beside(path)
    assert place.probe(token).life is Life.ALIVE
    bring_up(path)
    process.stdin.write("\n")
    process.stdin.flush()
    assert process.stdout.readline() == "StoreTooNew\n"
    assert process.poll() is None
    assert place.probe(token).life is Life.DEAD
    process.kill()
    process.communicate(timeout=30)


# ---------------------------------------------------------------- this version, over an older one


HOLD = """
import sys
from pathlib import Path
from neurocore.persistence.owners import (Owners)
Owners.beside(Path(sys.argv[1])).hold()
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def older(project: Project) -> Path:
    """A history of the schema before, with a run in it."""
    project.script("run", "gated", "--run-id", "r1", code=0)  # in a process of its own, which lives no more
    path = project.root / "data" / "runs.db"
    take_back(path, schema.VERSION - 1)
    return path


@contextlib.contextmanager
def living(*command: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=30)


@pytest.mark.parametrize("command", [("db", "migrate"), ("runs", "list"), ("serve", "--port", "0")])
def test_a_history_is_not_brought_up_while_somebody_drives_runs_of_it(
    project: Project, older: Path, command: tuple[str, ...]
) -> None:
    with living(sys.executable, "-c", HOLD, str(older)) as process:
        refused = project.script(*command, code=4)
        assert f"cannot be brought from schema {schema.VERSION - 1} to {schema.VERSION}" in refused.stderr
        assert f"stop process {process.pid} on {os.uname().nodename}, then try again." in refused.stderr
        assert admin.schema_version(older) == schema.VERSION - 1
    project.ok("db", "migrate")
    assert admin.schema_version(older) == schema.VERSION


OLD_HOLD = """
import sys
from filelock import FileLock
with FileLock(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("folder", ["data", "other"])
def test_a_living_process_of_an_older_version_is_found_by_its_lock_in_the_data_folder(
    project: Project, older: Path, folder: str
) -> None:
    locks = project.root / folder / "owners"
    locks.mkdir(parents=True)
    if folder != "data":
        (project.root / "neurocore.yaml").write_text(f"paths: {{data: {folder}}}\npersistence: {{path: {older}}}\n")
    with living(sys.executable, "-c", OLD_HOLD, f"{locks}/{uuid.uuid4().hex}.lock") as process:
        refused = project.script("runs", "list", code=4)
        assert f"stop process {process.pid}, then try again." in refused.stderr
    project.ok("runs", "list")


def test_the_owner_of_a_run_names_a_process_whose_lock_says_nothing(project: Project, older: Path) -> None:
    token = uuid.uuid4().hex
    with contextlib.closing(sqlite3.connect(older, isolation_level=None)) as connection:
        connection.execute("UPDATE runs SET status = 'running', owner = ?", (f"{token}@mill:12",))
    (older.parent / "owners").mkdir()
    with (
        FileLock(older.parent / "owners" / f"{token}.lock"),
        pytest.raises(StoreInUse, match="stop process 12 on mill, then"),
    ):
        SQLiteRunStore(older)


def test_a_history_is_not_brought_up_while_nobody_can_tell_whether_it_is_driven(older: Path) -> None:
    _, file = nobody_can_look_at(Owners.beside(older))
    with pytest.raises(StoreInUse, match="cannot tell whether another process drives") as told:
        SQLiteRunStore(older)
    assert str(file) in str(told.value)
    file.unlink()
    SQLiteRunStore(older).close()


def test_an_older_version_that_has_the_history_open_claims_and_creates_no_run_in_it(tmp_path: Path) -> None:
    store = SQLiteRunStore(tmp_path / "runs.db")
    store.create_run(run("r1"))
    old = f"{uuid.uuid4().hex}@here:1"
    with pytest.raises(StoreError, match="install that version and restart"):
        store.claim("r1", owner=old, expected_epoch=0)
    with pytest.raises(StoreError, match="install that version and restart"):
        store.create_run(run("r2", owner=old))
    assert [one.run_id for one in store.list_runs()] == ["r1"]
    assert store.claim("r1", owner=f"2-{old}", expected_epoch=0) == 1
    store.close()
