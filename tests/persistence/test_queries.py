"""Queries have parameters by name in their files, and positions when they are executed; rows are read by name."""

from __future__ import annotations

import contextlib
import sqlite3

import pytest

from neurocore.persistence import RunStatus, SQLiteRunStore
from neurocore.persistence.queries import Query, by_column, column_names, picker, queries, takes
from neurocore.persistence.testing import RecordingRunStore
from neurocore.persistence.testing.contract import run, turn


def row(**columns: object) -> sqlite3.Row:
    connection = sqlite3.connect(":memory:")
    connection.row_factory = sqlite3.Row
    found = connection.execute(
        f"SELECT {', '.join(f'? AS {name}' for name in columns)}", [*columns.values()]
    ).fetchone()
    connection.close()
    return found


def test_names_become_positions_in_their_order_and_one_used_twice_has_two():
    query = Query("held", "SELECT run FROM runs WHERE (:run_id IS NULL OR run_id = :run_id) AND epoch = :epoch")
    assert query.sql == "SELECT run FROM runs WHERE (? IS NULL OR run_id = ?) AND epoch = ?"
    assert query.parameters == ("run_id", "run_id", "epoch")
    assert query.bind({"epoch": 3, "run_id": "r1"}) == (query.sql, ("r1", "r1", 3))


def test_a_colon_in_a_text_is_no_parameter():
    query = Query("failed", """SELECT 1 WHERE failure LIKE '{"kind":"rejected:now", it''s :not' AND run = :run""")
    assert query.parameters == ("run",)
    assert query.bind({"run": 1})[0].endswith("""it''s :not' AND run = ?""")


@pytest.mark.parametrize(
    "values", [{}, {"run": 1}, {"run": 1, "visits": 2}, {"run": 1, "visit": 2, "node_id": "a"}, {"visit": 2}]
)
def test_a_value_that_is_missing_or_too_many_is_refused_with_the_names(values):
    query = Query("gate", "SELECT 1 FROM gates WHERE run = :run AND visit = :visit")
    with pytest.raises(TypeError, match=r"The query gate takes \['run', 'visit'\], not \["):
        query.bind(values)


def test_of_a_filter_a_query_takes_the_values_that_it_names():
    template = Query("page", "SELECT 1 FROM runs AS r WHERE {filters} LIMIT :limit")
    query = template.filled(filters="r.status = :status AND r.blueprint_name = :blueprint")
    assert query.bind_some({"limit": 5, "status": "failed", "blueprint": "pay", "text": "x"}) == (
        "SELECT 1 FROM runs AS r WHERE r.status = ? AND r.blueprint_name = ? LIMIT ?", ("failed", "pay", 5),
    )  # fmt: skip


def test_every_query_of_ours_prepares_with_as_many_values_as_it_has_positions(tmp_path):
    with contextlib.closing(SQLiteRunStore(tmp_path / "runs.db")) as store, store.database.read() as connection:
        for name, query in queries().items():
            order = "g.run" if name.startswith("list_gates") else "ASC"
            sql, values = query.filled(filters="TRUE", order=order).bind(dict.fromkeys(query.parameters, 1))
            connection.execute(f"EXPLAIN {sql}", values)
            assert "?" not in query.text, f"{name} names no parameter"


def test_queries_whose_rows_are_read_by_a_list_of_columns_begin_with_it(tmp_path):
    lists = {
        "narrow": ("load_run", "load_summary", "active_runs", "failed_runs", "page_runs", "page_tagged", "search_near",
                   "search_all"),
        "narrow_step": ("load_steps", "load_step", "step_summaries", "open_steps"),
        "narrow_ended": ("load_ended", "load_recorded"),
    }  # fmt: skip
    with contextlib.closing(SQLiteRunStore(tmp_path / "runs.db")) as store, store.database.read() as connection:
        for columns, names in lists.items():
            for name in names:
                query = queries()[name].filled(filters="TRUE", order="ASC")
                found = connection.execute(*query.bind(dict.fromkeys(query.parameters, 1))).description
                listed = column_names(columns)
                assert tuple(one[0] for one in found)[: len(listed)] == listed, name


def test_values_in_order_are_compared_with_the_query_when_the_module_is_loaded():
    @takes("keep_inputs", "run", "initial_data")
    def inputs(place: int) -> tuple[int, bytes]:
        return place, b""

    assert inputs(1) == (1, b"")
    with pytest.raises(TypeError, match="The query keep_inputs takes"):
        takes("keep_inputs", "initial_data", "run")


def test_columns_are_read_by_name_wherever_they_are_in_the_list():
    names = column_names("narrow_ended")
    found = row(**dict(zip(names, range(len(names)), strict=True)), changes=99)
    assert picker("narrow_ended", *names)(found) == tuple(range(len(names)))
    assert picker("narrow_ended", "visit", "step_index")(found) == (names.index("visit"), 0)
    with pytest.raises(LookupError, match="narrow_ended have no"):
        picker("narrow_ended", "step_index", "colour")

    @by_column("narrow_ended", first="run_id")
    def made(run_id: str, status: int, component: int) -> tuple[str, int, int]:
        return run_id, status, component

    assert made("r1", found) == ("r1", names.index("status"), names.index("component"))
    with pytest.raises(TypeError, match="begins with run_id"):
        by_column("narrow_ended", first="run")(lambda run_id, status: None)


def test_the_recording_store_names_what_it_is_asked_and_not_what_it_asks_itself():
    store = RecordingRunStore()
    store.create_run(run("r1"))
    assert store.asked == ["create_run"]
    epoch = store.claim("r1", owner="me@here:1", expected_epoch=0)
    store.commit(turn(run("r1", epoch=epoch, status=RunStatus.COMPLETED)))
    assert [one.run_id for one in store.page_runs().runs] == ["r1"]
    with pytest.raises(TypeError):
        store.load_run()
    store.load_gate("r1", "review", 1)
    assert store.asked == ["create_run", "claim", "commit", "page_runs", "load_run", "load_gate"]
    assert RecordingRunStore.abilities() == RecordingRunStore.__base__.abilities()
