"""The six methods: what every backend must do itself."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import math
import uuid
import zoneinfo
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Any

from msgspec import structs

from neurocore import codec
from neurocore.codec import SecretRef
from neurocore.persistence.records import (
    Changes,
    CurrentNode,
    Failure,
    FailureKind,
    LogLine,
    RunRecord,
    RunStatus,
    StepStatus,
)
from neurocore.persistence.testing.contract import Contract, answer, at, event, found, gate, run, step, turn, waiting


class Grade(StrEnum):
    """One of the values that must be restored exactly."""

    GOOD = "good"


@dataclasses.dataclass
class Position:
    """One of the values that must be restored exactly."""

    iban: str
    amount: Decimal


#: At least one value of every kind that a run may hold.
VALUES: dict[str, Any] = {
    "none": None, "yes": True, "int": 1, "huge": 10**400, "float": -0.0, "infinite": math.inf, "text": "Übung ✓",
    "surrogate": "\ud800", "long": "x" * 1_000_000, "bytes": b"\x00\xff", "list": [1, [2, {"a": None}]],
    "tuple": (1, (2,)), "set": {1, "a"}, "frozenset": frozenset({(1, 2)}), "keys": {1: "a", (2, 3): "b", None: "c"},
    "aware": dt.datetime(2026, 10, 25, 2, 30, tzinfo=zoneinfo.ZoneInfo("UTC"), fold=1), "naive": dt.datetime(1, 1, 1),  # noqa: DTZ001
    "date": dt.date(2026, 2, 28), "time": dt.time(23, 59, 59, 999_999), "span": dt.timedelta(days=-1, microseconds=1),
    "decimal": Decimal("12.50"), "uuid": uuid.UUID(int=7), "path": Path("a/b c"), "enum": Grade.GOOD,
    "object": Position("DE89", Decimal("0.10")), "secret": SecretRef("${TOKEN}"), "a.dotted key": 1, "": 2, "$set": [3],
}  # fmt: skip


class Required(Contract):
    """`save_run`, `save_step`, `load_run`, `load_steps`, `list_runs`, `delete_run`."""

    def test_a_run_comes_back_with_every_field(self) -> None:
        saved = run(
            "r1", minute=3, blueprint_version="2.1", blueprint_path="blueprints/payouts.yaml", flow_type="graph",
            title="Payments of May", status=RunStatus.FAILED, initial_data={"batch": "may"}, error="It broke.",
            failure=Failure(kind=FailureKind.TIMEOUT, message="It broke.", node="book", type="TimeoutError"),
            suspended_at_node="review", suspension_reason="Pay?", finished_at=at(9), duration_ms=12.25,
            current_nodes=[CurrentNode(node_id="book", visit=2, attempt=1, started_at=at(4))], nodes_done=2,
            nodes_total=5, started_by="ada", known_by="typed", replay_of="r0", tags=["may", "big"], epoch=3,
            owner="x@host:1", lease_until=at(20), owed="resume", deaths=1, cancel_requested="bob", version=7,
            legacy="Old.", replay_only="Too old.", events=[event("started", minute=3, given={"a": (1, 2)})],
        )  # fmt: skip
        assert self.store.save_run(saved) == "r1"
        back = found(self.reopened(), "r1")
        derived = {"final_context", "completed_nodes", "version"}
        for name in saved.__struct_fields__:
            if name == "events":  # a store may seal them
                assert [structs.replace(one, hash="") for one in back.events] == saved.events
            elif name not in derived:
                assert getattr(back, name) == getattr(saved, name), name
        assert back.version >= saved.version

    def test_gates_and_answers_come_back_with_their_run(self) -> None:
        saved = waiting("r1", "review", "second")
        sealed = answer(note="fine", digest="d", data={"amount": Decimal(1)}).sealed("r1", "")
        later = answer("second", approved=False, minute=6).sealed("r1", sealed.hash)
        saved.gates[0].answers = [sealed]
        saved.gates[1].answers = [later]
        self.store.save_run(saved)
        back = found(self.reopened(), "r1").gates
        assert back == saved.gates
        assert back[0].values == {"total": 12.5}
        assert back[0].answers[0].sealed("r1", "") == sealed, "an answer's hash no longer fits what it says"

    def test_a_step_comes_back_with_every_field(self) -> None:
        self.store.save_run(run("r1"))
        saved = step(
            "r1", 0, component="booking", node_id="book", visit=2, attempt=3, skill_type="ledger", skill_version="1.2",
            status=StepStatus.FAILED, reason="because", port="ok", edges_taken=[0, 2], duration_ms=0.5, error="no",
            error_type="ValueError", traceback="line 1\nline 2", config={"key": "${TOKEN}", "n": (1, 2)},
            output_keys=["a", "b"], changes=Changes(set={"a": codec.encode(1)}, deleted=("b",)), commit_index=9,
            context_snapshot={"data": {"when": dt.date(2026, 1, 1)}},
            logs=[LogLine(at=at(1), level="info", message="one"), LogLine(at=at(1), level="error", message="two")],
        )  # fmt: skip
        self.store.save_step(saved)
        assert self.reopened().load_steps("r1") == [saved]

    def test_every_kind_of_value_comes_back_equal_and_of_its_type(self) -> None:
        self.store.save_run(run("r1", initial_data=VALUES, events=[event("resumed", data=VALUES)]))
        self.store.save_step(step("r1", 0, sets={f"{key}!": value for key, value in VALUES.items()}, config=VALUES))
        store = self.reopened()
        back = found(store, "r1")
        (one,) = store.load_steps("r1")
        context = {key: codec.decode(data) for key, data in store.load_context("r1").items()}
        set_by_step = {key: context[f"{key}!"] for key in VALUES}
        for place in (back.initial_data, one.config, back.events[0].data["data"], context, set_by_step):
            for key, value in VALUES.items():
                assert type(place[key]) is type(value), key
                assert codec.encode(place[key]) == codec.encode(value), key

    def test_saving_a_run_again_replaces_it_and_keeps_its_steps(self) -> None:
        self.store.save_run(run("r1", tags=["a"], events=[event("started")]))
        self.store.save_step(step("r1", 0))
        self.store.save_run(run("r1", status=RunStatus.COMPLETED, tags=["b"], title="Later"))
        back = found(self.store, "r1")
        assert (back.status, back.tags, back.title, back.events) == (RunStatus.COMPLETED, ["b"], "Later", [])
        assert [one.node_id for one in self.store.load_steps("r1")] == ["node0"]
        assert len(self.store.list_runs()) == 1

    def test_saving_a_step_again_replaces_it(self) -> None:
        self.store.save_run(run("r1"))
        first = step("r1", 0, status=StepStatus.SUSPENDED, logs=[LogLine(at=at(1), level="info", message="before")])
        self.store.save_step(first)
        final = step("r1", 0, sets={"a": 1}, logs=[LogLine(at=at(2), level="info", message="after")])
        self.store.save_step(final)
        assert self.store.load_steps("r1") == [final]

    def test_steps_come_in_order_whatever_order_they_were_saved_in(self) -> None:
        self.store.save_run(run("r1"))
        for index in (3, 0, 11, 2, 1, 10):
            self.store.save_step(step("r1", index))
        assert [one.step_index for one in self.store.load_steps("r1")] == [0, 1, 2, 3, 10, 11]

    def test_the_context_is_the_initial_data_with_the_changes_in_the_order_they_happened(self) -> None:
        self.store.save_run(run("r1", initial_data={"a": 1, "gone": True}))
        self.store.save_step(step("r1", 0, sets={"a": 2, "b": 1}, commit_index=3))
        self.store.save_step(step("r1", 1, commit_index=1, changes=Changes(set={"a": b"\x03"}, deleted=("gone",))))
        self.store.save_step(step("r1", 2, sets={"b": 0, "c": 9}, commit_index=2))
        context = self.reopened().load_context("r1")
        assert {key: codec.decode(data) for key, data in context.items()} == {"a": 2, "b": 1, "c": 9}

    def test_a_driver_reads_no_more_than_it_goes_on_from(self) -> None:
        self.store.save_run(run("r1", initial_data={"a": 1, "b": 2}))
        lines = [LogLine(at=at(2), level="info", message=text) for text in ("said", 'a "b" \x00 é')]
        rows = [
            step("r1", 0, sets={"c": 3}, edges_taken=[0], commit_index=1, skill_version="1.2"),
            step("r1", 1, status=StepStatus.FAILED, edges_taken=None, commit_index=2, error="no", logs=lines),
            step("r1", 2, status=StepStatus.SUSPENDED, edges_taken=None, commit_index=4, sets={"a": 9}),
            step("r1", 3, status=StepStatus.SKIPPED, edges_taken=[], commit_index=3),
        ]
        for row in rows:
            self.store.save_step(row)
        store = self.reopened()
        recorded = store.load_recorded("r1")
        assert (recorded.inputs, recorded.context) == (store.load_inputs("r1"), store.load_context("r1"))
        ended, others = store.load_ended("r1"), recorded.others
        assert recorded.ended == ended
        assert [(one.step_index, one.node_id, one.is_completed, one.edges_taken) for one in ended] == [
            (0, "node0", True, (0,)), (3, "node3", False, ()),
        ]  # fmt: skip
        assert (ended[0].output_keys, ended[0].skill_version) == (["c"], "1.2")
        assert others == [rows[1], rows[2]]
        assert store.load_inputs("r1") == {"a": codec.encode(1), "b": codec.encode(2)}
        values = store.load_values("r1", ["a", "c", "gone", "\ud800"])
        assert values == {"a": codec.encode(9), "c": codec.encode(3)}
        assert codec.from_jsonable(json.loads(store.load_definition("r1"))) == found(store, "r1").blueprint_snapshot
        nothing = store.load_recorded("no")
        assert (nothing.inputs, nothing.context, nothing.ended, nothing.others) == ({}, {}, [], [])
        assert (store.load_ended("no"), store.load_inputs("no"), store.load_values("no", ["a"])) == ([], {}, {})
        assert store.load_definition("no") == ""

    def test_an_ended_run_has_its_context_and_one_entry_per_completed_visit(self) -> None:
        self.store.save_run(run("r1", initial_data={"a": 1}))
        kinds = [
            ("draft", 1, StepStatus.COMPLETED), ("check", 1, StepStatus.FAILED), ("check", 1, StepStatus.COMPLETED),
            ("extra", 1, StepStatus.SKIPPED), ("draft", 2, StepStatus.COMPLETED), ("review", 1, StepStatus.SUSPENDED),
        ]  # fmt: skip
        for index, (node, visit, status) in enumerate(kinds):
            row = step("r1", index, component=node, node_id=node, visit=visit, status=status, sets={node: visit})
            self.store.save_step(row)
        mine = found(self.store, "r1")
        mine.status, mine.suspended_at_node = RunStatus.SUSPENDED, "review"
        self.store.commit(turn(mine, owner=None, sync=True))
        back = found(self.reopened(), "r1")
        assert back.completed_nodes == ["draft", "check", "draft"]
        assert back.final_context is not None
        assert back.final_context["data"] == {"a": 1, "draft": 2, "check": 1, "extra": 1, "review": 1}
        metadata = back.final_context["metadata"]
        assert metadata["completed_nodes"] == back.completed_nodes
        assert (metadata["suspended"], metadata["suspended_at_node"]) == (True, "review")

    def test_runs_are_listed_newest_first_by_status_and_blueprint(self) -> None:
        for minute, (status, name) in enumerate(
            [(RunStatus.COMPLETED, "a"), (RunStatus.FAILED, "a"), (RunStatus.COMPLETED, "b"), (RunStatus.FAILED, "b")]
        ):
            self.store.save_run(run(f"r{minute}", minute=minute, status=status, blueprint_name=name))
        assert _ids(self.store.list_runs()) == ["r3", "r2", "r1", "r0"]
        assert _ids(self.store.list_runs(limit=2)) == ["r3", "r2"]
        assert _ids(self.store.list_runs(status=RunStatus.FAILED)) == ["r3", "r1"]
        assert _ids(self.store.list_runs(blueprint="a")) == ["r1", "r0"]
        assert _ids(self.store.list_runs(status=RunStatus.COMPLETED, blueprint="b")) == ["r2"]
        assert _ids(self.store.list_runs(blueprint="c")) == []

    def test_a_deleted_run_is_gone_with_all_that_was_its(self) -> None:
        self.store.save_run(waiting("r1", tags=["a"]))
        self.store.save_step(step("r1", 0))
        self.store.save_run(run("r2"))
        self.store.delete_run("r1")
        store = self.reopened()
        assert (store.load_run("r1"), store.load_steps("r1"), store.load_gates("r1")) == (None, [], [])
        assert [one.run_id for one in store.list_runs()] == ["r2"]
        store.save_run(run("r1"))
        assert (store.load_steps("r1"), store.load_gates("r1")) == ([], [])

    def test_what_is_not_there_is_none_or_empty_and_no_error(self) -> None:
        for run_id in ("nothing", "", "%", "_", "'", "../../etc/passwd", "a\0b", "\ud800", "x" * 10_000):
            assert self.store.load_run(run_id) is None
            assert self.store.load_steps(run_id) == []
            self.store.delete_run(run_id)
        assert self.store.list_runs() == []

    def test_what_comes_out_is_a_copy_and_so_is_what_goes_in(self) -> None:
        given = run("r1", initial_data={"rows": [1]}, tags=["a"], gates=[gate("r1")])
        self.store.save_run(given)
        self.store.save_step(step("r1", 0, config={"keys": ["a"]}, output_keys=["a"]))
        given.initial_data["rows"].append(2)
        given.tags.append("b")
        given.gates.clear()
        back = found(self.store, "r1")
        back.initial_data["rows"].append(3)
        back.blueprint_snapshot["name"] = "other"
        back.gates[0].message = "other"
        self.store.load_steps("r1")[0].config["keys"].append("b")
        again = found(self.store, "r1")
        assert (again.initial_data, again.tags, again.blueprint_snapshot["name"]) == ({"rows": [1]}, ["a"], "payouts")
        assert [one.message for one in again.gates] == ["Pay?"]
        assert self.store.load_steps("r1")[0].config == {"keys": ["a"]}


def _ids(runs: list[RunRecord]) -> list[str]:
    return [one.run_id for one in runs]
