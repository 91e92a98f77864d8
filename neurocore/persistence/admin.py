"""Looking after a history: check it, measure it, copy it, prune it, move it.

Export and import take any backend; check, stats, backup and prune know the SQLite file and fall back to what the six
methods can say where the backend is another.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, TextIO

from msgspec import Struct, ValidationError, structs

from neurocore import codec
from neurocore.errors import CodecError, StoreError, UsageError
from neurocore.persistence import rows
from neurocore.persistence.base import RunStore
from neurocore.persistence.derive import last_hash
from neurocore.persistence.records import RunRecord, StepRecord, Tombstone, utcnow_iso
from neurocore.persistence.sqlite import SQLiteRunStore

_Q = rows.queries()
_MANY = 2**31 - 1

#: Runs deleted in one transaction: others get their turn in between.
BATCH = 100
FORMAT = "neurocore-history"


class Check(Struct, kw_only=True):
    """What does not hold, and what was put right."""

    problems: list[str] = []
    mended: list[str] = []


class Stats(Struct, kw_only=True):
    """The size of a history. `steps`, `bytes` and `schema_version` are None where the backend cannot tell."""

    runs: int
    steps: int | None
    open_gates: int
    oldest: str | None
    newest: str | None
    bytes: int | None
    schema_version: int | None


class Moved(Struct, kw_only=True):
    """How many runs and steps an export wrote or an import brought in, and runs that were there already."""

    runs: int = 0
    steps: int = 0
    skipped: int = 0


class Pruned(Struct, kw_only=True):
    """How many ended runs were deleted (or would be), and when the first and the last of them started."""

    runs: int = 0
    oldest: str | None = None
    newest: str | None = None


def check(store: RunStore, *, mend: bool = False) -> Check:
    """Whether the file is sound and our own rules hold: steps in order, counts right, the chain of answers whole.

    `mend` makes the counts anew; nothing else can be made up.
    """
    found = Check(problems=[], mended=[])
    if isinstance(store, SQLiteRunStore):
        with store.database.read() as connection:
            found.problems += [
                f"SQLite: {row[0]}" for row in connection.execute("PRAGMA integrity_check") if row[0] != "ok"
            ]
            found.problems += [
                f"SQLite: row {row[1]} of {row[0]} belongs to no row of {row[2]}."
                for row in connection.execute("PRAGMA foreign_key_check")
            ]
        gaps = store.database.rows(_Q["gaps_in_steps"])
        found.problems += [f"Run {row[0]}: its steps do not count from 0 without a gap." for row in gaps]
        _check_counts(store, found, mend)
        run_ids: Iterable[str] = [row[0] for row in store.database.rows(_Q["runs_with_answers"])]
    else:
        run_ids = _ids(store)
        found.problems += [problem for run_id in run_ids for problem in _check_steps(store, run_id)]
    found.problems += [problem for run_id in run_ids for problem in _check_chain(store, run_id)]
    return found


def _check_counts(store: SQLiteRunStore, found: Check, mend: bool) -> None:
    wrong = [name for name in ("wrong_counts", "missing_counts", "wrong_day_counts") if store.database.rows(_Q[name])]
    if not wrong:
        return
    if not mend:
        found.problems.append("The counts by status and blueprint differ from the runs; --mend makes them anew.")
        return
    with store.database.write(sync=True) as connection:
        for name in ("clear_counts", "clear_day_counts", "fill_counts", "fill_day_counts"):
            connection.execute(_Q[name])
    found.mended.append("The counts by status and blueprint were made anew from the runs.")


def _check_steps(store: RunStore, run_id: str) -> Iterator[str]:
    indexes = [step.step_index for step in store.step_summaries(run_id)]
    if indexes != list(range(len(indexes))):
        yield f"Run {run_id}: its steps do not count from 0 without a gap."


def _check_chain(store: RunStore, run_id: str) -> Iterator[str]:
    answers = [answer for gate in store.load_gates(run_id) for answer in gate.answers]
    by_previous = {answer.prev_hash: answer for answer in answers}
    previous, walked = "", 0
    while previous in by_previous and walked < len(answers):
        answer = by_previous[previous]
        if answer.sealed(run_id, previous).hash != answer.hash:
            yield f"Run {run_id}: the answer of {answer.by} at {answer.node_id} was changed after it was recorded."
            return
        previous, walked = answer.hash, walked + 1
    if walked < len(answers):
        yield f"Run {run_id}: its chain of answers is broken after {walked} of {len(answers)}."


def stats(store: RunStore) -> Stats:
    """How large a history is."""
    counts = store.status_counts()
    newest = store.list_runs(limit=1)
    if isinstance(store, SQLiteRunStore):
        with store.database.read() as connection:
            steps = connection.execute("SELECT count(*) FROM steps").fetchone()[0]
            first = connection.execute("SELECT min(created_at) FROM runs").fetchone()[0]
            version = connection.execute("PRAGMA user_version").fetchone()[0]
        size = sum(path.stat().st_size for path in _files(store.path) if path.exists())
        return Stats(
            runs=sum(counts.values()), steps=steps, open_gates=store.count_open_gates(),
            oldest=None if first is None else rows.iso(first), newest=newest[0].created_at if newest else None,
            bytes=size, schema_version=version,
        )  # fmt: skip
    times = [run.created_at for run in store.list_runs(limit=_MANY)]
    return Stats(
        runs=sum(counts.values()), steps=None, open_gates=store.count_open_gates(), oldest=min(times, default=None),
        newest=max(times, default=None), bytes=None, schema_version=None,
    )  # fmt: skip


def _files(path: Path) -> list[Path]:
    return [path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")]


def backup(store: RunStore, target: Path) -> int:
    """Copy a SQLite history while it is in use, whole as of one moment; returns the copy's size in bytes.

    Raises UsageError for another backend or where `target` exists, StoreError where it cannot be written.
    """
    if not isinstance(store, SQLiteRunStore):
        raise UsageError("Only SQLite histories can be copied as a file; use `neurocore db export` for others.")
    if target.exists():
        raise UsageError(f"{target} exists; choose another name, so that no backup is overwritten.")
    partial = target.with_name(f".{target.name}.partial")
    try:
        partial.unlink(missing_ok=True)
        with store.database.read() as connection, closing(sqlite3.connect(partial)) as copy:
            connection.backup(copy, pages=4096)
        partial.replace(target)
        return target.stat().st_size
    except (OSError, sqlite3.Error) as error:
        partial.unlink(missing_ok=True)
        raise StoreError(f"The backup {target} cannot be written: {error}.") from error


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
    wanted = _ended(store, before, keep_last)
    pruned = Pruned(
        runs=len(wanted),
        oldest=wanted[0].created_at if wanted else None,
        newest=wanted[-1].created_at if wanted else None,
    )
    if dry_run:
        return pruned
    for place in range(0, len(wanted), BATCH):
        for run in wanted[place : place + BATCH]:
            tombstone = Tombstone(
                run_id=run.run_id, blueprint_name=run.blueprint_name, deleted_at=utcnow_iso(), deleted_by=by,
                last_hash=last_hash(store.load_gates(run.run_id)),
            )  # fmt: skip
            store.bury_run(run.run_id, tombstone)
        if on_batch:
            on_batch(min(place + BATCH, len(wanted)))
    if isinstance(store, SQLiteRunStore) and wanted:
        with store.database.write() as connection:
            connection.execute(_Q["drop_unused_blueprints"])
    return pruned


def _ended(store: RunStore, before: str, keep_last: int) -> list[RunRecord]:
    """What a prune deletes, oldest first."""
    if isinstance(store, SQLiteRunStore):
        found = store.database.rows(_Q["ended_before"], (rows.micros(before), keep_last, -1))
        summaries = (store.load_summary(row[0]) for row in found)
        return [run for run in summaries if run is not None]
    runs = store.list_runs(limit=_MANY)[keep_last:]
    return [run for run in reversed(runs) if run.status.ended and run.created_at < before]


def export_history(store: RunStore, file: TextIO) -> Moved:
    """Write a history as JSON lines, whole and exact: a head, then each run followed by its steps, then tombstones."""
    moved = Moved()
    _line(file, {"format": FORMAT, "version": 1})
    for run_id in _ids(store):
        run = store.load_run(run_id)
        if run is None:
            continue  # deleted while this export went on
        _line(file, {"run": structs.replace(run, final_context=None).to_dict()})
        moved.runs += 1
        for step in store.load_steps(run_id):
            _line(file, {"step": step.to_dict()})
            moved.steps += 1
    if isinstance(store, SQLiteRunStore):
        for row in store.database.rows(_Q["all_tombstones"]):
            _line(file, {"tombstone": dict(row)})
    return moved


def import_history(store: RunStore, lines: Iterable[str]) -> Moved:
    """Bring in what `export_history` wrote. A run that is there already stays as it is.

    Every line is read before anything is written. Raises UsageError naming the line that cannot be read.
    """
    runs: list[tuple[RunRecord, list[StepRecord]]] = []
    for number, text in enumerate(lines, 1):
        if not text.strip():
            continue
        try:
            _take(json.loads(text), number, runs)
        except (ValueError, TypeError, KeyError, IndexError, ValidationError, CodecError) as error:
            raise UsageError(
                f"Line {number} of the export cannot be read, so nothing was imported: {error}."
            ) from error
    moved = Moved()
    for run, steps in runs:
        if store.load_summary(run.run_id) is not None:
            moved.skipped += 1
            continue
        store.save_run(structs.replace(run, owner=None))
        for step in steps:
            store.save_step(step)
        moved.runs += 1
        moved.steps += len(steps)
    return moved


def _take(document: Any, number: int, runs: list[tuple[RunRecord, list[StepRecord]]]) -> None:
    if number == 1:
        if document.get("format") != FORMAT or document.get("version") != 1:
            raise ValueError("it is no export of a history, or one of a newer version")
    elif "run" in document:
        runs.append((RunRecord.from_dict(document["run"]), []))
    elif "step" in document:
        step = StepRecord.from_dict(document["step"])
        if runs[-1][0].run_id != step.run_id:
            raise ValueError("a step stands behind another run than its own")
        runs[-1][1].append(step)


def _ids(store: RunStore) -> list[str]:
    if isinstance(store, SQLiteRunStore):
        return [row[0] for row in store.database.rows(_Q["all_run_ids"])]
    return [run.run_id for run in reversed(store.list_runs(limit=_MANY))]


def _line(file: TextIO, document: Any) -> None:
    file.write(json.dumps(codec.to_jsonable(document) if "tombstone" in document else document, separators=(",", ":")))
    file.write("\n")


def schema_version(path: Path) -> int:
    """The schema of a SQLite history, without bringing it up to date; 0 for a file of 0.4 or one that is not there."""
    if not path.exists():
        return 0
    try:
        with closing(sqlite3.connect(f"file:{os.fspath(path.resolve())}?mode=ro", uri=True)) as connection:
            return int(connection.execute("PRAGMA user_version").fetchone()[0])
    except sqlite3.Error as error:
        raise StoreError(f"The run history {path} cannot be read: {error}.") from error
