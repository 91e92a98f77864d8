"""A copy of a history does nothing again that the original may still do: what was unfinished stands still there."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from neurocore import failpoints
from neurocore.drivers.dispatch import InlineDispatcher
from neurocore.drivers.sweep import liveness, sweep_once
from neurocore.errors import RefusedError, RunHeld, StoreError
from neurocore.persistence import InMemoryRunStore, RunStore, SQLiteRunStore, admin, migrate
from neurocore.persistence.records import Failure, FailureKind, Owed, RunStatus
from neurocore.persistence.restoring import restore
from neurocore.persistence.testing.contract import answer, at, event, found, give, run, waiting
from neurocore.persistence.transfer import export_history, import_history
from neurocore.runtime.executor import adopt_runs, cancel_run, decide_gate, delete_run, replay_run, resume_blueprint
from tests.locks import as_somebody_else, folder_of_everybody
from tests.persistence.json_store import JsonFolderStore
from tests.persistence.older import take_back
from tests.runtime.worlds import World, chain

TODAY = f"{datetime.now(UTC):%Y-%m-%d}"

#: What is unfinished in the history below, and what has ended for good.
UNFINISHED = {"lost", "waits", "decided", "failed", "owed"}
ENDED = {"completed", "cancelled", "rejected", "replay-only"}


def fill(store: RunStore) -> None:
    """A run of every kind."""
    store.save_run(run("lost", owner="gone@here:1", epoch=3))
    store.save_run(waiting("waits"))
    store.save_run(waiting("decided"))
    assert give(store, "decided", answer(), event=event())
    error = Failure(kind=FailureKind.ERROR, message='no: {"kind":"rejected",', node="rejected")
    store.save_run(run("failed", status=RunStatus.FAILED, failure=error, finished_at=at(3)))
    store.save_run(run("owed", status=RunStatus.FAILED, failure=error, owed=Owed.RESUME, finished_at=at(3)))
    store.save_run(run("completed", status=RunStatus.COMPLETED, finished_at=at(3)))
    store.save_run(run("cancelled", status=RunStatus.CANCELLED, finished_at=at(3)))
    rejected = Failure(kind=FailureKind.REJECTED, message="no: \ud800", node="review")
    store.save_run(run("rejected", status=RunStatus.FAILED, failure=rejected, finished_at=at(3)))
    store.save_run(run("replay-only", status=RunStatus.FAILED, replay_only="0.4 kept too little", finished_at=at(3)))


@pytest.fixture
def original(tmp_path: Path) -> Path:
    store = SQLiteRunStore(tmp_path / "original.db")
    fill(store)
    store.close()
    return tmp_path / "original.db"


def held_in(path: Path) -> dict[str, str]:
    """Which runs stand still, and why, by opening the file."""
    store = SQLiteRunStore(path)
    try:
        assert admin.check(store).problems == []
        return {one.run_id: one.held for one in store.list_runs() if one.held is not None}
    finally:
        store.close()


def backup(original: Path, target: Path) -> Path:
    store = SQLiteRunStore(original)
    store.backup(target)
    store.close()
    return target


def raw_copy(original: Path, target: Path) -> Path:
    return Path(shutil.copy(original, target))


def restored(original: Path, target: Path) -> Path:
    restore(target, original)
    return target


def vacuumed(original: Path, target: Path) -> Path:
    with contextlib.closing(sqlite3.connect(original)) as connection:
        connection.execute("VACUUM INTO ?", (str(target),))
    return target


HOW: dict[Callable[[Path, Path], Path], str] = {
    backup: f"this is a copy of a history (backup of {TODAY})",
    restored: f"this is a copy of a history (restored copy of {TODAY})",
    raw_copy: f"this is a copy of a history (found on {TODAY})",
    vacuumed: f"this is a copy of a history (found on {TODAY})",
}  # fmt: skip


@pytest.mark.parametrize("make", HOW)
def test_what_is_unfinished_stands_still_in_a_copy_and_says_why(
    original: Path, tmp_path: Path, make: Callable[[Path, Path], Path]
) -> None:
    copy = make(original, tmp_path / "copy.db")
    assert held_in(copy) == dict.fromkeys(UNFINISHED, HOW[make])
    store = SQLiteRunStore(copy)
    for run_id in UNFINISHED:
        (told,) = (one for one in store.load_events(run_id) if one.kind == "held")
        assert (told.who, told.known_by, told.data) == ("NeuroCore", "system", {"because": HOW[make]})
        assert found(store, run_id).owner is None
    assert all(not any(one.kind == "held" for one in store.load_events(run_id)) for run_id in ENDED)
    assert found(store, "lost").epoch == 4, "who drove the original writes nothing here"
    assert (store.active_runs(), store.list_gates(), store.count_open_gates()) == ([], [], 0)
    store.close()
    assert held_in(original) == {}, "the original goes on"


def test_in_a_copy_new_runs_work_and_what_was_adopted_stays_so(original: Path, tmp_path: Path) -> None:
    copy = backup(original, tmp_path / "copy.db")
    store = SQLiteRunStore(copy)
    store.create_run(waiting("new"))
    assert adopt_runs(["waits"], run_store=store, by="ann") == 1
    assert {entry.run.run_id for entry in store.list_gates()} == {"waits", "new"}
    store.close()
    assert held_in(copy).keys() == UNFINISHED - {"waits"}, "the copy is a history of its own now"
    assert held_in(backup(copy, tmp_path / "again.db")).keys() == UNFINISHED | {"new"}


@pytest.mark.parametrize("change", ["moved", "linked", "opened again", "written", "vacuumed in place"])
def test_moving_and_restarting_make_no_copy(original: Path, tmp_path: Path, change: str) -> None:
    path = original
    if change == "moved":
        (tmp_path / "elsewhere").mkdir()
        path = original.rename(tmp_path / "elsewhere" / "runs.db")
    elif change == "linked":
        path = tmp_path / "link.db"
        path.symlink_to(original)
    elif change == "written":
        store = SQLiteRunStore(original)
        for number in range(200):
            store.save_run(run(f"more{number}", status=RunStatus.COMPLETED))
        store.close()
    elif change == "vacuumed in place":
        with contextlib.closing(sqlite3.connect(original)) as connection:
            connection.execute("VACUUM")
    assert held_in(path) == {}
    store = SQLiteRunStore(path)
    assert {one.run_id for one in store.active_runs()} == {"lost", "decided", "owed"}
    store.close()


def test_a_history_of_an_older_version_has_its_home_where_it_is_brought_up(original: Path, tmp_path: Path) -> None:
    take_back(original, 2)
    assert held_in(original) == {}
    assert held_in(raw_copy(original, tmp_path / "copy.db")).keys() == UNFINISHED


def test_an_older_backup_that_is_restored_stands_still_as_well(original: Path, tmp_path: Path) -> None:
    take_back(original, 1)
    restore(tmp_path / "runs.db", original)
    assert held_in(tmp_path / "runs.db") == dict.fromkeys(UNFINISHED, HOW[restored])


def test_a_restored_backup_says_of_when_it_is(original: Path, tmp_path: Path) -> None:
    saved = backup(original, tmp_path / "saved.db")
    with contextlib.closing(sqlite3.connect(saved)) as connection:
        connection.execute("UPDATE history SET copied_at = 1764288000000000")
        connection.commit()
    restore(tmp_path / "runs.db", saved)
    assert set(held_in(tmp_path / "runs.db").values()) == {"this is a copy of a history (backup of 2025-11-28)"}


OPEN = """
import sys
from neurocore.persistence import SQLiteRunStore
sys.stdin.readline()
SQLiteRunStore(sys.argv[1]).close()
"""


def test_many_processes_that_open_a_copy_at_once_say_it_once(original: Path, tmp_path: Path) -> None:
    copy = backup(original, tmp_path / "copy.db")
    processes = [subprocess.Popen([sys.executable, "-c", OPEN, str(copy)], stdin=subprocess.PIPE) for _ in range(8)]
    for one in processes:
        one.communicate(b"\n", timeout=60)
    assert [one.returncode for one in processes] == [0] * 8
    store = SQLiteRunStore(copy)
    assert [one.kind for one in store.load_events("waits")] == ["held"]
    assert found(store, "lost").epoch == 4
    store.close()


def test_a_process_that_dies_while_it_notices_a_copy_leaves_it_to_the_next(original: Path, tmp_path: Path) -> None:
    copy = backup(original, tmp_path / "copy.db")
    environ = {**os.environ, failpoints.ENVIRONMENT: "migrate.before_commit"}
    killed = subprocess.run([sys.executable, "-c", OPEN, str(copy)], env=environ, input=b"\n", check=False)
    assert killed.returncode == -9
    assert held_in(copy).keys() == UNFINISHED


# ---------------------------------------------------------------- what may be done with it


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A project whose history is a copy: of a run at its gate, a lost one and a failed one."""

    class Death(Exception):
        pass

    def work(context: object) -> None:
        if getattr(context, "node_id", "") == "fails":
            raise ValueError("no")

    (tmp_path / "there").mkdir()
    first = World(tmp_path / "there")
    first.skill("work", work)
    first.run(chain("a", "approval: {name: ok}", "b"), run_id="waits")
    first.run(chain("a"), run_id="done")
    with contextlib.suppress(Exception):
        first.run(chain("fails"), run_id="failed")
    (tmp_path / "here" / "data").mkdir(parents=True)
    first.store.backup(tmp_path / "here" / "data" / "runs.db")
    first.store.close()
    made = World(tmp_path / "here")
    made.skill("work", lambda context: None)
    yield made
    made.store.close()


