"""Never run, only type-checked: the interfaces of docs as their users write them."""

from __future__ import annotations

from pathlib import Path

from neurocore import AsyncSkill, FlowContext, Skill, SkillMeta, register_codec
from neurocore.config import NeuroCoreConfig, load_config
from neurocore.errors import ExecutionError, GateRejected
from neurocore.persistence import InMemoryRunStore, RunRecord, RunStatus, RunStore, StepRecord, build_run_store
from neurocore.runtime.blueprint import Blueprint, load_blueprint, validate_blueprint
from neurocore.runtime.executor import (
    cancel_run,
    decide_gate,
    execute_blueprint,
    execute_blueprint_tracked,
    load_and_run,
    replay_run,
    resume_blueprint,
)
from neurocore.skills.loader import discover_skills
from neurocore.skills.registry import SkillRegistry


class Shout(Skill):
    skill_meta = SkillMeta(name="shout", version="1.0.0", consumes=["text"], provides=["text"])

    def process(self, context: FlowContext) -> FlowContext:
        context.set("text", str(context.get("text", "")).upper())
        context.set_port("loud")
        return context


class Fetch(AsyncSkill):
    skill_meta = SkillMeta(name="fetch")

    async def process(self, context: FlowContext) -> FlowContext:
        context.set("key", context.idempotency_key)
        return context


class Money:
    def __init__(self, cents: int) -> None:
        self.cents = cents


register_codec(Money, name="money", to=lambda money: money.cents, from_=Money)

config: NeuroCoreConfig = load_config(Path())
registry: SkillRegistry = discover_skills(config)
blueprint: Blueprint = load_blueprint(Path("blueprints/hello.yaml"))
problems: list[str] = [str(problem) for problem in validate_blueprint(blueprint, registry)]
store: RunStore = build_run_store(config) or InMemoryRunStore()

plain: FlowContext = execute_blueprint(blueprint, registry, config, initial_data={"text": "hello"})
context: FlowContext = execute_blueprint_tracked(blueprint, registry, config, run_store=store, tags=["typed"])
run_id: str = context.metadata.run_id
if context.metadata.suspended:
    try:
        context = resume_blueprint(run_id, registry, config, resume_data={"approved": True}, run_store=store)
    except GateRejected as rejected:
        print(rejected.by, rejected.note)
    except ExecutionError as failed:
        print(failed.node, failed.kind)
for run in store.list_runs(status=RunStatus.SUSPENDED, blueprint="hello", limit=10):
    print(run.run_id, run.suspended_at_node)
record: RunRecord | None = store.load_run(run_id)
steps: list[StepRecord] = store.load_steps(run_id)
print(decide_gate(run_id, approved=False, by="ann", note="no", run_store=store).effect)
print(cancel_run(run_id, run_store=store, by="ann").status)
replayed: FlowContext = replay_run(run_id, registry, config, run_store=store)
again: FlowContext = load_and_run("blueprints/hello.yaml", initial_data={"text": "again"})
