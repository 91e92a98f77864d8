"""Full disks, read-only places, damage, newer files, files that vanish: one sentence, and nothing half written."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from neurocore.errors import NeuroCoreError, StoreError, StoreTooNew
from neurocore.persistence import RunFilter, SQLiteRunStore, database
from neurocore.persistence.admin import check
from neurocore.persistence.testing.contract import answer, event, found, gate, give, run, step, turn, waiting

pytestmark = pytest.mark.system
ROOT = Path(__file__).resolve().parents[2]


def filled(path: Path, count: int = 20) -> None:
    store = SQLiteRunStore(path)
    for number in range(count):
        store.create_run(waiting(f"r{number:02}", minute=number, title=f"Payments {number}", tags=["x"]))
        store.save_step(step(f"r{number:02}", 0, sets={"a": list(range(50))}))
    give(store, "r03", answer(), event=event())
    store.close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def one_sentence(error: BaseException) -> str:
    sentence = str(error)
    assert "\n" not in sentence
    assert sentence.endswith("."), sentence
    assert len(sentence) < 400
    assert "locked" not in sentence
    return sentence


# -------------------------------------------------------------------- a full disk

FILL = """
import sys
from pathlib import Path
from neurocore.errors import StoreError
from neurocore.persistence import SQLiteRunStore
from neurocore.persistence.admin import check
from neurocore.persistence.records import (Transition)
from neurocore.persistence.testing.contract import found, run, step, turn

folder = Path(sys.argv[1])
(folder / "ballast").write_bytes(b"x" * 400_000)
store = SQLiteRunStore(folder / "runs.db", durability=sys.argv[2])
store.create_run(run("r1"))
store.claim("r1", owner="me@here:1", expected_epoch=0)
mine, written, told = found(store, "r1"), 0, set()
for index in range(2000):
    mine.nodes_done = index + 1
    try:
        store.commit(turn(mine, steps=[step("r1", index, sets={f"k{index}": "y" * 5000})], sync=index % 3 == 0))
        written += 1
    except StoreError as error:
        told.add(str(error))
        break
try:
    store.create_run(run("r2", initial_data={"big": "z" * 200_000}))
except StoreError as error:
    told.add(str(error))
assert len(store.load_steps("r1")) == found(store, "r1").nodes_done == written, "half a commit was kept"
assert store.load_run("r2") is None
(folder / "ballast").unlink()
store.commit(turn(mine, steps=[step("r1", written, sets={"after": 1})]))
assert found(store, "r1").nodes_done == written + 1
assert check(store).problems == []
store.close()
again = SQLiteRunStore(folder / "runs.db")
assert len(again.load_steps("r1")) == written + 1
print(written)
print(*told, sep="\\n")
"""

NO_ROOM = """
import sys
from pathlib import Path
from neurocore.errors import StoreError
from neurocore.persistence import SQLiteRunStore

folder = Path(sys.argv[1])
with (folder / "ballast").open("wb", buffering=0) as out:
    try:
        while True:
            out.write(b"x" * 4096)
    except OSError:
        pass
try:
    SQLiteRunStore(folder / "runs.db")
except StoreError as error:
    print(error)
(folder / "ballast").unlink(missing_ok=True)
SQLiteRunStore(folder / "runs.db").close()
"""


CUT_SHORT = """
import resource, sys
from pathlib import Path
from neurocore.errors import StoreError
from neurocore.persistence import SQLiteRunStore
from neurocore.persistence.admin import check
from neurocore.persistence.records import (Transition)
from neurocore.persistence.testing.contract import found, run, step, turn

store = SQLiteRunStore(Path(sys.argv[1]) / "runs.db", durability=sys.argv[2])
store.create_run(run("r1"))
store.claim("r1", owner="me@here:1", expected_epoch=0)
mine, written = found(store, "r1"), 0
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, hard))
while True:
    mine.nodes_done = written + 1
    try:
        store.commit(turn(mine, steps=[step("r1", written, sets={f"k{written}": "y" * 5000})]))
        written += 1
    except StoreError as error:
        print(error)
        break