@pytest.mark.parametrize(
    "act",
    [
        lambda w: w.resume("waits"),
        lambda w: w.resume("waits", resume_data={"approved": True}),
        lambda w: w.resume("waits", take_over=True),
        lambda w: w.resume("failed"),
        lambda w: decide_gate("waits", approved=True, by="ann", run_store=w.store),
        lambda w: cancel_run("waits", run_store=w.store, by="ann", config=w.config),
        lambda w: resume_blueprint("failed", w.registry, w.config, run_store=w.store, latest=True),
    ],
)
def test_whatever_acts_on_a_run_that_stands_still_is_refused_in_one_sentence(
    world: World, act: Callable[[World], object]
) -> None:
    before = [world.record(run_id) for run_id in ("waits", "failed")]
    with pytest.raises(RunHeld) as told:
        act(world)
    run_id = "failed" if "failed" in str(told.value) else "waits"
    assert str(told.value) == (
        f"Run {run_id} is held: this is a copy of a history (backup of {TODAY}); "
        f"`neurocore db adopt {run_id}` lets it continue here."
    )
    assert [world.record(run_id) for run_id in ("waits", "failed")] == before
    assert world.calls == []


def test_a_run_that_stands_still_can_be_read_and_replayed_and_deleted_when_it_has_ended(world: World) -> None:
    assert world.record("waits").gates[0].status == "open"
    assert liveness(world.record("waits"), world.config, world.store) == "held"
    again = replay_run("waits", world.registry, world.config, run_store=world.store)
    assert again.metadata.suspended_at_node == "ok"
    assert world.record(again.metadata.run_id).held is None
    delete_run("failed", run_store=world.store, by="ann")
    with pytest.raises(RefusedError, match="only ended runs"):
        delete_run("waits", run_store=world.store, by="ann")


