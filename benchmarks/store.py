"""What looking costs in a large history."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.history import example, fill, steps_of
from benchmarks.measure import Row, p99
from neurocore.persistence import RunFilter, RunStatus, SQLiteRunStore


def rows(*, quick: bool) -> list[Row]:
    """The table's lines about a large history."""
    count = 20_000 if quick else 1_000_000
    with tempfile.TemporaryDirectory() as folder:
        fill(Path(folder) / "runs.db", count, steps=not quick)
        store = SQLiteRunStore(Path(folder) / "runs.db")
        found = looks(store, count)
        store.close()
    return [*found, size()]


def looks(store: SQLiteRunStore, count: int, *, times: int = 300) -> list[Row]:
    """How long each look at a history of so many runs takes."""
    both = RunFilter(status=(RunStatus.FAILED,), blueprint="blueprint10")
    middle = store.page_runs(RunFilter(until="2023-11-15T00:00:00+00:00")).runs[-1].run_id[:8]
    by_key: dict[str, Callable[[], object]] = {
        "the newest 50": store.page_runs,
        "50 by status": lambda: store.page_runs(RunFilter(status=(RunStatus.CANCELLED,))),
        "50 by blueprint": lambda: store.page_runs(RunFilter(blueprint="blueprint7")),
        "50 by both": lambda: store.page_runs(both),
        "50 by a common beginning of the title": lambda: store.page_runs(RunFilter(text="payments of")),
        "50 by a rare beginning of the title": lambda: store.page_runs(RunFilter(text="Payments of batch 1999")),
        "counts by status": store.status_counts,
        "counts by blueprint": store.blueprint_counts,
    }
    found = [
        Row(f"{name}, of {count:,} runs (p99)", f"{p99(look, times=times):.2f} ms", aim="< 3 ms")
        for name, look in by_key.items()
    ]
    cost = p99(lambda: store.find_runs(middle), times=times)
    return [*found, Row(f"an id by 8 characters, of {count:,} (p99)", f"{cost:.2f} ms", aim="< 1 ms")]


def size() -> Row:
    """Bytes a run of three steps with values of 100 bytes takes."""
    runs = 1_000
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "runs.db"
        store = SQLiteRunStore(path)
        for number in range(runs):
            run = example(number)
            store.save_run(run)
            for step in steps_of(run):
                store.save_step(step)
        store.close()
        each = path.stat().st_size / runs
    return Row("the file, a run of three steps with values of 100 bytes", f"{each:,.0f} bytes", aim="≤ 2,048 bytes")
