"""`python -m benchmarks [--quick] [part …]`: measure, and print the machine and the tables as Markdown.

The parts are step, growth, start, store, pages, team, gates, server and load, all of them where none is named, and
rivals, which installs others from PyPI. `--quick` takes a minute and shows that it works: less history, fewer rounds.
"""

from __future__ import annotations

import os
import platform
import sqlite3
import sys
from importlib import import_module

import psutil

from benchmarks.measure import table

PARTS = {
    "step": "Steps, against their own SQL statements run bare",
    "growth": "What grows with a run",
    "start": "Starting",
    "store": "A large history, in time of the processor",
    "pages": "Pages, against a bare Flask view of the same 50 rows in the same process, in time of the processor",
    "team": "People who sign in",
    "gates": "The rules of gates, against a gate without rules",
    "server": "The server over HTTP",
    "load": "The server under load",
}
ONLY_NAMED = {"rivals": "Others that keep their work in SQLite, against our step with `durability: full`"}


def machine() -> str:
    """What it is measured on, and how busy that is with other things."""
    busy = os.getloadavg()[0]
    return (
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, "
        f"{psutil.virtual_memory().total / 2**30:.0f} GB, Python {platform.python_version()}, "
        f"SQLite {sqlite3.sqlite_version}; load {busy:.1f} when it began."
    )


def main() -> None:
    """Measure what is named."""
    quick = "--quick" in sys.argv
    named = [one for one in sys.argv[1:] if one != "--quick"]
    parts = {**PARTS, **ONLY_NAMED}
    unknown = [one for one in named if one not in parts]
    if unknown:
        sys.exit(f"There is no part {unknown[0]!r}; there are {', '.join(parts)}.")
    print(machine(), flush=True)
    for part in named or PARTS:
        rows = import_module(f"benchmarks.{part}").rows(quick=quick)
        print(f"\n{parts[part]}\n\n{table(rows)}", flush=True)


if __name__ == "__main__":
    main()
