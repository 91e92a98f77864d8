"""Run by NeuroCore 0.4 in a project of 0.4: records runs of every kind, their ids by name as JSON on stdout.

Usage: record.py <project>
"""

import json
import sys
from pathlib import Path

import yaml
from neurocore.config.loader import load_config

from neurocore.persistence import RunRecord, RunStatus, build_run_store
from neurocore.runtime.blueprint import load_blueprint
from neurocore.runtime.executor import execute_blueprint_tracked, resume_blueprint
from neurocore.skills.loader import discover_skills

ROOT = Path(sys.argv[1])


def chain(name, *steps, kind="sequential", conditions=(), **more):
    """A sequential blueprint of components called by their type, or `type:name`, or `?name` for an approval."""
    components, flow = [], []
    for place, one in enumerate(steps):
        if one.startswith("?"):
            gate = {"name": one[1:], "message": "Go on?", **more}
            flow.append({"approval": {key: value for key, value in gate.items() if value != ""}})
            continue
        kind_of, _, own = one.partition(":")
        own = own or kind_of
        if own not in [c["name"] for c in components]:
            components.append({"name": own, "type": kind_of})
        flow.append({"component": own})
        if place < len(conditions) and conditions[place]:
            flow[-1]["condition"] = conditions[place]
    return {"name": name, "components": components, "flow": {"type": kind, "steps": flow}}


def graph(name, nodes, edges, **settings):
    """A graph of nodes `id: type`; the component is called by the id."""
    return {
        "name": name,
        "components": [{"name": f"{node}_c", "type": kind, **config(kind)} for node, kind in nodes.items()],
        "flow": {
            "type": "graph",
            "settings": settings,
            "nodes": [{"id": node, "component": f"{node}_c"} for node in nodes],
            "edges": [dict(zip(("source", "target", "port", "condition"), edge, strict=False)) for edge in edges],
        },
    }


def config(kind):
    return {"config": {"message": "Go on?"}} if kind == "approval" else {}


BLUEPRINTS = [
    chain("plain", "load", "add"),
    chain("gated", "load", "?review", "add"),
    chain("optional", "load", "?review", "add", require=False),
    chain("unsaid", "load", "?review", "add", message=""),
    chain("three", "add:one", "add:two", "add:three"),
    chain("later", "add-later:one", "add-later:two", "add-later:three"),
    chain("asking", "add-later:one", "ask", "add-later:two"),
    chain("passing", "load", "ask-now", "add"),
    chain("last", "load", "ask-now"),
    chain("twice", "add-later:one", "?review", "add-later:one"),
    chain("first", "add:one", "add:two", "add:three", kind="conditional", conditions=("context.data.n > 5", None)),
    chain("some", "add:one", "add:two", "add:three", conditions=(None, "context.data.n > 5", None)),
    graph("layers", {"a": "load", "review": "approval", "b": "add", "c": "add"},
          [("a", "review"), ("a", "b"), ("review", "c"), ("b", "c")]),
    graph("ports", {"pick": "choose", "l": "add", "r": "add", "review": "approval", "z": "add"},
          [("pick", "l", "left"), ("pick", "r", "right"), ("l", "review"), ("r", "review"), ("review", "z")]),
    graph("joined", {"pick": "choose", "l": "add", "r": "add", "join": "add", "review": "approval", "z": "add"},
          [("pick", "l", "left"), ("pick", "r", None, "context.data.n is None"), ("l", "join"), ("r", "join"),
           ("join", "review"), ("review", "z", None, "context.data.n == 2")]),
    graph("late", {"a": "load", "pick": "choose", "l": "add", "r": "add"},
          [("a", "pick"), ("pick", "l", "left"), ("pick", "r", "right")]),
    graph("loop", {"a": "add", "review": "approval", "z": "add"},
          [("a", "review"), ("review", "a", "again"), ("review", "z")], max_iterations=3),
]  # fmt: skip


def main():
    for blueprint in BLUEPRINTS:
        (ROOT / "blueprints" / f"{blueprint['name']}.yaml").write_text(yaml.safe_dump(blueprint, sort_keys=False))
    config = load_config(project_root=ROOT)
    registry, store = discover_skills(config), build_run_store(config)
    ids = {}

    def start(name, blueprint, snapshots=False, **data):
        config.persistence.persist_step_snapshots = snapshots
        path = ROOT / "blueprints" / f"{blueprint}.yaml"
        before = {run.run_id for run in store.list_runs(limit=10_000)}
        try:
            execute_blueprint_tracked(
                load_blueprint(path), registry, config, initial_data=data, run_store=store, blueprint_path=path
            )
        except Exception as error:
            print(f"{name}: {error}", file=sys.stderr)
        (ids[name],) = {run.run_id for run in store.list_runs(limit=10_000)} - before

    def resume(name, **data):
        try:
            resume_blueprint(ids[name], registry, config, resume_data=data, run_store=store)
        except Exception as error:
            print(f"{name}: {error}", file=sys.stderr)

    start("plain", "plain", batch="may", odd="ü\ud800%'", deep={"a": [1, {"b": None}]}, huge=10**30)
    start("waits", "gated", batch="may")
    start("waits-optional", "optional")
    start("waits-unsaid", "unsaid")
    start("approved", "gated")
    resume("approved", approved=True, by="ada", note="fine")
    start("rejected", "gated")
    resume("rejected", approved=False, by="ada", note="no")
    start("broke-first", "three", fail="one")
    start("broke-second", "three", fail="two")
    start("broke-later", "later", fail="three")
    start("broke-kept", "later", snapshots=True, fail="three")
    start("broke-after-gate", "gated", fail="add")
    resume("broke-after-gate", approved=True, by="ada")
    start("asks", "asking")
    start("ran-past", "passing")
    start("asks-last", "last")
    start("waits-twice", "twice")
    start("first-match", "first")
    start("some-skipped", "some", n=0)
    start("some-broke", "some", fail="three")
    start("layers", "layers")
    start("layers-done", "layers")
    resume("layers-done", approved=True, by="ada")
    start("ports", "ports", way="right")
    start("ports-done", "ports", way="right")
    resume("ports-done", approved=True, by="ada")
    start("joined", "joined", way="right")
    start("late-broke", "late", fail="l_c")
    start("loop", "loop")
    running = store.load_run(ids["plain"]).model_copy(update={"run_id": "f" * 32, "status": RunStatus.RUNNING})
    running.final_context = None
    store.save_run(RunRecord(**running.model_dump()))
    ids["running"] = running.run_id
    store.close()
    print(json.dumps(ids))


main()
