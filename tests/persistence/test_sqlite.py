"""What SQLite does for us: indexes that are used, counts in step, transactions, threads, forks, size on disk."""

from __future__ import annotations

import itertools
import os
import re
import sqlite3
import threading
from pathlib import Path

import pytest

from neurocore import codec, failpoints
from neurocore.errors import ClaimLost, StoreError
from neurocore.persistence import GateStatus, RunFilter, RunStatus, SQLiteRunStore, migrate, rows, schema
from neurocore.persistence.queries import queries
from neurocore.persistence.records import Event
from neurocore.persistence.testing.contract import answer, at, event, found, gate, give, run, step, turn, waiting
from tests.persistence.older import take_back


@pytest.fixture
def store(tmp_path):
    made = SQLiteRunStore(tmp_path / "runs.db")
    yield made
    made.close()


@pytest.fixture
def asked(store):
    """Every statement that the store sends from here on."""
    sent: list[str] = []
    with store.database.read() as connection:
        connection.set_trace_callback(sent.append)
    with store.database.write() as connection:
        connection.set_trace_callback(sent.append)
    sent.clear()
    return sent


def plans(store, asked: list[str]) -> str:
    lines = []
    with sqlite3.connect(store.path) as connection:
        for sql in asked:
            if sql.startswith(("SELECT", "UPDATE", "DELETE")):
                lines += [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}")]
    connection.close()
    return "\n".join(lines)


FILTERS = {
    "everything": RunFilter(),
    "status": RunFilter(status=(RunStatus.FAILED,)),
    "statuses": RunFilter(status=(RunStatus.FAILED, RunStatus.RUNNING)),
    "blueprint": RunFilter(blueprint="payouts"),
    "both": RunFilter(blueprint="payouts", status=(RunStatus.FAILED,)),
    "tag": RunFilter(tag="may"),
    "starter": RunFilter(started_by="ada"),
    "waiting": RunFilter(waiting=True),
    "since": RunFilter(since=at(1), until=at(2)),
}


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("turn", [{}, {"before": "ff-1"}, {"after": "ff-1"}])
def test_a_page_is_read_from_an_index_in_its_order(store, asked, name, turn):
    store.page_runs(FILTERS[name], **turn)
    plan = plans(store, asked)
    assert "USING" in plan
    assert "TEMP B-TREE" not in plan, plan
    assert "SCAN r\n" not in f"{plan}\n", plan


@pytest.mark.parametrize(
    "ask",
    [
        lambda store: store.find_runs("abc"),
        lambda store: store.load_run("r1"),
        lambda store: store.load_summary("r1"),
        lambda store: store.signals("r1"),
        lambda store: store.active_runs(),
        lambda store: store.failed_runs(since=at(1)),
        lambda store: store.load_context("r1"),
        lambda store: store.step_summaries("r1"),
        lambda store: store.count_open_gates(),
        lambda store: store.list_gates(),
        lambda store: store.list_gates(status=(GateStatus.DECIDED, GateStatus.DONE)),
        lambda store: store.list_gates(status=(GateStatus.DONE,), by="ada", before=at(1)),
        lambda store: store.list_gates(status=(GateStatus.DONE,), blueprint="payouts"),
        lambda store: store.list_gates(after="1-1-1-ok"),
        lambda store: store.list_gates(status=(GateStatus.DONE,), after="1-1-1-ok", narrow=True),
        lambda store: store.load_gate("r1", "ok", 1),
        lambda store: store.status_counts(),
        lambda store: store.day_counts(since="2026-01-01"),
        lambda store: store.load_request("k"),
    ],
)
def test_no_question_reads_a_whole_table_of_rows(store, asked, ask):
    ask(store)
    plan = plans(store, asked)
    for table in ("r", "runs", "g", "gates", "s", "steps", "a", "answers", "events", "e"):
        assert f"SCAN {table}\n" not in f"{plan}\n", plan
    assert "TEMP B-TREE FOR ORDER BY" not in plan.replace("load_changes", ""), plan


def test_a_step_is_one_transaction_of_two_statements(store, asked):
    mine = created(store)
    store.commit(turn(mine, steps=[step("r1", 0, sets={"a": 1})]))
    asked.clear()
    store.commit(turn(mine, steps=[step("r1", 1, sets={"a": 2})]))
    assert [sql.split()[0] for sql in asked] == ["BEGIN", "PRAGMA", "INSERT", "UPDATE", "COMMIT"], asked


