"""Driving a run: the claim, the commit of a transition, and requests from outside."""

from __future__ import annotations

import threading

from msgspec import structs

from neurocore import codec
from neurocore.errors import ClaimLost, RunExists, RunHeld
from neurocore.persistence.records import (
    CurrentNode,
    Failure,
    FailureKind,
    GateStatus,
    LogLine,
    Owed,
    RunRecord,
    RunStatus,
    StepStatus,
    Transition,
)
from neurocore.persistence.testing.contract import (
    OWNER,
    Contract,
    answer,
    at,
    event,
    found,
    gate,
    give,
    refused,
    run,
    status_of,
    step,
    turn,
    waiting,
)


class Driving(Contract):
    """`create_run`, `claim`, `commit`, `signals`, `request_cancel`, `set_owed`."""

    def claimed(self, record: RunRecord) -> RunRecord:
        """Return the run, created and claimed by a driver."""
        self.store.create_run(record)
        epoch = self.store.claim(record.run_id, owner=OWNER, expected_epoch=record.epoch)
        assert epoch == record.epoch + 1
        return found(self.store, record.run_id)

    def test_an_id_is_given_once(self) -> None:
        self.store.create_run(run("r1", title="first"))
        with refused(RunExists):
            self.store.create_run(run("r1", title="second"))
        assert found(self.store, "r1").title == "first"

    def test_a_claim_takes_the_run_and_clears_what_is_over(self) -> None:
        failure = Failure(kind=FailureKind.ERROR, message="no")
        old = run(
            "r1", status=RunStatus.FAILED, error="no", failure=failure, finished_at=at(2), owed="resume", epoch=4,
            cancel_requested="bob",
        )  # fmt: skip
        self.store.save_run(old)
        assert self.store.claim("r1", owner=OWNER, expected_epoch=4) == 5
        back = found(self.store, "r1")
        assert (back.status, back.owner, back.epoch) == (RunStatus.RUNNING, OWNER, 5)
        assert (back.owed, back.cancel_requested, back.error, back.failure, back.finished_at) == (None,) * 5

    def test_a_claim_keeps_what_was_asked_of_a_run_that_goes_on(self) -> None:
        self.store.save_run(run("r1", epoch=4, cancel_requested="bob"))
        assert self.store.claim("r1", owner=OWNER, expected_epoch=4) == 5
        assert found(self.store, "r1").cancel_requested == "bob"

    def test_a_claim_with_an_old_epoch_changes_nothing(self) -> None:
        self.store.save_run(run("r1", epoch=4, owner="other@here:2"))
        assert self.store.claim("r1", owner=OWNER, expected_epoch=3) is None
        assert self.store.claim("nothing", owner=OWNER, expected_epoch=0) is None
        assert found(self.store, "r1").owner == "other@here:2"

    def test_of_many_who_claim_at_once_one_gets_the_run(self) -> None:
        self.store.create_run(run("r1"))
        won = in_threads(12, lambda n: self.store.claim("r1", owner=f"t{n}@here:1", expected_epoch=0))
        assert [epoch for epoch in won if epoch is not None] == [1]
        assert found(self.store, "r1").owner == f"t{won.index(1)}@here:1"

    def test_a_commit_writes_the_turn_whole(self) -> None:
        mine = self.claimed(run("r1", initial_data={"a": 1}))
        mine.nodes_done, mine.duration_ms, mine.updated_at = 1, 3.5, at(7)
        mine.current_nodes = [CurrentNode(node_id="next", visit=1, attempt=1, started_at=at(7))]
        line = LogLine(at=at(6), level="info", message="said")
        signals = self.store.commit(
            turn(mine, steps=[step("r1", 0, sets={"b": (1,)}, logs=[line])], events=[event("warning")])
        )
        back = found(self.reopened(), "r1")
        assert (back.status, back.nodes_done, back.duration_ms, back.updated_at) == (RunStatus.RUNNING, 1, 3.5, at(7))
        assert [node.node_id for node in back.current_nodes] == ["next"]
        assert [one.kind for one in back.events] == ["warning"]
        assert back.initial_data == {"a": 1}
        assert self.store.load_context("r1") == {"a": codec.encode(1), "b": codec.encode((1,))}
        assert self.store.load_steps("r1")[0].logs == [line]
        assert (signals.epoch, signals.version, signals.cancel_requested, signals.owed) == (1, back.version, None, None)

    def test_a_commit_ends_the_run(self) -> None:
        mine = self.claimed(run("r1"))
        mine.status, mine.finished_at, mine.owner, mine.error = RunStatus.FAILED, at(9), None, "no"
        mine.failure = Failure(kind=FailureKind.ERROR, node="node0", message="no", type="ValueError")
        self.store.commit(turn(mine, steps=[step("r1", 0, status=StepStatus.FAILED)], sync=True))
        back = found(self.reopened(), "r1")
        assert (back.status, back.finished_at, back.owner, back.error) == (RunStatus.FAILED, at(9), None, "no")
        assert back.failure == mine.failure

    def test_a_suspended_step_becomes_final_in_its_place(self) -> None:
        mine = self.claimed(run("r1"))
        mine.status, mine.suspended_at_node, mine.suspension_reason = RunStatus.SUSPENDED, "review", "Pay?"
        opened = step("r1", 0, node_id="review", component="review", status=StepStatus.SUSPENDED)
        self.store.commit(turn(mine, steps=[opened], gates=[gate("r1")], sync=True))
        back = found(self.store, "r1")
        assert (back.status, back.suspended_at_node, back.suspension_reason) == (RunStatus.SUSPENDED, "review", "Pay?")
        mine.status, mine.suspended_at_node, mine.suspension_reason = RunStatus.RUNNING, None, None
        final = step("r1", 0, node_id="review", component="review", sets={"approval": {"approved": True}})
        self.store.commit(turn(mine, steps=[final], gates=[gate("r1", status=GateStatus.DONE)]))
        assert self.store.load_steps("r1") == [final]
        assert status_of(self.store, "r1") is GateStatus.DONE
        assert found(self.store, "r1").suspended_at_node is None

    def test_one_who_lost_the_claim_writes_nothing(self) -> None:
        mine = self.claimed(run("r1"))
        assert self.store.claim("r1", owner="other@here:2", expected_epoch=1, expected_owner=OWNER) == 2
        mine.nodes_done = 99
        with refused(ClaimLost):
            self.store.commit(turn(mine, steps=[step("r1", 0)], gates=[gate("r1")], events=[event()]))
        with refused(ClaimLost):
            self.store.commit(turn(mine, steps=[step("r1", 0)], unless_decided=True))
        back = found(self.reopened(), "r1")
        assert (back.nodes_done, back.gates, back.events, self.store.load_steps("r1")) == (0, [], [], [])
        assert back.owner == "other@here:2"

    def test_of_two_owners_with_the_same_epoch_one_writes(self) -> None:
        """After a restore, another process may have claimed a run under an earlier number."""
        mine = self.claimed(run("r1"))
        restored = found(self.store, "r1")
        restored.owner = "other@here:2"
        self.store.save_run(restored)
        for held in (False, True):
            with refused(ClaimLost):
                self.store.commit(turn(mine, steps=[step("r1", 0)], unless_decided=held))
        mine.status, mine.owner = RunStatus.SUSPENDED, None
        with refused(ClaimLost):
            self.store.commit(turn(mine, gates=[gate("r1")], sync=True))
        assert self.store.load_steps("r1") == []
        assert self.store.load_gates("r1") == []
        assert self.store.claim("r1", owner=OWNER, expected_epoch=1, expected_owner=OWNER) is None
        signals = self.store.signals("r1")
        assert signals is not None
        assert (signals.epoch, signals.owner) == (1, "other@here:2")
        self.store.set_owed("r1", Owed.RESUME, claim=(1, OWNER))
        assert found(self.store, "r1").owed is None
        self.store.set_owed("r1", Owed.RESUME, claim=(1, "other@here:2"))
        assert found(self.store, "r1").owed == Owed.RESUME

    def test_a_run_that_has_ended_is_not_asked_to_stop(self) -> None:
        for status in (RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED):
            self.store.create_run(run(status.value, status=status))
            before = found(self.store, status.value)
            assert not self.store.request_cancel(status.value, event=event("cancelled", who="bob"))
            assert found(self.store, status.value) == before

    def test_a_commit_to_a_deleted_run_is_refused(self) -> None:
        mine = self.claimed(run("r1"))
        self.store.delete_run("r1")
        self.store.create_run(run("r2"))
        with refused(ClaimLost):
            self.store.commit(turn(mine, steps=[step("r1", 0)]))
        assert self.store.load_run("r1") is None
        assert self.store.load_steps("r2") == []

    def test_a_commit_waits_for_no_decision_that_is_there_already(self) -> None:
        mine = self.claimed(run("r1"))
        self.store.commit(turn(mine, gates=[gate("r1")]))
        held = turn(mine, steps=[step("r1", 0)], unless_decided=True)
        mine.status = RunStatus.SUSPENDED
        assert self.store.commit(held).owed is None
        assert give(self.store, "r1", answer(), event=event())
        mine.nodes_done = 5
        before = found(self.store, "r1")
        held.steps = [step("r1", 1)]
        assert self.store.commit(held).owed == Owed.DECISION
        after = found(self.store, "r1")
        assert (after.nodes_done, after.version) == (before.nodes_done, before.version)
        assert [one.step_index for one in self.store.load_steps("r1")] == [0]

    def test_a_commit_waits_for_no_decision_that_it_takes_in_itself(self) -> None:
        mine = self.claimed(run("r1"))
        self.store.commit(turn(mine, gates=[gate("r1"), gate("r1", visit=2)]))
        assert give(self.store, "r1", answer(), event=event())
        mine.status = RunStatus.SUSPENDED
        done = gate("r1", status=GateStatus.DONE)
        assert give(self.store, "r1", answer(visit=2), event=event())
        assert self.store.commit(turn(mine, gates=[done], unless_decided=True)).owed == Owed.DECISION
        assert status_of(self.store, "r1") is GateStatus.DECIDED
        both = [done, gate("r1", visit=2, status=GateStatus.DONE)]
        assert self.store.commit(turn(mine, gates=both, unless_decided=True)).owed is None
        assert status_of(self.store, "r1") is GateStatus.DONE

    def test_a_decision_keeps_the_run_owed_until_it_is_consumed(self) -> None:
        mine = self.claimed(run("r1"))
        self.store.commit(turn(mine, gates=[gate("r1")]))
        give(self.store, "r1", answer(), event=event())
        mine.status = RunStatus.SUSPENDED
        assert self.store.commit(turn(mine)).owed == Owed.DECISION, "a commit must not forget the decision"
        mine.status = RunStatus.RUNNING
        assert self.store.commit(turn(mine, gates=[gate("r1", status=GateStatus.DONE)])).owed is None
        assert found(self.store, "r1").gates[0].answers[0].by == "ada", "a commit must not lose an answer"

    def test_the_driver_hears_of_a_cancellation(self) -> None:
        mine = self.claimed(run("r1"))
        self.store.request_cancel("r1", event=event("cancelled", who="bob"))
        signals = self.store.signals("r1")
        assert signals is not None
        assert signals.cancel_requested == "bob"
        assert self.store.commit(turn(mine, steps=[step("r1", 0)])).cancel_requested == "bob"
        assert [(one.kind, one.who) for one in self.store.load_events("r1")] == [("cancelled", "bob")]
        assert self.store.signals("nothing") is None
        self.store.request_cancel("nothing", event=event())

    def test_a_run_can_be_owed_from_outside(self) -> None:
        self.store.create_run(run("r1"))
        self.store.set_owed("r1", Owed.RESUME, event=event("resumed"))
        assert found(self.store, "r1").owed == Owed.RESUME
        self.store.set_owed("r1", None)
        back = found(self.store, "r1")
        assert (back.owed, [one.kind for one in back.events]) == (None, ["resumed"])

    def test_a_request_to_resume_is_recorded_and_owes_what_would_not_be_found(self) -> None:
        wanted = event("resumed", who="ada")
        self.store.save_run(run("failed", status=RunStatus.FAILED, finished_at=at(2)))
        self.store.save_run(run("lost", status=RunStatus.RUNNING, owner=OWNER, epoch=1))
        self.store.save_run(run("begun", status=RunStatus.RUNNING, owed=Owed.START))
        self.store.save_run(run("decided", status=RunStatus.SUSPENDED, owed=Owed.DECISION))
        self.store.save_run(run("latest", status=RunStatus.SUSPENDED, owed=Owed.DECISION))
        self.store.save_run(run("over", status=RunStatus.COMPLETED, finished_at=at(2)))
        latest = event("resumed", who="ada", definition="{}")
        asked = [self.store.request_resume(one, event=wanted) for one in ("failed", "lost", "begun", "decided", "over")]
        asked.append(self.store.request_resume("latest", event=latest))
        assert asked == [True, True, True, True, False, True]
        owed = {one: found(self.store, one).owed for one in ("failed", "lost", "begun", "decided", "latest", "over")}
        assert owed == {
            "failed": Owed.RESUME, "lost": None, "begun": Owed.RESUME, "decided": Owed.DECISION, "latest": Owed.RESUME,
            "over": None,
        }  # fmt: skip
        assert [one.who for one in self.store.load_events("lost")] == ["ada"]
        assert self.store.load_events("over") == []
        assert not self.store.request_resume("nothing", event=wanted)

    def test_an_answer_leaves_a_run_that_is_owed_a_resume_so(self) -> None:
        self.store.save_run(run("r1", status=RunStatus.SUSPENDED, owed=Owed.RESUME, gates=[gate("r1")]))
        assert give(self.store, "r1", answer(), event=event()) is not None
        assert found(self.store, "r1").owed == Owed.RESUME

    def test_a_transition_that_claims_a_run_writes_its_end_and_the_claim_at_once(self) -> None:
        self.store.create_run(run("r1"))
        seen = found(self.store, "r1")
        mine = structs.replace(seen, epoch=1, status=RunStatus.CANCELLED, finished_at=at(3))
        wanted = Transition(run=mine, epoch=0, owner=None, events=[event("cancelled")], sync=True)
        assert self.store.commit(wanted).epoch == 1
        back = found(self.store, "r1")
        assert (back.epoch, back.status, [one.kind for one in back.events]) == (1, "cancelled", ["cancelled"])
        with refused(ClaimLost):
            self.store.commit(wanted)
        self.store.save_run(run("still", held="it is a copy"))
        held = structs.replace(mine, run_id="still")
        with refused(RunHeld):
            self.store.commit(Transition(run=held, epoch=0, owner=None))

    def test_a_run_that_is_over_for_good_owes_nothing(self) -> None:
        for status in (RunStatus.COMPLETED, RunStatus.CANCELLED, RunStatus.FAILED):
            self.store.save_run(run(status.value, status=status, finished_at=at(2)))
            self.store.set_owed(status.value, Owed.RESUME, event=event("resumed"))
        assert [one.run_id for one in self.store.active_runs()] == ["failed"]
        assert [one.run_id for one in self.store.list_runs() if found(self.store, one.run_id).events] == ["failed"]

    def test_every_write_raises_the_version(self) -> None:
        self.store.create_run(run("r1"))
        seen = [found(self.store, "r1").version]

        def rises() -> None:
            seen.append(found(self.store, "r1").version)
            assert seen[-1] > seen[-2]

        self.store.claim("r1", owner=OWNER, expected_epoch=0)
        rises()
        mine = found(self.store, "r1")
        self.store.commit(turn(mine, gates=[gate("r1")]))
        rises()
        self.store.commit(turn(mine, steps=[step("r1", 0)]))
        rises()
        give(self.store, "r1", answer(), event=event())
        rises()
        self.store.request_cancel("r1", event=event())
        rises()
        self.store.set_owed("r1", None)
        rises()

    def test_a_run_that_goes_on_with_another_definition_says_so(self) -> None:
        mine = self.claimed(run("r1"))
        mine.blueprint_snapshot, mine.blueprint_hash, mine.blueprint_version = (
            {"name": "payouts", "new": 1},
            "b" * 64,
            "2",
        )
        self.store.commit(turn(mine, steps=[step("r1", 0)]))
        back = found(self.reopened(), "r1")
        assert (back.blueprint_snapshot, back.blueprint_hash) == ({"name": "payouts", "new": 1}, "b" * 64)
        assert back.blueprint_version == "2"

    def test_a_sweep_finds_what_is_running_or_owed(self) -> None:
        self.store.save_run(run("going", minute=1))
        self.store.save_run(run("over", minute=2, status=RunStatus.COMPLETED))
        self.store.save_run(waiting("waits", minute=3))
        self.store.save_run(run("begun", minute=4, status=RunStatus.FAILED, owed="resume"))
        assert {one.run_id for one in self.store.active_runs()} == {"going", "begun"}
        give(self.store, "waits", answer(), event=event())
        assert {one.run_id for one in self.store.active_runs()} == {"going", "begun", "waits"}

    def test_many_drivers_write_at_once_and_nothing_is_lost(self) -> None:
        def drive(number: int) -> int:
            mine = self.claimed(run(f"r{number}", minute=number))
            for index in range(10):
                mine.nodes_done = index + 1
                self.store.commit(turn(mine, steps=[step(mine.run_id, index, sets={f"k{index}": index})]))
            return number

        in_threads(6, drive)
        for number in range(6):
            assert found(self.store, f"r{number}").nodes_done == 10
            assert len(self.store.load_context(f"r{number}")) == 10


def in_threads(count: int, work: object) -> list[object]:
    """Call `work(number)` in this many threads at once; return the results in order. Raises what one of them raised."""
    results: list[object] = [None] * count
    errors: list[BaseException] = []
    start = threading.Barrier(count)

    def call(number: int) -> None:
        try:
            start.wait(20)
            results[number] = work(number)  # type: ignore[operator]
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=call, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return results
