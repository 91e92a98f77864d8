"""Bringing a backup back: never a mix of two histories, whatever lies there and whenever the process dies."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from neurocore import failpoints
from neurocore.errors import NeuroCoreError, StoreError, StoreInUse, StoreTooNew, UsageError
from neurocore.persistence import SQLiteRunStore, admin, schema
from neurocore.persistence.owners import Owners
from neurocore.persistence.restoring import restore
from neurocore.persistence.testing.contract import run
from tests.persistence.older import take_back

WRITE_AND_DIE = """
import os, signal, sys
from neurocore.persistence import SQLiteRunStore
from neurocore.persistence.testing.contract import run
store = SQLiteRunStore(sys.argv[1])
for number in range(int(sys.argv[2])):
    store.create_run(run(f"after{number}"))
os.kill(os.getpid(), signal.SIGKILL)
"""


def write_and_die(path: Path, count: int) -> None:
    """A process writes so many runs and is killed: what it wrote last is in the log alone."""
    command = [sys.executable, "-c", WRITE_AND_DIE, str(path), str(count)]
    assert subprocess.run(command, check=False).returncode == -9
    assert path.with_name(f"{path.name}-wal").stat().st_size > 0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A history, in a folder of its own."""
    path = tmp_path / "data" / "runs.db"
    store = SQLiteRunStore(path)
    store.create_run(run("before"))
    store.close()
    return path


@pytest.fixture
def good(path: Path, tmp_path: Path) -> Path:
    """A backup of it."""
    store = SQLiteRunStore(path)
    store.backup(tmp_path / "good.db")
    store.close()
    return tmp_path / "good.db"


def runs_of(path: Path) -> list[str]:
    store = SQLiteRunStore(path)
    try:
        assert admin.check(store).problems == []
        return sorted(one.run_id for one in store.list_runs(limit=1000))
    finally:
        store.close()


def images(folder: Path) -> dict[str, bytes]:
    return {str(one.relative_to(folder)): one.read_bytes() for one in folder.rglob("*") if one.is_file()}


# ---------------------------------------------------------------- a file in the place of another


@pytest.mark.parametrize("count", [1, 400])
@pytest.mark.parametrize("put", [shutil.copy, os.replace])
def test_a_backup_beside_the_log_of_another_file_is_refused_before_sqlite_opens_it(
    path: Path, good: Path, count: int, put: object
) -> None:
    write_and_die(path, count)
    assert callable(put)
    put(good, path)
    before = images(path.parent)
    for look in (SQLiteRunStore, admin.is_current, admin.schema_version):
        with pytest.raises(StoreError, match=r"runs.db-wal does not belong to the file .*neurocore db restore FILE"):
            look(path)
    assert images(path.parent) == before
    path.with_name("runs.db-wal").rename(path.with_name("old-wal"))
    assert runs_of(path) == ["before"]


