"""A small world for runtime tests: skills that leave traces, a project folder, a store on a real file."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from neurocore import AsyncSkill, FlowContext, Skill, SkillMeta
from neurocore.config import NeuroCoreConfig
from neurocore.persistence import RunRecord, SQLiteRunStore, StepRecord
from neurocore.runtime.blueprint import parse_blueprint
from neurocore.runtime.executor import execute_blueprint_tracked, resume_blueprint
from neurocore.skills.loader import discover_skills
from neurocore.skills.registry import SkillRegistry


class World:
    """A project with a registry whose skills are plain functions, and a store in a file."""

    def __init__(self, root: Path) -> None:
        self.config = NeuroCoreConfig(project_root=root)
        self.registry: SkillRegistry = discover_skills()
        self.store = SQLiteRunStore(self.config.runs_db_path)
        self.calls: list[str] = []
        self._lock = threading.Lock()

    def skill(self, name: str, work: Callable[[FlowContext], Any] | None = None, **meta: Any) -> None:
        """Register a sync skill that notes the component's name and does `work`."""
        world = self

        class Noted(Skill):
            skill_meta = SkillMeta(name=name, **meta)

            def process(self, context: FlowContext) -> FlowContext:
                world.note(self.name)
                if work is not None:
                    work(context)
                return context

        self.registry.replace(Noted)

    def async_skill(self, name: str, work: Callable[[FlowContext], Any], **meta: Any) -> None:
        """Register an async skill."""
        world = self

        class Noted(AsyncSkill):
            skill_meta = SkillMeta(name=name, **meta)

            async def process(self, context: FlowContext) -> FlowContext:
                world.note(self.name)
                result = work(context)
                if asyncio.iscoroutine(result):
                    await result
                return context

        self.registry.replace(Noted)

    def note(self, name: str) -> None:
        """Remember that something ran."""
        with self._lock:
            self.calls.append(name)

    def run(self, text: str, **options: Any) -> FlowContext:
        """Execute a blueprint as a durable run."""
        return execute_blueprint_tracked(
            parse_blueprint(text), self.registry, self.config, run_store=self.store, **options
        )

    def resume(self, run_id: str, **options: Any) -> FlowContext:
        """Resume a run."""
        return resume_blueprint(run_id, self.registry, self.config, run_store=self.store, **options)

    def record(self, run_id: str) -> RunRecord:
        """The run as it is stored."""
        run = self.store.load_run(run_id)
        assert run is not None, f"run {run_id} is gone"
        return run

    def only_run(self) -> RunRecord:
        """The one run there is."""
        (run,) = self.store.list_runs()
        return self.record(run.run_id)

    def steps(self, run_id: str) -> list[StepRecord]:
        """The run's steps."""
        return self.store.load_steps(run_id)

    def story(self, run_id: str) -> list[str]:
        """The steps as `node visit.attempt status`."""
        return [f"{s.node_id} {s.visit}.{s.attempt} {s.status.value}" for s in self.steps(run_id)]


def chain(*steps: str, types: str = "work", extra: str = "") -> str:
    """A sequential blueprint whose steps are components of one type; `name: rest` adds keys to a step."""
    names = [step.split(":")[0] for step in steps if not step.startswith("approval")]
    components = "\n".join(f"  - {{name: {name}, type: {types}}}" for name in dict.fromkeys(names))
    lines = []
    for step in steps:
        name, _, rest = step.partition(":")
        lines.append(
            f"    - {step}" if name == "approval" else f"    - {{component: {name}{', ' + rest if rest else ''}}}"
        )
    flow = "\n".join(lines)
    return f"name: chain\n{extra}components:\n{components}\nflow:\n  type: sequential\n  steps:\n{flow}\n"
