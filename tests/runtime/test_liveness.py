"""Whether a run is driven: by the lock of its owner, with three answers, wherever that lock is."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock
from msgspec import structs

from neurocore import FlowContext
from neurocore.drivers.dispatch import InlineDispatcher
from neurocore.drivers.sweep import SweepReport, liveness, sweep_once
from neurocore.errors import DriverUnknown, Interruption, StoreError
from neurocore.persistence import SQLiteRunStore
from neurocore.persistence.records import Owed
from neurocore.runs.actions import actions
from neurocore.runtime.executor import cancel_run
from tests.locks import nobody_can_look_at
from tests.persistence.json_store import JsonFolderStore
from tests.runtime.worlds import World, chain


class Death(Interruption):
    """What ends a process, as its run sees it."""


@pytest.fixture
def dead(world: World) -> str:
    """A run whose process died in its first step; the next one ends it."""

    def work(context: FlowContext) -> None:
        if len(world.calls) == 1:
            raise Death

    world.skill("work", work)
    with pytest.raises(Death):
        world.run(chain("a"))
    return world.only_run().run_id


def owned_by(world: World, run_id: str, owner: str, **more: object) -> None:
    world.store.save_run(structs.replace(world.record(run_id), owner=owner, **more))


def state(world: World, run_id: str) -> str:
    return liveness(world.record(run_id), world.config, world.store)


def swept(world: World) -> SweepReport:
    dispatch = InlineDispatcher(world.registry, world.config, world.store)
    return sweep_once(world.config, run_store=world.store, dispatch=dispatch)


def test_a_run_is_left_alone_while_nobody_can_tell_whether_its_process_lives(world: World, dead: str) -> None:
    owner, file = nobody_can_look_at(world.store.owners)
    owned_by(world, dead, owner)
    before = world.record(dead)
    assert state(world, dead) == "cannot_tell"
    found = swept(world)
    assert (found.left, found.lost, found.owed) == ([dead], [], [])
    assert not found, "nothing was done"
    with pytest.raises(DriverUnknown, match=f"cannot tell whether .*resume {dead} --take-over"):
        world.resume(dead)
    assert "cannot tell" in (actions(before, world.config, world.store)["resume"] or "")
    assert world.record(dead) == before
    file.unlink()
    assert state(world, dead) == "lost", "it ends when its cause does"
    assert swept(world).lost == [dead]
    assert world.record(dead).status == "completed"


def test_a_run_can_be_taken_over_from_an_owner_that_nobody_can_look_at(world: World, dead: str) -> None:
    owner, _ = nobody_can_look_at(world.store.owners)
    owned_by(world, dead, owner)
    world.resume(dead, take_over=True)
    run = world.record(dead)
    assert (run.status, run.deaths) == ("completed", 0)
    (taken,) = (event.data for event in run.events if event.kind == "taken_over")
    assert taken == {"from": "process 4711 on elsewhere", "because": "take-over"}


def test_a_run_whose_owner_nobody_can_look_at_is_asked_to_stop_and_no_more(world: World, dead: str) -> None:
    owner, _ = nobody_can_look_at(world.store.owners)
    owned_by(world, dead, owner)
    run = cancel_run(dead, run_store=world.store, by="ann", config=world.config)
    assert (run.status, run.cancel_requested, run.owner) == ("running", "ann", owner)


def test_that_it_cannot_be_told_is_logged_once_for_each_owner_and_reason(
    world: World, dead: str, caplog: pytest.LogCaptureFixture
) -> None:
    owner, file = nobody_can_look_at(world.store.owners)
    owned_by(world, dead, owner)
    with caplog.at_level(logging.WARNING, "neurocore"):
        for _ in range(3):
            swept(world)
        file.unlink()
        file.mkdir()
        for _ in range(3):
            swept(world)
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2
    assert all(dead in text and file.name in text and "left alone" in text for text in said)
    assert "Too many levels of symbolic links" in said[0]
    assert "is not a file" in said[1]


def test_an_owner_of_a_kind_that_is_not_known_is_no_dead_one(world: World, dead: str) -> None:
    owned_by(world, dead, "3-whatever@here:1")
    assert state(world, dead) == "cannot_tell"
    assert swept(world).left == [dead]


def test_a_process_that_cannot_hold_its_lock_drives_nothing(world: World) -> None:
    world.skill("work")
    Path(f"{world.config.runs_db_path}-owners").write_text("no folder")
    with pytest.raises(StoreError, match="No lock can be held"):
        world.run(chain("a"))
    assert (world.calls, world.store.list_runs()) == ([], [])


def test_a_driver_whose_lock_somebody_removed_holds_it_again_before_its_next_claim(world: World) -> None:
    world.skill("work")
    first = world.run(chain("approval: {name: ok}")).metadata.run_id
    shutil.rmtree(f"{world.config.runs_db_path}-owners")
    lives = []

    def look(context: FlowContext) -> None:
        run = world.record(context.metadata.run_id)
        lives.append(subprocess.run(
            [sys.executable, "-c", LOOK, str(world.config.runs_db_path), str(run.owner)],
            capture_output=True, text=True, check=True,
        ).stdout.strip())  # fmt: skip

    world.skill("look", look)
    world.run(chain("a", types="look"))
    assert lives == ["alive"]
    assert world.record(first).status == "suspended"


LOOK = """
import sys
from pathlib import Path
from neurocore.persistence.owners import (Owners)
print(Owners.beside(Path(sys.argv[1])).probe(sys.argv[2].partition("@")[0]).life)
"""


# ---------------------------------------------------------------- locks in a data folder, as they were before


@pytest.fixture
def older(world: World) -> Iterator[tuple[str, Path]]:
    """A living process whose lock is in the data folder, as older versions have it: its owner, and the file."""
    token = uuid.uuid4().hex
    path = world.config.data_dir / "owners" / f"{token}.lock"
    path.parent.mkdir()
    with FileLock(path):
        yield f"{token}@here:{os.getpid()}", path


def test_a_living_owner_of_the_first_form_is_found_in_the_data_folder(
    world: World, dead: str, older: tuple[str, Path]
) -> None:
    owned_by(world, dead, older[0])
    assert state(world, dead) == "driven"
    assert not swept(world)
    assert world.record(dead).status == "running"


def test_a_dead_owner_of_the_first_form_is_lost_with_or_without_its_file(
    world: World, dead: str, older: tuple[str, Path]
) -> None:
    for name in ("killed", "removed"):
        token = uuid.uuid4().hex
        if name == "killed":
            (older[1].parent / f"{token}.lock").touch()
        owned_by(world, dead, f"{token}@here:1")
        assert state(world, dead) == "lost", name
    assert swept(world).lost == [dead]


@pytest.fixture
def elsewhere(world: World, tmp_path: Path) -> World:
    """The same history, seen from a project that has another data folder."""
    (tmp_path / "b").mkdir()
    other = World.__new__(World)
    other.__dict__.update(world.__dict__)
    persistence = structs.replace(world.config.persistence, path=str(world.config.runs_db_path))
    other.config = structs.replace(world.config, project_root=tmp_path / "b", persistence=persistence)
    other.config.data_dir.mkdir()
    return other


def test_an_owner_of_the_first_form_is_found_beside_the_database_too(
    elsewhere: World, dead: str, older: tuple[str, Path]
) -> None:
    owned_by(elsewhere, dead, older[0])
    assert state(elsewhere, dead) == "driven"


def test_an_owner_of_the_first_form_may_be_in_a_data_folder_that_is_not_known_here(elsewhere: World, dead: str) -> None:
    owned_by(elsewhere, dead, f"{uuid.uuid4().hex}@here:1")
    assert state(elsewhere, dead) == "cannot_tell"
    assert swept(elsewhere).left == [dead]
    owned_by(elsewhere, dead, f"{uuid.uuid4().hex}@here:1", owed=Owed.RESUME)
    assert state(elsewhere, dead) == "owed", "it gave the run back before it ended"
    assert swept(elsewhere).owed == [dead]


def test_two_projects_with_one_database_see_each_others_locks(world: World, elsewhere: World) -> None:
    script = [sys.executable, "-c", HOLD_AND_CLAIM, str(world.config.runs_db_path)]
    world.run(chain("approval: {name: ok}"), run_id="theirs")
    with subprocess.Popen(script, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "claimed\n"
        assert state(elsewhere, "theirs") == "driven"
        process.kill()
    assert state(elsewhere, "theirs") == "lost"


HOLD_AND_CLAIM = """
import sys
from neurocore.config import NeuroCoreConfig
from neurocore.persistence import SQLiteRunStore
from neurocore.persistence.ownership import owner_of_this_process
store = SQLiteRunStore(sys.argv[1])
owner = owner_of_this_process(NeuroCoreConfig(), store)
assert store.claim("theirs", owner=owner, expected_epoch=store.load_run("theirs").epoch)
print("claimed", flush=True)
sys.stdin.read()
"""


# ---------------------------------------------------------------- stores without a file


def test_where_a_store_has_no_file_a_missing_lock_tells_nothing(world: World, dead: str, tmp_path: Path) -> None:
    run, steps = world.record(dead), world.store.load_steps(dead)
    world.store.close()
    world.store = JsonFolderStore(tmp_path / "json")  # type: ignore[assignment]
    world.store.save_run(structs.replace(run, owner=f"{uuid.uuid4().hex}@here:1"))
    for step in steps:
        world.store.save_step(step)
    assert state(world, dead) == "cannot_tell"
    folder = world.config.data_dir / "owners"
    folder.mkdir()
    assert state(world, dead) == "cannot_tell"
    token = uuid.uuid4().hex
    (folder / f"{token}.lock").touch()
    owned_by(world, dead, f"{token}@here:1")
    assert state(world, dead) == "lost"
    world.store = SQLiteRunStore(world.config.runs_db_path)