@pytest.mark.parametrize("reach", ["link", "relative"])
def test_the_log_is_looked_for_beside_the_file_itself(
    path: Path, good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reach: str
) -> None:
    write_and_die(path, 1)
    shutil.copy(good, path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link.db").symlink_to(path)
    with pytest.raises(StoreError, match="does not belong to the file"):
        SQLiteRunStore({"link": Path("link.db"), "relative": Path("data/runs.db")}[reach])


def a_journal(path: Path, *, pages: int) -> bytes:
    """The rollback journal of a process that died while it wrote so many pages into a copy of the file."""
    copy = path.with_name("journalled.db")
    shutil.copy(path, copy)
    script = (
        "import os, signal, sqlite3, sys\n"
        "c = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "c.execute('PRAGMA cache_size = 1'); c.execute('BEGIN')\n"
        "c.execute('CREATE TABLE filling (x)')\n"
        f"[c.execute('INSERT INTO filling VALUES (zeroblob(3000))') for _ in range({pages})]\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(copy)], check=False)
    journal = copy.with_name("journalled.db-journal").read_bytes()
    for one in path.parent.glob("journalled.db*"):
        one.unlink()
    return journal


def test_a_backup_beside_the_journal_of_another_file_is_refused(path: Path, good: Path) -> None:
    path.unlink()
    shutil.copy(good, path)
    path.with_name("runs.db-journal").write_bytes(a_journal(path, pages=50))
    with pytest.raises(StoreError, match=r"runs.db-journal does not belong to the file"):
        SQLiteRunStore(path)
    restore(path, good)
    assert runs_of(path) == ["before"]


def test_a_backup_whose_first_opening_was_killed_at_any_moment_opens(path: Path, good: Path) -> None:
    """SQLite switches it to a log under a rollback journal, and this is its own."""
    script = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute('PRAGMA journal_mode = WAL')"
    for call in ("pwrite64", "fdatasync", "unlink"):
        for number in range(1, 7):
            for one in path.parent.glob("runs.db*"):
                shutil.rmtree(one) if one.is_dir() else one.unlink()
            shutil.copy(good, path)
            killed = ["strace", "-f", "-o", "/dev/null", "-e", f"inject={call}:signal=KILL:when={number}"]
            subprocess.run([*killed, sys.executable, "-c", script, str(path)], check=False, capture_output=True)
            assert runs_of(path) == ["before"], f"killed at {call} number {number}"


# ---------------------------------------------------------------- restore


def test_a_restore_brings_the_backup_back_and_keeps_what_was_there(path: Path, good: Path) -> None:
    write_and_die(path, 3)
    kept = restore(path, good)
    assert kept is not None
    assert kept.name.startswith("runs.db-before-2")
    assert runs_of(path) == ["before"]
    assert runs_of(kept / "runs.db") == ["after0", "after1", "after2", "before"]
    assert not path.with_name("runs.db-restoring").exists()
    assert good.exists()


def test_a_restore_can_be_taken_back_by_another_one(path: Path, good: Path) -> None:
    write_and_die(path, 1)
    kept = restore(path, good)
    assert kept is not None
    again = restore(path, kept / "runs.db")
    assert again not in (None, kept)
    assert runs_of(path) == ["after0", "before"]


def test_a_restore_works_where_nothing_or_nothing_sound_is(path: Path, good: Path, tmp_path: Path) -> None:
    assert restore(tmp_path / "new" / "runs.db", good) is None
    assert runs_of(tmp_path / "new" / "runs.db") == ["before"]
    write_and_die(path, 1)
    shutil.copy(good, path)
    assert restore(path, good) is not None
    path.write_bytes(b"no database" * 1000)
    assert restore(path, good) is not None
    assert runs_of(path) == ["before"]


def test_a_file_that_is_no_sound_history_is_refused_and_nothing_is_changed(
    path: Path, good: Path, tmp_path: Path
) -> None:
    (tmp_path / "text.db").write_text("no database\n" * 500)
    (tmp_path / "empty.db").touch()
    broken = bytearray(good.read_bytes())
    broken[8192:16384] = os.urandom(8192)
    (tmp_path / "broken.db").write_bytes(broken)
    with sqlite3.connect(tmp_path / "photos.db") as other:
        other.execute("CREATE TABLE photos (id)")
    other.close()
    shutil.copy(good, tmp_path / "newer.db")
    with sqlite3.connect(tmp_path / "newer.db") as newer:
        newer.execute(f"PRAGMA user_version = {schema.VERSION + 1}")
    newer.close()
    shutil.copy(good, tmp_path / "stale.db")
    (tmp_path / "stale.db-wal").write_bytes(b"x" * 5000)
    os.link(path, tmp_path / "same.db")
    before = images(path.parent)
    for name, kind in {
        "text.db": StoreError, "empty.db": StoreError, "broken.db": StoreError, "photos.db": StoreError,
        "newer.db": StoreTooNew, "stale.db": StoreError, "missing.db": UsageError, "same.db": UsageError,
        ".": UsageError,
    }.items():  # fmt: skip
        with pytest.raises(kind):
            restore(path, tmp_path / name)
        assert images(path.parent) == before, name
    assert not path.with_name("runs.db-restoring").exists()


def test_an_older_backup_is_brought_back_and_up_to_date(path: Path, good: Path) -> None:
    take_back(good, 1)
    restore(path, good)
    assert runs_of(path) == ["before"]


HOLD = """
import sys
from pathlib import Path
from neurocore.persistence.owners import (Owners)
Owners.beside(Path(sys.argv[1])).hold()
print("held", flush=True)
sys.stdin.read()
"""


def test_nothing_is_restored_while_a_process_drives_runs_or_writes(path: Path, good: Path) -> None:
    before = images(path.parent)
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(StoreInUse, match=f"cannot be replaced .*stop process {holder.pid} on "):
        restore(path, good)
    holder.kill()
    holder.communicate(timeout=30)
    shutil.rmtree(Owners.beside(path).folder)
    assert images(path.parent) == before


def test_who_has_the_history_open_notices_that_another_is_in_its_place(path: Path, good: Path) -> None:
    store = SQLiteRunStore(path)
    store.create_run(run("later"))
    kept = restore(path, good)
    with pytest.raises(StoreError, match="removed or replaced while in use"):
        store.create_run(run("lost"))
    store.close()
    assert kept is not None
    assert runs_of(path) == ["before"], "closing the old one must not touch the log of the new one"
    assert runs_of(kept / "runs.db") == ["before", "later"]


RESTORE = """
import sys
from pathlib import Path
from neurocore.persistence.restoring import restore
restore(Path(sys.argv[1]), Path(sys.argv[2]))
"""


def what_opens(path: Path) -> list[str] | str:
    """The runs, or the sentence with which the history is refused."""
    try:
        return runs_of(path)
    except NeuroCoreError as error:
        return str(error)


PLACES = ["restore.staged", *(f"restore.moved@{n}" for n in (1, 2, 3)), "restore.placed", "restore.kept"]


@pytest.mark.parametrize("twice", [False, True])
@pytest.mark.parametrize("place", PLACES)
def test_killed_anywhere_a_restore_leaves_one_history_whole_or_nothing_that_opens(
    path: Path, good: Path, place: str, twice: bool
) -> None:
    write_and_die(path, 2)
    command = [sys.executable, "-c", RESTORE, str(path), str(good)]
    environ = {**os.environ, failpoints.ENVIRONMENT: place}
    for _ in range(1 + twice):
        assert subprocess.run(command, check=False, env=environ).returncode in ((-9, 0) if twice else (-9,))
        found = what_opens(path)
        whole = found in (["before"], ["after0", "after1", "before"])
        assert whole or "was interrupted: finish it with `neurocore db restore FILE`" in found
    restore(path, good)
    assert runs_of(path) == ["before"]
    kept = [runs_of(one / "runs.db") for one in path.parent.glob("runs.db-before-*")]
    assert ["after0", "after1", "before"] in kept
    assert all(found in (["before"], ["after0", "after1", "before"]) for found in kept)
    assert not path.with_name("runs.db-restoring").exists()
