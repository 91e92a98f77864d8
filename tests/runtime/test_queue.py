"""Which run begins next where many wait for a thread: what a person decided goes first, and starves nobody."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from neurocore import FlowContext
from neurocore.access.actor import this_user
from neurocore.drivers.dispatch import InlineDispatcher, ThreadDispatcher
from neurocore.drivers.sweep import sweep_once
from neurocore.runs.resume import request_resume
from neurocore.runtime.blueprint import parse_blueprint
from neurocore.runtime.executor import create_run, decide_gate
from neurocore.runtime.start import NewRun
from tests.runtime.worlds import World, chain


class Crowd:
    """Runs that wait for threads; each step that begins is noted by its run's name, and those named `long…` hold on."""

    def __init__(self, world: World, workers: int) -> None:
        self.world, self.go, self.lock = world, threading.Event(), threading.Lock()
        self.begun: list[str] = []
        self.held = threading.Semaphore(0)
        world.skill("work", self.work)
        self.dispatch = ThreadDispatcher(world.registry, world.config, world.store, max_workers=workers)
        self.gated = parse_blueprint(chain("approval: {name: ok}", "after"))
        self.plain = parse_blueprint(chain("only"))

    def work(self, context: FlowContext) -> None:
        with self.lock:
            self.begun.append(context.metadata.run_id)
        if context.metadata.run_id.startswith("long"):
            self.held.release()
            self.go.wait(60)

    def decided(self, name: str) -> None:
        """A run that waited at its gate and was decided, handed in."""
        create_run(
            NewRun(blueprint=self.gated, actor=this_user(), run_id=name),
            self.world.registry,
            self.world.config,
            run_store=self.world.store,
        )
        InlineDispatcher(self.world.registry, self.world.config, self.world.store).submit(name)
        decide_gate(name, approved=True, by="ann", run_store=self.world.store, dispatch=self.dispatch)

    def started(self, *names: str, submit: bool = True) -> None:
        """Runs that were started, handed in one after the other."""
        for name in names:
            create_run(
                NewRun(blueprint=self.plain, actor=this_user(), run_id=name),
                self.world.registry,
                self.world.config,
                run_store=self.world.store,
            )
            if submit:
                self.dispatch.submit(name)

    def holding(self, count: int) -> None:
        """Wait until so many long ones hold a thread."""
        for _ in range(count):
            assert self.held.acquire(timeout=60)

    def finish(self) -> list[str]:
        """Let all go on; the runs in the order in which they began."""
        self.go.set()
        assert self.dispatch.idle(60)
        return self.begun


@pytest.fixture
def crowd(world: World) -> Iterator[Callable[[int], Crowd]]:
    made: list[Crowd] = []

    def make(workers: int) -> Crowd:
        made.append(Crowd(world, workers))
        return made[-1]

    yield make
    for one in made:
        one.go.set()
        one.dispatch.close(60)


def test_a_decided_run_goes_before_those_that_were_started(crowd: Callable[[int], Crowd]) -> None:
    here = crowd(1)
    here.started("long")
    here.holding(1)
    here.started(*(f"s{number}" for number in range(60)))
    here.decided("decided")
    assert here.finish()[:3] == ["long", "decided", "s0"]
    assert sorted(here.begun) == sorted({"long", "decided", *(f"s{number}" for number in range(60))})


def test_a_decided_run_finds_a_thread_beside_long_ones(crowd: Callable[[int], Crowd]) -> None:
    here = crowd(4)
    here.started("long1", "long2", "long3", "long4", "long5")
    here.holding(3)
    here.decided("decided")
    while here.world.record("decided").status != "completed":
        pass  # bounded by the test's time limit
    assert sorted(here.begun) == ["decided", "long1", "long2", "long3"], "the others hold all threads but one"
    here.finish()
    assert len(here.begun) == 6


def test_what_is_decided_again_and_again_does_not_starve_the_others(crowd: Callable[[int], Crowd]) -> None:
    here = crowd(1)
    here.started("long")
    here.holding(1)
    here.started("s0", "s1")
    for number in range(9):
        here.decided(f"d{number}")
    assert here.finish() == ["long", "d0", "d1", "d2", "s0", "d3", "d4", "d5", "s1", "d6", "d7", "d8"]


def test_what_the_sweep_finds_waits_behind_decisions_and_a_decision_that_it_finds_does_not(
    crowd: Callable[[int], Crowd],
) -> None:
    here = crowd(1)
    here.started("long")
    here.holding(1)
    here.started("s0", "s1", submit=False)
    create_run(
        NewRun(blueprint=here.gated, actor=this_user(), run_id="d0"),
        here.world.registry,
        here.world.config,
        run_store=here.world.store,
    )
    InlineDispatcher(here.world.registry, here.world.config, here.world.store).submit("d0")
    decide_gate("d0", approved=True, by="ann", run_store=here.world.store)  # and nobody was told of it
    sweep_once(here.world.config, run_store=here.world.store, dispatch=here.dispatch)
    assert here.finish() == ["long", "d0", "s0", "s1"]


def test_a_queued_run_that_a_person_resumes_moves_to_the_front(crowd: Callable[[int], Crowd]) -> None:
    here = crowd(1)
    here.started("long")
    here.holding(1)
    here.started("s0", "s1", "s2")
    request_resume("s2", here.world.registry, here.world.config, run_store=here.world.store, actor=this_user())
    here.dispatch.submit("s2")
    assert here.finish() == ["long", "s2", "s0", "s1"]


def test_a_closed_dispatcher_begins_nothing_that_waits(crowd: Callable[[int], Crowd]) -> None:
    here = crowd(2)
    here.started("long", "s0", "s1")
    here.holding(1)
    here.go.set()
    here.dispatch.close(60)
    assert {run.run_id for run in here.world.store.list_runs() if run.owed} == {"s0", "s1"} - set(here.begun)
