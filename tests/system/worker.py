"""A process that a test starts, kills and starts again: `python worker.py <verb> <project> [arguments]`."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from neurocore import AsyncSkill, FlowContext, Skill, SkillMeta
from neurocore.config import NeuroCoreConfig, load_config
from neurocore.errors import NeuroCoreError
from neurocore.persistence import RunStore, build_run_store
from neurocore.runtime.blueprint import parse_blueprint
from neurocore.runtime.dispatch import InlineDispatcher
from neurocore.runtime.executor import decide_gate, execute_blueprint_tracked, resume_blueprint
from neurocore.runtime.sweep import sweep_once
from neurocore.skills.loader import discover_skills
from neurocore.skills.registry import SkillRegistry

GATED = """
name: gated
components:
  - {name: a, type: effect}
  - {name: b, type: later}
  - {name: c, type: effect}
  - {name: d, type: effect}
flow:
  steps:
    - component: a
    - component: b
    - approval: {name: ok, show: [n]}
    - component: c
    - component: d
"""


def effect(context: FlowContext) -> FlowContext:
    """An outside effect: one line, with the key that makes it happen once."""
    with Path("effects.txt").open("a", encoding="utf-8") as file:
        file.write(f"{context.node_id} {context.idempotency_key}\n")
    context.set("n", (context.get("n") or 0) + 1)
    return context


class Effect(Skill):
    """A sync effect."""

    skill_meta = SkillMeta(name="effect")

    def process(self, context: FlowContext) -> FlowContext:
        """Have the effect."""
        return effect(context)


class Later(AsyncSkill):
    """An async effect."""

    skill_meta = SkillMeta(name="later")

    async def process(self, context: FlowContext) -> FlowContext:
        """Have the effect."""
        return effect(context)


class Dies(Skill):
    """Kills its process."""

    skill_meta = SkillMeta(name="dies")

    def process(self, context: FlowContext) -> FlowContext:
        """Die."""
        os.kill(os.getpid(), 9)
        return context


def project() -> tuple[NeuroCoreConfig, SkillRegistry, RunStore]:
    """The project in the working folder."""
    config = load_config(Path.cwd())
    registry = discover_skills(config)
    for kind in (Effect, Later, Dies):
        registry.register(kind)
    store = build_run_store(config)
    assert store is not None
    return config, registry, store


def chain(count: int, kind: str = "effect") -> str:
    """A blueprint of so many steps."""
    parts = "".join(f"  - {{name: s{i}, type: {kind}}}\n" for i in range(count))
    steps = "".join(f"    - component: s{i}\n" for i in range(count))
    return f"name: chain\ncomponents:\n{parts}flow:\n  steps:\n{steps}"


def main(verb: str, arguments: list[str]) -> dict[str, Any]:
    """Do one thing and say what came of it."""
    config, registry, store = project()
    if verb == "run":
        text = GATED if arguments[1] == "gated" else chain(int(arguments[1]), *arguments[2:3])
        context = execute_blueprint_tracked(
            parse_blueprint(text), registry, config, run_store=store, run_id=arguments[0]
        )
        return {"status": context.metadata.status}
    if verb == "many":
        blueprint = parse_blueprint(chain(2, "effect"))
        for _ in range(int(arguments[0])):
            execute_blueprint_tracked(blueprint, registry, config, run_store=store)
        return {}
    if verb == "decide":
        Path(f"ready-{arguments[1]}").touch()
        while not Path("go").exists():
            os.sched_yield()
        decision = decide_gate(arguments[0], approved=arguments[2] == "yes", by=arguments[1], run_store=store)
        return {"effect": decision.effect}
    if verb == "resume":
        context = resume_blueprint(arguments[0], registry, config, run_store=store)
        return {"status": context.metadata.status}
    report = sweep_once(config, run_store=store, dispatch=InlineDispatcher(registry, config, store))
    return {"owed": report.owed, "lost": report.lost, "failed": report.failed, "errors": report.errors}


if __name__ == "__main__":
    try:
        answer = main(sys.argv[1], sys.argv[2:])
    except NeuroCoreError as error:
        answer = {"error": type(error).__name__, "message": str(error)}
    print(json.dumps(answer))
