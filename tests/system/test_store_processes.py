"""Many processes on one database: no lost row, one outcome, and nobody is told that it is locked."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from neurocore.persistence import GateStatus, RunStatus, SQLiteRunStore, migrate
from neurocore.persistence.admin import check
from neurocore.persistence.testing.contract import waiting

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]
ROOT = Path(__file__).resolve().parents[2]


def start(script: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip


def all_at_once(processes: list[subprocess.Popen[str]]) -> list[str]:
    """Let every process go (each waits for the end of its stdin), and give what they printed."""
    for one in processes:
        assert one.stdout is not None
        assert one.stdout.readline() == "ready\n"
    for one in processes:
        assert one.stdin is not None
        one.stdin.close()
    outcomes = []
    for one in processes:
        assert one.stdout is not None
        assert one.stderr is not None
        outcomes.append(one.stdout.read())
        trouble = one.stderr.read()
        assert one.wait() == 0, trouble
        assert "locked" not in trouble
        one.stdout.close()
        one.stderr.close()
    return outcomes


WRITE = """
import sys
from neurocore.persistence import SQLiteRunStore
from neurocore.persistence.records import (Transition, RunStatus)
from neurocore.persistence.testing.contract import event, found, run, step, turn

path, number, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
print("ready", flush=True)
sys.stdin.read()
store = SQLiteRunStore(path, durability="full" if number % 2 else "normal")
for place in range(count):
    mine = run(f"p{number}-{place:03}", minute=place, blueprint_name=f"b{place % 3}", tags=[f"t{number}"])
    store.create_run(mine)
    mine.epoch = store.claim(mine.run_id, owner=f"p{number}@here:1", expected_epoch=0)
    mine.owner, mine.status = f"p{number}@here:1", RunStatus.RUNNING
    for index in range(2):
        store.commit(turn(mine, owner=mine.owner, steps=[step(mine.run_id, index, sets={f"k{index}": place})]))
    owner, mine.status, mine.owner = mine.owner, RunStatus.COMPLETED, None
    signals = store.commit(turn(mine, owner=owner, steps=[step(mine.run_id, 2)], events=[event("done")], sync=True))
    assert signals.epoch == 1
    if place % 50 == 0:
        store.page_runs(limit=20)
        store.status_counts()
print(place + 1)
"""


def test_eight_processes_write_five_hundred_runs_each_and_no_row_is_lost(tmp_path):
    path = tmp_path / "data" / "runs.db"
    processes = [start(WRITE, path, number, 500) for number in range(8)]
    assert [outcome.strip() for outcome in all_at_once(processes)] == ["500"] * 8
    store = SQLiteRunStore(path)
    assert store.status_counts() == {RunStatus.COMPLETED: 4000}
    assert sum(store.blueprint_counts().values()) == 4000
    ids = {one.run_id for one in store.list_runs(limit=5000)}
    assert ids == {f"p{number}-{place:03}" for number in range(8) for place in range(500)}
    with store.database.read() as connection:
        assert connection.execute("SELECT count(*) FROM steps").fetchone()[0] == 12_000
        assert connection.execute("SELECT count(*) FROM events").fetchone()[0] == 4_000
    for run_id in sorted(ids)[::333]:
        assert [step.step_index for step in store.load_steps(run_id)] == [0, 1, 2]
    assert check(store).problems == []
    store.close()


DECIDE = """
import json, sys
from neurocore.persistence import SQLiteRunStore
from neurocore.persistence.testing.contract import answer, event, give

store = SQLiteRunStore(sys.argv[1])
store.list_runs()
print("ready", flush=True)
sys.stdin.read()
number = int(sys.argv[2])
took = give(store, "r1", answer(by=f"p{number}", approved=number % 2 == 0), event=event(who=f"p{number}"))
print(json.dumps([number, took]))
"""


def test_of_fifty_processes_that_answer_at_once_one_takes_effect(tmp_path):
    path = tmp_path / "runs.db"
    store = SQLiteRunStore(path)
    store.create_run(waiting("r1"))
    outcomes = [json.loads(outcome) for outcome in all_at_once([start(DECIDE, path, number) for number in range(50)])]
    (winner,) = [number for number, took in outcomes if took]
    (gate,) = store.load_gates("r1")
    assert gate.status is GateStatus.DECIDED
    assert [(one.by, one.approved) for one in gate.answers] == [(f"p{winner}", winner % 2 == 0)]
    assert [one.who for one in store.load_events("r1")] == [f"p{winner}"]
    assert check(store).problems == []
    store.close()


CLAIM = """
import sys
from neurocore.persistence import SQLiteRunStore

