"""What others that keep their work in SQLite take for a step, beside ours with `durability: full`.

They are installed from PyPI into an environment of their own, so this part is measured only where it is named:
`python -m benchmarks rivals`. Each runs one small step after another, in one process, every step durable before
the next one begins, with nothing listening on the network.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import venv
from pathlib import Path

from benchmarks.measure import Row, side_by_side
from benchmarks.step import chain, per_step

STEPS = 200
PLACE = Path(__file__).parents[1] / ".cache" / "rivals"
PACKAGES = ("langgraph", "langgraph-checkpoint-sqlite", "dbos")

#: Each prints the median of the microseconds from one step's beginning to the next one's.
_TELL = """
import itertools, statistics
print(statistics.median((after - before) * 1e6 for before, after in itertools.pairwise(began)))
"""
_LANGGRAPH = """
import sys, tempfile, time
from typing import TypedDict
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END, START, StateGraph

count, began = int(sys.argv[1]), []

class State(TypedDict):
    n: int

def small(state):
    began.append(time.perf_counter())
    return {"n": state["n"] + 1}

graph = StateGraph(State)
graph.add_node("s", small)
graph.add_edge(START, "s")
graph.add_conditional_edges("s", lambda state: END if state["n"] >= count else "s")
with tempfile.TemporaryDirectory() as folder, SqliteSaver.from_conn_string(f"{folder}/runs.db") as saver:
    how = {"configurable": {"thread_id": "1"}, "recursion_limit": count + 10}
    graph.compile(checkpointer=saver).invoke({"n": 0}, how, durability="sync")
"""
_DBOS = """
import sys, tempfile, time
from dbos import DBOS

count, began = int(sys.argv[1]), []

@DBOS.step()
def small(n):
    began.append(time.perf_counter())
    return n + 1

@DBOS.workflow()
def work():
    n = 0
    for _ in range(count):
        n = small(n)

with tempfile.TemporaryDirectory() as folder:
    address = f"sqlite:///{folder}/runs.db"
    config = {"name": "bench", "system_database_url": address, "run_admin_server": False, "log_level": "ERROR"}
    DBOS(config=config)
    DBOS.launch()
    work()
    DBOS.destroy()
"""


def rows(*, quick: bool) -> list[Row]:
    """The table's lines about others."""
    python = _environment()
    found = []
    for name, package, script in (
        ('LangGraph {}, SqliteSaver, `durability="sync"`', "langgraph", _LANGGRAPH),
        ("DBOS {}, SQLite", "dbos", _DBOS),
    ):
        cost, ours, ratio = side_by_side(
            lambda script=script: float(_output(python, "-c", script + _TELL, str(STEPS)).split()[-1]),  # type: ignore[misc]
            lambda: statistics.median(per_step(chain(STEPS), durability="full")),
            rounds=1 if quick else 5,
        )
        version = _output(python, "-c", f"import importlib.metadata as m; print(m.version({package!r}))").strip()
        found.append(Row(f"a step: {name.format(version)}", f"{cost:,.0f} µs", f"{ours:,.0f} µs", f"{ratio:.1f}"))
    return found


def _environment() -> str:
    python = PLACE / "bin" / "python"
    if not (PLACE / ".ready").exists():
        venv.create(PLACE, with_pip=True, clear=True)
        _output(str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PACKAGES)
        (PLACE / ".ready").touch()
    return str(python)


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=sys.stderr, text=True, timeout=600).stdout
