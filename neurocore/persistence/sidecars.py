"""The files that SQLite keeps beside a database, and whether they belong to it.

SQLite uses any log with the right name as that of the file it opens. If somebody replaced the file of a history whose
process had died, that would silently mix the two. (SQLite removes a log beside an empty file.)
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from urllib.parse import quote

from neurocore.errors import StoreError

SUFFIXES = ("-wal", "-shm", "-journal")
#: Where the two bytes are that say whether a file uses a write-ahead log (2) or a rollback journal (1).
_MODE = slice(18, 20)
_OURS = slice(68, 72)
_JOURNAL = bytes.fromhex("d9d505f920a163d7")
#: What changes in its first page when a file switches from a journal to a log: mode, counter, and last writer.
_SWITCHED = (slice(18, 20), slice(24, 28), slice(92, 100))


def real(path: Path) -> Path:
    """Return the file itself: SQLite follows links before it looks for its other files."""
    return Path(os.path.realpath(path))


def address(path: Path, how: str = "rw") -> str:
    """Return the address by which SQLite opens an existing file and creates none; `ro` is read-only."""
    return f"file://{quote(os.fsencode(path.resolve()))}?mode={how}"


def beside(path: Path) -> list[Path]:
    """Return the files that SQLite may keep beside a database."""
    found = real(path)
    return [found.with_name(f"{found.name}{suffix}") for suffix in SUFFIXES]


def restoring(path: Path) -> Path:
    """Return the folder in which a restore collects the new file and the previous files of a history."""
    found = real(path)
    return found.with_name(f"{found.name}-restoring")


def is_there(path: Path) -> bool:
    """Return whether there is a history, or one that is being restored, so that no new one may start in its place."""
    return path.exists() or (restoring(path) / "new").exists()


def refuse_stale(path: Path, application_id: int) -> None:
    """Raise StoreError if SQLite would open a history with files of another one. SQLite opens nothing here.

    Call it only if this process does not have the file open: under POSIX, a process that closes a file which it has
    read loses SQLite's locks on it.
    """
    if (restoring(path) / "new").exists():
        raise StoreError(
            f"The restore of {path} was interrupted: finish it with `neurocore db restore FILE`; the previous files "
            f"are in {restoring(path)}."
        )
    wal, _, journal = beside(path)
    has_wal, has_journal = _size(wal) > 0, _size(journal) > 0  # before reading the file: its mode is fixed by then
    if not has_wal and not has_journal:
        return
    page = _first_page(path)
    ours = page[_OURS] == application_id.to_bytes(4, "big")
    if (has_wal and page[_MODE] == b"\1\1") or (has_journal and ours and not _is_of_switching(journal, page)):
        raise StoreError(
            f"{wal if has_wal else journal} does not belong to the file {path} beside it, which has replaced "
            "another one; opening it would mix the two. Restore a backup with `neurocore db restore FILE`, which "
            "moves these files aside, or move that log away to continue with this file."
        )


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _first_page(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            header = file.read(100)
            size = int.from_bytes(header[16:18], "big")
            return header + file.read((65536 if size == 1 else size) - len(header)) if len(header) == 100 else header
    except FileNotFoundError:
        return b""


def _is_of_switching(journal: Path, page: bytes) -> bool:
    """Return whether this journal is left from a file that was being switched to a log: it undoes nothing else."""
    with journal.open("rb") as file:
        head = file.read(28)
        if len(head) < 28 or head[:8] != _JOURNAL:
            return True  # SQLite finds nothing in it either
        count, _, _, sector, size = struct.unpack(">5I", head[8:28])
        file.seek(sector)
        number = int.from_bytes(file.read(4), "big")
        before, rest = file.read(size), file.read(5)
    if count == 0 and not before:
        return True  # it was made for an empty file
    return number == 1 and len(rest) <= 4 and _but_switched(before) == _but_switched(page)


def _but_switched(page: bytes) -> bytes:
    changed = bytearray(page)
    for place in _SWITCHED:
        changed[place] = bytes(place.stop - place.start)
    return bytes(changed)
