"""The waterfall: true offsets, waiting folded, nothing squeezed out of sight."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from neurocore.persistence.records import (
    CurrentNode,
    GateRecord,
    GateStatus,
    RunRecord,
    RunStatus,
    StepRecord,
    StepStatus,
)
from webapp.runs.timeline import NARROWEST, WIDTH, build

START = datetime(2026, 3, 31, 10, 0, tzinfo=UTC)


def at(seconds):
    return (START + timedelta(seconds=seconds)).isoformat()


def run(**fields):
    return RunRecord(**{"run_id": "r", "blueprint_name": "b", "created_at": at(0), "updated_at": at(0), **fields})


def step(index, begin, took, node="n", **fields):
    return StepRecord(
        run_id="r",
        step_index=index,
        component=node,
        node_id=node,
        started_at=at(begin),
        duration_ms=took * 1000,
        **fields,
    )


def ends(bar):
    return round(bar.x), round(bar.x + bar.width)


def test_steps_side_by_side_stand_side_by_side():
    line = build(
        run(status=RunStatus.COMPLETED, finished_at=at(10)),
        [step(0, 0, 4, "a"), step(1, 4, 6, "left"), step(2, 4, 3, "right")],
        [],
    )
    assert [ends(row.bars[0]) for row in line.rows] == [(0, 400), (400, 1000), (400, 700)]


def test_three_days_of_waiting_do_not_squeeze_two_seconds_of_work():
    days = 3 * 86400
    gate = GateRecord(
        run_id="r", node_id="review", visit=1, opened_at=at(1), closed_at=at(1 + days), status=GateStatus.DONE
    )
    line = build(
        run(status=RunStatus.COMPLETED, finished_at=at(2 + days)),
        [step(0, 0, 1, "a"), step(1, 1, 0, "review"), step(2, 1 + days, 1, "b")],
        [gate],
    )
    first, waiting, last = (row.bars[0] for row in line.rows)
    assert first.width == last.width > 400
    assert waiting.kind == "waiting"
    assert len(waiting.breaks) == 1, "the folded stretch has its break mark"
    assert waiting.width < 200
    assert line.waited_ms == days * 1000


def test_a_short_wait_is_drawn_as_long_as_it_was():
    gate = GateRecord(run_id="r", node_id="review", visit=1, opened_at=at(4), closed_at=at(4.5), status=GateStatus.DONE)
    line = build(
        run(status=RunStatus.COMPLETED, finished_at=at(8.5)),
        [step(0, 0, 4, "a"), step(1, 4, 0, "review"), step(2, 4.5, 4)],
        [gate],
    )
    assert not line.rows[1].bars[0].breaks


def test_work_beside_an_open_gate_is_not_folded():
    gate = GateRecord(run_id="r", node_id="review", visit=1, opened_at=at(1))
    line = build(
        run(
            status=RunStatus.RUNNING, current_nodes=[CurrentNode(node_id="slow", visit=1, attempt=1, started_at=at(1))]
        ),
        [step(0, 0, 1, "a"), step(1, 1, 0, "review", status=StepStatus.SUSPENDED)],
        [gate],
        now=START + timedelta(seconds=101),
    )
    review, slow = line.rows[1], line.rows[2]
    assert review.waiting
    assert not review.bars[0].breaks
    assert ends(slow.bars[0])[1] == WIDTH
    assert slow.worked_ms == 100_000


def test_the_shortest_step_can_be_seen_and_nothing_leaves_the_scale():
    line = build(run(status=RunStatus.COMPLETED, finished_at=at(100)), [step(0, 0, 100), step(1, 100, 0.0001)], [])
    bar = line.rows[1].bars[0]
    assert bar.width == NARROWEST
    assert bar.x + bar.width <= WIDTH


def test_a_run_that_has_done_nothing_yet_has_a_timeline():
    assert build(run(status=RunStatus.RUNNING), [], [], now=START).rows == []
    assert build(run(status=RunStatus.COMPLETED, finished_at=at(0)), [step(0, 0, 0)], []).rows[0].bars


def test_clocks_that_ran_backwards_break_nothing():
    line = build(run(status=RunStatus.COMPLETED, finished_at=at(-5)), [step(0, -3, 1), step(1, 5, 1)], [])
    for row in line.rows:
        assert 0 <= row.bars[0].x <= WIDTH


def test_skipped_steps_have_no_bar():
    line = build(run(status=RunStatus.COMPLETED, finished_at=at(1)), [step(0, 0, 0, status=StepStatus.SKIPPED)], [])
    assert line.rows[0].bars == []
