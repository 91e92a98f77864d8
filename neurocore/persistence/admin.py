"""Looking after a history: check it, measure it, copy it, prune it.

Any backend can be checked, measured and pruned by what the contract gives; the SQLite file is checked deeper, copied
while it is in use, and pruned by its indexes.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from msgspec import Struct

from neurocore import files
from neurocore.access.actor import person
from neurocore.errors import StoreError, UsageError
from neurocore.persistence import migrate, rows
from neurocore.persistence.base import RunStore
from neurocore.persistence.database import refuse_stale
from neurocore.persistence.home import finish_copy
from neurocore.persistence.projections import last_hash
from neurocore.persistence.records import GateRecord, Tombstone, iso, utcnow_iso
from neurocore.persistence.sidecars import address, beside
from neurocore.persistence.sqlite import SQLiteRunStore
from neurocore.persistence.transfer import ids
from neurocore.persistence.troubles import translate
from neurocore.persistence.vacuum import size_on_disk, unused

_Q = rows.queries()
_MANY = 2**31 - 1

#: Runs deleted in one transaction: others get their turn in between.
BATCH = 100


class Check(Struct, kw_only=True):
    """What does not hold, and what was put right."""

    problems: list[str] = []
    mended: list[str] = []


class Stats(Struct, kw_only=True):
    """The size of a history. `steps`, `bytes`, `unused` and `schema_version` are None where the backend cannot tell."""

    runs: int
    steps: int | None
    open_gates: int
    oldest: str | None
    newest: str | None
    bytes: int | None
    unused: int | None
    schema_version: int | None


class Pruned(Struct, kw_only=True):
    """How many ended runs were deleted (or would be), and when the first and the last of them started."""

    runs: int = 0
    oldest: str | None = None
    newest: str | None = None


# -------------------------------------------------------------------- checking


def check(store: RunStore, *, mend: bool = False) -> Check:
    """Whether the file is sound and our own rules hold: steps in order, counts right, the chain of answers whole.

    `mend` makes the counts anew; nothing else can be made up.
    """
    found = Check(problems=[], mended=[])
    if isinstance(store, SQLiteRunStore):
        found.problems += _damage(store)
        _check_counts(store, found, mend)
        found.problems += [f"Run {row[0]}: its steps have gaps." for row in store.database.rows(_Q["gaps_in_steps"])]
        run_ids: Iterable[str] = (row[0] for row in store.database.rows(_Q["runs_with_answers"]))
    else:
        run_ids = list(ids(store))
        found.problems += [problem for run_id in run_ids for problem in _check_steps(store, run_id)]
    found.problems += [problem for run_id in run_ids for problem in _check_chain(run_id, store.load_gates(run_id))]
    return found


def _damage(store: SQLiteRunStore) -> Iterator[str]:
    with store.database.read() as connection:
        for row in connection.execute("PRAGMA integrity_check"):
            if row[0] != "ok":
                yield f"SQLite: {row[0]}"
        for row in connection.execute("PRAGMA foreign_key_check"):
            yield f"SQLite: row {row[1]} of {row[0]} belongs to no row of {row[2]}."


def _check_counts(store: SQLiteRunStore, found: Check, mend: bool) -> None:
    with store.database.snapshot():
        wrong = [name for name in _COUNTS if store.database.rows(_Q[name])]
    if wrong and not mend:
        found.problems.append("The counts by status, blueprint and day differ from the runs; --mend makes them anew.")
    elif wrong:
        with store.database.write(sync=True) as connection:
            for name in _MENDING:
                connection.execute(_Q[name])
        found.mended.append("The counts by status, blueprint and day were made anew from the runs.")


_COUNTS = ("wrong_counts", "missing_counts", "wrong_day_counts", "missing_day_counts", "wrong_open_gates")
_MENDING = ("clear_counts", "clear_day_counts", "fill_counts", "fill_day_counts", "mend_open_gates")


def _check_steps(store: RunStore, run_id: str) -> Iterator[str]:
    indexes = [step.step_index for step in store.step_summaries(run_id)]
    if indexes != list(range(len(indexes))):
        yield f"Run {run_id}: its steps have gaps."


def _check_chain(run_id: str, gates: list[GateRecord]) -> Iterator[str]:
    answers = [answer for gate in gates for answer in gate.answers]
    following = {answer.prev_hash: answer for answer in answers}
    previous, walked = "", 0
    while previous in following and walked < len(answers):
        answer = following[previous]
        try:
            is_whole = answer.is_sealed(run_id, previous)
        except StoreError as error:  # of a newer version
            yield f"Run {run_id}: its chain of answers cannot be checked: {error}"
            return
        if not is_whole:
            yield f"Run {run_id}: the answer of {answer.by} at {answer.node_id} was changed after it was recorded."
            return
        previous, walked = answer.hash, walked + 1
    if walked < len(answers):
        yield f"Run {run_id}: its chain of answers is broken after {walked} of {len(answers)}."


# -------------------------------------------------------------------- measuring and copying


def stats(store: RunStore) -> Stats:
    """How large a history is."""
    runs, open_gates = sum(store.status_counts().values()), store.count_open_gates()
    if isinstance(store, SQLiteRunStore):
        (row,) = store.database.rows(_Q["size"])
        (version,) = store.database.rows("PRAGMA user_version")
        return Stats(
            runs=runs,
            steps=row["steps"],
            open_gates=open_gates,
            oldest=None if row["oldest"] is None else iso(row["oldest"]),
            newest=None if row["newest"] is None else iso(row["newest"]),
            bytes=size_on_disk(store.path),
            unused=unused(store),
            schema_version=version[0],
        )
    times = [run.created_at for run in store.list_runs(limit=_MANY)]
    return Stats(
        runs=runs, steps=None, open_gates=open_gates, oldest=min(times, default=None), newest=max(times, default=None),
        bytes=None, unused=None, schema_version=None,
    )  # fmt: skip


def backup(store: RunStore, target: Path) -> int:
    """Copy a SQLite history while it is in use, whole as of one moment; returns the copy's size in bytes.

    Raises UsageError for another backend or where `target` exists, StoreError where it cannot be written.
    """
    if not isinstance(store, SQLiteRunStore):
        raise UsageError("Only SQLite histories can be copied as a file; use `neurocore db export` for others.")
    if target.exists():
        raise UsageError(f"{target} exists; choose another name, so that no backup is overwritten.")
    for left in beside(target):
        if left.exists():
            raise UsageError(f"{left} is there, of another file of that name; choose another name, or move it away.")
    partial = target.with_name(f".{target.name}.partial")
    try:
        partial.unlink(missing_ok=True)
        files.touch(partial, store.mode)
        with contextlib.closing(sqlite3.connect(address(partial), uri=True)) as copy:
            store.database.reader().backup(
                copy
            )  # all pages at once: of one moment, while others go on writing into the WAL
            finish_copy(copy, "backup")
        files.sync(partial)
        partial.replace(target)
        return target.stat().st_size
    except (OSError, sqlite3.Error) as error:
        raise StoreError(f"The backup {target} cannot be written: {error}.") from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def is_current(path: Path) -> bool | None:
    """Whether opening a SQLite history changes nothing: False for an older one, None where there is no file.

    Raises StoreError for one that cannot be opened, StoreTooNew for a newer one.
    """
    try:
        refuse_stale(path)
        return migrate.is_current(path) if path.exists() else None
    except (OSError, sqlite3.Error) as error:
        translate(path, error)
        raise


def schema_version(path: Path) -> int:
    """The schema of a SQLite history, without bringing it up to date; 0 for a file of 0.4 or one that is not there."""
    refuse_stale(path)
    if not path.exists():
        return 0
    try:
        with contextlib.closing(sqlite3.connect(address(path, "ro"), uri=True)) as connection:
            return int(connection.execute("PRAGMA user_version").fetchone()[0])
    except sqlite3.Error as error:
        raise StoreError(f"The run history {path} cannot be read: {error}.") from error


# -------------------------------------------------------------------- pruning


def prune(
    store: RunStore,
    *,
    before: str,
    keep_last: int = 0,
    by: str,
    dry_run: bool = False,
    on_batch: Callable[[int], None] | None = None,
) -> Pruned:
    """Delete ended runs that started before an ISO time, oldest first, leaving the `keep_last` newest runs alone.

    Small batches, each run leaving its tombstone; `on_batch` hears how many are gone.
    """
    by = person(by)
    pruned = Pruned()
    if dry_run:
        for _, created_at in _ended(store, before, keep_last, limit=-1):
            _count(pruned, created_at)
        return pruned
    while True:
        batch = list(_ended(store, before, keep_last, limit=BATCH))
        if not batch:
            break
        gone = pruned.runs
        _bury(store, batch, by, pruned)
        if on_batch:
            on_batch(pruned.runs)
        if pruned.runs == gone:
            break  # each of them was gone (or alive again) when its turn came
    if isinstance(store, SQLiteRunStore) and pruned.runs:
        with store.database.write() as connection:
            connection.execute(_Q["drop_unused_blueprints"])
    return pruned


def _bury(store: RunStore, batch: list[tuple[str, str]], by: str, pruned: Pruned) -> None:
    """Bury a batch: in one transaction where there are transactions. Who began to resume a run meanwhile keeps it."""
    if not isinstance(store, SQLiteRunStore):
        for run_id, created_at in batch:
            run = store.load_summary(run_id)
            if run is not None and run.status.ended and run.owed is None:
                store.bury_run(run_id, _tombstone(store, run.blueprint_name, run_id, by))
                _count(pruned, created_at)
        return
    with store.database.write(sync=True) as connection:
        for run_id, created_at in batch:
            row = connection.execute(_Q["ended_run"], (run_id,)).fetchone()
            if row is not None and row["owed"] is None:
                store.bury_within(connection, run_id, _tombstone(store, row["blueprint_name"], run_id, by))
                _count(pruned, created_at)


def _tombstone(store: RunStore, blueprint_name: str, run_id: str, by: str) -> Tombstone:
    return Tombstone(
        run_id=run_id, blueprint_name=blueprint_name, deleted_at=utcnow_iso(), deleted_by=by,
        last_hash=last_hash(store.load_gates(run_id)),
    )  # fmt: skip


def _count(pruned: Pruned, created_at: str) -> None:
    pruned.runs += 1
    pruned.oldest = pruned.oldest or created_at
    pruned.newest = created_at


def _ended(store: RunStore, before: str, keep_last: int, *, limit: int) -> Iterator[tuple[str, str]]:
    """Ids and times of what a prune deletes, oldest first."""
    if isinstance(store, SQLiteRunStore):
        for row in store.database.rows(_Q["ended_before"], (rows.micros(before), keep_last, limit)):
            yield row["run_id"], iso(row["created_at"])
        return
    runs = store.list_runs(limit=_MANY)
    runs.sort(key=lambda run: run.created_at, reverse=True)
    wanted = [run for run in reversed(runs[keep_last:]) if run.status.ended and run.created_at < before]
    for run in wanted[: None if limit < 0 else limit]:
        yield run.run_id, run.created_at
