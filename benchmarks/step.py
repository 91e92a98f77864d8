"""What a durable step costs, against its own statements run bare."""

from __future__ import annotations

import itertools
import sqlite3
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.measure import Row
from neurocore import FlowContext, Skill, SkillMeta
from neurocore.config import NeuroCoreConfig
from neurocore.persistence import SQLiteRunStore
from neurocore.persistence.migrate import prepare
from neurocore.runtime.blueprint import Blueprint, parse_blueprint
from neurocore.runtime.executor import execute_blueprint_tracked
from neurocore.skills.registry import SkillRegistry

STEPS = 1000


class Small(Skill):
    """Touches under 1 KB."""

    skill_meta = SkillMeta(name="small")

    def process(self, context: FlowContext) -> FlowContext:
        """Count."""
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


def per_step(blueprint: Blueprint, folder: Path, data: dict[str, object] | None = None, **store: str) -> list[float]:
    """Microseconds between the ends of consecutive steps."""
    ends: list[float] = []
    config = NeuroCoreConfig(project_root=folder)
    with_store = SQLiteRunStore(folder / "runs.db", **store)
    try:
        execute_blueprint_tracked(
            blueprint, registry(), config, run_store=with_store, initial_data=data,
            on_event=lambda event: ends.append(time.perf_counter()) if event.kind == "step_finished" else None,
        )  # fmt: skip
    finally:
        with_store.close()
    return [(b - a) * 1e6 for a, b in itertools.pairwise(ends)]


def bare(folder: Path, count: int, *, full: bool) -> float:
    """Microseconds for the statements of one step, with the parameters of a real one."""
    prepare(folder / "bare.db")
    template = folder / "runs.db"
    with sqlite3.connect(template) as source:
        row = source.execute("SELECT * FROM steps WHERE step_index = 1").fetchone()
        run = source.execute("SELECT * FROM runs").fetchone()
        blueprint = source.execute("SELECT * FROM blueprints").fetchone()
    connection = sqlite3.connect(folder / "bare.db", isolation_level=None)
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute(f"INSERT INTO blueprints VALUES ({', '.join('?' * len(blueprint))})", blueprint)
    connection.execute(f"INSERT INTO runs VALUES ({', '.join('?' * len(run))})", run)
    connection.execute(f"PRAGMA synchronous = {'FULL' if full else 'NORMAL'}")
    insert = f"INSERT INTO steps VALUES ({', '.join('?' * len(row))})"
    update = "UPDATE runs SET updated_at = ?, duration_ms = ?, version = version + 1 WHERE run = ? RETURNING version"
    costs = []
    for index in range(count):
        began = time.perf_counter()
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(insert, (row[0], index, *row[2:]))
        connection.execute(update, (index, 1.0, run[0])).fetchone()
        connection.execute("COMMIT")
        costs.append((time.perf_counter() - began) * 1e6)
    connection.close()
    return statistics.median(costs)


def rows(*, quick: bool) -> list[Row]:
    """The table's lines about steps."""
    found = []
    for name, full, aim in (("NORMAL", False, "≤ 3 (aim 2)"), ("FULL", True, "≤ 1.3")):
        count = 200 if full else STEPS
        with tempfile.TemporaryDirectory() as folder:
            cost = statistics.median(per_step(chain(count), Path(folder), durability="full" if full else "normal"))
            floor = bare(Path(folder), count, full=full)
        found.append(Row(f"one durable step, {name}", f"{cost:.0f} µs", f"{floor:.0f} µs", f"{cost / floor:.1f}", aim))
    with tempfile.TemporaryDirectory() as folder:
        costs = per_step(chain(2_000 if quick else 10_000), Path(folder))
        early, late = statistics.median(costs[10:310]), statistics.median(costs[-300:])
    found.append(
        Row(
            "the last steps of a long run, against the first",
            f"{late:.0f} µs",
            f"{early:.0f} µs",
            f"{late / early:.2f}",
            "≤ 1.1",
        )
    )
    with tempfile.TemporaryDirectory() as folder:
        large = statistics.median(per_step(chain(STEPS), Path(folder), {"large": "x" * 10_000_000}))
    found.append(
        Row(
            "a step beside 10 MB that it does not touch",
            f"{large:.0f} µs",
            f"{early:.0f} µs",
            f"{large / early:.2f}",
            "≤ 1.1",
        )
    )
    return found
