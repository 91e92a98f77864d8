"""What somebody sees who may see some blueprints: the same as if the others were not there."""

from __future__ import annotations

import random
from itertools import product

import pytest

from neurocore.persistence import InMemoryRunStore, SQLiteRunStore
from neurocore.persistence.records import GateStatus, RunFilter, RunStatus
from neurocore.persistence.sqlite import lists
from neurocore.persistence.testing.contract import answer, at, event, gate, give, run
from neurocore.persistence.visible import VisibleRuns

NAMES = [f"flow{number:02}" for number in range(40)]
SEEN = {
    "none": [], "few": ["flow03", "flow17", "flow39"], "many": NAMES[5:30], "all": NAMES, "rare": [*NAMES[:20], "rare"],
}  # fmt: skip


def fill(store):
    """Add runs of all blueprints; `rare` has the two oldest, which come last in every list."""
    dice = random.Random(14)
    for number in range(400):
        name = "rare" if number < 2 else dice.choice(NAMES[20:] if number > 100 else NAMES)
        status = dice.choice([RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.RUNNING, RunStatus.SUSPENDED])
        run_id, minute = f"{dice.randrange(16**8):08x}{number:04}", number // 2
        waits = status is RunStatus.SUSPENDED
        store.create_run(
            run(
                run_id, minute=minute, blueprint_name=name, status=status, title=f"Run {number % 7}",
                finished_at=at(minute + 1) if status.ended else None, tags=["odd"] if number % 2 else [],
                gates=[gate(run_id, minute=minute)] if waits else [],
            )
        )  # fmt: skip
        if waits and number % 3 == 0:
            give(store, run_id, answer(at=at(minute + 2), by=dice.choice(["ada", "bob"])), event=event())
    return store


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    stores = fill(SQLiteRunStore(tmp_path_factory.mktemp("seen") / "runs.db")), fill(InMemoryRunStore())
    yield stores
    for one in stores:
        one.close()


@pytest.fixture(params=SEEN)
def pair(both, request, monkeypatch):
    """Two stores through the eyes of one person: SQLite, and the plain defaults as a model."""
    monkeypatch.setattr(lists, "_SEEN_WINDOW", 40)
    names = SEEN[request.param]
    return [VisibleRuns(store, lambda name: name in names) for store in both]


FILTERS = [
    RunFilter(), RunFilter(status=(RunStatus.FAILED,)), RunFilter(status=(RunStatus.FAILED, RunStatus.SUSPENDED)),
    RunFilter(blueprint="flow25"), RunFilter(blueprint="flow01", status=(RunStatus.RUNNING,)), RunFilter(tag="odd"),
    RunFilter(text="run 3"), RunFilter(text="a"), RunFilter(since=at(20), until=at(60)), RunFilter(waiting=True),
]  # fmt: skip


@pytest.mark.parametrize("wanted", FILTERS)
def test_pages_in_both_directions_hold_the_visible_runs(pair, wanted):
    walks = []
    for store in pair:
        pages, cursor = [], None
        while True:
            page = store.page_runs(wanted, before=cursor, limit=7)
            pages.append([one.run_id for one in page.runs])
            if page.older is None:
                break
            cursor = page.older
        back = store.page_runs(wanted, after=page.newer, limit=7).runs if page.newer else []
        walks.append((pages, [one.run_id for one in back]))
    seen, model = (sorted(run_id for page in pages for run_id in page) for pages, _ in walks)
    assert seen == model
    assert [len(page) for page in walks[0][0]] == [len(page) for page in walks[1][0]]
    assert len(walks[0][1]) == len(walks[1][1])


def test_lists_and_counts_are_those_of_the_visible_runs(pair):
    seen, model = pair
    for prefix in ("", "0", "ab", "f"):
        assert seen.find_runs(prefix, limit=9) == model.find_runs(prefix, limit=9)
    for one in (None, "flow25", "flow01", "missing"):
        assert seen.status_counts(blueprint=one) == model.status_counts(blueprint=one)
        assert seen.day_counts(since=at(0), blueprint=one) == model.day_counts(since=at(0), blueprint=one)
    assert seen.blueprint_counts() == model.blueprint_counts()
    assert seen.count_open_gates() == model.count_open_gates()
    failed = [{run.run_id for run in one.failed_runs(since=at(0), limit=500)} for one in pair]
    assert failed[0] == failed[1]
    assert len(seen.failed_runs(since=at(0), limit=5)) == len(model.failed_runs(since=at(0), limit=5))


@pytest.mark.parametrize(
    ("status", "by", "blueprint"),
    list(product([GateStatus.OPEN, GateStatus.DECIDED], [None, "ada"], [None, "flow25", "flow01"])),
)
def test_gates_are_those_of_the_visible_runs(pair, status, by, blueprint):
    found = []
    for store in pair:
        entries, after = [], None
        while page := store.list_gates(status=(status,), by=by, blueprint=blueprint, after=after, limit=6):
            entries += [one.run.run_id for one in page]
            after = page[-1].cursor
        found.append(entries)
    assert sorted(found[0]) == sorted(found[1])
    assert len(found[0]) == len(set(found[0]))
