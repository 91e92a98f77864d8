"""What starting costs: the import, a command, a run of one step."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.measure import Row
from benchmarks.step import chain, registry
from neurocore.config import NeuroCoreConfig
from neurocore.persistence import SQLiteRunStore
from neurocore.runtime.executor import execute_blueprint_tracked


def process(*arguments: str, folder: str) -> float:
    """Milliseconds of a whole process, the median of several."""
    costs = []
    for _ in range(9):
        began = time.perf_counter()
        subprocess.run([sys.executable, *arguments], cwd=folder, check=True, capture_output=True)
        costs.append((time.perf_counter() - began) * 1e3)
    return statistics.median(costs)


def rows() -> list[Row]:
    """The table's lines about starting."""
    with tempfile.TemporaryDirectory() as folder:
        nothing = process("-c", "pass", folder=folder)
        imported = process("-c", "import neurocore", folder=folder) - nothing
        floor = process("-c", "import click, sqlite3", folder=folder)
        listed = process("-m", "neurocore", "runs", "list", folder=folder)
        config = NeuroCoreConfig(project_root=Path(folder))
        store = SQLiteRunStore(Path(folder) / "one.db")
        costs = []
        for _ in range(60):
            began = time.perf_counter()
            execute_blueprint_tracked(chain(1), registry(), config, run_store=store)
            costs.append((time.perf_counter() - began) * 1e3)
        store.close()
    return [
        Row("`import neurocore`", f"{imported:.0f} ms", "", "", "≤ 60 ms"),
        Row("`neurocore runs list`", f"{listed:.0f} ms", f"{floor:.0f} ms", f"{listed / floor:.1f}", "≤ 3"),
        Row(
            "a run of one step, its blueprint parsed, two synced commits",
            f"{statistics.median(costs):.1f} ms",
            "",
            "",
            "",
        ),
    ]
