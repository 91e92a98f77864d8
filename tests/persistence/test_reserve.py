"""The room that a synced history keeps at the end of its log: made seldom, empty to SQLite, and never in the way."""

from __future__ import annotations

import itertools
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neurocore.errors import StoreError
from neurocore.persistence import SQLiteRunStore, reserve
from neurocore.persistence.admin import check
from neurocore.persistence.testing.contract import found, run, step, turn

ROOM = len(reserve._ROOM)


def log_of(store: SQLiteRunStore) -> Path:
    return store.path.with_name(f"{store.path.name}-wal")


def driven(folder: Path, durability: str = "full") -> SQLiteRunStore:
    """A store with a run that is ready for steps."""
    store = SQLiteRunStore(folder / "runs.db", durability=durability)
    store.create_run(run("r1"))
    store.claim("r1", owner="me@here:1", expected_epoch=0)
    return store


def commit(store: SQLiteRunStore, index: int) -> None:
    store.commit(turn(found(store, "r1"), steps=[step("r1", index, sets={"n": index})]))


@pytest.fixture
def store(tmp_path):
    made = driven(tmp_path)
    yield made
    made.close()


def growths(store: SQLiteRunStore, count: int, *others: SQLiteRunStore) -> list[int]:
    """How many bytes each of so many commits added to the log; the stores take turns."""
    sizes = [log_of(store).stat().st_size]
    for index in range(count):
        commit((store, *others)[index % (1 + len(others))], index)
        sizes.append(log_of(store).stat().st_size)
    return [after - before for before, after in itertools.pairwise(sizes)]


def test_most_synced_commits_find_the_room_that_they_need(store):
    grown = growths(store, 100)
    assert set(grown) == {0, ROOM}
    assert grown.count(ROOM) < 20


def test_a_history_that_is_not_synced_at_every_step_keeps_no_room(tmp_path):
    store = driven(tmp_path, "normal")
    assert 0 not in growths(store, 20)
    store.close()


def test_processes_that_take_turns_share_one_room(tmp_path, store):
    others = [SQLiteRunStore(tmp_path / "runs.db", durability="full") for _ in range(3)]
    shared = sum(growths(store, 100, *others))
    alone = driven(tmp_path / "alone")
    assert shared == pytest.approx(sum(growths(alone, 100)), abs=2 * ROOM)
    for one in (*others, alone):
        one.close()


def test_a_log_that_is_used_again_from_its_beginning_grows_no_more(store):
    mine = found(store, "r1")

    def much(first: int) -> int:
        for start in range(first, first + 500, 5):
            steps = [step("r1", index, sets={"n": "x" * 10_000}) for index in range(start, start + 5)]
            store.commit(turn(mine, steps=steps))
        return log_of(store).stat().st_size

    before = much(0)
    assert before > 1_000 * 4096  # where SQLite goes back to the beginning
    assert much(500) <= before + ROOM
    assert check(store).problems == []


def test_a_log_that_somebody_emptied_gets_room_again(store):
    commit(store, 0)
    with sqlite3.connect(store.path) as other:
        assert other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
    other.close()
    assert log_of(store).stat().st_size == 0
    commit(store, 1)
    assert log_of(store).stat().st_size == ROOM
    assert [one.step_index for one in store.load_steps("r1")] == [0, 1]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(count=st.integers(0, 25), cut=st.none() | st.integers(0, 4 * ROOM))
def test_what_is_left_after_a_power_cut_opens_with_every_step_that_its_log_holds(tmp_path_factory, count, cut):
    folder = tmp_path_factory.mktemp("cut")
    store = driven(folder)
    for index in range(count):
        commit(store, index)
    left = folder / "left"
    left.mkdir()
    for path in (store.path, log_of(store)):  # the index in shared memory is gone
        shutil.copy(path, left)
    if cut is not None:
        os.truncate(left / "runs.db-wal", min(cut, log_of(store).stat().st_size))
    store.close()
    again = SQLiteRunStore(left / "runs.db", durability="full")
    indexes = [one.step_index for one in again.load_steps("r1")] if again.load_summary("r1") else []
    assert indexes == list(range(len(indexes)))
    if cut is None:
        assert len(indexes) == count
    assert check(again).problems == []
    again.close()


def test_a_full_disk_takes_the_room_back_and_refuses_nothing(store, monkeypatch):
    def full(file: int, data: bytes, place: int) -> int:
        os.pwrite(file, data[:4096], place)
        raise OSError(28, "No space left on device")

    commit(store, 0)
    monkeypatch.setattr(store.database._reserve, "_write", full)
    before = log_of(store).stat().st_size
    grown = growths(store, 40)
    assert log_of(store).stat().st_size > before
    assert all(size % 4096 != 0 or size == 0 for size in grown), "empty room was left behind"
    assert len(store.load_steps("r1")) == 40


def test_a_system_that_cannot_write_at_a_place_does_without(tmp_path, monkeypatch):
    monkeypatch.delattr(os, "pwrite")
    store = driven(tmp_path)
    assert 0 not in growths(store, 5)
    assert store.database.reserves is False
    store.close()


def test_another_file_in_the_place_of_the_history_gets_no_room(tmp_path, monkeypatch):
    store = SQLiteRunStore(tmp_path / "runs.db", durability="full")
    other = driven(tmp_path / "other", "normal")
    make = reserve.Reserve

    def replaced(database: Path) -> reserve.Reserve:
        for end in ("", "-wal"):
            Path(f"{other.path}{end}").replace(f"{database}{end}")
        return make(database)

    monkeypatch.setattr("neurocore.persistence.database.Reserve", replaced)
    size = log_of(other).stat().st_size
    store.create_run(run("r2"))
    assert log_of(store).stat().st_size == size
    with pytest.raises(StoreError, match="replaced"):
        store.create_run(run("r3"))
    store.close()
    other.close()


def test_the_log_is_let_go_with_the_store(tmp_path):
    store = driven(tmp_path)
    file = store.database._reserve._file
    store.close()
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(file)
    store.close()


AT_EXIT = """
import atexit, sys
from pathlib import Path

def last_words() -> None:  # registered before the store is opened, so run after all that the store registers itself
    with open(sys.argv[2], "w") as notes:
        store.create_run(run("r2"))
        notes.write("done")

atexit.register(last_words)
from neurocore.persistence import SQLiteRunStore
from neurocore.persistence.testing.contract import run
store = SQLiteRunStore(sys.argv[1], durability="full")
store.create_run(run("r1"))
"""


def test_what_is_written_while_the_process_ends_goes_into_no_other_file(tmp_path):
    notes = tmp_path / "notes.txt"
    subprocess.run([sys.executable, "-c", AT_EXIT, str(tmp_path / "runs.db"), str(notes)], check=True, timeout=60)
    assert notes.read_bytes() == b"done"
    store = SQLiteRunStore(tmp_path / "runs.db")
    assert [one.run_id for one in store.list_runs()] == ["r2", "r1"]
    store.close()
