"""Maintaining a history: held runs, pruning, importing."""

from __future__ import annotations

from collections.abc import Callable

from neurocore.errors import RunHeld, UsageError
from neurocore.persistence.projections import refuse_if_held
from neurocore.persistence.records import Owed, RunFilter, RunStatus, Tombstone
from neurocore.persistence.testing.contract import (
    Contract,
    answer,
    at,
    event,
    found,
    give,
    refused,
    run,
    status_of,
    step,
    waiting,
)

_WHY = "it was imported on 2026-03-31"


class Maintenance(Contract):
    """`RunRecord.held` and what respects it, `ended_runs`, `bury_ended`, `importer`, and what a backend may refuse."""

    def test_runs_are_listed_oldest_first_with_those_whose_steps_have_gaps(self) -> None:
        for minute, name in enumerate(("b", "c", "a")):
            self.store.create_run(run(name, minute=minute))
            self.store.save_step(step(name, 0))
        self.store.save_step(step("c", 2))
        assert self.store.all_run_ids() == ["b", "c", "a"]
        assert self.store.runs_with_gaps() == ["c"]
        assert self.store.counts_hold()
        assert self.store.damage() == []

    def test_runs_that_may_have_answers_are_named(self) -> None:
        self.store.create_run(run("r0"))
        self.store.create_run(waiting("r1"))
        assert give(self.store, "r1", answer(), event=event())
        assert "r1" in self.store.runs_with_answers()

    def test_ended_runs_are_buried_oldest_first_and_the_newest_are_kept(self) -> None:
        ended = (RunStatus.COMPLETED, RunStatus.RUNNING, RunStatus.FAILED, RunStatus.CANCELLED, RunStatus.COMPLETED)
        for minute, status in enumerate(ended):
            self.store.create_run(run(f"r{minute}", minute=minute, status=status))
        assert self.store.ended_runs(before=at(3)) == [("r0", at(0)), ("r2", at(2))]
        assert self.store.ended_runs(before=at(9), keep_last=2) == [("r0", at(0)), ("r2", at(2))]
        assert self.store.ended_runs(before=at(9), limit=1) == [("r0", at(0))]
        self.store.set_owed("r2", Owed.RESUME)
        assert self.store.bury_ended(["r0", "r1", "r2", "r3", "nothing"], by="ada") == ["r0", "r3"]
        store = self.reopened()
        assert sorted(store.all_run_ids()) == ["r1", "r2", "r4"]
        stone = store.load_tombstone("r3")
        assert stone is None or (stone.blueprint_name, stone.deleted_by) == ("payouts", "ada")

    def test_an_import_adds_runs_steps_and_tombstones(self) -> None:
        self.store.create_run(run("there"))
        stone = Tombstone(run_id="gone", blueprint_name="payouts", deleted_at=at(9), deleted_by="ada")
        with self.store.importer() as importer:
            assert (importer.has("there"), importer.has("r1")) == (True, False)
            importer.add_run(run("r1"))
            importer.add_step(step("r1", 0, sets={"total": 1}))
            importer.add_tombstone(stone)
            assert importer.has("r1")
        store = self.reopened()
        assert [one.step_index for one in store.load_steps("r1")] == [0]
        assert found(store, "there").run_id == "there"

    def test_an_import_that_fails_leaves_nothing_where_the_backend_says_so(self) -> None:
        atomic = False
        with refused(RunHeld), self.store.importer() as importer:
            atomic = importer.atomic
            importer.add_run(run("r1"))
            refuse_if_held("r1", _WHY)
        assert (self.store.load_run("r1") is None) == atomic

    def test_what_a_backend_cannot_do_is_refused_in_a_sentence(self) -> None:
        able = self.store.abilities()
        if not able["backup"]:
            with refused(UsageError):
                self.store.backup(self.folder / "copy.db")
        if not able["vacuum"]:
            with refused(UsageError):
                self.store.vacuum()
        stats = self.store.stats()
        assert (stats.runs, stats.open_gates, stats.oldest, stats.newest) == (0, 0, None, None)
        assert (stats.schema_version is not None) == able["schema_version"]

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
