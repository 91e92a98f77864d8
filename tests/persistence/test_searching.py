"""A search finds the same, whichever of its ways it goes."""

from __future__ import annotations

import pytest

from neurocore.persistence import RunFilter, RunRecord, RunStatus, SQLiteRunStore
from neurocore.persistence.sqlite import lists

COUNT = 60


@pytest.fixture
def store(tmp_path):
    store = SQLiteRunStore(tmp_path / "runs.db")
    for number in range(COUNT):
        run = RunRecord(
            run_id=f"{number:02d}{'ab'[number % 2]}", blueprint_name="pay", tags=["even"] if number % 2 == 0 else [],
            title=f"Old {number}" if number < 20 else f"New {number}", created_at=f"2026-01-01T00:00:{number:02d}Z",
            status=RunStatus.FAILED if number % 3 == 0 else RunStatus.COMPLETED,
        )  # fmt: skip
        store.save_run(run)
    yield store
    store.close()


@pytest.mark.parametrize("few", [1, 1000], ids=["common", "rare"])
@pytest.mark.parametrize("window", [2, 30, 1000], ids=["far", "near", "all"])
@pytest.mark.parametrize("text", ["old", "new", "new 5", "0", "17b", "nothing"])
@pytest.mark.parametrize("more", [{}, {"status": (RunStatus.FAILED,)}, {"tag": "even"}, {"blueprint": "pay"}])
def test_a_search_finds_what_begins_so_newest_first_page_by_page(store, monkeypatch, few, window, text, more):
    for name, value in (("_FEW", few), ("_MANY", few), ("_WINDOW", window), ("_WIDE_WINDOW", window)):
        monkeypatch.setattr(lists, name, value)
    everything = store.page_runs(RunFilter(**more), limit=COUNT).runs
    expected = [run.run_id for run in everything if run.title.lower().startswith(text) or run.run_id.startswith(text)]

    found, before = [], None
    while True:
        page = store.page_runs(RunFilter(text=text, **more), before=before, limit=7)
        found += [run.run_id for run in page.runs]
        before = page.older
        if before is None:
            break

    assert found == expected


def test_a_rare_beginning_is_not_looked_for_among_the_newest(store, monkeypatch):
    asked = []
    rows = store.database.rows
    monkeypatch.setattr(store.database, "rows", lambda sql, values=(): asked.append(sql) or rows(sql, values))

    store.page_runs(RunFilter(text="old 1"))

    assert len(asked) == 1
    assert "INDEXED BY runs_by_title" in asked[0]