def test_what_must_survive_a_power_cut_is_synced_and_a_step_is_not(store):
    def synced(action) -> bool:
        action()
        assert store.database._writer is not None
        return store.database._writer.execute("PRAGMA synchronous").fetchone()[0] == 2

    mine = created(store)
    assert not synced(lambda: store.commit(turn(mine, steps=[step("r1", 0)])))
    assert synced(lambda: store.commit(turn(mine, gates=[gate("r1")], sync=True)))
    assert not synced(lambda: store.commit(turn(mine, steps=[step("r1", 1)])))
    assert synced(lambda: give(store, "r1", answer(), event=event()))
    assert synced(lambda: store.create_run(run("r2")))


def test_full_durability_syncs_every_step(tmp_path):
    store = SQLiteRunStore(tmp_path / "runs.db", durability="full")
    mine = created(store)
    store.commit(turn(mine, steps=[step("r1", 0)]))
    with store.database.write() as connection:
        assert connection.execute("PRAGMA synchronous").fetchone()[0] == 2
    store.close()


def created(store, run_id: str = "r1"):
    store.create_run(run(run_id))
    assert store.claim(run_id, owner="me@here:1", expected_epoch=0) == 1
    return found(store, run_id)


def test_three_small_steps_take_less_than_two_kilobytes_a_run(store):
    count = 1000
    snapshot = {"name": "payouts", "components": [{"name": f"c{n}", "type": "command"} for n in range(5)]}
    for number in range(count):
        mine = run(
            f"{number:032x}", minute=number, title=f"Payments of batch {number}", blueprint_snapshot=snapshot,
            initial_data={"batch": "x" * 100}, started_by="ada", tags=[f"tag{number % 5}"],
            events=[Event(at=at(number), kind="started", who="ada", known_by="claimed")],
        )  # fmt: skip
        store.create_run(mine)
        store.claim(mine.run_id, owner="0123456789abcdef@host.example:12345", expected_epoch=0)
        mine = found(store, mine.run_id)
        for index in range(3):
            one = step(
                mine.run_id, index, sets={f"value{index}": "y" * 100}, component=f"component{index}", duration_ms=1.234,
                node_id=f"component{index}", skill_type="command", skill_version="1.0.0", edges_taken=[index],
                config={"program": "true"},
            )  # fmt: skip
            mine.status = RunStatus.RUNNING if index < 2 else RunStatus.COMPLETED
            store.commit(turn(mine, owner=mine.owner, steps=[one], sync=False))
    store.close()
    with sqlite3.connect(store.path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    size = store.path.stat().st_size / count
    assert size <= 2048, f"{size:.0f} bytes a run"


def test_the_cost_of_a_step_does_not_grow_with_the_run_or_its_context(store):
    mine = created(store)
    first = step("r1", 0)
    first.changes.set["big"] = codec.encode("x" * 2_000_000)
    store.commit(turn(mine, steps=[first]))
    journal = store.path.with_name(store.path.name + "-wal")
    with store.database.write() as connection:
        pass
    connection.execute("PRAGMA wal_autocheckpoint = 0")  # so that the journal grows by what a commit writes

    def cost(start: int) -> tuple[float, float]:
        """Instructions of SQLite's machine and bytes written, for the mean of 200 steps."""
        instructions = itertools.count()
        connection.set_progress_handler(lambda: next(instructions) < 0, 1)
        before = journal.stat().st_size
        for index in range(start, start + 200):
            store.commit(turn(mine, steps=[step("r1", index, sets={"n": index})]))
        connection.set_progress_handler(None, 0)
        return next(instructions) / 200, (journal.stat().st_size - before) / 200

    early = cost(1)
    for index in range(201, 4001):
        store.commit(turn(mine, steps=[step("r1", index)]))
    late = cost(4001)
    assert late[0] < early[0] * 1.1, f"{early[0]:.0f} instructions at the start, {late[0]:.0f} after 4,000 steps"
    assert late[1] < early[1] * 1.5, f"{early[1]:.0f} bytes at the start, {late[1]:.0f} after 4,000 steps"


def test_readers_and_writers_of_many_threads_do_not_meet(store):
    errors: list[BaseException] = []
    stop = threading.Event()
    store.create_run(waiting("gate"))

    def read() -> None:
        try:
            while not stop.is_set():
                page = store.page_runs(limit=20)
                for one in page.runs:
                    whole = store.load_run(one.run_id)
                    assert whole is None or len(whole.gates) == (1 if one.run_id == "gate" else 0)
        except BaseException as error:
            errors.append(error)

    def write(number: int) -> None:
        try:
            mine = created(store, f"w{number}")
            for index in range(60):
                store.commit(turn(mine, steps=[step(mine.run_id, index, sets={"n": index})]))
        except BaseException as error:
            errors.append(error)

    readers = [threading.Thread(target=read) for _ in range(3)]
    writers = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in (*readers, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    stop.set()
    for thread in readers:
        thread.join()
    assert errors == []
    assert all(len(store.load_steps(f"w{number}")) == 60 for number in range(4))


def test_an_open_gate_never_shows_an_answer(store):
    """A gate and its answers are read as of one moment."""
    wrong: list[object] = []
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            for run_id in [f"g{number}" for number in range(40)]:
                gates = store.load_gates(run_id)
                wrong.extend(one for one in gates if (one.status is GateStatus.OPEN) != (one.decision is None))

    for number in range(40):
        store.create_run(waiting(f"g{number}"))
    looker = threading.Thread(target=look)
    looker.start()
    for number in range(40):
        assert give(store, f"g{number}", answer(), event=event())
    stop.set()
    looker.join()
    assert wrong == []


def test_a_forked_process_writes_through_connections_of_its_own(store):
    store.create_run(run("before"))
    child = os.fork()
    if child == 0:
        try:
            store.create_run(run("in-child"))
            os._exit(0 if store.load_run("before") is not None else 3)
        except BaseException:
            os._exit(4)
    assert os.waitpid(child, 0)[1] == 0
    store.create_run(run("after"))
    assert {one.run_id for one in store.list_runs()} == {"before", "in-child", "after"}


def test_connections_of_ended_threads_are_closed(store):
    for _ in range(20):
        thread = threading.Thread(target=store.list_runs)
        thread.start()
        thread.join()
    store.list_runs()
    assert len(store.database._readers) <= 2


def test_a_failed_write_leaves_nothing_and_the_store_goes_on(store):
    mine = created(store)
    broken = step("r1", 0)
    broken.commit_index = None
    with pytest.raises(StoreError):
        store.commit(turn(mine, steps=[step("r1", 1), broken], events=[event()]))
    assert store.load_steps("r1") == []
    assert store.load_events("r1") == []
    store.commit(turn(mine, steps=[step("r1", 0)]))
    assert len(store.load_steps("r1")) == 1


def test_a_writer_that_finds_others_writing_waits_for_its_turn(store, tmp_path):
    other = sqlite3.connect(store.path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    timer = threading.Timer(0.3, lambda: other.execute("ROLLBACK"))
    timer.start()
    store.create_run(run("r1"))
    timer.join()
    other.close()
    assert store.load_run("r1") is not None


def test_a_thread_that_reads_for_the_first_time_does_not_wait_for_who_writes(store):
    store.create_run(run("r1"))
    found = []
    thread = threading.Thread(target=lambda: found.append(store.load_run("r1")), daemon=True)
    with store.database.write():
        thread.start()
        thread.join(20)
        assert found, "it waits for the end of the transaction"


def test_a_run_that_took_the_row_of_a_deleted_one_is_not_mistaken_for_it(store, tmp_path):
    mine = created(store)
    other = SQLiteRunStore(store.path)
    other.delete_run("r1")
    other.create_run(run("r2"))
    other.claim("r2", owner="other@here:2", expected_epoch=0)
    with pytest.raises(ClaimLost, match="taken over"):
        store.commit(turn(mine, steps=[step("r1", 0)]))
    assert other.load_steps("r2") == []
    other.close()


def test_a_definition_is_stored_once(store):
    for number in range(5):
        store.create_run(run(f"r{number}", blueprint_snapshot={"name": "payouts", "version": number % 2}))
    with store.database.read() as connection:
        assert connection.execute("SELECT count(*) FROM blueprints").fetchone()[0] == 2


def test_every_query_has_a_name_a_sentence_and_a_use():
    folder = Path(rows.__file__).parent
    text = "".join(file.read_text() for file in (folder / "sql" / "queries").iterdir())
    code = "".join(file.read_text() for file in folder.rglob("*.py"))
    named = re.findall(r"^-- ([a-z_]+): ", text, re.MULTILINE)
    assert {name for name in named if not name.startswith("narrow")} == queries().keys()
    assert all(query.sql.strip() for query in queries().values())
    for name in named:
        sentence = text.split(f"-- {name}: ")[1].split("\n")[0]
        assert sentence[0].isupper(), name
        assert sentence.endswith("."), name
        assert name.startswith("narrow") or f'"{name}"' in code, f"nobody asks {name}"


def test_the_schema_is_reached_by_numbered_files():
    names = sorted(file.name for file in (Path(schema.__file__).parent / "sql").glob("0*.sql"))
    assert [int(name[:4]) for name in names] == list(range(1, schema.VERSION + 1))


def test_a_file_of_version_1_is_brought_up_and_keeps_its_runs(tmp_path):
    path = tmp_path / "runs.db"
    made = SQLiteRunStore(path)
    with made.database.read() as connection:
        new = set(connection.execute("SELECT type, name, sql FROM sqlite_master").fetchall())
    made.create_run(run("r1", status=RunStatus.FAILED, finished_at=at(5)))
    made.close()
    take_back(path, 1)
    assert not migrate.is_current(path)
    opened = SQLiteRunStore(path)
    assert [one.run_id for one in opened.failed_runs(since=at(1))] == ["r1"]
    with opened.database.read() as connection:
        assert set(connection.execute("SELECT type, name, sql FROM sqlite_master").fetchall()) == new
        assert connection.execute("PRAGMA user_version").fetchone()[0] == schema.VERSION
    opened.close()


def test_the_index_of_failed_runs_is_written_by_failing_alone(store):
    mine = run("r1", status=RunStatus.RUNNING)
    store.create_run(mine)
    with store.database.read() as connection:
        columns = {row[2] for row in connection.execute("PRAGMA index_info(runs_failed)")}
        asked = connection.execute("SELECT sql FROM sqlite_master WHERE name = 'runs_failed'").fetchone()[0]
    changed = queries()["commit_step"].sql.partition("SET")[2].partition("WHERE")[0]
    written = {part.partition("=")[0].strip() for part in changed.split(",")}
    assert "WHERE status = 'failed'" in asked
    assert not written & {*columns, "status"}, "a step of a running run would look into the index"


def test_a_new_file_is_made_whole_or_not_at_all(tmp_path):
    class Stop(Exception):
        pass

    def stop() -> None:
        raise Stop

    with failpoints.arm("migrate.before_commit", stop), pytest.raises(Stop):
        SQLiteRunStore(tmp_path / "runs.db")
    with sqlite3.connect(tmp_path / "runs.db") as connection:
        assert connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
    connection.close()
    SQLiteRunStore(tmp_path / "runs.db").close()


def test_a_store_that_is_closed_lets_other_threads_read_to_the_end_of_what_they_read(tmp_path):
    store = SQLiteRunStore(tmp_path / "runs.db")
    store.create_run(run("r1"))
    closing = threading.Thread(target=store.close)
    with store.database.read() as connection:  # closed under a thread that reads, SQLite would crash the process
        reading = connection.execute("SELECT run_id FROM runs")
        closing.start()
        closing.join(0.2)
        assert store.database.closed
        assert reading.fetchone()["run_id"] == "r1"
    closing.join(20)
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        connection.execute("SELECT 1")
    with pytest.raises(StoreError, match="was closed"):
        store.list_runs()


def test_a_context_of_large_values_is_read_one_change_after_the_other_and_is_the_same(store, monkeypatch):
    driven = run("r", owner="me", epoch=1, initial_data={"given": "at first", "gone": 1})
    store.create_run(driven)
    for index, value in enumerate(("a", "b", "c")):
        changed = step("r", index, sets={"same": value * 1000, value: index}, commit_index=3 - index)
        store.commit(turn(driven, owner="me", steps=[changed]))
    at_once = store.load_context("r")
    monkeypatch.setattr("neurocore.persistence.folding.MUCH", 10)
    assert list(store.load_context("r").items()) == list(at_once.items())
    assert codec.decode(at_once["same"]) == "a" * 1000, "the order is that of the commits"
    assert store.load_values("r", ["same", "given"]) == {key: at_once[key] for key in ("given", "same")}