def test_a_run_that_is_adopted_goes_on_as_if_it_had_never_stood_still(world: World) -> None:
    assert adopt_runs(None, run_store=world.store, by="ann") == 2
    decide_gate("waits", approved=True, by="bea", run_store=world.store)
    dispatch = InlineDispatcher(world.registry, world.config, world.store)
    assert sweep_once(world.config, run_store=world.store, dispatch=dispatch).owed == ["waits"]
    world.resume("failed")
    assert {world.record(one).status for one in ("waits", "failed")} == {RunStatus.COMPLETED}
    kinds = [one.kind for one in world.record("waits").events]
    assert kinds == ["started", "held", "adopted", "answered"]
    assert [one.who for one in world.record("waits").events if one.kind == "adopted"] == ["ann"]
    assert world.record("waits").deaths == 0


# ---------------------------------------------------------------- what comes by an import


@pytest.mark.parametrize(
    "make", [lambda p: SQLiteRunStore(p / "runs.db"), lambda _: InMemoryRunStore(), lambda p: JsonFolderStore(p / "j")]
)
def test_what_is_unfinished_stands_still_after_an_import(
    original: Path, tmp_path: Path, make: Callable[[Path], RunStore]
) -> None:
    store = SQLiteRunStore(original)
    with (tmp_path / "runs.jsonl").open("w") as file:
        export_history(store, file)
    store.close()
    (tmp_path / "new").mkdir()
    other = make(tmp_path / "new")
    with (tmp_path / "runs.jsonl").open() as file:
        assert import_history(other, file).held == len(UNFINISHED)
    held = {one.run_id: one.held for one in other.list_runs() if one.held is not None}
    assert held == dict.fromkeys(UNFINISHED, f"it was imported on {TODAY}")
    with pytest.raises(RunHeld):
        other.claim("waits", owner="me@here:1", expected_epoch=0)
    assert other.active_runs() == []
    assert other.adopt_runs(None, event=event("adopted")) == len(UNFINISHED)
    assert {one.run_id for one in other.active_runs()} == {"lost", "decided", "owed"}
    other.close()


