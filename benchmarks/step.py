"""What a durable step costs, against its own statements run bare, and what a run costs above its commits."""

from __future__ import annotations

import itertools
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.floor import run_bare, statements_of
from benchmarks.measure import Row, milliseconds, on_one_core, side_by_side
from neurocore import FlowContext, Skill, SkillMeta
from neurocore.config import NeuroCoreConfig
from neurocore.persistence import SQLiteRunStore
from neurocore.runtime.blueprint import Blueprint, parse_blueprint
from neurocore.runtime.executor import execute_blueprint_tracked
from neurocore.skills.registry import SkillRegistry

_began: list[float] = []


class Small(Skill):
    """Touches under 1 KB, and notes when it was called."""

    skill_meta = SkillMeta(name="small")

    def process(self, context: FlowContext) -> FlowContext:
        """Count."""
        _began.append(time.perf_counter())
        context.set("n", (context.get("n") or 0) + 1)
        return context


def chain(count: int) -> Blueprint:
    """A blueprint of so many steps of one component."""
    steps = "".join("    - component: s\n" for _ in range(count))
    return parse_blueprint(f"name: chain\ncomponents:\n  - {{name: s, type: small}}\nflow:\n  steps:\n{steps}")


def registry() -> SkillRegistry:
    """A registry with the one skill."""
    made = SkillRegistry()
    made.register(Small)
    return made


def run(store: SQLiteRunStore, blueprint: Blueprint, data: dict[str, Any] | None = None) -> None:
    """One tracked run."""
    config = NeuroCoreConfig(project_root=store.path.parent)
    execute_blueprint_tracked(blueprint, registry(), config, run_store=store, initial_data=data)


def per_step(blueprint: Blueprint, *, data: dict[str, Any] | None = None, durability: str = "normal") -> list[float]:
    """Microseconds from each step's beginning to the next one's, in a run with a database of its own."""
    _began.clear()
    with tempfile.TemporaryDirectory() as folder:
        store = SQLiteRunStore(Path(folder) / "runs.db", durability=durability)
        run(store, blueprint, data)
        store.close()
    return [(after - before) * 1e6 for before, after in itertools.pairwise(_began)]


def rows(*, quick: bool) -> list[Row]:
    """The table's lines about steps."""
    rounds = 3 if quick else 9
    with on_one_core():
        return [
            _against_the_floor("one durable step, `durability: normal`", "normal", 1_000, rounds, "≤ 3, better 2"),
            _against_the_floor("one durable step, `durability: full`", "full", 200, 2 * rounds, "≤ 1.3"),
            _against_the_floor("the same, late in a long run", "full", 1_000, rounds, "", late=True),
            _long_run(2_000 if quick else 10_000, 1 if quick else 3),
            _beside_much(rounds),
            _one_run(40 if quick else 150),
        ]


def _against_the_floor(name: str, durability: str, count: int, rounds: int, aim: str, *, late: bool = False) -> Row:
    """The median step of a run, against the median of its transactions; `late`: of the run's later half."""
    blueprint, counted = chain(count), slice(count // 2 if late else 1, -1)  # without the run's beginning and its end
    with tempfile.TemporaryDirectory() as folder:
        statements = statements_of(Path(folder) / "runs.db", lambda store: run(store, blueprint))

    def bare() -> float:
        with tempfile.TemporaryDirectory() as folder:
            costs = run_bare(statements, Path(folder) / "bare.db", full=durability == "full")
        return statistics.median(costs[counted])

    cost, floor, ratio = side_by_side(
        lambda: statistics.median(per_step(blueprint, durability=durability)[counted]), bare, rounds=rounds
    )
    return Row(name, f"{cost:.0f} µs", f"{floor:.0f} µs", f"{ratio:.1f}", aim)


def _long_run(count: int, rounds: int) -> Row:
    blueprint = chain(count)
    pairs = []
    for _ in range(rounds):
        costs = per_step(blueprint)
        pairs.append((statistics.median(costs[10:510]), statistics.median(costs[-500:])))
    ratio = statistics.median(late / early for early, late in pairs)
    early, late = (statistics.median(costs) for costs in zip(*pairs, strict=True))
    name = f"the last 500 steps of {count:,}, against the first"
    return Row(name, f"{late:.0f} µs", f"{early:.0f} µs", f"{ratio:.2f}", "≤ 1.1")


def _beside_much(rounds: int) -> Row:
    blueprint, much = chain(500), {"much": "x" * 10_000_000}
    large, small, ratio = side_by_side(
        lambda: statistics.median(per_step(blueprint, data=much)),
        lambda: statistics.median(per_step(blueprint)),
        rounds=rounds,
    )
    name = "a step beside 10 MB in the context that it does not touch"
    return Row(name, f"{large:.0f} µs", f"{small:.0f} µs", f"{ratio:.2f}", "≤ 1.1")


def _one_run(times: int) -> Row:
    """A run of one step has two commits, both synced."""
    blueprint = chain(1)
    above = []
    with tempfile.TemporaryDirectory() as folder:
        statements = statements_of(Path(folder) / "one.db", lambda store: run(store, blueprint))
        store = SQLiteRunStore(Path(folder) / "runs.db")
        run(store, blueprint)
        for number in range(times):
            floor = sum(run_bare(statements, Path(folder) / f"{number}.db", full=True)) / 1e3
            above.append(milliseconds(lambda: run(store, blueprint)) - floor)
        store.close()
    return Row("a run of one step, above its two synced commits", f"{statistics.median(above):.2f} ms", aim="≤ 1 ms")
