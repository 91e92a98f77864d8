"""Owners of runs as tests need them, and other processes and users that look at them."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

from neurocore.persistence.owners import Owners

#: A user who is neither root nor the one who runs the tests.
SOMEBODY_ELSE = 65534


def nobody_can_look_at(owners: object) -> tuple[str, Path]:
    """An owner, and the file because of which nobody can tell whether it lives; without the file it is dead."""
    assert isinstance(owners, Owners)
    token = f"2-{uuid.uuid4().hex}"
    owners.folder.mkdir(exist_ok=True)
    file = owners.folder / f"{token}.lock"
    file.symlink_to(file)
    return f"{token}@elsewhere:4711", file


@contextlib.contextmanager
def folder_of_everybody() -> Iterator[Path]:
    """A folder that every user can enter."""
    made = Path(tempfile.mkdtemp(prefix="nc-"))
    made.chmod(0o755)
    try:
        yield made
    finally:
        shutil.rmtree(made)


def in_another_process(work: Callable[[], object], *, user: int | None = None, group: int | None = None) -> str:
    """What `work` gives in a process that holds nothing (as `user` of `group`, which only root can choose)."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            if user is not None:
                os.setgroups([])
                os.setgid(user if group is None else group)
                os.setuid(user)
            said = str(work())
        except BaseException as error:
            said = repr(error)
        os.write(writing, said.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answers:
        said = answers.read()
    os.waitpid(child, 0)
    return said


def as_somebody_else(work: Callable[[], object]) -> str:
    """What `work` gives for a user whom the permissions of files hold. All that it imports must be imported before."""
    return in_another_process(work, user=SOMEBODY_ELSE if os.geteuid() == 0 else None)
