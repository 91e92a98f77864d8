"""The locks of the processes that drive runs: a folder with one file for each of them.

A process that drives holds the lock of its own file for as long as it lives, and the operating system releases it when
the process dies. Another process finds out by trying for a shared lock on the same file: no process id and no clock
takes part. A lock that cannot be tried is no answer, so there are three: alive, dead, and cannot tell.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import re
import socket
import stat
import threading
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path

from msgspec import Struct

from neurocore import files
from neurocore.errors import StoreError
from neurocore.persistence.contract.ownership import Life, Probe

_SUFFIX = ".lock"
#: What `Owners.hold` makes up. Before the locks lay beside the database, a token had no `2-`.
_TOKEN = re.compile("(2-)?[0-9a-f]{32}")
_SECOND = "2-"
_TRIES = 5


class Lock(Struct, kw_only=True):
    """The lock that this process holds in a folder. `files` are open and locked; the last one is at `path`."""

    pid: int
    token: str
    path: Path
    files: list[int]
    complete: bool


class _Process:
    """What this process holds. `spare` is a descriptor to give up for a look at a lock when there is no other left."""

    def __init__(self) -> None:
        self.guard = threading.RLock()
        self.locks: dict[Path, Lock] = {}
        self.spare: int | None = None

    def keep_spare(self) -> None:
        if self.spare is None:
            with contextlib.suppress(OSError):
                self.spare = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)

    @contextlib.contextmanager
    def one_more(self) -> Iterator[None]:
        """Within the block there is one more descriptor to open than the process has left."""
        with self.guard:
            if self.spare is not None:
                os.close(self.spare)
                self.spare = None
            try:
                yield
            finally:
                self.keep_spare()


_process = _Process()


class Owners:
    """One folder of locks.

    `database` is the SQLite file that the locks belong to: they lie beside it, and get its owner and its permissions.
    Without one, `mode` gives the permissions. `complete` says that every owner has its file here for as long as it
    lives, so that a missing file means that it is dead.
    """

    def __init__(
        self, folder: Path, *, database: Path | None = None, mode: int = files.PRIVATE, complete: bool = False
    ) -> None:
        self.folder = folder
        self.complete = complete
        self._database = database
        self._mode = mode
        _process.keep_spare()

    @classmethod
    def beside(cls, database: Path) -> Owners:
        """The locks of those who drive runs of a SQLite file, however that is named: beside the file itself."""
        real = Path(os.path.realpath(database))
        return cls(real.with_name(f"{real.name}-owners"), database=real, complete=True)

    # ---------------------------------------------------------------- holding

    def hold(self) -> str:
        """Hold this process's lock here from the first call on; returns its token.

        A file that somebody removed meanwhile is put back. Raises StoreError when the lock cannot be held: a process
        whose life cannot be seen must not drive.
        """
        with _process.guard:
            held = _process.locks.get(self.folder)
            if held is not None and held.pid == os.getpid() and _is_at(held.files[-1], held.path):
                return held.token
            try:
                if held is None or held.pid != os.getpid():
                    self._make_folder()
                    held = self._locked(self._new_token())
                    _process.locks[self.folder] = held
                    self._remove_dead()
                else:
                    self._make_folder()  # the first file stays locked: somebody may have it open
                    held.files += self._locked(held.token).files
            except OSError as error:
                raise StoreError(
                    f"No lock can be held in {self.folder} ({error.strerror or error}), and a process that drives runs "
                    f"needs one; let this user write there{'' if self._database else ', or set paths.data'}."
                ) from error
            return held.token

    def keep(self) -> None:
        """Put this process's lock file back if it holds one here and somebody removed it. Raises as `hold` does."""
        if self.folder in _process.locks:
            self.hold()

    def is_held(self, token: str) -> bool:
        """Whether this is the token of this process."""
        held = _process.locks.get(self.folder)
        return held is not None and held.pid == os.getpid() and held.token == token

    def _new_token(self) -> str:
        """Beside a database, a token says where its lock is: a history may be moved without its folder."""
        chance = uuid.uuid4().hex
        return f"{_SECOND}{self._place()}{chance[8:]}" if self._database is not None else chance

    def _place(self) -> str:
        return hashlib.sha256(os.fsencode(self.folder)).hexdigest()[:8]

    def _locked(self, token: str) -> Lock:
        """A new lock file, locked. Who removes dead files may remove it before it is locked: then there is another."""
        path = self._path(token)
        for _ in range(_TRIES):
            file = files.create(path)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                with contextlib.suppress(OSError):  # a full disk
                    os.write(file, f"{_this_process()}\n".encode("utf-8", "backslashreplace"))
                # A lock that others cannot open tells them nothing: those may read it who may read the database.
                files.share(file, self._mode & 0o644, like=self._database, most=0o644)
                if _is_at(file, path):
                    return Lock(pid=os.getpid(), token=token, path=path, files=[file], complete=self.complete)
            except BlockingIOError:
                with contextlib.suppress(OSError):
                    path.unlink()
            except BaseException:
                os.close(file)
                with contextlib.suppress(OSError):
                    path.unlink()
                raise
            os.close(file)
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    def _make_folder(self) -> None:
        if files.make_folder(self.folder, self._mode, like=self._database):
            files.sync(self.folder.parent)  # after a power cut, a missing folder would tell nothing

    def _remove_dead(self) -> None:
        """Remove the files of dead owners, where a missing file means the same."""
        tokens: Iterable[str] = ()
        with contextlib.suppress(OSError):
            tokens = self._tokens() if self.complete else ()
        # Its own file is not even opened: on a network file system, closing it would release the lock.
        for token in (one for one in tokens if not self.is_held(one)):
            path = self._path(token)
            with contextlib.suppress(OSError):
                file = _open(path)
                try:
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                    if _is_at(file, path):
                        path.unlink()
                finally:
                    os.close(file)

    # ---------------------------------------------------------------- looking

    def probe(self, token: str) -> Probe:
        """Whether the owner with this token lives. Nothing is changed by looking."""
        if not _TOKEN.fullmatch(token):
            return Probe(Life.UNKNOWN, "it holds no lock that is known here")
        if self.is_held(token):
            return Probe(Life.ALIVE)
        try:
            try:
                return self._look(token)
            except OSError as error:
                if error.errno not in (errno.EMFILE, errno.ENFILE):
                    raise
                with _process.one_more():
                    return self._look(token)
        except OSError as error:
            where = error.filename or self._path(token)
            return Probe(Life.UNKNOWN, f"{where} cannot be looked at ({error.strerror or error})")

    def _look(self, token: str) -> Probe:
        path = self._path(token)
        for _ in range(_TRIES):
            try:
                file = _open(path)
            except FileNotFoundError:
                try:
                    if path in self.folder.iterdir():
                        continue  # it came in this moment
                except FileNotFoundError:
                    moved = token.startswith(_SECOND) and not token.startswith(f"{_SECOND}{self._place()}")
                    if self.complete and moved:  # who drove it in the place before cannot write here
                        return Probe(Life.DEAD)
                    raise
                if self.complete:
                    return Probe(Life.DEAD)
                return Probe(Life.UNKNOWN, f"its lock file {path} is not there")
            try:
                if not stat.S_ISREG(os.fstat(file).st_mode):
                    return Probe(Life.UNKNOWN, f"{path} is no file")
                try:
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    return Probe(Life.ALIVE)
                if _is_at(file, path):
                    return Probe(Life.DEAD)
            finally:
                os.close(file)
        return Probe(Life.UNKNOWN, f"its lock file {path} is replaced again and again")

    def others(self) -> Iterator[tuple[str, Probe]]:
        """Each owner but this process that is not dead: who it is, as far as its file says, and what was found.

        Raises OSError where the folder cannot be listed.
        """
        for token in self._tokens():
            probe = Probe(Life.DEAD) if self.is_held(token) else self.probe(token)
            if probe.life is not Life.DEAD:
                yield token, probe

    def label(self, token: str) -> str | None:
        """The `host:pid` that an owner wrote into its file, or None: those of before wrote nothing."""
        with contextlib.suppress(OSError, UnicodeDecodeError):
            file = _open(self._path(token))
            try:
                return os.read(file, 400).decode().strip() or None
            finally:
                os.close(file)
        return None

    def _tokens(self) -> Iterable[str]:
        try:
            names = [path.name for path in self.folder.iterdir()]
        except FileNotFoundError:
            return []
        tokens = [name.removesuffix(_SUFFIX) for name in names if name.endswith(_SUFFIX)]
        return sorted(token for token in tokens if _TOKEN.fullmatch(token))

    def _path(self, token: str) -> Path:
        return self.folder / f"{token}{_SUFFIX}"


