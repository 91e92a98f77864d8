"""Histories as older versions have left them."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from neurocore.persistence import schema


def take_back(path: Path, version: int) -> None:
    """Make the file one of an older schema, with the same rows in it. Nobody may have it open."""
    older = path.with_name(f"{path.name}.older")
    with contextlib.closing(sqlite3.connect(older, isolation_level=None)) as connection:
        schema.bring_up(connection, to=version)
        triggers = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for name, _ in triggers:
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute("ATTACH ? AS newer", (str(path),))
        tables = connection.execute("SELECT name FROM main.sqlite_master WHERE type = 'table'").fetchall()
        for (table,) in tables:
            columns = ", ".join(row[1] for row in connection.execute(f"PRAGMA main.table_info({table})"))
            connection.execute(f"DELETE FROM main.{table}")  # what a migration put there
            connection.execute(f"INSERT INTO main.{table} ({columns}) SELECT {columns} FROM newer.{table}")
        connection.execute("DETACH newer")
        for _, sql in triggers:
            connection.execute(sql)
        connection.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {version}")
        connection.execute("PRAGMA journal_mode = WAL")
    for suffix in ("-wal", "-shm"):
        path.with_name(f"{path.name}{suffix}").unlink(missing_ok=True)
    older.replace(path)
