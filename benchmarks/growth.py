"""What grows with a run: approving after many steps, and many branches side by side."""

from __future__ import annotations

import gc
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.measure import Row
from benchmarks.step import Small
from neurocore import FlowContext, Skill, SkillMeta
from neurocore.blueprint import stored
from neurocore.config import NeuroCoreConfig
from neurocore.persistence import SQLiteRunStore
from neurocore.runtime.blueprint import Blueprint, parse_blueprint
from neurocore.runtime.executor import decide_gate, execute_blueprint_tracked, resume_blueprint
from neurocore.skills.loader import discover_skills
from neurocore.skills.registry import SkillRegistry

BRANCHES = (10, 100, 1_000)


def gated(steps: int) -> Blueprint:
    """So many steps, a gate, and one step behind it."""
    lines = "    - component: s\n" * steps + "    - approval: {name: ok, message: 'Go {{ n }}?'}\n    - component: s\n"
    return parse_blueprint(f"name: gated\ncomponents:\n  - {{name: s, type: small}}\nflow:\n  steps:\n{lines}")


def wide(branches: int) -> Blueprint:
    """So many branches that do not depend on each other."""
    nodes = "".join(f"    - {{id: b{number}, component: s}}\n" for number in range(branches))
    head = "name: wide\ncomponents: [{name: s, type: own}]\nflow:\n  type: graph\n  nodes:\n"
    return parse_blueprint(f"{head}{nodes}  edges: []\n")


class Own(Skill):
    """Sets a key of its own node, so that branches do not conflict."""

    skill_meta = SkillMeta(name="own")

    def process(self, context: FlowContext) -> FlowContext:
        """Set it."""
        context.set(context.node_id, 1)
        return context


def rows(*, quick: bool) -> list[Row]:
    """The table's lines about growth."""
    return [*_approvals(2_000 if quick else 10_000, 2 if quick else 5), *_branches(2 if quick else 5)]


def _approvals(steps: int, rounds: int) -> list[Row]:
    """Approve and go on, with the definition compiled for the first time and with it at hand; and deciding alone."""
    with tempfile.TemporaryDirectory() as folder:
        store = SQLiteRunStore(Path(folder) / "runs.db")
        config, skills = NeuroCoreConfig(project_root=Path(folder)), discover_skills()
        skills.register(Small)
        cold: list[float] = []
        cached: list[float] = []
        deciding: list[float] = []
        short: list[float] = []
        blueprint, small = gated(steps), gated(10)
        for times, deciding_alone, flow, forget in (
            (None, short, small, False), (cold, None, blueprint, True), (cached, deciding, blueprint, False),
        ):  # fmt: skip
            for _ in range(rounds):
                run_id = execute_blueprint_tracked(flow, skills, config, run_store=store).metadata.run_id
                if forget:
                    stored.stored_plan.cache_clear()
                    stored.stored_blueprint.cache_clear()
                gc.collect()  # what the run before has left is not this answer's work, wherever it would fall
                began = time.perf_counter()
                decide_gate(run_id, approved=True, by="ann", run_store=store)
                decided = time.perf_counter()
                resume_blueprint(run_id, skills, config, run_store=store)
                if times is not None:
                    times.append((time.perf_counter() - began) * 1e3)
                if deciding_alone is not None:
                    deciding_alone.append((decided - began) * 1e3)
        store.close()
    more = statistics.median(deciding) - statistics.median(short)
    return [
        Row(f"approve and go on after {steps:,} steps", f"{statistics.median(cold):.0f} ms", aim="≤ 150 ms"),
        Row("the same, its definition compiled before", f"{statistics.median(cached):.0f} ms", aim="≤ 100 ms"),
        Row(f"deciding after {steps:,} steps, more than after 10", f"{more:.1f} ms", aim="≤ 20 ms"),
    ]


def _branches(rounds: int) -> list[Row]:
    """The time of a run of so many branches for each of them, above a run of one step."""
    skills = SkillRegistry()
    skills.register(Own)
    made = []
    for count in BRANCHES:
        costs = []
        for _ in range(rounds * (4 if count < 100 else 1)):
            with tempfile.TemporaryDirectory() as folder:
                store = SQLiteRunStore(Path(folder) / "runs.db")
                config = NeuroCoreConfig(project_root=Path(folder))
                _time(wide(8), skills, config, store)  # the file and the threads are made
                one, many = (_time(flow, skills, config, store) for flow in (wide(1), wide(count + 1)))
                costs.append((many - one) / count * 1e6)
                store.close()
        name = f"a parallel sync step, of {count:,} branches"
        made.append(Row(name, f"{statistics.median(costs):.0f} µs", aim="≤ 160 µs"))
    return made


def _time(blueprint: Blueprint, skills: SkillRegistry, config: NeuroCoreConfig, store: SQLiteRunStore) -> float:
    began = time.perf_counter()
    execute_blueprint_tracked(blueprint, skills, config, run_store=store)
    return time.perf_counter() - began