# ---------------------------------------------------------------- a copy that can only be read


@pytest.mark.parametrize("make", [backup, raw_copy])
def test_a_copy_that_can_only_be_read_is_read_and_stands_still(
    original: Path, make: Callable[[Path, Path], Path]
) -> None:
    with folder_of_everybody() as folder:
        copy = make(original, folder / "copy.db")
        with contextlib.closing(sqlite3.connect(copy)) as connection:
            connection.execute("PRAGMA journal_mode = DELETE")
        copy.chmod(0o444)
        folder.chmod(0o555)
        answered = as_somebody_else(lambda: look(copy))
        folder.chmod(0o755)
    assert answered == f"{sorted(UNFINISHED)} [] 0 [] {len(UNFINISHED)} StoreError StoreError"


def look(copy: Path) -> str:
    """What a user finds who may only read, and what comes of acting."""
    store = SQLiteRunStore(copy)
    held = sorted(one.run_id for one in store.list_runs() if one.held is not None)
    came = []
    for act in (
        lambda: store.claim("waits", owner="me@here:1", expected_epoch=0),
        lambda: store.create_run(run("new")),
    ):
        try:
            act()
        except StoreError as error:
            came.append(type(error).__name__)
    return (
        f"{held} {store.active_runs()} {store.count_open_gates()} {store.list_gates()} {store.count_held_runs()} "
        f"{' '.join(came)}"
    )


def test_a_copy_that_could_only_be_read_stands_still_before_the_first_write(original: Path, tmp_path: Path) -> None:
    copy = raw_copy(original, tmp_path / "copy.db")
    store = SQLiteRunStore(original)
    store.database.copy = "this is a copy of a history (found on 2026-11-28)"  # as if it could only be read until now
    with contextlib.closing(sqlite3.connect(original)) as connection:
        connection.execute("UPDATE history SET home = 'another file'")
        connection.commit()
    store.create_run(run("new"))
    assert store.database.copy is None
    assert {one.run_id for one in store.list_runs() if one.held is not None} == UNFINISHED
    store.close()
    assert migrate.is_current(copy)
