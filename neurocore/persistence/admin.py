"""Looking after a history: check it, measure it, copy it, prune it, move it.

Any backend can be checked, measured, pruned, exported and imported by what the contract gives; the SQLite file is
checked deeper, copied while it is in use, pruned by its indexes, and an import into it happens whole or not at all.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO

import msgspec
from msgspec import Struct, structs

from neurocore.errors import CodecError, StoreError, UsageError
from neurocore.people import person
from neurocore.persistence import migrate, rows
from neurocore.persistence.base import RunStore
from neurocore.persistence.database import tell
from neurocore.persistence.derive import last_hash
from neurocore.persistence.records import GateRecord, RunRecord, StepRecord, Tombstone, iso, utcnow_iso
from neurocore.persistence.sqlite import SQLiteRunStore
from neurocore.persistence.sqlite_writes import insert_run, write_step

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
        run_ids = list(_ids(store))
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
        if answer.sealed(run_id, previous).hash != answer.hash:
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
            bytes=sum(path.stat().st_size for path in _files(store.path) if path.exists()),
            schema_version=version[0],
        )
    times = [run.created_at for run in store.list_runs(limit=_MANY)]
    return Stats(
        runs=runs, steps=None, open_gates=open_gates, oldest=min(times, default=None), newest=max(times, default=None),
        bytes=None, schema_version=None,
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
        with contextlib.closing(sqlite3.connect(partial)) as copy:
            store.database.reader().backup(
                copy
            )  # all pages at once: of one moment, while others go on writing into the WAL
            copy.execute("PRAGMA journal_mode = DELETE")
        with partial.open("rb") as written:
            os.fsync(written.fileno())
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
        return migrate.is_current(path) if path.exists() else None
    except (OSError, sqlite3.Error) as error:
        tell(path, error)
        raise


def schema_version(path: Path) -> int:
    """The schema of a SQLite history, without bringing it up to date; 0 for a file of 0.4 or one that is not there."""
    if not path.exists():
        return 0
    try:
        with contextlib.closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
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


# -------------------------------------------------------------------- moving


def export_history(store: RunStore, file: TextIO) -> Moved:
    """Write a history as JSON lines, whole and exact: a head, each run followed by its steps, then the tombstones."""
    moved = Moved()
    _line(file, {"format": FORMAT, "version": 1})
    for run_id in _ids(store):
        with _snapshot(store):
            run, steps = store.load_run(run_id), store.load_steps(run_id)
        if run is None:
            continue  # deleted while this export went on
        _line(file, {"run": structs.replace(run, final_context=None, completed_nodes=[]).to_dict()})
        moved.runs += 1
        for step in steps:
            _line(file, {"step": step.to_dict()})
            moved.steps += 1
    if isinstance(store, SQLiteRunStore):
        for row in store.database.rows(_Q["all_tombstones"]):
            _line(file, {"tombstone": dict(row)})
    return moved


def import_history(store: RunStore, lines: Iterable[str]) -> Moved:
    """Bring in what `export_history` wrote, whole or not at all. A run that is there already stays as it is.

    Nobody drives an imported run; one that was running is found by the sweep. Raises UsageError naming the line that
    cannot be read.
    """
    if isinstance(store, SQLiteRunStore):
        with store.database.write(sync=True) as connection:
            return _take_all(_read(lines), _IntoSQLite(store, connection))
    return _take_all(list(_read(lines)), _IntoAny(store))  # all is read before anything is written


def _take_all(records: Iterable[RunRecord | StepRecord | Tombstone], target: _IntoSQLite | _IntoAny) -> Moved:
    moved = Moved()
    wanted = False
    for record in records:
        try:
            if isinstance(record, Tombstone):
                target.tombstone(record)
            elif isinstance(record, RunRecord):
                wanted = not target.has(record.run_id)
                moved.runs += wanted
                moved.skipped += not wanted
                if wanted:
                    target.run(structs.replace(record, owner=None))
            elif wanted:
                moved.steps += 1
                target.step(record)
        except (ValueError, OverflowError) as error:  # a time that is none, a number that no column holds
            raise UsageError(f"Run {record.run_id[:80]} of the export cannot be kept{target.then}: {error}.") from error
    return moved


class _IntoSQLite:
    """One transaction for a whole import."""

    then = ", so nothing was imported"

    def __init__(self, store: SQLiteRunStore, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._place = 0
        self._bury = store.bury_within

    def has(self, run_id: str) -> bool:
        return self._connection.execute(_Q["find_run"], (run_id,)).fetchone() is not None

    def run(self, run: RunRecord) -> None:
        self._place = insert_run(self._connection, run)

    def step(self, step: StepRecord) -> None:
        write_step(self._connection, self._place, step)

    def tombstone(self, tombstone: Tombstone) -> None:
        if not self.has(tombstone.run_id):
            self._bury(self._connection, tombstone.run_id, tombstone)


class _IntoAny:
    """The methods that every backend has."""

    then = ""

    def __init__(self, store: RunStore) -> None:
        self._store = store

    def has(self, run_id: str) -> bool:
        return self._store.load_summary(run_id) is not None

    def run(self, run: RunRecord) -> None:
        self._store.save_run(run)

    def step(self, step: StepRecord) -> None:
        self._store.save_step(step)

    def tombstone(self, tombstone: Tombstone) -> None:
        if not self.has(tombstone.run_id):
            self._store.bury_run(tombstone.run_id, tombstone)


def _read(lines: Iterable[str]) -> Iterator[RunRecord | StepRecord | Tombstone]:
    checks = _Checks()
    number = 0
    for number, text in enumerate(_texts(lines), 1):
        try:
            record = _record(json.loads(text), number)
            checks.check(record)
        except (ValueError, TypeError, KeyError, RecursionError, msgspec.MsgspecError, CodecError) as error:
            raise UsageError(
                f"Line {number} of the export cannot be read, so nothing was imported: {error}."
            ) from error
        if record is not None:
            yield record
    if number == 0:
        raise UsageError("The export is empty: it has not even a head.")


class _Checks:
    """What a line may not say after those before it: nothing stands there twice, and every id is one."""

    def __init__(self) -> None:
        self._runs: set[str] = set()
        self._run_id: str | None = None
        self._indexes: set[int] = set()

    def check(self, record: RunRecord | StepRecord | Tombstone | None) -> None:
        """Raise ValueError with what is wrong."""
        if isinstance(record, RunRecord):
            self._run(record)
        elif isinstance(record, StepRecord):
            self._step(record)
        elif record is not None:
            _check_id(record.run_id)

    def _run(self, run: RunRecord) -> None:
        _check_id(run.run_id)
        if run.replay_of is not None:
            _check_id(run.replay_of)
        if run.run_id in self._runs:
            raise ValueError(f"run {run.run_id} stands in it twice")
        self._runs.add(run.run_id)
        self._run_id, self._indexes = run.run_id, set()
        _check_numbers(run, "run", "nodes_done", "nodes_total", "epoch", "deaths", "version")
        visits = set()
        for gate in run.gates:
            if gate.run_id != run.run_id:
                raise ValueError("a gate stands in another run than its own")
            if (gate.node_id, gate.visit) in visits:
                raise ValueError(f"visit {gate.visit} of gate {gate.node_id} stands in it twice")
            visits.add((gate.node_id, gate.visit))
            _check_numbers(gate, "gate", "visit", "step_index")

    def _step(self, step: StepRecord) -> None:
        if step.run_id != self._run_id:
            raise ValueError("a step stands behind another run than its own")
        _check_numbers(step, "step", "step_index", "visit", "attempt", "commit_index")
        if step.step_index in self._indexes:
            raise ValueError(f"step {step.step_index} of run {step.run_id} stands in it twice")
        self._indexes.add(step.step_index)


#: Wider than what is given to new runs, as older versions took other ids; still one part of a path, on one line.
_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:@+~-]{0,199}")


def _check_id(run_id: str) -> None:
    if not _ID.fullmatch(run_id):
        raise ValueError(f"{run_id[:80]!r} is no run's id")


def _check_numbers(record: Struct, what: str, *names: str) -> None:
    for name in names:
        if getattr(record, name) < 0:
            raise ValueError(f"{name} is {getattr(record, name)}, which no {what} has")


def _texts(lines: Iterable[str]) -> Iterator[str]:
    try:
        yield from lines
    except UnicodeDecodeError as error:
        raise UsageError("The export is no text in UTF-8, so nothing was imported.") from error


def _record(document: Any, number: int) -> RunRecord | StepRecord | Tombstone | None:
    if not isinstance(document, dict) or (number > 1 and len(document) != 1):
        raise ValueError("it is no line of an export")
    if number == 1:
        if document.get("format") != FORMAT or document.get("version") != 1:
            raise ValueError("it is no export of a history, or one of a newer version")
        return None
    ((kind, content),) = document.items()
    if kind == "run":
        return RunRecord.from_dict(content)
    if kind == "step":
        return StepRecord.from_dict(content)
    if kind == "tombstone":
        return msgspec.convert(content, Tombstone)
    raise ValueError(f"nothing is known of {kind!r}")


def _snapshot(store: RunStore) -> contextlib.AbstractContextManager[None]:
    return store.database.snapshot() if isinstance(store, SQLiteRunStore) else contextlib.nullcontext()


def _ids(store: RunStore) -> list[str]:
    if isinstance(store, SQLiteRunStore):
        return [row[0] for row in store.database.rows(_Q["all_run_ids"])]
    return [run.run_id for run in reversed(store.list_runs(limit=_MANY))]


def _line(file: TextIO, document: Any) -> None:
    file.write(json.dumps(document, separators=(",", ":")))
    file.write("\n")
