"""Maintain a history: check it, prune it, and tell which version wrote its file.

What one backend does better, or alone, is in the role `Maintenance` of its store.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

from msgspec import Struct

from neurocore.access.actor import person
from neurocore.errors import StoreError
from neurocore.persistence import migrate
from neurocore.persistence.base import RunStore
from neurocore.persistence.database import refuse_stale
from neurocore.persistence.people import Entry
from neurocore.persistence.records import Event, GateRecord
from neurocore.persistence.sidecars import address
from neurocore.persistence.troubles import translate

#: Runs deleted in one transaction; between two batches, other writers get their turn.
BATCH = 100


class Check(Struct, kw_only=True):
    """The problems that a check found, and what it repaired."""

    problems: list[str] = []
    repaired: list[str] = []


class Pruned(Struct, kw_only=True):
    """How many ended runs were deleted (or would be), and when the first and the last of them started."""

    runs: int = 0
    oldest: str | None = None
    newest: str | None = None


# -------------------------------------------------------------------- checking


def check(store: RunStore, *, repair: bool = False) -> Check:
    """Check that the file is sound and our rules hold: steps in order, counts correct, chains of answers unbroken.

    `repair` rebuilds the counts; nothing else can be rebuilt.
    """
    found = Check(problems=store.damage(), repaired=[])
    if not store.counts_hold():
        if repair:
            store.recount()
            found.repaired.append("The counts by status, blueprint and day were rebuilt from the runs.")
        else:
            found.problems.append(
                "The counts by status, blueprint and day differ from the runs; --repair rebuilds them."
            )
    found.problems += [f"Run {run_id}: its steps have gaps." for run_id in store.runs_with_gaps()]
    for run_id in store.runs_with_answers():
        found.problems += _check_chain(run_id, store.load_gates(run_id))
    for run_id, events in store.all_events():
        found.problems += _check_events(run_id, events, store)
    if store.keeps_accounts:
        found.problems += _check_entries(store.list_entries())
    return found


def _check_entries(entries: list[Entry]) -> Iterator[str]:
    """Check the chain of entries about accounts and deleted runs."""
    last = ""
    for number, entry in enumerate(entries, 1):
        if entry != entry.sealed(number, last):
            yield f"Entry {number} about accounts ({entry.kind}) was changed, or one before it was removed."
            return
        last = entry.hash


def _check_events(run_id: str, events: list[Event], store: RunStore) -> Iterator[str]:
    """Check the chain of a run's events. Those of older versions come first, and have no hash.

    The first event with a hash names the run's last answer of that time, if there was one.
    """
    first = next((place for place, event in enumerate(events) if event.hash), len(events))
    last: str | None = None
    for number, event in enumerate(events[first:], first + 1):
        whole = _begins(event, run_id, store) if last is None else event.hash == event.sealed(run_id, last).hash
        if not whole:
            yield f"Run {run_id}: entry {number} of its activity ({event.kind}) was changed after it was recorded."
            return
        last = event.hash


def _begins(event: Event, run_id: str, store: RunStore) -> bool:
    """Return whether an event is whole as the first of its chain."""
    if event.hash == event.sealed(run_id, "").hash:
        return True
    answers = [answer.hash for gate in store.load_gates(run_id) for answer in gate.answers]
    return any(event.hash == event.sealed(run_id, one).hash for one in answers)


def _check_chain(run_id: str, gates: list[GateRecord]) -> Iterator[str]:
    answers = [answer for gate in gates for answer in gate.answers]
    following = {answer.prev_hash: answer for answer in answers}
    previous, walked = "", 0
    while previous in following and walked < len(answers):
        answer = following[previous]
        try:
            is_whole = answer.is_sealed(run_id, previous)
        except StoreError as error:  # the hash of a newer version
            yield f"Run {run_id}: its chain of answers cannot be checked: {error}"
            return
        if not is_whole:
            yield f"Run {run_id}: the answer of {answer.by} at {answer.node_id} was changed after it was recorded."
            return
        previous, walked = answer.hash, walked + 1
    if walked < len(answers):
        yield f"Run {run_id}: its chain of answers is broken after {walked} of {len(answers)}."


# -------------------------------------------------------------------- the version of a file


def is_current(path: Path) -> bool | None:
    """Return whether opening a SQLite history changes nothing: False for an older one, None if there is no file.

    Raises StoreError for one that cannot be opened, StoreTooNew for a newer one.
    """
    try:
        refuse_stale(path)
        return migrate.is_current(path) if path.exists() else None
    except (OSError, sqlite3.Error) as error:
        translate(path, error)
        raise


def schema_version(path: Path) -> int:
    """Return the schema of a SQLite history, without upgrading it; 0 for a file of 0.4 and for a missing one."""
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
    """Delete ended runs that started before an ISO time, oldest first, except for the `keep_last` newest runs.

    Works in small batches; each run leaves a tombstone. `on_batch` receives the number of runs deleted so far.
    """
    by = person(by)
    pruned = Pruned()
    if dry_run:
        for _, created_at in store.ended_runs(before=before, keep_last=keep_last):
            _count(pruned, created_at)
        return pruned
    while True:
        batch = dict(store.ended_runs(before=before, keep_last=keep_last, limit=BATCH))
        if not batch:
            break
        buried = store.bury_ended(batch, by=by)
        for run_id in buried:
            _count(pruned, batch[run_id])
        if on_batch:
            on_batch(pruned.runs)
        if not buried:
            break  # every one of them was deleted or resumed in the meantime
    if pruned.runs:
        store.drop_unused_definitions()
    return pruned


def _count(pruned: Pruned, created_at: str) -> None:
    pruned.runs += 1
    pruned.oldest = pruned.oldest or created_at
    pruned.newest = created_at
