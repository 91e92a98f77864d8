"""The locks of processes that drive: what a look at them tells, whoever looks and whatever is in the way."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import resource
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from neurocore.errors import StoreError
from neurocore.persistence import SQLiteRunStore, owners
from neurocore.persistence.contract.ownership import Life
from neurocore.persistence.owners import Owners
from tests.locks import as_somebody_else, folder_of_everybody, in_another_process

HOLD = """
import sys
from pathlib import Path
from neurocore.persistence.owners import (Owners)
print(Owners(Path(sys.argv[1]), complete=True).hold(), flush=True)
sys.stdin.read()
"""


class Holder:
    """A process that holds a lock until it is told to end, or killed."""

    def __init__(self, folder: Path) -> None:
        command = [sys.executable, "-c", HOLD, str(folder)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.token = self.process.stdout.readline().strip()

    def end(self) -> None:
        self.process.communicate(timeout=30)

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate(timeout=30)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "runs.db-owners"


@pytest.fixture
def place(folder: Path) -> Owners:
    return Owners(folder, complete=True)


@pytest.fixture
def holder(folder: Path) -> Iterator[Holder]:
    made = Holder(folder)
    yield made
    made.kill()


def test_an_owner_lives_as_long_as_its_process_however_that_ends(folder: Path, place: Owners) -> None:
    for end in (Holder.end, Holder.kill):
        made = Holder(folder)
        assert place.probe(made.token).life is Life.ALIVE
        end(made)
        assert place.probe(made.token).life is Life.DEAD


def test_a_look_changes_nothing(folder: Path, place: Owners, holder: Holder) -> None:
    holder.kill()
    before = sorted(folder.iterdir())
    assert place.probe(holder.token).life is Life.DEAD
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EIO, errno.ESTALE, errno.EACCES, errno.EINTR])
def test_a_lock_that_cannot_be_tried_is_no_answer(
    place: Owners, holder: Holder, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    holder.kill()

    def refused(file: int, how: int) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched:
        patched.setattr(fcntl, "flock", refused)
        found = place.probe(holder.token)
    assert found.life is Life.UNKNOWN
    assert os.strerror(number) in found.reason
    assert place.probe(holder.token).life is Life.DEAD, "it ends when its cause does"


def a_link_to_itself(path: Path) -> None:
    path.symlink_to(path)


@pytest.mark.parametrize("make", [a_link_to_itself, Path.mkdir, os.mkfifo])
def test_what_is_no_lock_file_is_no_answer(place: Owners, folder: Path, make: Callable[[Path], None]) -> None:
    folder.mkdir()
    token = f"2-{uuid.uuid4().hex}"
    make(folder / f"{token}.lock")
    found = place.probe(token)
    assert found.life is Life.UNKNOWN
    assert token in found.reason


def test_a_missing_file_tells_something_only_in_a_folder_that_can_be_listed(folder: Path) -> None:
    database = folder.with_name("runs.db")
    database.touch()
    place = Owners.beside(database)
    token = place.hold()
    owners.let_go(driving=False)
    folder.rmdir()
    assert place.probe(token).life is Life.UNKNOWN, "nobody knows what was in the folder"
    folder.write_text("")
    assert place.probe(token).life is Life.UNKNOWN
    folder.unlink()
    folder.mkdir()
    assert place.probe(token).life is Life.DEAD
    assert Owners(folder).probe(token).life is Life.UNKNOWN, "other owners have their files elsewhere"
    assert place.probe("../../etc/passwd").life is Life.UNKNOWN


@pytest.fixture
def open_folder() -> Iterator[Path]:
    with folder_of_everybody() as made:
        yield made


def test_who_cannot_read_a_lock_or_list_its_folder_cannot_tell(open_folder: Path) -> None:
    place = Owners(open_folder / "owners", complete=True)
    held = Holder(place.folder)
    gone = f"2-{uuid.uuid4().hex}"
    lock = place.folder / f"{held.token}.lock"
    lock.chmod(0)
    place.folder.chmod(0o755)
    assert "cannot tell" in as_somebody_else(lambda: place.probe(held.token).life)
    assert as_somebody_else(lambda: place.probe(gone).life) == "dead"
    lock.chmod(0o644)
    assert as_somebody_else(lambda: place.probe(held.token).life) == "alive", "to read it is enough"
    place.folder.chmod(0o311)
    assert as_somebody_else(lambda: place.probe(gone).life) == "cannot tell"
    held.kill()


def test_out_of_descriptors_a_look_still_works(place: Owners, holder: Holder) -> None:
    gone = f"2-{uuid.uuid4().hex}"
    with no_descriptors_left():
        found = [place.probe(token).life for token in (holder.token, gone, holder.token)]
    assert found == [Life.ALIVE, Life.DEAD, Life.ALIVE]


def test_without_even_the_spare_descriptor_a_look_is_no_answer(place: Owners, holder: Holder) -> None:
    with no_descriptors_left():
        spare, owners._process.spare = owners._process.spare, None
        found = place.probe(holder.token)
    assert found.life is Life.UNKNOWN
    assert "Too many open files" in found.reason
    owners._process.spare = spare
    assert place.probe(holder.token).life is Life.ALIVE


@contextlib.contextmanager
def no_descriptors_left() -> Iterator[None]:
    """Within the block nothing can be opened any more."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken: list[int] = []
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, limits[1]))
        with contextlib.suppress(OSError):
            while True:
                taken.append(os.open(os.devnull, os.O_RDONLY))
        yield
    finally:
        for file in taken:
            os.close(file)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_a_process_that_cannot_hold_its_lock_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(file: int, how: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refused)
    with pytest.raises(StoreError, match="No lock can be held in"):
        Owners(tmp_path / "owners").hold()
    assert list((tmp_path / "owners").iterdir()) == [], "what is not locked must not look like a dead owner"


