"""The waterfall: when each step worked and waited, on one scale that folds long periods without work.

Positions are thousandths of the width. Offsets are exact: parallel steps are drawn at the same position. A period in
which no step worked (waiting for people, a dead process, a long back-off) has a fixed width and a break mark, so that
two seconds of work remain visible beside three days of waiting.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from msgspec import Struct

from neurocore.persistence.records import CurrentNode, GateRecord, GateStatus, RunRecord, StepRecord, StepStatus
from neurocore.readable import moment
from webapp.html.helpers import step_anchor

WIDTH = 1000.0
FOLD = 120.0
NARROWEST = 4.0

Interval = tuple[float, float]


class Bar(Struct, frozen=True):
    """One bar of a row: `kind` is a step's status, `running` or `waiting`; `breaks` are the folds inside it."""

    x: float
    width: float
    kind: str
    breaks: tuple[float, ...] = ()


class Row(Struct, kw_only=True):
    """One execution of a node: recorded (`step` is set), or running now."""

    node_id: str
    visit: int
    attempt: int
    status: str
    started_at: str
    step: StepRecord | None = None
    gate: GateRecord | None = None
    worked_ms: float | None = None
    waited_ms: float | None = None
    bars: list[Bar] = []

    @property
    def waiting(self) -> bool:
        """Return whether it waits for a person now."""
        return self.gate is not None and self.gate.status is GateStatus.OPEN

    @property
    def decided(self) -> bool:
        """Return whether a person has answered, and the run has not continued from there yet."""
        return self.status == "suspended" and self.gate is not None and self.gate.status is GateStatus.DECIDED

    @property
    def voided(self) -> bool:
        """Return whether it waited for a person, and its gate was voided."""
        ended = self.status in ("suspended", "skipped")
        return ended and self.gate is not None and self.gate.status is GateStatus.VOIDED

    @property
    def outcome(self) -> str:
        """Return how it ended (`StepRecord.outcome`), or its status while it runs."""
        return self.step.outcome if self.step is not None else self.status

    @property
    def id(self) -> str:
        """Return the element id that links use."""
        return step_anchor(self.node_id, self.visit, self.attempt)

    @property
    def key(self) -> str:
        """Return what distinguishes this state of the row from others; it is part of the id of the row's body."""
        return f"{self.step.step_index}-{self.step.commit_index}" if self.step else f"now-{self.node_id}-{self.visit}"


class Timeline(Struct, kw_only=True):
    """The rows in order. `waited_ms` is how long the run waited for people, `folded` whether a period is folded."""

    rows: list[Row]
    started_at: str
    ended_at: str | None
    waited_ms: float = 0.0
    total: int = 0
    folded: bool = False


def build(
    run: RunRecord, steps: Sequence[StepRecord], gates: Iterable[GateRecord], *, now: datetime | None = None
) -> Timeline:
    """Build the timeline of a run as of `now`."""
    at = (now or datetime.now(UTC)).timestamp() * 1000
    by_place = {(gate.node_id, gate.visit): gate for gate in gates}
    rows = [_recorded(step, by_place.get((step.node_id or step.component, step.visit))) for step in steps]
    going = [_current(node, at) for node in run.working_nodes if not run.status.ended]
    again = {row.id for row in going}  # a step that waited for an answer runs again as the same step
    rows = [row for row in rows if row.status != "suspended" or row.id not in again] + going
    start = _ms(run.created_at) or at
    end = _ms(run.finished_at) or at
    if run.status.value == "failed" and not run.finished_at:
        end = _ms(run.updated_at) or at
    works, waits = [_work(row, at) for row in rows], [_wait(row, at) for row in rows]
    scale = Scale([work for work in works if work is not None], start, end)
    for row, work, wait in zip(rows, works, waits, strict=True):
        row.bars = _bars(row, work, wait, scale)
        row.waited_ms = wait[1] - wait[0] if wait is not None else None
    waited = sum(end - begin for begin, end in _union(wait for wait in waits if wait is not None))
    return Timeline(
        rows=rows, started_at=run.created_at, ended_at=run.finished_at, waited_ms=waited, total=len(rows),
        folded=bool(scale.folds),
    )  # fmt: skip


