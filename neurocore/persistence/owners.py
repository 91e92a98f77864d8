"""The locks of the processes that drive runs: a folder with one file per process.

A driving process holds the lock of its own file as long as it lives; the operating system releases it when the process
dies. Another process tests for life by trying a shared lock on the same file: no process id and no clock is involved.
If a lock cannot be tried, there is no answer, so there are three results: alive, dead, and unknown.
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
#: The tokens that `Owners.hold` creates. Before locks were stored beside the database, a token had no `2-`.
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
    """What this process holds. `spare` is a descriptor to release for a look at a lock when no other is left."""

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
        """Provide, within the block, one more file descriptor than the process has left."""
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

    `database` is the SQLite file that the locks belong to: they are beside it, and get its owner and its permissions.
    Without a database, `mode` gives the permissions. `complete` says that every owner has its file here as long as it
    lives, so that a missing file means a dead owner.
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
        """Return the locks for a SQLite file, whatever name it is opened by: they are beside the file itself."""
        real = Path(os.path.realpath(database))
        return cls(real.with_name(f"{real.name}-owners"), database=real, complete=True)

    # ---------------------------------------------------------------- holding

    def hold(self) -> str:
        """Hold this process's lock here from the first call on; return its token.

        A file that was removed in the meantime is restored. Raises StoreError when the lock cannot be held: a process
        whose life cannot be checked must not drive.
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
                    self._make_folder()  # the first file stays locked: another process may have it open
                    held.files += self._locked(held.token).files
            except OSError as error:
                raise StoreError(
                    f"No lock can be held in {self.folder} ({error.strerror or error}), and a process that drives runs "
                    f"needs one; let this user write there{'' if self._database else ', or set paths.data'}."
                ) from error
            return held.token

    def keep(self) -> None:
        """Restore this process's lock file if it holds one here and it was removed. Raises like `hold`."""
        if self.folder in _process.locks:
            self.hold()

    def is_held(self, token: str) -> bool:
        """Return whether this is the token of this process."""
        held = _process.locks.get(self.folder)
        return held is not None and held.pid == os.getpid() and held.token == token

    def _new_token(self) -> str:
        """Return a new token. Beside a database it says where its lock is: a history may move without its folder."""
        chance = uuid.uuid4().hex
        return f"{_SECOND}{self._place()}{chance[8:]}" if self._database is not None else chance

    def _place(self) -> str:
        return hashlib.sha256(os.fsencode(self.folder)).hexdigest()[:8]

    def _locked(self, token: str) -> Lock:
        """Return a new lock file, locked. If it is removed as dead before it is locked, make another one."""
        path = self._path(token)
        for _ in range(_TRIES):
            file = files.create(path)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                with contextlib.suppress(OSError):  # a full disk
                    os.write(file, f"{_this_process()}\n".encode("utf-8", "backslashreplace"))
                # A lock that others cannot open is useless: whoever may read the database may read it.
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
            files.sync(self.folder.parent)  # after a power cut, a missing folder would prove nothing

    def _remove_dead(self) -> None:
        """Remove the files of dead owners, if a missing file also means dead."""
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
        """Return whether the owner with this token lives. This changes nothing."""
        if not _TOKEN.fullmatch(token):
            return Probe(Life.UNKNOWN, "its lock is not known here")
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
            return Probe(Life.UNKNOWN, f"{where} cannot be read ({error.strerror or error})")

    def _look(self, token: str) -> Probe:
        path = self._path(token)
        for _ in range(_TRIES):
            try:
                file = _open(path)
            except FileNotFoundError:
                try:
                    if path in self.folder.iterdir():
                        continue  # it was created just now
                except FileNotFoundError:
                    moved = token.startswith(_SECOND) and not token.startswith(f"{_SECOND}{self._place()}")
                    if self.complete and moved:  # an owner from the previous place cannot write here
                        return Probe(Life.DEAD)
                    raise
                if self.complete:
                    return Probe(Life.DEAD)
                return Probe(Life.UNKNOWN, f"its lock file {path} does not exist")
            try:
                if not stat.S_ISREG(os.fstat(file).st_mode):
                    return Probe(Life.UNKNOWN, f"{path} is not a file")
                try:
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    return Probe(Life.ALIVE)
                if _is_at(file, path):
                    return Probe(Life.DEAD)
            finally:
                os.close(file)
        return Probe(Life.UNKNOWN, f"its lock file {path} keeps being replaced")

    def others(self) -> Iterator[tuple[str, Probe]]:
        """Yield each other owner that is not dead: its label, if its file has one, and what was found.

        Raises OSError if the folder cannot be listed.
        """
        for token in self._tokens():
            probe = Probe(Life.DEAD) if self.is_held(token) else self.probe(token)
            if probe.life is not Life.DEAD:
                yield token, probe

    def label(self, token: str) -> str | None:
        """Return the `host:pid` that an owner wrote into its file, or None: older versions wrote nothing."""
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
    """Return whether a token has the first form: its lock is in the data folder of a project."""
    return bool(_TOKEN.fullmatch(token)) and not token.startswith(_SECOND)


def is_this_process(token: str) -> bool:
    """Return whether this process holds the lock of this token, in any folder."""
    return any(lock.pid == os.getpid() and lock.token == token for lock in list(_process.locks.values()))


def let_go(*, driving: bool) -> None:
    """Release the locks of this process at its end, and remove their files.

    If a missing file proves nothing, the file of a process that ends while `driving` is kept.
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
    """In a forked child, close the open files, which the parent shares, without unlocking them."""
    _process.guard = threading.RLock()  # a thread that does not exist in the child may have held it
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
    """Open a file only to test it: other users may have no more rights, and a pipe in its place must not block."""
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)


def _is_at(file: int, path: Path) -> bool:
    """Return whether the open file is the one at the path."""
    try:
        there, here = path.lstat(), os.fstat(file)
    except OSError:
        return False
    return (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino)
