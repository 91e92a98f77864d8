"""Deciding: one outcome for each gate occurrence, the chain of answers, and the lists of gates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import structs

from neurocore.errors import InputError
from neurocore.persistence.records import Answer, GateRecord, GateStatus, Owed, RunFilter, RunStatus, StepStatus
from neurocore.persistence.testing.contract import (
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
    waiting,
)
from neurocore.persistence.testing.driving import in_threads


class Decisions(Contract):
    """`answer_gate`, `replace_gate`, `load_gates`, `load_gate`, `list_gates`, `count_open_gates`."""

    def test_an_answer_decides_the_gate_and_owes_the_run(self) -> None:
        self.store.create_run(waiting("r1"))
        given = answer(note="fine", data={"amount": 3}, digest=gate("r1").digest)
        assert give(self.store, "r1", given, event=event(approved=True))
        back = found(self.reopened(), "r1")
        (one,) = back.gates
        assert (one.status, one.closed_at, back.owed) == (GateStatus.DECIDED, given.at, Owed.DECISION)
        assert one.decision is not None
        assert (one.decision.by, one.decision.note, one.decision.data) == ("ada", "fine", {"amount": 3})
        assert one.decision == given.sealed("r1", "")
        assert [(entry.kind, entry.data) for entry in back.events] == [("answered", {"approved": True})]
        assert back.status is RunStatus.SUSPENDED, "the decision and the resume are two facts"

    def test_the_answer_that_took_effect_comes_back_as_it_is_recorded(self) -> None:
        self.store.create_run(waiting("r1"))
        given = answer(note="fine")
        recorded = self.store.answer_gate("r1", given, event=event(), digest=gate("r1").digest)
        assert recorded == given.sealed("r1", "")
        (one,) = self.reopened().load_gates("r1")
        assert one.decision == recorded
        assert self.store.answer_gate("r1", given, event=event(), digest=gate("r1").digest) is None

    def test_only_the_first_answer_takes_effect(self) -> None:
        self.store.create_run(waiting("r1"))
        assert give(self.store, "r1", answer(by="ada"), event=event())
        before = found(self.store, "r1")
        assert not give(self.store, "r1", answer(by="bob", approved=False), event=event(who="bob"))
        assert found(self.store, "r1") == before

    def test_of_many_who_answer_at_once_one_takes_effect(self) -> None:
        self.store.create_run(waiting("r1"))

        def decide(number: int) -> bool:
            return give(self.store, "r1", answer(by=f"p{number}", approved=number % 2 == 0), event=event())

        took = in_threads(16, decide)
        assert took.count(True) == 1
        (one,) = self.store.load_gates("r1")
        assert [given.by for given in one.answers] == [f"p{took.index(True)}"]
        assert len(self.store.load_events("r1")) == 1

    def test_an_answer_on_another_digest_changes_nothing(self) -> None:
        self.store.create_run(waiting("r1"))
        before = found(self.store, "r1")
        assert not give(self.store, "r1", answer(), event=event(), digest="0" * 64)
        assert not give(self.store, "r1", answer(visit=2), event=event())
        assert not give(self.store, "r1", answer("other"), event=event())
        assert not give(self.store, "nothing", answer(), event=event())
        assert found(self.store, "r1") == before

    def test_answers_are_chained_by_hash_within_their_run(self) -> None:
        self.store.create_run(waiting("r1", "one", "two", "three"))
        for minute, node in enumerate(("two", "three", "one")):
            assert give(self.store, "r1", answer(node, minute=minute), event=event())
        answers: dict[str, Answer] = {one.node_id: one.answers[0] for one in self.reopened().load_gates("r1")}
        assert answers["two"].prev_hash == ""
        assert answers["three"].prev_hash == answers["two"].hash
        assert answers["one"].prev_hash == answers["three"].hash
        for one in answers.values():
            assert one.is_sealed("r1", one.prev_hash), "the chain is broken"

    def test_an_input_may_be_answered_again_when_it_waits_again(self) -> None:
        self.store.create_run(run("r1", gates=[gate("r1", "ask", kind="input")]))
        assert give(self.store, "r1", answer("ask", approved=None, data={"n": 1}), event=event())
        record = found(self.store, "r1")
        record.gates[0].status, record.gates[0].closed_at = GateStatus.OPEN, None
        self.store.save_run(record)
        assert give(self.store, "r1", answer("ask", approved=None, data={"n": 2}, minute=9), event=event())
        (one,) = self.store.load_gates("r1")
        assert [given.data for given in one.answers] == [{"n": 1}, {"n": 2}]
        assert one.answers[1].prev_hash == one.answers[0].hash

    def test_what_people_write_comes_back_whatever_it_is(self) -> None:
        self.store.create_run(waiting("r1"))
        odd = "'; DROP TABLE runs; -- % _ \\ \0 \u202e ✓ \ud800"
        assert give(self.store, "r1", answer(by="Ünï %_' --", note=odd), event=event(note=odd))
        (one,) = self.store.load_gates("r1")
        assert one.decision is not None
        assert one.decision.by == "Ünï %_' --"
        assert (one.decision.note or "").startswith(odd[:-1])
        assert one.decision.sealed("r1", "").hash == one.decision.hash
        assert self.store.load_events("r1")[0].data == {"note": odd}

    def test_a_gate_whose_values_changed_is_voided_and_another_opens(self) -> None:
        self.store.create_run(waiting("r1"))
        old = gate("r1", status=GateStatus.VOIDED, closed_at=at(4), void_reason="it changed")
        new = gate("r1", visit=2, minute=4)
        row = step("r1", 1, node_id="review", visit=2, status=StepStatus.SUSPENDED)
        assert self.store.replace_gate("r1", old, new, row, event=event("voided"), expected_epoch=0)
        first, second = self.reopened().load_gates("r1")
        assert (first.status, first.closed_at, first.void_reason) == (GateStatus.VOIDED, at(4), "it changed")
        assert (second.visit, second.status) == (2, GateStatus.OPEN)
        assert [one.visit for one in self.store.load_steps("r1")] == [2]
        assert not give(self.store, "r1", answer(visit=1), event=event())
        assert give(self.store, "r1", answer(visit=2), event=event())
        third = gate("r1", visit=3)
        assert not self.store.replace_gate(
            "r1", gate("r1", visit=2), third, row, event=event("voided"), expected_epoch=0
        )
        assert not self.store.replace_gate("nothing", old, new, row, event=event("voided"), expected_epoch=0)
        assert status_of(self.store, "r1", visit=2) is GateStatus.DECIDED

    def test_a_gate_is_replaced_only_while_its_run_waits_and_nobody_has_claimed_it(self) -> None:
        old = gate("r1", status=GateStatus.VOIDED, closed_at=at(4), void_reason="it changed")
        row = step("r1", 1, node_id="review", visit=2, status=StepStatus.SUSPENDED)
        self.store.create_run(waiting("r1", epoch=3))
        before = found(self.store, "r1")
        for epoch in (2, 4):
            new = gate("r1", visit=2, minute=4)
            assert not self.store.replace_gate("r1", old, new, row, event=event("voided"), expected_epoch=epoch)
        assert found(self.store, "r1") == before
        self.store.claim("r1", owner="me@here:1", expected_epoch=3)
        driven = found(self.store, "r1")
        assert not self.store.replace_gate("r1", old, new, row, event=event("voided"), expected_epoch=4)
        assert found(self.store, "r1") == driven, "who drives the run numbers its steps"

    def several(self) -> None:
        """Store gates of several runs in every status."""
        for number, minute in enumerate((30, 10, 20)):
            name = "a" if number < 2 else "b"
            self.store.create_run(waiting(f"open{number}", minute=minute, blueprint_name=name))
        for number, (by, minute) in enumerate((("ada", 50), ("bob", 40), ("ada", 60))):
            name = "a" if number < 2 else "b"
            self.store.create_run(waiting(f"decided{number}", minute=number, blueprint_name=name))
            give(self.store, f"decided{number}", answer(by=by, minute=minute), event=event())
        void = gate("void", status=GateStatus.VOIDED, closed_at=at(70), void_reason="the run failed")
        self.store.create_run(run("void", status=RunStatus.FAILED, gates=[void]))

    def test_open_gates_are_listed_oldest_first(self) -> None:
        self.several()
        listed = listing(self.store.list_gates)
        assert listed() == ["open1", "open2", "open0"]
        assert listed(blueprint="a") == ["open1", "open0"]
        assert listed(limit=1) == ["open1"]
        assert self.store.count_open_gates() == 3
        (entry,) = self.store.list_gates(limit=1)
        assert (entry.run.blueprint_name, entry.gate.values) == ("a", {"total": 12.5})

    def test_closed_gates_are_listed_newest_first(self) -> None:
        self.several()
        listed = listing(self.store.list_gates)
        closed = (GateStatus.DECIDED, GateStatus.DONE, GateStatus.VOIDED)
        assert listed(status=closed) == ["void", "decided2", "decided0", "decided1"]
        assert listed(status=(GateStatus.DECIDED,)) == ["decided2", "decided0", "decided1"]
        assert listed(status=closed, by="ada") == ["decided2", "decided0"]
        assert listed(status=closed, by="ada", blueprint="b") == ["decided2"]
        assert listed(status=closed, blueprint="a") == ["decided0", "decided1"]
        assert listed(status=closed, before=at(60)) == ["decided0", "decided1"]
        assert listed(status=closed, limit=2) == ["void", "decided2"]
        assert listed(status=closed, by="nobody") == []
        decisions = [entry.gate.decision for entry in self.store.list_gates(status=(GateStatus.DECIDED,))]
        assert [one.by for one in decisions if one is not None] == ["ada", "ada", "bob"]

    def test_gates_are_listed_page_by_page_with_none_lost_where_many_have_the_same_time(self) -> None:
        for number in range(7):
            name = f"r{number}"
            gates = [gate(name, node, visit=visit, minute=10) for node in ("ok", "a~b-c", "é") for visit in (1, 2)]
            self.store.create_run(run(name, status=RunStatus.SUSPENDED, gates=gates))
        every = pages(self.store.list_gates, 4)
        assert len(every) == len(set(every)) == 42
        for name, node, visit in every[:20]:
            given = answer(node, visit=visit, minute=20)
            assert give(self.store, name, given, event=event())
        assert pages(self.store.list_gates, 5) == every[20:], "in the same order, whoever was decided"
        decided = pages(self.store.list_gates, 3, status=(GateStatus.DECIDED, GateStatus.DONE), by="ada")
        assert sorted(decided) == sorted(every[:20])

    def test_a_page_begins_behind_a_gate_that_is_open_no_more(self) -> None:
        self.several()
        first, second = self.store.list_gates(limit=2)
        assert give(self.store, first.run.run_id, answer(), event=event())
        assert listing(self.store.list_gates)(after=first.cursor) == [second.run.run_id, "open0"]

    def test_no_page_begins_at_what_no_gate_gave(self) -> None:
        self.several()
        for text in ("", "x", "1", "~~", "2026-01-01", "2026-01-01~x~r1~ok", "zz-1-1-ok", "1-1-\u0663-ok"):
            with refused(InputError):
                self.store.list_gates(after=text)

    def test_a_narrow_list_has_everything_but_what_the_gates_show(self) -> None:
        self.several()
        for wide, narrow in zip(self.store.list_gates(), self.store.list_gates(narrow=True), strict=True):
            assert wide.gate.values == {"total": 12.5}
            nothing = GateRecord(run_id="", node_id="", visit=1).shown
            assert narrow.gate == structs.replace(wide.gate, shown=nothing)
            assert self.store.load_gate(wide.run.run_id, wide.gate.node_id, wide.gate.visit) == wide.gate
        assert self.store.load_gate("open0", "review", 9) is None
        assert self.store.load_gate("nothing", "review", 1) is None

    def test_waiting_runs_are_those_with_an_open_gate_running_or_not(self) -> None:
        self.several()
        self.store.create_run(run("both", minute=90, gates=[gate("both", minute=90)]))
        page = self.store.page_runs(RunFilter(waiting=True))
        assert [one.run_id for one in page.runs] == ["both", "open0", "open2", "open1"]
        give(self.store, "both", answer(), event=event())
        assert "both" not in [one.run_id for one in self.store.page_runs(RunFilter(waiting=True)).runs]
        self.store.delete_run("open0")
        assert self.store.count_open_gates() == 2


def pages(list_gates: Callable[..., Any], size: int, **given: Any) -> list[tuple[str, str, int]]:
    """Return every occurrence of a list, read page by page."""
    found: list[tuple[str, str, int]] = []
    after = None
    while entries := list_gates(after=after, limit=size, **given):
        found += [(entry.run.run_id, entry.gate.node_id, entry.gate.visit) for entry in entries]
        after = entries[-1].cursor
    return found


def listing(list_gates: Callable[..., Any]) -> Callable[..., list[str]]:
    """Return `list_gates` with the ids of the runs as its result."""
    return lambda **given: [entry.run.run_id for entry in list_gates(**given)]
