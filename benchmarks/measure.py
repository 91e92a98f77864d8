"""Times and tables."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from msgspec import Struct


class Row(Struct, frozen=True):
    """One line of the table. `ratio` is measured against `floor` in the same run."""

    what: str
    measured: str
    floor: str = ""
    ratio: str = ""
    aim: str = ""


def p99(work: Callable[[], object], *, times: int = 300, rounds: int = 5) -> float:
    """The 99th percentile of single calls, in milliseconds of the processor, in the calmest of the rounds."""
    return min(percentile((processor_milliseconds(work) for _ in range(times)), 0.99) for _ in range(rounds))


def milliseconds(work: Callable[[], object]) -> float:
    """What one call takes."""
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1e3


def processor_milliseconds(work: Callable[[], object]) -> float:
    """What one call that waits for nothing takes of the processor: what else runs on the machine does not count."""
    began = time.thread_time()
    work()
    return (time.thread_time() - began) * 1e3


@contextmanager
def on_one_core() -> Iterator[None]:
    """Keep this thread in its place: one that waited for the disk may wake on another core whose caches are cold."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


def percentile(costs: Iterable[float], share: float) -> float:
    """The cost that this share of them does not exceed."""
    ordered = sorted(costs)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def side_by_side(one: Callable[[], float], other: Callable[[], float], *, rounds: int) -> tuple[float, float, float]:
    """Two costs measured in turn, so that a busy machine slows both: their medians and the median of the ratios."""
    pairs = [(one(), other()) for _ in range(rounds)]
    ratio = statistics.median(a / b for a, b in pairs)
    return statistics.median(a for a, _ in pairs), statistics.median(b for _, b in pairs), ratio


def table(rows: list[Row]) -> str:
    """The rows as Markdown."""
    heads = ("what", "measured", "floor", "ratio", "aim")
    lines = ["| " + " | ".join(heads) + " |", "|---|--:|--:|--:|--:|"]
    lines += [f"| {row.what} | {row.measured} | {row.floor} | {row.ratio} | {row.aim} |" for row in rows]
    return "\n".join(lines)