assert len(store.load_steps("r1")) == found(store, "r1").nodes_done == written, "half a commit was kept"
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
store.commit(turn(mine, steps=[step("r1", written, sets={"after": 1})]))
assert found(store, "r1").nodes_done == written + 1
assert check(store).problems == []
store.close()
print(written)
"""


@pytest.mark.parametrize("durability", ["normal", "full"])
def test_a_file_that_may_not_grow_stops_a_run_with_one_sentence_and_no_half_commit(tmp_path, durability):
    # What a full disk does, on machines too that let nobody mount a small one.
    told = subprocess.run(
        [sys.executable, "-c", CUT_SHORT, str(tmp_path), durability], capture_output=True, text=True, check=False,
        cwd=ROOT,
    )  # fmt: skip
    assert told.returncode == 0, told.stderr
    sentence, written = told.stdout.splitlines()
    assert int(written) > 20
    assert sentence.endswith(".")
    assert str(tmp_path / "runs.db") in sentence
    assert "nothing was written" in sentence


def on_small_disk(folder: Path, script: str, size: str, *arguments: str) -> str:
    """The output of a script on a tmpfs of that size, mounted in a namespace of its own."""
    (folder / "script.py").write_text(script)
    disk = folder / "disk"
    disk.mkdir()
    inside = (
        f'mount -t tmpfs -o size={size} tmpfs "{disk}" && exec "{sys.executable}" "{folder / "script.py"}" "{disk}" '
        + " ".join(arguments)
    )
    for namespace in (["unshare", "--mount"], ["unshare", "--map-root-user", "--mount"]):
        if (
            shutil.which("unshare")
            and subprocess.run([*namespace, "true"], capture_output=True, check=False).returncode == 0
        ):
            told = subprocess.run(
                [*namespace, "sh", "-c", inside], capture_output=True, text=True, check=False, cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )  # fmt: skip
            if "mount:" not in told.stderr:
                assert told.returncode == 0, told.stderr
                return told.stdout
    pytest.skip("this machine lets nobody mount a small disk")


@pytest.mark.parametrize("durability", ["normal", "full"])
def test_a_full_disk_stops_a_run_with_one_sentence_and_no_half_commit(tmp_path, durability):
    written, *told = on_small_disk(tmp_path, FILL, "2m", durability).splitlines()
    assert int(written) > 20
    assert told, "the disk was never full"
    for sentence in told:
        assert sentence.startswith("The disk of ")
        assert "nothing was written" in sentence


def test_a_disk_without_room_for_a_new_history_is_told_and_a_later_try_succeeds(tmp_path):
    (sentence,) = on_small_disk(tmp_path, NO_ROOM, "1m").splitlines()
    assert sentence.startswith("The disk of ")


# -------------------------------------------------------------------- read-only places

LOOK = """
import os, sys
from neurocore.errors import StoreError
from neurocore.persistence import SQLiteRunStore
from neurocore.persistence.testing.contract import run, turn

if os.getuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
try:
    store = SQLiteRunStore(sys.argv[1])
    if sys.argv[2] == "read":
        print(len(store.list_runs()))
    else:
        store.create_run(run("new"))
        print("written")
except StoreError as error:
    print(error)
