"""A process that a test starts, kills and starts again: `python worker.py <verb> <project> [arguments]`."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from neurocore import AsyncSkill, FlowContext, Skill, SkillMeta, failpoints
from neurocore.access.actor import this_user
from neurocore.config import NeuroCoreConfig, load_config
from neurocore.context import idempotency_key
from neurocore.drivers.dispatch import InlineDispatcher
from neurocore.drivers.sweep import sweep_once
from neurocore.errors import NeuroCoreError
from neurocore.persistence import RunRecord, RunStore, build_run_store
from neurocore.runtime.blueprint import parse_blueprint
from neurocore.runtime.executor import create_run, decide_gate, execute_blueprint_tracked, resume_blueprint
from neurocore.runtime.start import NewRun
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


class Streamed(AsyncSkill):
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
    for kind in (Effect, Streamed, Dies):
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
        decision = decide_gate(arguments[0], approved=arguments[2] == "yes", by=arguments[1], run_store=store)
        return {"effect": decision.effect}
    if verb == "resume":
        context = resume_blueprint(arguments[0], registry, config, run_store=store)
        return {"status": context.metadata.status}
    report = sweep_once(config, run_store=store, dispatch=InlineDispatcher(registry, config, store))
    return {"owed": report.owed, "lost": report.lost, "failed": report.failed, "errors": report.errors}


def crowd(run_id: str, count: str) -> dict[str, Any]:
    """So many processes that decide one gate at the same moment; all are there before the first one goes."""
    ready, go = os.pipe(), os.pipe()
    for number in range(int(count)):
        if os.fork() == 0:
            os.close(go[1])
            os.write(ready[1], b".")
            os.read(go[0], 1)  # until the last end of the pipe is closed
            by, answer = f"p{number // 2}", "yes" if number % 3 else "no"
            said = {"by": by, "answer": answer, **told("decide", [run_id, by, answer])}
            Path(f"said-{number}.json").write_text(json.dumps(said))
            os._exit(0)
    left = int(count)
    while left:
        left -= len(os.read(ready[0], left))
    os.close(go[0])
    os.close(go[1])
    statuses = [os.wait()[1] for _ in range(int(count))]
    files = sorted(Path.cwd().glob("said-*.json"))
    return {"statuses": statuses, "said": [json.loads(file.read_text()) for file in files]}


def starts(count: str) -> dict[str, Any]:
    """So many runs started by four threads at the same time; each id is written down once its start has returned."""
    config, registry, store = project()
    blueprint = parse_blueprint(GATED)
    written = os.open("started.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def start(number: int) -> None:
        run_id = f"s{number}"
        create_run(
            NewRun(blueprint=blueprint, actor=this_user(), run_id=run_id, tags=["seen"]),
            registry,
            config,
            run_store=store,
        )
        os.write(written, f"{run_id}\n".encode())

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(start, range(int(count))))
    store.close()
    return {}


PLACES = (
    "run.before_create", "run.after_create", "claim.after", "step.before_run", "step.after_run", "step.before_commit",
    "step.after_commit", "end.after_commit", "any moment", "any moment", "any moment",
)  # fmt: skip


def mangle(seed: str, count: str, steps: str) -> dict[str, Any]:
    """So many runs, each killed up to three times, at a named place or at any moment, and driven on.

    What is wrong with one of them is a sentence in `problems`.
    """
    chance, deaths, problems = random.Random(int(seed)), 0, []
    for number in range(int(count)):
        run_id, wishes = f"r{number}", [chance.choice(PLACES) for _ in range(chance.randint(1, 3))]
        done: set[str] = set()
        before: Counter[str] = Counter()
        for _ in range(20):
            wish = wishes.pop() if wishes else None
            deaths += _one_life(run_id, steps, wish, chance) != 0
            effects = _effects()
            problems += [f"{run_id}: {key} again" for key in done if effects[key] != before[key]]
            run, completed = _look(run_id)
            before, done = effects, {idempotency_key(run_id, node, 1) for node in completed}
            if run is not None and run.status == "completed":
                break
        context = run.final_context["data"] if run is not None and run.final_context is not None else {}
        keys = [idempotency_key(run_id, f"s{index}", 1) for index in range(int(steps))]
        if run is None or run.status != "completed" or context != {"n": int(steps)}:
            problems.append(f"{run_id} came to {run and run.status} with {context}")
        problems += [f"{run_id}: {key} never" for key in keys if not before[key]]
    return {"deaths": deaths, "problems": problems, "effects": len(_effects())}


def _one_life(run_id: str, steps: str, wish: str | None, chance: random.Random) -> int:
    """A process that drives the run, and how it ended."""
    run, _ = _look(run_id)
    passing, moment = chance.randint(1, 2 * int(steps) // 3), chance.uniform(0.001, 0.15)
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]
    if wish == "any moment":
        signal.setitimer(signal.ITIMER_REAL, moment)  # nobody handles its signal: it ends the process there and then
    elif wish is not None:
        os.environ[failpoints.ENVIRONMENT] = f"{wish}@{passing if wish.startswith('step.') else 1}"
        failpoints._arm_from_environment()
    failed = run is not None and run.status == "failed"  # it died three times in one place
    told(*(("run", [run_id, steps]) if run is None else ("resume", [run_id]) if failed else ("sweep", [])))
    os._exit(0)


def _look(run_id: str) -> tuple[RunRecord | None, set[str]]:
    """The run and its completed nodes; nothing stays open, since the process goes on to fork."""
    _, _, store = project()
    try:
        return store.load_run(run_id), {step.node_id for step in store.load_steps(run_id) if step.status == "completed"}
    finally:
        store.close()


def _effects() -> Counter[str]:
    file = Path("effects.txt")
    return Counter(line.split()[1] for line in file.read_text().splitlines()) if file.exists() else Counter()


def told(verb: str, arguments: list[str]) -> dict[str, Any]:
    """`main`, with a refusal as an answer."""
    try:
        return main(verb, arguments)
    except NeuroCoreError as error:
        return {"error": type(error).__name__, "message": str(error)}


if __name__ == "__main__":
    whole: dict[str, Callable[..., dict[str, Any]]] = {"crowd": crowd, "mangle": mangle, "starts": starts}
    if sys.argv[1] in whole:
        print(json.dumps(whole[sys.argv[1]](*sys.argv[2:])))
    else:
        print(json.dumps(told(sys.argv[1], sys.argv[2:])))
