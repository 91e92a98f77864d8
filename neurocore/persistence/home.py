"""A history has a home: its file. A copy of it is known as one, and what is unfinished in it stands still.

Copies that NeuroCore makes say so themselves. Any other copy is another file, with another number (inode). No path, no
host and no machine take part: `mv` on one file system, a restart, a new container on the same volume change nothing.
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
    """Why this file is not the home of the history in it, as runs say it; None where it is."""
    home, copied_at, how = connection.execute(*_Q["home"].bind({})).fetchone()
    if home is None:
        return f"this is a copy of a history ({how or 'a copy'} of {_day(copied_at)})"
    return None if home == _number(path) else f"this is a copy of a history (found on {utcnow_iso()[:10]})"


def settle(connection: sqlite3.Connection, path: Path) -> None:
    """Make this file the home of its history, within a transaction; in a copy, let what is unfinished stand still."""
    held = copy_of(connection, path)
    if held is not None:
        event = own_event("held", {"because": held}, at=utcnow_iso())
        held_runs = connection.execute(*_Q["hold_unfinished"].bind({"held": held})).fetchall()
        for (run_pk,) in held_runs:
            write_rows(connection, run_pk, events=[event])
    connection.execute(*_Q["set_home"].bind({"home": _number(path)}))


def finish_copy(connection: sqlite3.Connection, how: str) -> None:
    """Write into a copy that it is one, and how it was made, and make it one file, without a log beside it.

    What it says of an earlier copy stays.
    """
    connection.execute(*_Q["mark_copy"].bind({"copied_at": rows.micros(utcnow_iso()), "copied_how": how}))
    connection.commit()
    connection.execute("PRAGMA journal_mode = DELETE")


def _number(path: Path) -> str:
    return str(path.stat().st_ino)


def _day(micros: int | None) -> str:
    return "an unknown day" if micros is None else iso(micros)[:10]
