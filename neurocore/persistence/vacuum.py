"""Return to the disk the room that deleted runs have left in the file of a history."""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path

from neurocore.errors import StoreError
from neurocore.failpoints import failpoint
from neurocore.persistence import living
from neurocore.persistence.contract.maintenance import Vacuumed
from neurocore.persistence.database import Database
from neurocore.persistence.sidecars import beside
from neurocore.persistence.troubles import translate
from neurocore.readable import size

#: The size in bytes from which it takes so long that drivers would give up waiting to write.
MUCH = 4 * 1024**3


def size_on_disk(path: Path) -> int:
    """Return how many bytes the file and its log take."""
    return sum(one.stat().st_size for one in (path, *beside(path)) if one.exists())


def unused(database: Database) -> int:
    """Return how many bytes of the file are left by deleted rows."""
    (row,) = database.rows("SELECT freelist_count * page_size AS unused FROM pragma_freelist_count, pragma_page_size")
    return int(row["unused"])


def make_smaller(database: Database, patience: float) -> Vacuumed:
    """Rewrite the file of a history without its unused room; see `Maintenance.vacuum`."""
    path = database.path
    until = time.monotonic() + patience
    with database.lock:
        try:
            connection = database.writer(sync=True)
            before = size_on_disk(path)
            (needed,) = connection.execute(
                "SELECT (page_count - freelist_count) * page_size"
                " FROM pragma_page_count, pragma_freelist_count, pragma_page_size"
            ).fetchone()
            if needed > MUCH:
                living.refuse_while_driven(path, (), "made smaller")
            _refuse_without_room(path, needed)
            _vacuum(connection, path, until)
            failpoint("vacuum.after_commit")
            waits = not _has_shrunk(connection, until)
        except (OSError, sqlite3.Error) as error:
            translate(path, error)
            raise
    return Vacuumed(before=before, after=size_on_disk(path), waits=waits)


def _vacuum(connection: sqlite3.Connection, path: Path, until: float) -> None:
    while True:
        try:
            connection.execute("VACUUM")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error):
                raise
            if time.monotonic() > until:
                raise StoreError(
                    f"The run history {path} cannot be made smaller, because others keep writing to it; try again "
                    "at a quieter time."
                ) from error
        else:
            return


def _has_shrunk(connection: sqlite3.Connection, until: float) -> bool:
    """Move what was written from the log into the file; return False if others read the old state for too long."""
    while True:
        busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if not busy or time.monotonic() > until:
            return not busy


def _refuse_without_room(path: Path, needed: int) -> None:
    """Raise unless there is room: SQLite writes the file twice, to a temporary one and to the log beside it."""
    import shutil

    needs: dict[int, tuple[Path, int]] = {}
    for folder in (Path(os.path.realpath(path)).parent, temporary_folder()):
        disk = folder.stat().st_dev
        needs[disk] = (needs.get(disk, (folder, 0))[0], needs.get(disk, (folder, 0))[1] + needed + needed // 50)
    for folder, bytes_ in needs.values():
        if (free := shutil.disk_usage(folder).free) < bytes_:
            raise StoreError(
                f"To make the run history {path} smaller, {size(bytes_)} are needed temporarily on the disk of "
                f"{folder}, and {size(free)} are free; make room there, or name another folder for temporary files in "
                "SQLITE_TMPDIR."
            )


def temporary_folder() -> Path:
    """Return where SQLite puts temporary files."""
    import tempfile

    names = (os.environ.get("SQLITE_TMPDIR"), os.environ.get("TMPDIR"), "/var/tmp", "/usr/tmp", "/tmp")  # noqa: S108
    for name in names:
        if name and Path(name).is_dir() and os.access(name, os.W_OK | os.X_OK):
            return Path(name)
    return Path(tempfile.gettempdir())
