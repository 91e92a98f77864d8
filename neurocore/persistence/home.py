"""A history has a home: its file. A copy is recognized, and unfinished runs in it are held.

Copies that NeuroCore makes are marked. Any other copy is another file, with another inode. Paths, hosts and machines do
not matter: `mv` on one file system, a restart, and a new container on the same volume change nothing.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from neurocore.clock import iso, utcnow_iso
from neurocore.persistence import rows
from neurocore.persistence.inserts import write_rows
from neurocore.persistence.queries import queries
from neurocore.persistence.records import own_event

_Q = queries()


def copy_of(connection: sqlite3.Connection, path: Path) -> str | None:
    """Return why this file is not the home of its history, as runs report it; None if it is the home."""
    home, copied_at, how = connection.execute(*_Q["home"].bind({})).fetchone()
    if home is None:
        return f"this is a copy of a history ({how or 'a copy'} of {_day(copied_at)})"
    return None if home == _number(path) else f"this is a copy of a history (found on {utcnow_iso()[:10]})"


def settle(connection: sqlite3.Connection, path: Path) -> None:
    """Make this file the home of its history, within a transaction; if it was a copy, hold its unfinished runs."""
    held = copy_of(connection, path)
    if held is not None:
        event = own_event("held", {"because": held}, at=utcnow_iso())
        held_runs = connection.execute(*_Q["hold_unfinished"].bind({"held": held})).fetchall()
        for (run_pk,) in held_runs:
            write_rows(connection, run_pk, events=[event])
    connection.execute(*_Q["set_home"].bind({"home": _number(path)}))


def finish_copy(connection: sqlite3.Connection, how: str) -> None:
    """Mark a copy as a copy, with how it was made, and make it a single file without a log beside it.

    An earlier mark stays.
    """
    connection.execute(*_Q["mark_copy"].bind({"copied_at": rows.micros(utcnow_iso()), "copied_how": how}))
    connection.commit()
    connection.execute("PRAGMA journal_mode = DELETE")


def _number(path: Path) -> str:
    return str(path.stat().st_ino)


def _day(micros: int | None) -> str:
    return "an unknown day" if micros is None else iso(micros)[:10]
