"""The benchmarks measure what they say. How fast anything is, is no question for a test."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest

from benchmarks import floor, history, measure, pages, step, store
from neurocore.config import NeuroCoreConfig
from neurocore.drivers.dispatch import NullDispatcher
from neurocore.persistence import RunFilter, RunStatus, SQLiteRunStore, admin
from neurocore.runtime.executor import execute_blueprint_tracked
from webapp import create_app


def test_the_floor_of_a_run_writes_what_the_run_wrote(tmp_path):
    statements = floor.statements_of(tmp_path / "real.db", lambda store: step.run(store, step.chain(5)))

    costs = floor.run_bare(statements, tmp_path / "bare.db", full=False)

    assert len(costs) == 6  # the start, and a commit for each step
    written = []
    for name in ("real.db", "bare.db"):
        with contextlib.closing(sqlite3.connect(tmp_path / name)) as connection:
            written.append(connection.execute("SELECT * FROM steps").fetchall())
            written.append(connection.execute("SELECT * FROM runs").fetchall())
    assert written[:2] == written[2:]
    assert len(written[0]) == 5


def test_a_step_is_timed_from_beginning_to_beginning():
    assert len(step.per_step(step.chain(20))) == 19


def test_the_large_history_is_one_that_the_store_finds_whole(tmp_path):
    history.fill(tmp_path / "runs.db", 500)

    kept = SQLiteRunStore(tmp_path / "runs.db")
    assert admin.check(kept).problems == []
    assert sum(kept.status_counts().values()) == 500
    run = kept.page_runs(RunFilter(status=(RunStatus.FAILED,))).runs[0]
    assert [one.output_keys for one in kept.load_steps(run.run_id)] == [["value"]] * 3
    assert kept.load_context(run.run_id).keys() == {"x", "value"}
    kept.close()


def test_every_look_at_a_history_finds_something(tmp_path):
    history.fill(tmp_path / "runs.db", 2_500, steps=False)
    kept = SQLiteRunStore(tmp_path / "runs.db")

    rows = store.looks(kept, 2_500, times=2)

    assert [row.measured for row in rows if not row.measured.endswith(" ms")] == []
    kept.close()


@pytest.fixture
def site(tmp_path):
    """A dashboard over sixty runs and one of five steps; with the address of that."""
    config = NeuroCoreConfig(project_root=tmp_path)
    Path(config.data_dir).mkdir()
    history.fill(config.runs_db_path, 60, steps=False)
    kept = SQLiteRunStore(config.runs_db_path)
    done = execute_blueprint_tracked(step.chain(5), step.registry(), config, run_store=kept)
    yield create_app(config, store=kept, dispatcher=NullDispatcher()), f"/runs/{done.metadata.run_id}"
    kept.close()


def test_the_bare_view_shows_the_very_rows_of_the_list(site):
    app, _ = site
    page = pages.asking(app, "/runs")().decode()

    for worded in (True, False):
        bare = pages.asking(pages.bare(app, worded=worded), "/")().decode()
        rows = bare[bare.index("<tbody>") + 7 : bare.index("</tbody>")].split("<tr")[1:]
        assert len(rows) == 50
        assert all(row.split("</a>")[0] in page for row in rows)


def test_pages_and_refreshes_are_asked_for_as_a_browser_does(site):
    app, path = site

    assert b"Timeline" in pages.asking(app, path)()
    assert pages.unchanged(app, path.rpartition("/")[2], {}, times=2).measured.endswith(" ms")


def test_a_table_has_a_line_for_each_row():
    rows = [measure.Row("a thing", "2 µs", "1 µs", "2.0", "≤ 3"), measure.Row("another", "1 ms", aim="< 3 ms")]

    assert measure.table(rows).splitlines()[2:] == [
        "| a thing | 2 µs | 1 µs | 2.0 | ≤ 3 |",
        "| another | 1 ms |  |  | < 3 ms |",
    ]
    assert measure.percentile(range(100), 0.95) == 95


def test_the_server_is_asked_over_http(tmp_path):
    from benchmarks.server import Project, decisions, memory, open_pages

    project = Project(tmp_path)
    with project.serving() as server:
        assert decisions(project, server, 1).measured.endswith(" ms")
        assert open_pages(project, server, 4, 1).measured.endswith(" of a core")
        assert memory(project, server, 40).measured.endswith(" per 1,000")


def test_a_start_that_is_counted_is_a_run_that_is_recorded(tmp_path):
    from benchmarks import load
    from benchmarks.server import Project

    project = Project(tmp_path)
    (tmp_path / "blueprints" / "starts.yaml").write_text(load.BLUEPRINT)
    with project.serving("--no-dispatch") as server:
        one, _ = load.rate(server, 1, 0.1)
        two, cost = load.rate(server, 2, 0.1)
        counted = project.store.blueprint_counts()["starts"]
    assert counted == one + two > 0
    assert cost > 0
