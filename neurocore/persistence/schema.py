"""The versions of the database's schema: one numbered .sql file leads from each version to the next."""

from __future__ import annotations

import sqlite3
from pathlib import Path

VERSION = 6
#: Marks a file as ours, beside `user_version`: "NCRH", NeuroCore run history.
APPLICATION_ID = 0x4E435248


def bring_up(connection: sqlite3.Connection, version: int = 0, to: int = VERSION) -> None:
    """Upgrade the tables from this version (0: there are none) to another, within the open transaction."""
    for number in range(version + 1, to + 1):
        script = next((Path(__file__).parent / "sql").glob(f"{number:04}_*.sql")).read_text("utf-8")
        _execute(connection, script)


def _execute(connection: sqlite3.Connection, script: str) -> None:
    """Execute a script statement by statement: `executescript` would commit the transaction first."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            connection.execute(statement)
            statement = ""
