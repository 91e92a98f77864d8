"""`vacuum`: the room of deleted runs goes back to the disk, and the history is as it was whatever comes in between."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading

import pytest

from neurocore import failpoints
from neurocore.errors import StoreError, StoreInUse, UsageError
from neurocore.persistence import InMemoryRunStore, RunStatus, SQLiteRunStore, vacuum
from neurocore.persistence.admin import check, prune
from neurocore.persistence.testing.contract import at, run, step

MEGABYTE = 1024 * 1024


@pytest.fixture
def store(tmp_path):
    """A history of one run, and of the room of eight that were deleted."""
    made = SQLiteRunStore(tmp_path / "runs.db")
    for number in range(9):
        one = run(f"r{number}", minute=number)
        one.status = RunStatus.COMPLETED
        made.create_run(one)
        made.save_step(step(one.run_id, 0, sets={"blob": os.urandom(MEGABYTE)}))
    prune(made, before=at(60), keep_last=1, by="ann")
    yield made
    made.close()


def there(store):
    return [(store.load_run(one.run_id), store.load_steps(one.run_id)) for one in store.list_runs()]


def test_the_file_becomes_smaller_and_the_history_stays(store):
    before, was = there(store), store.stats()
    assert was.unused > 7 * MEGABYTE
    done = store.vacuum()
    assert (done.before, done.after, done.waits) == (was.bytes, store.stats().bytes, False)
    assert store.path.stat().st_size < 2 * MEGABYTE
    assert done.after < 2 * MEGABYTE
    assert store.stats().unused == 0
    assert there(store) == before
    assert check(store).problems == []
    with contextlib.closing(SQLiteRunStore(store.path)) as again:
        assert again.count_held_runs() == 0, "it is still the history, and no copy of it"
        assert there(again) == before


def test_a_second_time_changes_nothing(store):
    store.vacuum()
    done = store.vacuum()
    assert done.before == done.after


def test_other_backends_have_no_file(tmp_path):
    with pytest.raises(UsageError, match="Only SQLite"):
        InMemoryRunStore().vacuum()


def test_it_waits_for_one_who_writes(store):
    with contextlib.closing(sqlite3.connect(store.path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        done = []
        waiting = threading.Thread(target=lambda: done.append(store.vacuum()))
        waiting.start()
        waiting.join(0.2)
        assert done == []
        other.execute("ROLLBACK")
        waiting.join(60)
    assert done[0].after < 2 * MEGABYTE


def test_where_others_write_all_the_time_it_is_refused_and_all_is_as_it_was(store, monkeypatch):
    before, length = there(store), store.path.stat().st_size
    store.database.writer(sync=True).execute("PRAGMA busy_timeout = 50")
    with contextlib.closing(sqlite3.connect(store.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="others keep writing to it; try again at a quieter time"):
            store.vacuum(patience=0.1)
        other.execute("ROLLBACK")
    assert (there(store), store.path.stat().st_size) == (before, length)
    store.create_run(run("another"))


def test_it_says_that_others_still_read_what_was_there_before(store):
    store.database.writer(sync=True).execute("PRAGMA busy_timeout = 50")
    with contextlib.closing(sqlite3.connect(store.path, isolation_level=None)) as other:
        other.execute("BEGIN")
        other.execute("SELECT count(*) FROM runs").fetchone()
        assert store.vacuum(patience=0.1).waits
        other.execute("ROLLBACK")
    assert not store.vacuum().waits
    assert store.path.stat().st_size < 2 * MEGABYTE


def test_a_disk_without_room_is_said_before_anything_is_written(store, monkeypatch):
    length = store.path.stat().st_size
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(10, 9, MEGABYTE))
    with pytest.raises(
        StoreError, match=r"[23]\.\d MiB are needed temporarily on the disk of .*, and 1\.0 MiB are free"
    ):
        store.vacuum()
    assert store.path.stat().st_size == length


@pytest.mark.parametrize("most", [MEGABYTE // 2, MEGABYTE])
def test_a_disk_that_fills_up_meanwhile_leaves_the_history_as_it_was(store, most):
    before = there(store)
    script = (
        "import resource, signal, sys; from pathlib import Path\n"
        "from neurocore.errors import StoreError; from neurocore.persistence import SQLiteRunStore\n"
        "store = SQLiteRunStore(Path(sys.argv[1]))\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))\n"
        "try:\n    store.vacuum()\nexcept StoreError as error:\n    print(error)\n"
        "store.close()\n"
    )
    told = subprocess.run(
        [sys.executable, "-c", script, str(store.path), str(most)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert told.stdout.startswith(f"The disk of {store.path}")
    assert "nothing was written" in told.stdout
    assert there(store) == before
    assert check(store).problems == []


def test_a_large_history_is_left_alone_while_others_drive_runs_of_it(store, monkeypatch):
    monkeypatch.setattr(vacuum, "MUCH", 1000)
    script = (
        "import sys; from neurocore.persistence import SQLiteRunStore\n"
        "store = SQLiteRunStore(sys.argv[1]); store.owners.hold(); print('held', flush=True); sys.stdin.read()"
    )
    driver = subprocess.Popen(
        [sys.executable, "-c", script, str(store.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert driver.stdout.readline() == "held\n"
    try:
        with pytest.raises(
            StoreInUse, match=f"cannot be made smaller while others drive runs of it: stop process {driver.pid}"
        ):
            store.vacuum()
    finally:
        driver.communicate("")
    assert store.vacuum().after < 2 * MEGABYTE


KILLED = (
    "import os, signal, sys; from neurocore.persistence import SQLiteRunStore\n"
    "store = SQLiteRunStore(sys.argv[1]); connection = store.database.writer(sync=True); left = [int(sys.argv[2])]\n"
    "def step():\n"
    "    left[0] -= 1\n"
    "    if left[0] == 0: os.kill(os.getpid(), signal.SIGKILL)\n"
    "connection.set_progress_handler(step, 100)\n"
    "store.vacuum()\n"
)


@pytest.mark.parametrize("steps", [1, 2, 4, None])
def test_killed_at_any_moment_the_history_is_as_it_was(store, steps):
    before = there(store)
    environ = dict(os.environ) if steps else {**os.environ, failpoints.ENVIRONMENT: "vacuum.after_commit"}
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(store.path), str(steps or 0)], env=environ, check=False, timeout=60,
        capture_output=True, text=True,
    )  # fmt: skip
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert there(store) == before
    assert check(store).problems == []
    assert store.vacuum().after < 2 * MEGABYTE
