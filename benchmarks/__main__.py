"""`python -m benchmarks [--quick]`: measure, and print the machine and the table as Markdown."""

from __future__ import annotations

import os
import platform
import sqlite3
import sys

from benchmarks import start, step, store
from benchmarks.measure import table


def main() -> None:
    """Measure everything."""
    quick = "--quick" in sys.argv
    print(
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"SQLite {sqlite3.sqlite_version}\n"
    )
    print(table([*step.rows(quick=quick), *start.rows(quick=quick), *store.rows(quick=quick)]))


if __name__ == "__main__":
    main()
