"""A store carries the clock: whoever works on it records its instants."""

from __future__ import annotations

import pytest

from neurocore.clock import Clock, Ids
from neurocore.errors import ExecutionError
from neurocore.persistence.records import RunRecord
from neurocore.runtime.executor import cancel_run, decide_gate
from tests.runtime.worlds import World, chain


class LateClock(Clock):
    """A clock that is years ahead."""

    def micros(self) -> int:
        return super().micros() + 5 * 366 * 24 * 3600 * 1_000_000


class Counted(Ids):
    """Ids that count."""

    def __init__(self) -> None:
        self.count = 0

    def new(self) -> str:
        self.count += 1
        return f"run-{self.count}"


def instants(world: World, run: RunRecord) -> list[str | None]:
    """Every instant that is recorded of a run."""
    found = [run.created_at, run.updated_at, run.finished_at, *(event.at for event in run.events)]
    for gate in run.gates:
        found += [gate.opened_at, gate.closed_at, *(answer.at for answer in gate.answers)]
    return [*found, *(step.started_at for step in world.store.load_steps(run.run_id))]


def test_every_instant_of_a_run_is_by_the_clock_of_its_store(world: World) -> None:
    world.store.clock, world.store.ids = LateClock(), Counted()
    world.skill("work")
    text = chain("a", "approval: {name: ok}", "b")
    run_id = world.run(text).metadata.run_id
    assert run_id == "run-1"
    decide_gate(run_id, approved=True, by="ann", run_store=world.store)
    world.resume(run_id)
    waiting = world.run(text).metadata.run_id
    cancel_run(waiting, run_store=world.store, config=world.config, by="ann")
    for run in (world.record(run_id), world.record(waiting)):
        years = {(at or "")[:5] for at in instants(world, run)}
        assert len(years) == 1
        assert int(years.pop()[:4]) >= 2031


def test_a_pause_before_another_attempt_is_by_the_clock_of_the_store(world: World) -> None:
    def work(_: object) -> None:
        raise ValueError("no")

    world.store.clock = LateClock()
    world.skill("work", work)
    with pytest.raises(ExecutionError):
        world.run(chain("a: retry: {max: 1, delay: 0.01}"))
    assert len(world.store.load_steps(world.only_run().run_id)) == 2
