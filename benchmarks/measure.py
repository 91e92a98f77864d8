"""Times and tables."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

from msgspec import Struct


class Row(Struct, frozen=True):
    """One line of the table."""

    what: str
    measured: str
    floor: str
    ratio: str
    aim: str


def microseconds(work: Callable[[], object], *, times: int, rounds: int = 7) -> float:
    """The median over rounds of what one call costs, in microseconds."""
    costs = []
    for _ in range(rounds):
        began = time.perf_counter()
        for _ in range(times):
            work()
        costs.append((time.perf_counter() - began) / times * 1e6)
    return statistics.median(costs)


def p99(work: Callable[[], object], *, times: int = 300) -> float:
    """The 99th percentile of single calls, in milliseconds."""
    costs = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        costs.append((time.perf_counter() - began) * 1e3)
    return sorted(costs)[int(len(costs) * 0.99) - 1]


def table(rows: list[Row]) -> str:
    """The rows as Markdown."""
    heads = ("what", "measured", "floor", "ratio", "aim")
    lines = ["| " + " | ".join(heads) + " |", "|---|--:|--:|--:|--:|"]
    lines += [f"| {row.what} | {row.measured} | {row.floor} | {row.ratio} | {row.aim} |" for row in rows]
    return "\n".join(lines)
