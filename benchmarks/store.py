"""What looking costs in a large history."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.measure import Row, p99
from neurocore import codec
from neurocore.persistence import RunFilter, RunRecord, RunStatus, SQLiteRunStore, StepRecord
from neurocore.persistence.base import Changes

_FILL = """
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
INSERT INTO runs (run_id, blueprint, blueprint_name, title, status, created_at, updated_at, duration_ms, nodes_done,
    nodes_total, started_by, known_by, epoch, deaths, version)
SELECT printf('%08x%024x', (i * 2654435761) % 4294967296, i), 1, 'blueprint' || (i % 20), 'Payments of batch ' || i,
    CASE WHEN i % 100 = 0 THEN 'suspended' WHEN i % 10 = 0 THEN 'failed' ELSE 'completed' END,
    1700000000000000 + i * 1000000, 1700000000000000 + i * 1000000, 12.5, 3, 3, 'ann', 'claimed', 1, 0, 1
FROM n
"""


def rows(*, quick: bool) -> list[Row]:
    """The table's lines about a large history."""
    count = 100_000 if quick else 1_000_000
    with tempfile.TemporaryDirectory() as folder:
        store = SQLiteRunStore(Path(folder) / "runs.db")
        with store.database.write() as connection:
            connection.execute("INSERT INTO blueprints VALUES (1, 'h', 'b', '1.0', 'sequential', '{}')")
            connection.execute(_FILL, (count,))
        some = store.list_runs(limit=500)[-1].run_id
        both = RunFilter(status=(RunStatus.FAILED,), blueprint="blueprint10")
        looks: dict[str, Callable[[], object]] = {
            "the newest 50": store.page_runs,
            "50 by status": lambda: store.page_runs(RunFilter(status=(RunStatus.SUSPENDED,))),
            "50 by blueprint": lambda: store.page_runs(RunFilter(blueprint="blueprint7")),
            "50 by both": lambda: store.page_runs(both),
            "50 by the beginning of the title": lambda: store.page_runs(RunFilter(text="payments of batch 99")),
            "counts by status": store.status_counts,
        }
        found = [
            Row(f"{name}, of {count:,} runs (p99)", f"{p99(look):.2f} ms", "", "", "< 3 ms")
            for name, look in looks.items()
        ]
        found.append(
            Row(
                f"an id by 8 characters, of {count:,} (p99)",
                f"{p99(lambda: store.find_runs(some[:8])):.2f} ms",
                "",
                "",
                "< 1 ms",
            )
        )
        store.close()
    return [*found, size()]


def size() -> Row:
    """Bytes a run of three steps with values of 100 bytes takes."""
    runs = 2_000
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "runs.db"
        store = SQLiteRunStore(path)
        changes = Changes(set={"value": codec.encode("x" * 100)})
        for number in range(runs):
            run_id = f"{number * 2654435761 % 2**32:08x}{number:024x}"
            store.save_run(RunRecord(run_id=run_id, blueprint_name="chain", initial_data={"x": 1}, started_by="ann"))
            for index in range(3):
                store.save_step(
                    StepRecord(
                        run_id=run_id, step_index=index, component=f"step{index}", skill_type="work", changes=changes,
                        output_keys=["value"], edges_taken=[index], commit_index=index, duration_ms=1.0,
                    )
                )  # fmt: skip
        store.close()
        each = path.stat().st_size / runs
    return Row("the file, a run of three steps with values of 100 bytes", f"{each:,.0f} bytes", "", "", "≤ 2,048")