class Scale:
    """Converts milliseconds to thousandths of the width."""

    def __init__(self, work: list[Interval], start: float, end: float) -> None:
        busy = _union(work)
        start = min([start, *(begin for begin, _ in busy)])
        end = max([end, *(stop for _, stop in busy)])
        worked = sum(stop - begin for begin, stop in busy)
        self.folds: list[Interval] = [
            gap for gap in _gaps(busy, start, end) if gap[1] - gap[0] > max(1000.0, 0.25 * worked)
        ]
        fold = min(FOLD, 0.6 * WIDTH / len(self.folds)) if self.folds else 0.0
        shown = (end - start) - sum(stop - begin for begin, stop in self.folds)
        per_ms = (WIDTH - fold * len(self.folds)) / shown if shown > 0 else 0.0
        self._times, self._places = [start], [0.0]
        for begin, stop in self.folds:
            self._add(begin, self._places[-1] + (begin - self._times[-1]) * per_ms)
            self._add(stop, self._places[-1] + fold)
        self._add(end, WIDTH if shown > 0 or not self.folds else self._places[-1])
        self._middles = [(self(begin) + self(stop)) / 2 for begin, stop in self.folds]

    def _add(self, time: float, place: float) -> None:
        self._times.append(time)
        self._places.append(place)

    def __call__(self, time: float) -> float:
        """Return the position of a time."""
        index = bisect_right(self._times, time)
        if index == 0:
            return 0.0
        if index == len(self._times):
            return self._places[-1]
        begin, stop = self._times[index - 1], self._times[index]
        share = (time - begin) / (stop - begin) if stop > begin else 0.0
        return self._places[index - 1] + share * (self._places[index] - self._places[index - 1])

    def bar(self, begin: float, stop: float, kind: str) -> Bar:
        """Return the bar from `begin` to `stop`, wide enough to be visible."""
        x, end = self(begin), self(stop)
        width = max(NARROWEST, end - x)
        x = min(x, WIDTH - width)
        breaks = tuple(round(middle, 1) for middle in self._middles if x < middle < x + width)
        return Bar(round(x, 1), round(width, 1), kind, breaks)


# -------------------------------------------------------------------- rows


def _recorded(step: StepRecord, gate: GateRecord | None) -> Row:
    return Row(
        node_id=step.node_id or step.component, visit=step.visit, attempt=step.attempt, status=step.status.value,
        started_at=step.started_at, step=step, gate=gate, worked_ms=step.duration_ms,
    )  # fmt: skip


def _current(node: CurrentNode, now: float) -> Row:
    return Row(
        node_id=node.node_id, visit=node.visit, attempt=node.attempt, status="running", started_at=node.started_at,
        worked_ms=max(0.0, now - (_ms(node.started_at) or now)),
    )  # fmt: skip


def _bars(row: Row, work: Interval | None, wait: Interval | None, scale: Scale) -> list[Bar]:
    bars = []
    if work is not None and (row.gate is None or row.gate.kind != "gate"):
        bars.append(scale.bar(*work, "completed" if row.status == "suspended" else row.status))
    if wait is not None:
        bars.append(scale.bar(*wait, "waiting"))
    return bars


def _work(row: Row, now: float) -> Interval | None:
    begin = _ms(row.started_at) if row.status != "skipped" else None
    if begin is None:
        return None
    return begin, max(begin, now) if row.status == "running" else begin + (row.worked_ms or 0.0)


def _wait(row: Row, now: float) -> Interval | None:
    gate = row.gate
    if gate is None or (row.step is not None and row.step.status is StepStatus.SKIPPED and not gate.closed_at):
        return None
    begin = _ms(gate.opened_at)
    if begin is None:
        return None
    stop = (_ms(gate.closed_at) if gate.closed_at else now) or now
    return begin, max(begin, stop)


# -------------------------------------------------------------------- intervals


def _union(intervals: Iterable[Interval]) -> list[Interval]:
    merged: list[Interval] = []
    for begin, stop in sorted(intervals):
        if merged and begin <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], stop))
        else:
            merged.append((begin, stop))
    return merged


def _gaps(busy: list[Interval], start: float, end: float) -> list[Interval]:
    edges = [start, *(edge for interval in busy for edge in interval), end]
    return [(edges[i], edges[i + 1]) for i in range(0, len(edges), 2) if edges[i + 1] > edges[i]]


def _ms(iso: str | None) -> float | None:
    at = moment(iso)
    return at.timestamp() * 1000 if at else None
