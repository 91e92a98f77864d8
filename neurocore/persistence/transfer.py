"""Move a history: export it as JSON lines, whole and exact, and import it, whole or not at all."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any, TextIO

import msgspec
from msgspec import Struct, structs

from neurocore import typed
from neurocore.clock import utcnow_iso
from neurocore.errors import CodecError, UsageError
from neurocore.persistence.base import RunStore
from neurocore.persistence.contract.maintenance import Importer
from neurocore.persistence.projections import unfinished, with_events
from neurocore.persistence.records import RunRecord, StepRecord, Tombstone, own_event

FORMAT = "neurocore-history"


class Moved(Struct, kw_only=True):
    """How many runs and steps were exported or imported, and how many runs existed already.

    `held` of the imported runs are held.
    """

    runs: int = 0
    steps: int = 0
    skipped: int = 0
    held: int = 0


class _End(Struct, frozen=True):
    """The last line of an export: how many runs and lines come before it, so that a truncated export is detected."""

    runs: int
    lines: int


def export_history(store: RunStore, file: TextIO) -> Moved:
    """Write a history as JSON lines, whole and exact: a head, each run with its steps, the tombstones, an end."""
    moved = Moved()
    tombstones = 0
    _line(file, {"format": FORMAT, "version": 1})
    for run_id in store.all_run_ids():
        with store.snapshot():
            run, steps = store.load_run(run_id), store.load_steps(run_id)
        if run is None:
            continue  # deleted during this export
        _line(file, {"run": structs.replace(run, final_context=None, completed_nodes=[]).to_dict()})
        moved.runs += 1
        for step in steps:
            _line(file, {"step": step.to_dict()})
            moved.steps += 1
    for tombstone in store.all_tombstones():
        _line(file, {"tombstone": structs.asdict(tombstone)})
        tombstones += 1
    _line(file, {"end": {"runs": moved.runs, "lines": 1 + moved.runs + moved.steps + tombstones}})
    return moved


def import_history(store: RunStore, lines: Iterable[str]) -> Moved:
    """Import what `export_history` wrote, whole or not at all.

    An existing run stays as it is, and a run that was deleted here stays deleted.

    No process drives an imported run, and unfinished ones are held until somebody adopts them. Raises UsageError, which
    names the line that cannot be read, or says that the export was truncated.
    """
    with store.importer() as importer:
        # If nothing can be rolled back, everything is read before anything is written.
        return _add_all(_read(lines) if importer.atomic else list(_read(lines)), importer)


def _add_all(records: Iterable[RunRecord | StepRecord | Tombstone], importer: Importer) -> Moved:
    moved = Moved()
    wanted = False
    for record in records:
        try:
            if isinstance(record, Tombstone):
                importer.add_tombstone(record)
            elif isinstance(record, RunRecord):
                wanted = not importer.has(record.run_id)
                moved.runs += wanted
                moved.skipped += not wanted
                if wanted:
                    run = _brought_in(record)
                    moved.held += run.held is not None
                    importer.add_run(run)
            elif wanted:
                moved.steps += 1
                importer.add_step(record)
        except (ValueError, OverflowError) as error:  # an invalid time, or a number that no column holds
            then = ", so nothing was imported" if importer.atomic else ""
            raise UsageError(f"Run {record.run_id[:80]} of the export cannot be stored{then}: {error}.") from error
    return moved


def _brought_in(run: RunRecord) -> RunRecord:
    """Return the imported run as it is stored: without its driver, which drives it where it comes from."""
    run = structs.replace(run, owner=None, lease_until=None)
    if run.held is None and unfinished(run):
        now = utcnow_iso()
        run.held = f"it was imported on {now[:10]}"
        run.events = with_events(run, own_event("held", {"because": run.held}, at=now))
    return run


def _read(lines: Iterable[str]) -> Iterator[RunRecord | StepRecord | Tombstone]:
    checks = _Checks()
    end: _End | None = None
    number = 0
    for number, text in enumerate(_texts(lines), 1):
        try:
            if end is not None:
                raise ValueError("it comes after the end")
            record = _record(json.loads(text), number)
            if isinstance(record, _End):
                end = record
                continue
            checks.check(record)
        except (ValueError, TypeError, KeyError, RecursionError, msgspec.MsgspecError, CodecError) as error:
            raise UsageError(
                f"Line {number} of the export cannot be read, so nothing was imported: {error}."
            ) from error
        if record is not None:
            yield record
    if number == 0:
        raise UsageError("The export is empty: it has no head.")
    if end is None:
        raise UsageError(f"The export ends too early, after line {number}, so nothing was imported: export it again.")
    if (end.runs, end.lines) != (checks.runs, number - 1):
        raise UsageError(
            f"The export is incomplete: its end says {end.runs} runs in {end.lines} lines, but there are {checks.runs} "
            f"in {number - 1}, so nothing was imported: export it again."
        )


class _Checks:
    """Checks each line against those before it: nothing appears twice, and every id is valid."""

    def __init__(self) -> None:
        self._runs: set[str] = set()
        self._run_id: str | None = None
        self._indexes: set[int] = set()

    @property
    def runs(self) -> int:
        """Return how many runs there were."""
        return len(self._runs)

    def check(self, record: RunRecord | StepRecord | Tombstone | None) -> None:
        """Raise ValueError, which says what is wrong."""
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
            raise ValueError(f"run {run.run_id} appears twice")
        self._runs.add(run.run_id)
        self._run_id, self._indexes = run.run_id, set()
        _check_numbers(run, "run", "nodes_done", "nodes_total", "epoch", "deaths", "version")
        visits = set()
        for gate in run.gates:
            if gate.run_id != run.run_id:
                raise ValueError("a gate is in another run than its own")
            if (gate.node_id, gate.visit) in visits:
                raise ValueError(f"visit {gate.visit} of gate {gate.node_id} appears twice")
            visits.add((gate.node_id, gate.visit))
            _check_numbers(gate, "gate", "visit", "step_index")

    def _step(self, step: StepRecord) -> None:
        if step.run_id != self._run_id:
            raise ValueError("a step follows another run than its own")
        _check_numbers(step, "step", "step_index", "visit", "attempt", "commit_index")
        if step.step_index in self._indexes:
            raise ValueError(f"step {step.step_index} of run {step.run_id} appears twice")
        self._indexes.add(step.step_index)


#: Wider than for new runs, because older versions accepted other ids; still one part of a path, on one line.
_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:@+~-]{0,199}")


def _check_id(run_id: str) -> None:
    if not _ID.fullmatch(run_id):
        raise ValueError(f"{run_id[:80]!r} is not a run's id")


def _check_numbers(record: Struct, what: str, *names: str) -> None:
    for name in names:
        if getattr(record, name) < 0:
            raise ValueError(f"{name} is {getattr(record, name)}, which no {what} has")


def _texts(lines: Iterable[str]) -> Iterator[str]:
    try:
        yield from lines
    except UnicodeDecodeError as error:
        raise UsageError("The export is not text in UTF-8, so nothing was imported.") from error


def _record(document: Any, number: int) -> RunRecord | StepRecord | Tombstone | _End | None:
    if not isinstance(document, dict) or (number > 1 and len(document) != 1):
        raise ValueError("it is not a line of an export")
    if number == 1:
        if document.get("format") != FORMAT or document.get("version") != 1:
            raise ValueError("it is not an export of a history, or of a newer version")
        return None
    ((kind, content),) = document.items()
    if kind == "run":
        return RunRecord.from_dict(content, objects=False)
    if kind == "step":
        return StepRecord.from_dict(content, objects=False)
    if kind == "tombstone":
        return typed.convert(content, Tombstone)
    if kind == "end":
        return typed.convert(content, _End)
    raise ValueError(f"{kind!r} is not known")


def _line(file: TextIO, document: Any) -> None:
    file.write(json.dumps(document, separators=(",", ":")))
    file.write("\n")
