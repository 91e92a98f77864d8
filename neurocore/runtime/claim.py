"""Who drives a run, and whether that process still lives.

A process that drives holds one file lock under the data directory for as long as it lives; the operating system lets go
of it when the process dies, however it dies. So on one machine "is the owner alive" is a question to a lock, never to a
pid or a clock (promise 3). The name of the lock's file is the owner's token; it stands in the run's `owner`.
"""

from __future__ import annotations

import atexit
import os
import re
import socket
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from neurocore.config import NeuroCoreConfig
from neurocore.errors import RunBusyError, StoreError
from neurocore.persistence.base import Owed, RunRecord, RunStatus, RunStore, own_event

#: What `owner_of_this_process` puts first; anything else in a record names no file.
_TOKEN = re.compile("[0-9a-f]{32}")
_guard = threading.Lock()
_locks: dict[Path, tuple[int, str, FileLock]] = {}
_driving: set[str] = set()


def owner_of_this_process(config: NeuroCoreConfig) -> str:
    """`<token>@<host>:<pid>`, and hold that token's lock from the first call on.

    Raises StoreError when the data directory cannot be written.
    """
    directory = _directory(config)
    with _guard:
        held = _locks.get(directory)
        if held is None or held[0] != os.getpid():
            token = uuid.uuid4().hex
            lock = FileLock(directory / f"{token}.lock", thread_local=False)
            try:
                directory.mkdir(parents=True, exist_ok=True)
                lock.acquire(blocking=False)
            except OSError as error:
                raise StoreError(
                    f"The folder {directory} cannot be written ({error.strerror or error}), and a run needs a lock "
                    "file there; make it writable or set paths.data."
                ) from error
            held = _locks[directory] = (os.getpid(), token, lock)
    return f"{held[1]}@{socket.gethostname()}:{held[0]}"


def is_driven(run: RunRecord, config: NeuroCoreConfig) -> bool:
    """Whether a live process drives this run now."""
    if not run.owner:
        return False
    token = run.owner.partition("@")[0]
    directory = _directory(config)
    held = _locks.get(directory)
    if held is not None and held[:2] == (os.getpid(), token):
        return run.run_id in _driving
    path = directory / f"{token}.lock"
    if not _TOKEN.fullmatch(token) or not path.exists():
        return False
    probe = FileLock(path, thread_local=False)
    try:
        # Another process may be probing in this very instant, so one failure is not yet an answer.
        probe.acquire(timeout=0.004, poll_interval=0.001)
    except Timeout:
        return True
    except OSError:
        return False
    path.unlink(missing_ok=True)
    probe.release()
    return False


def hand_back(run_id: str, store: RunStore, why: str) -> None:
    """Mark a run that this process drives as owed before the process ends, so that its end is no death of a step."""
    run = store.load_summary(run_id)
    if run is not None and run.status is RunStatus.RUNNING and _is_own(run.owner):
        event = own_event("stopped", {"because": why})
        store.set_owed(run_id, Owed.RESUME, event=event, claim=(run.epoch, run.owner))


def _is_own(owner: str | None) -> bool:
    """Whether an owner is this very process."""
    token = (owner or "").partition("@")[0]
    return any(held[:2] == (os.getpid(), token) for held in list(_locks.values()))


def owner_label(owner: str | None) -> str:
    """The owner for people: `process 4711 on host`."""
    place = (owner or "").partition("@")[2]
    host, _, pid = place.rpartition(":")
    return f"process {pid} on {host}" if host else "nobody"


def busy(run: RunRecord) -> RunBusyError:
    """The error that says who drives the run."""
    label = owner_label(run.owner)
    return RunBusyError(
        f"Run {run.run_id} is being driven by {label}; wait for it, or take the run over with "
        f"`neurocore runs resume {run.run_id} --take-over` if that process is frozen.",
        run_id=run.run_id,
        owner=label,
    )


@contextmanager
def driving(run_id: str) -> Iterator[None]:
    """Within the block this process counts as the one that drives the run. Raises RunBusyError when it does already."""
    with _guard:
        if run_id in _driving:
            raise RunBusyError(
                f"Run {run_id} is being driven by this very process; wait for it.", run_id=run_id, owner="this process"
            )
        _driving.add(run_id)
    try:
        yield
    finally:
        _driving.discard(run_id)


def _directory(config: NeuroCoreConfig) -> Path:
    return config.data_dir / "owners"


def _let_go() -> None:
    for pid, _, lock in _locks.values():
        if pid == os.getpid():
            path = Path(lock.lock_file)
            path.unlink(missing_ok=True)
            lock.release()
    _locks.clear()


def _forget_in_child() -> None:
    # The child shares the open file with its parent: unlocking it would unlock the parent, so it is only closed.
    for _, _, lock in _locks.values():
        descriptor = getattr(getattr(lock, "_context", None), "lock_file_fd", None)
        if descriptor is not None:
            os.close(descriptor)
            lock._context.lock_file_fd = None
    _locks.clear()
    _driving.clear()


atexit.register(_let_go)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)
