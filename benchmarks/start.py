"""What starting costs: the import, and a command that looks at the history."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.measure import Row, milliseconds, side_by_side
from benchmarks.step import chain, run
from neurocore.persistence import SQLiteRunStore

FLOOR = ("-c", "import click, sqlite3")
LIST = ("-m", "neurocore", "runs", "list")


def process(*arguments: str, folder: Path) -> float:
    """Milliseconds of a whole Python process. Compiled modules are kept, as they are wherever Python is installed."""
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, *arguments]
    return milliseconds(lambda: subprocess.run(command, cwd=folder, env=environ, check=True, capture_output=True))


def rows(*, quick: bool) -> list[Row]:
    """The table's lines about starting."""
    rounds = 3 if quick else 15
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "project"
        process("-m", "neurocore", "init", str(folder), folder=Path(name))
        store = SQLiteRunStore(folder / "data" / "runs.db")
        for _ in range(20):
            run(store, chain(1))
        store.close()
        for warm in (FLOOR, LIST):
            process(*warm, folder=folder)
        with_it, without, _ = side_by_side(
            lambda: process("-c", "import neurocore", folder=folder),
            lambda: process("-c", "pass", folder=folder),
            rounds=rounds,
        )
        listed, floor, ratio = side_by_side(
            lambda: process(*LIST, folder=folder), lambda: process(*FLOOR, folder=folder), rounds=rounds
        )
    what = "`neurocore runs list`, against `python -c 'import click, sqlite3'`"
    return [
        Row("`import neurocore`", f"{with_it - without:.0f} ms", aim="≤ 60 ms"),
        Row(what, f"{listed:.0f} ms", f"{floor:.0f} ms", f"{ratio:.1f}", "≤ 3"),
    ]