store = SQLiteRunStore(sys.argv[1])
store.list_runs()
print("ready", flush=True)
sys.stdin.read()
print(store.claim("r1", owner=sys.argv[2], expected_epoch=0))
"""


def test_of_many_processes_that_claim_at_once_one_drives(tmp_path):
    path = tmp_path / "runs.db"
    store = SQLiteRunStore(path)
    store.create_run(waiting("r1"))
    outcomes = all_at_once([start(CLAIM, path, f"p{number}") for number in range(12)])
    assert Counter(outcome.strip() for outcome in outcomes) == {"1": 1, "None": 11}
    store.close()


OPEN = """
import sys
from neurocore.persistence import SQLiteRunStore
from neurocore.persistence.testing.contract import run

print("ready", flush=True)
sys.stdin.read()
for place in range(10):
    store = SQLiteRunStore(f"{sys.argv[1]}/{place}/runs.db")
    store.create_run(run(f"p{sys.argv[2]}"))
    store.close()
print("done")
"""


OPEN_ONE = """
import sys
from neurocore.persistence import SQLiteRunStore
from neurocore.persistence.testing.contract import run

print("ready", flush=True)
sys.stdin.read()
store = SQLiteRunStore(sys.argv[1])
store.create_run(run("theirs"))
print("done")
"""


def test_a_new_history_is_made_once_however_many_begin_with_it(tmp_path):
    assert all_at_once([start(OPEN, tmp_path, number) for number in range(8)]) == ["done\n"] * 8
    for place in range(10):
        store = SQLiteRunStore(tmp_path / str(place) / "runs.db")
        assert {one.run_id for one in store.list_runs()} == {f"p{number}" for number in range(8)}
        store.close()


def test_a_history_made_in_the_middle_of_recognising_an_empty_file_is_no_foreign_one(tmp_path, monkeypatch):
    path = tmp_path / "runs.db"
    with contextlib.closing(sqlite3.connect(path)) as empty:
        empty.execute("PRAGMA journal_mode = WAL")
    recognise = migrate._is_legacy

    def meanwhile(connection: sqlite3.Connection) -> bool:
        monkeypatch.setattr(migrate, "_is_legacy", recognise)
        (told,) = all_at_once([start(OPEN_ONE, path)])
        assert told == "done\n"
        return recognise(connection)

    monkeypatch.setattr(migrate, "_is_legacy", meanwhile)
    store = SQLiteRunStore(path)
    assert [one.run_id for one in store.list_runs()] == ["theirs"]
    store.close()


FOREVER = """
import itertools, sys
from neurocore.persistence import SQLiteRunStore
from neurocore.persistence.records import (Transition)
from neurocore.persistence.testing.contract import found, run, step, turn

store = SQLiteRunStore(sys.argv[1])
print("ready", flush=True)
for number in itertools.count():
    mine = run(f"{sys.argv[2]}-{number}")
    store.create_run(mine)
    mine.epoch = store.claim(mine.run_id, owner="me@here:1", expected_epoch=0)
    mine.owner = "me@here:1"
    for index in range(5):
        mine.nodes_done = index + 1
        store.commit(turn(mine, steps=[step(mine.run_id, index, sets={"x": "y" * 2000})]))
        print(mine.run_id, index + 1, flush=True)
"""


def test_what_was_committed_survives_a_kill_at_any_moment(tmp_path):
    path = tmp_path / "runs.db"
    for turn in range(12):
        process = start(FOREVER, path, turn)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        told = [process.stdout.readline().split() for _ in range(7 + turn * 5)]
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.communicate()
        store = SQLiteRunStore(path)
        run_id, done = told[-1]
        record = store.load_run(run_id)
        assert record is not None
        assert record.nodes_done >= int(done)
        for one in store.list_runs(limit=1000):
            steps = store.load_steps(one.run_id)
            assert len(steps) == store.load_run(one.run_id).nodes_done, "a step without its run, or the other way round"
        assert check(store).problems == []
        store.close()