"""


@pytest.fixture
def public():
    """A folder that another user can reach."""
    folder = Path(tempfile.mkdtemp(prefix="store-"))
    folder.chmod(0o755)
    yield folder
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755)
    shutil.rmtree(folder)


def as_another_user(path: Path, action: str) -> str:
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", LOOK, str(path), action]
    told = subprocess.run(command, capture_output=True, text=True, check=False, env=environ, cwd="/")
    if "Permission denied" in told.stderr and "python" in told.stderr:
        pytest.skip("another user cannot run this Python")
    assert told.returncode == 0, told.stderr
    return told.stdout.strip()


def test_a_read_only_folder_is_said(public):
    public.chmod(0o555)
    sentence = as_another_user(public / "runs.db", "write")
    assert "cannot be opened" in sentence
    assert sentence.endswith(".")
    sentence = as_another_user(public / "below" / "runs.db", "write")
    assert "cannot be opened: Permission denied." in sentence


def test_a_read_only_file_is_said_when_something_is_written(public):
    filled(public / "runs.db")
    (public / "runs.db").chmod(0o444)
    public.chmod(0o555)
    sentence = as_another_user(public / "runs.db", "write")
    assert "read-only for this user" in sentence or "cannot be opened" in sentence
    with contextlib.closing(SQLiteRunStore(public / "runs.db")) as store:
        assert len(store.list_runs()) == 20


def test_a_folder_in_the_place_of_the_file_or_a_file_in_the_place_of_the_folder(tmp_path):
    (tmp_path / "runs.db").mkdir()
    with pytest.raises(StoreError, match="cannot be opened") as told:
        SQLiteRunStore(tmp_path / "runs.db")
    one_sentence(told.value)
    (tmp_path / "data").write_text("")
    with pytest.raises(StoreError, match="cannot be opened") as told:
        SQLiteRunStore(tmp_path / "data" / "runs.db")
    one_sentence(told.value)


# -------------------------------------------------------------------- damage


@pytest.mark.parametrize(
    "content", [b"no database, but text\n" * 400, os.urandom(40_000), b"SQLite format 3\0" + b"\xff" * 5000]
)
def test_a_file_that_is_no_database_is_left_alone(tmp_path, content):
    path = tmp_path / "runs.db"
    path.write_bytes(content)
    with pytest.raises(StoreError, match="is damaged or not a NeuroCore database") as told:
        SQLiteRunStore(path)
    assert str(path) in one_sentence(told.value)
    assert path.read_bytes() == content


def test_the_database_of_another_program_is_left_alone(tmp_path):
    path = tmp_path / "runs.db"
    for statements in (
        "CREATE TABLE photos (id)",
        "CREATE TABLE runs (id); CREATE TABLE steps (id)",
        "PRAGMA application_id = 7; PRAGMA user_version = 1",
        "CREATE TABLE photos (id); PRAGMA user_version = 1",
    ):
        path.unlink(missing_ok=True)
        with sqlite3.connect(path) as connection:
            connection.executescript(statements)
        connection.close()
        before = path.read_bytes()
        with pytest.raises(StoreError, match="not a NeuroCore database") as told:
            SQLiteRunStore(path)
        one_sentence(told.value)
        assert path.read_bytes() == before
        assert [one.name for one in tmp_path.iterdir()] == ["runs.db"]


def test_an_empty_file_becomes_a_history(tmp_path):
    (tmp_path / "runs.db").touch()
    store = SQLiteRunStore(tmp_path / "runs.db")
    store.create_run(run("r1"))
    store.close()


def test_a_newer_schema_is_refused_with_what_to_install(tmp_path):
    path = tmp_path / "runs.db"
    filled(path)
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(
        StoreTooNew, match=r"newer NeuroCore \(schema 99, this one knows \d+\).* pip install --upgrade"
    ) as told:
        SQLiteRunStore(path)
    one_sentence(told.value)
    assert path.read_bytes() == before


def everything(store: SQLiteRunStore) -> None:
    """Ask whatever a page asks."""
    for one in store.page_runs(RunFilter(text="Pay"), limit=50).runs:
        store.load_run(one.run_id)
    for number in range(20):
        run_id = f"r{number:02}"
        whole = store.load_run(run_id)
        store.load_steps(run_id)
        store.load_context(run_id)
        store.step_summaries(run_id)
        if whole is not None:
            [one.values for one in whole.gates]
    store.list_gates()
    store.status_counts()
    store.blueprint_counts()
    store.day_counts(since="2026-01-01")
    store.find_runs("r")
    store.active_runs()


def test_damage_anywhere_is_told_in_a_sentence(tmp_path):
    sound = tmp_path / "sound.db"
    filled(sound)
    content = sound.read_bytes()
    chance = random.Random(11)
    told: set[str] = set()
    for _ in range(150):
        spoiled = bytearray(content)
        for _ in range(chance.choice((1, 3, 40))):
            place = chance.randrange(100, len(spoiled))
            spoiled[place] = chance.randrange(256)
        if chance.random() < 0.2:
            del spoiled[chance.randrange(len(spoiled)) :]
        path = tmp_path / "runs.db"
        path.write_bytes(spoiled)
        try:
            store = SQLiteRunStore(path)
            try:
                everything(store)
                check(store)
            finally:
                store.close()
        except NeuroCoreError as error:
            told.add(one_sentence(error))
    assert any("is damaged" in sentence for sentence in told), told


# -------------------------------------------------------------------- files that vanish, and others who hold them


@pytest.mark.parametrize("how", ["removed", "replaced", "moved"])
def test_a_file_that_vanishes_under_a_running_process_is_noticed(tmp_path, how):
    path = tmp_path / "runs.db"
    store = SQLiteRunStore(path)
    store.create_run(run("r1"))
    mine = found(store, "r1")
    if how == "moved":
        path.rename(tmp_path / "elsewhere.db")
    else:
        path.unlink()
    if how == "replaced":
        SQLiteRunStore(path).close()
    for action in (
        store.list_runs,
        lambda: store.create_run(run("r2")),
        lambda: store.commit(turn(mine, steps=[step("r1", 0)])),
    ):
        with pytest.raises(StoreError, match="was removed or replaced while in use") as told:
            action()
        one_sentence(told.value)
    store.close()
    if how == "replaced":
        with contextlib.closing(SQLiteRunStore(path)) as new:
            assert new.list_runs() == []


def test_another_program_that_never_lets_go_is_told_without_the_word_locked(tmp_path, monkeypatch):
    monkeypatch.setattr(database, "PATIENCE", 0.2)
    monkeypatch.setattr(database, "BUSY_MS", 50)
    store = SQLiteRunStore(tmp_path / "runs.db")
    other = sqlite3.connect(store.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="was kept in use by another program") as told:
        store.create_run(run("r1"))
    one_sentence(told.value)
    other.execute("ROLLBACK")
    other.close()
    store.create_run(run("r1"))
    store.close()


def test_a_closed_store_says_so(tmp_path):
    store = SQLiteRunStore(tmp_path / "runs.db")
    store.close()
    store.close()
    with pytest.raises(StoreError, match="was closed; open it again"):
        store.list_runs()
    with pytest.raises(StoreError, match="was closed; open it again"):
        store.create_run(run("r1"))


def test_a_thread_that_waits_for_the_lock_is_not_left_behind_by_an_error(tmp_path):
    store = SQLiteRunStore(tmp_path / "runs.db")
    store.create_run(run("r1", gates=[gate("r1")]))
    for _ in range(3):
        with pytest.raises(ValueError, match="exists already"):
            store.create_run(run("r1"))
    done = threading.Thread(target=lambda: store.create_run(run("r2")))
    done.start()
    done.join(10)
    assert not done.is_alive(), "an error kept the write lock"
    store.close()


@pytest.mark.parametrize("spoil", ["text", "newer", "folder"])
def test_the_command_line_prints_the_sentence_and_no_traceback(tmp_path, spoil):
    path = tmp_path / "data" / "runs.db"
    path.parent.mkdir()
    (tmp_path / "neurocore.yaml").write_text("project: {name: troubled}\n")
    if spoil == "text":
        path.write_text("text " * 4000)
    elif spoil == "folder":
        path.mkdir()
    else:
        filled(path)
        with sqlite3.connect(path) as connection:
            connection.execute("PRAGMA user_version = 99")
        connection.close()
    command = [sys.executable, "-m", "neurocore", "runs", "list"]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    told = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, env=environ)
    assert told.returncode != 0
    assert told.stdout == ""
    assert "Traceback" not in told.stderr
    assert "The run history" in told.stderr
