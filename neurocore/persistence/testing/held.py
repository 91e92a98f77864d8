"""Runs that stand still, because they came with a copy of a history or by an import."""

from __future__ import annotations

from collections.abc import Callable

from neurocore.errors import RunHeld
from neurocore.persistence.records import Owed, RunFilter, RunStatus
from neurocore.persistence.testing.contract import (
    Contract,
    answer,
    event,
    found,
    give,
    refused,
    run,
    status_of,
    waiting,
)

_WHY = "it was imported on 2026-03-31"


class Held(Contract):
    """`RunRecord.held`, `adopt_runs`, `count_held_runs`, and what heeds them."""

    def test_why_a_run_stands_still_is_kept(self) -> None:
        self.store.save_run(waiting("r1", held=_WHY))
        assert found(self.store, "r1").held == _WHY
        (listed,) = self.store.list_runs()
        assert listed.held == _WHY

    def test_nothing_acts_on_a_run_that_stands_still(self) -> None:
        self.store.save_run(waiting("r1", held=_WHY, epoch=3))
        acts: tuple[Callable[[], object], ...] = (
            lambda: self.store.claim("r1", owner="me@here:1", expected_epoch=3),
            lambda: give(self.store, "r1", answer(), event=event()),
            lambda: self.store.request_cancel("r1", event=event("cancelled")),
            lambda: self.store.set_owed("r1", Owed.RESUME),
        )
        for act in acts:
            with refused(RunHeld):
                act()
        after = found(self.store, "r1")
        assert (after.epoch, after.owed, after.cancel_requested, after.events) == (3, None, None, [])
        assert status_of(self.store, "r1") == "open"

    def test_nothing_finds_a_run_that_stands_still_as_active_or_waiting(self) -> None:
        self.store.save_run(run("lost", owner="gone@here:1", held=_WHY))
        self.store.save_run(run("owed", status=RunStatus.SUSPENDED, owed=Owed.DECISION, held=_WHY))
        self.store.save_run(waiting("asks", held=_WHY))
        self.store.save_run(waiting("ours"))
        assert self.store.active_runs() == []
        assert [entry.run.run_id for entry in self.store.list_gates()] == ["ours"]
        assert self.store.count_open_gates() == 1
        assert [one.run_id for one in self.store.page_runs(RunFilter(waiting=True)).runs] == ["ours"]
        assert self.store.count_held_runs() == 3
        assert self.store.status_counts()[RunStatus.SUSPENDED] == 3

    def test_a_run_that_is_adopted_goes_on(self) -> None:
        for name in ("a", "b", "c"):
            self.store.save_run(waiting(name, held=_WHY, owner="gone@here:1", version=5))
        self.store.save_run(waiting("ours"))
        assert self.store.adopt_runs(["a", "ours", "nothing"], event=event("adopted")) == 1
        a = found(self.store, "a")
        assert (a.held, a.owner) == (None, None)
        assert a.version > 5
        assert [one.kind for one in self.store.load_events("a")] == ["adopted"]
        assert self.store.load_events("ours") == []
        assert give(self.store, "a", answer(), event=event())
        assert self.store.count_open_gates() == 1
        assert self.store.adopt_runs(None, event=event("adopted")) == 2
        assert self.store.adopt_runs(None, event=event("adopted")) == 0
        assert self.store.count_held_runs() == 0
        assert self.store.count_open_gates() == 3
