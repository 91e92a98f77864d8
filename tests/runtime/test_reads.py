"""A decision and what it costs: how often the database is read and written, whatever the run's length."""

from __future__ import annotations

import sqlite3
from typing import Any

import pytest

from neurocore.drivers.dispatch import ThreadDispatcher
from neurocore.persistence import SQLiteRunStore
from neurocore.persistence.testing import RecordingRunStore
from neurocore.runs.decide import decide_gate
from tests.runtime.worlds import World, chain


class Asked:
    """What was asked of SQLite: reads outside of write transactions, and write transactions."""

    def __init__(self) -> None:
        self.reads: list[str] = []
        self.writes = 0
        self._within = False

    def hear(self, sql: str) -> None:
        """Count one statement. Those of a trigger come as comments."""
        word = sql.split(None, 1)[0].upper() if sql.strip() else ""
        if word == "BEGIN":
            self._within = "IMMEDIATE" in sql.upper()
            self.writes += self._within
        elif word == "SELECT" and not self._within:
            self.reads.append(" ".join(sql.split()))
        elif word in ("COMMIT", "ROLLBACK"):
            self._within = False


def suspended(world: World, length: int) -> str:
    """A run that waits at a gate behind so many steps, with one step behind the gate."""
    world.skill("work", lambda context: context.set(context.node_id, 1))
    text = chain(*(f"s{number}" for number in range(length)), "review", "last")
    gate = "{name: review, type: approval, config: {message: 'Take {{ s0 }}?', show: [s0]}}"
    world.run(text.replace("{name: review, type: work}", gate))
    return world.only_run().run_id


@pytest.mark.parametrize("length", [1, 60])
def test_a_decision_with_its_drive_reads_ten_times_and_writes_three_times_beside_the_steps_behind_the_gate(
    world: World, monkeypatch: pytest.MonkeyPatch, length: int
) -> None:
    run_id = suspended(world, length)
    asked, connect = Asked(), sqlite3.connect

    def heard(*args: Any, **kwargs: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*args, **kwargs)
        connection.set_trace_callback(asked.hear)
        return connection

    world.store.close()
    monkeypatch.setattr(sqlite3, "connect", heard)
    world.store = SQLiteRunStore(world.config.runs_db_path)
    dispatcher = ThreadDispatcher(world.registry, world.config, world.store)
    (waiting,) = world.store.load_gates(run_id)
    asked.reads, asked.writes = [], 0
    decide_gate(run_id, approved=True, by="ann", digest=waiting.digest, run_store=world.store, dispatch=dispatcher)
    assert dispatcher.idle(20)
    reads, writes = list(asked.reads), asked.writes
    assert world.record(run_id).status == "completed"
    assert world.calls[-1] == "last"
    assert len(reads) <= 10, "\n".join(reads)
    assert writes == 3 + 1, "the answer, the claim, the gate's end, and the step behind it"


@pytest.mark.parametrize("length", [1, 60])
def test_a_decision_writes_one_answer_one_claim_and_a_commit_for_the_gate_and_each_step_behind_it(
    world: World, length: int
) -> None:
    world.store.close()
    store = world.store = RecordingRunStore()  # type: ignore[assignment]
    run_id = suspended(world, length)
    dispatcher = ThreadDispatcher(world.registry, world.config, store)
    (waiting,) = store.load_gates(run_id)
    store.asked.clear()
    decide_gate(run_id, approved=True, by="ann", digest=waiting.digest, run_store=store, dispatch=dispatcher)
    assert dispatcher.idle(20)
    asked: list[str] = list(store.asked)
    assert world.record(run_id).status == "completed"
    reads = [name for name in asked if name.startswith("load_")]
    assert [name for name in asked if name not in reads] == ["answer_gate", "claim", "commit", "commit"]
    assert len(reads) <= 10, asked


def test_a_step_asks_the_store_for_one_commit_and_a_run_for_nothing_else_of_its_length(world: World) -> None:
    world.skill("work")
    asked = []
    for length in (1, 20):
        world.store.close()
        world.store = RecordingRunStore()  # type: ignore[assignment]
        world.run(chain(*(f"s{number}" for number in range(length))))
        asked.append(world.store.asked)  # type: ignore[attr-defined]
    short, long = asked
    assert long.count("commit") - short.count("commit") == 19
    assert [one for one in long if one != "commit"] == [one for one in short if one != "commit"]
