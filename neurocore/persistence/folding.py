"""The changes that a run's steps made to its context, read so that at most one large one is in memory."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING

from neurocore.persistence import rows
from neurocore.persistence.queries import queries
from neurocore.persistence.records import Changes

if TYPE_CHECKING:
    from neurocore.persistence.database import Database

#: How many bytes of changes are read at once.
MUCH = 8 * 1024 * 1024

_Q = queries()


def changes(database: Database, run_id: str) -> Iterable[tuple[int, bytes]]:
    """Return a run's inputs (at -1) and each step's changes as they are stored, in the order of commits."""
    found, size = [], 0
    with database.read() as connection:
        for row in connection.execute(*_Q["load_changes"].bind({"run_id": run_id})):
            found.append((row["commit_index"], changed := row["changes"]))
            size += len(changed)
            if size > MUCH:
                break
        else:
            return sorted(found, key=rows.first)
    found.clear()
    return _one_by_one(database, run_id)


def values(database: Database, run_id: str, keys: Collection[str]) -> dict[str, bytes]:
    """Return some values of a run's context; keys that are not set are left out.

    Only the last change of each key is kept: a run of many steps leaves nothing for the garbage collector to look at.
    Changes without a key's name are not even unpacked.
    """
    names = [key.encode("utf-8", "surrogatepass") for key in keys]
    last: dict[str, tuple[int, bytes | None]] = {}
    with database.read() as connection:
        for row in connection.execute(*_Q["load_changes"].bind({"run_id": run_id})):
            changed = row["changes"]
            if not any(name in changed for name in names):
                continue
            commit = row["commit_index"]
            made = Changes(set=rows.initial_of(changed)) if commit < 0 else rows.changes_of(changed)
            for key in keys:
                if (key in made.set or key in made.deleted) and commit >= last.get(key, (commit, None))[0]:
                    last[key] = commit, made.set.get(key)
    return {key: value for key, (_, value) in last.items() if value is not None}


def _one_by_one(database: Database, run_id: str) -> Iterator[tuple[int, bytes]]:
    with database.snapshot():
        given = database.row(*_Q["load_initial_data"].bind({"run_id": run_id}))
        if given is not None:
            yield -1, given["initial_data"]
        del given
        for changed in database.rows(*_Q["order_of_changes"].bind({"run_id": run_id})):
            row = database.row(*_Q["load_step_changes"].bind({"run_id": run_id, "step_index": changed["step_index"]}))
            if row is not None:
                yield changed["commit_index"], row["changes"]
