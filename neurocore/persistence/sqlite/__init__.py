"""Runs in one SQLite file, with a module for each role of the store; the SQL of each role is in `sql/queries`."""

from __future__ import annotations

from typing import ClassVar

from neurocore.persistence.base import RunStore
from neurocore.persistence.sqlite.accounts import SQLiteAccounts
from neurocore.persistence.sqlite.decisions import SQLiteDecisions
from neurocore.persistence.sqlite.driving import SQLiteDriving
from neurocore.persistence.sqlite.lists import SQLiteLists
from neurocore.persistence.sqlite.maintenance import SQLiteMaintenance
from neurocore.persistence.sqlite.passkeys import SQLitePasskeys
from neurocore.persistence.sqlite.runs import SQLiteRuns


class SQLiteRunStore(
    SQLiteDriving, SQLiteMaintenance, SQLiteLists, SQLiteDecisions, SQLiteAccounts, SQLitePasskeys, SQLiteRuns, RunStore
):
    """A durable store in the file `path`, safe for threads and processes on one machine.

    `durability="full"` syncs every commit to disk; `"normal"` syncs run starts, gates, answers and run ends, and every
    commit survives the death of the process. `data_dir` is where older versions have their locks, if not beside the
    file. `mode` gives the permissions of a new file, and of copies of it. Raises StoreError if the file cannot be
    opened.
    """

    multi_process: ClassVar[bool] = True