def test_an_owner_whose_file_was_removed_puts_it_back_and_lives_on(folder: Path, place: Owners) -> None:
    token = place.hold()
    for remove in ((folder / f"{token}.lock").unlink, lambda: shutil.rmtree(folder)):
        remove()
        place.keep()
        assert place.hold() == token
        assert in_another_process(lambda: place.probe(token).life) == "alive"
    owners.let_go(driving=False)
    assert in_another_process(lambda: place.probe(token).life) == "dead"


def test_who_begins_to_hold_removes_the_files_of_the_dead_alone(folder: Path, place: Owners, holder: Holder) -> None:
    dead = Holder(folder)
    dead.kill()
    assert (folder / f"{dead.token}.lock").exists()
    (folder / "notes.txt").write_text("not ours")
    token = place.hold()
    kept = {path.name for path in folder.iterdir()}
    owners.let_go(driving=False)
    assert kept == {f"{token}.lock", f"{holder.token}.lock", "notes.txt"}
    assert place.probe(holder.token).life is Life.ALIVE


def test_many_that_begin_at_once_are_all_seen_to_live(folder: Path, place: Owners) -> None:
    for _ in range(3):
        made = [Holder.__new__(Holder) for _ in range(6)]
        command = [sys.executable, "-c", HOLD, str(folder)]
        for one in made:
            one.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for one in made:
            assert one.process.stdout is not None
            one.token = one.process.stdout.readline().strip()
        assert [place.probe(one.token).life for one in made] == [Life.ALIVE] * len(made)
        for one in made:
            one.kill()


def test_a_process_that_ends_while_it_drives_leaves_its_file_where_a_missing_one_tells_nothing(folder: Path) -> None:
    place = Owners(folder)
    token = place.hold()
    assert not token.startswith("2-"), "older versions look at these locks too"
    owners.let_go(driving=True)
    assert place.probe(token).life is Life.DEAD
    token = place.hold()
    owners.let_go(driving=False)
    assert place.probe(token).life is Life.UNKNOWN


def test_a_lock_can_be_read_by_all_who_can_read_the_database(tmp_path: Path) -> None:
    for mode, lock_mode, folder_mode in ((0o600, 0o600, 0o700), (0o660, 0o640, 0o770), (0o664, 0o644, 0o775)):
        database = tmp_path / f"{mode:o}.db"
        database.touch()
        database.chmod(mode)
        place = Owners.beside(database)
        umask = os.umask(0o077)
        try:
            token = place.hold()
        finally:
            os.umask(umask)
        lock = (place.folder / f"{token}.lock").stat()
        owners.let_go(driving=False)
        assert (lock.st_mode & 0o777, place.folder.stat().st_mode & 0o777) == (lock_mode, folder_mode)
        assert (lock.st_uid, lock.st_gid) == (database.stat().st_uid, database.stat().st_gid)


def test_the_locks_are_beside_the_file_that_is_opened_however_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "real").mkdir()
    store = SQLiteRunStore(tmp_path / "real" / "runs.db")
    (tmp_path / "link.db").symlink_to("real/runs.db")
    (tmp_path / "alias").symlink_to("real")
    monkeypatch.chdir(tmp_path)
    named = [SQLiteRunStore(path) for path in (Path("link.db"), Path("alias/runs.db"), Path("real/../real/runs.db"))]
    found = {one.owners.folder for one in (store, *named) if isinstance(one.owners, Owners)}
    assert found == {tmp_path / "real" / "runs.db-owners"}
    for one in (store, *named):
        one.close()


def test_a_missing_folder_tells_nothing_unless_the_history_was_moved_without_it(tmp_path: Path) -> None:
    database = tmp_path / "a" / "runs.db"
    database.parent.mkdir()
    database.touch()
    place = Owners.beside(database)
    token = place.hold()
    shutil.rmtree(place.folder)
    assert in_another_process(lambda: place.probe(token).life) == "cannot tell"
    (tmp_path / "b").mkdir()
    moved = Owners.beside(database.rename(tmp_path / "b" / "runs.db"))
    assert in_another_process(lambda: moved.probe(token).life) == "dead"
    owners.let_go(driving=False)


def test_a_history_with_several_names_is_refused(tmp_path: Path) -> None:
    SQLiteRunStore(tmp_path / "runs.db").close()
    os.link(tmp_path / "runs.db", tmp_path / "other.db")
    for name in ("runs.db", "other.db"):
        with pytest.raises(StoreError, match="has several names"):
            SQLiteRunStore(tmp_path / name)
    (tmp_path / "other.db").unlink()
    SQLiteRunStore(tmp_path / "runs.db").close()