def is_of_data_folder(token: str) -> bool:
    """Whether a token is of the first form: its lock is in the data folder of some project."""
    return bool(_TOKEN.fullmatch(token)) and not token.startswith(_SECOND)


def is_this_process(token: str) -> bool:
    """Whether this process holds the lock of this token, in whichever folder."""
    return any(lock.pid == os.getpid() and lock.token == token for lock in list(_process.locks.values()))


def let_go(*, driving: bool) -> None:
    """Release the locks of this process at its end, and remove their files.

    Where a missing file tells nothing, the file of a process that ends while it is `driving` stays.
    """
    for lock in _process.locks.values():
        if lock.pid != os.getpid():
            continue
        with contextlib.suppress(OSError):
            if _is_at(lock.files[-1], lock.path) and (lock.complete or not driving):
                lock.path.unlink()
        _close(lock)
    _process.locks.clear()


def forget_in_child() -> None:
    """In a forked child: the open files are shared with the parent, so they are closed and never unlocked."""
    _process.guard = threading.RLock()  # a thread that is not in the child may have held it
    for lock in _process.locks.values():
        _close(lock)
    _process.locks.clear()


def _close(lock: Lock) -> None:
    for file in lock.files:
        with contextlib.suppress(OSError):
            os.close(file)


def _this_process() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"


def _open(path: Path) -> int:
    """Open for looking alone: other users may have no more than that, and a pipe in its place must not hold us up."""
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)


def _is_at(file: int, path: Path) -> bool:
    """Whether the open file is the one that the path names."""
    try:
        there, here = path.lstat(), os.fstat(file)
    except OSError:
        return False
    return (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino)
