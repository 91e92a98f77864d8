"""`--latest`: go on with (or replay) the blueprint's file as it is now instead of the stored definition."""

from __future__ import annotations

from pathlib import Path

from neurocore.blueprint.lint import validate_blueprint
from neurocore.blueprint.load import load_blueprint
from neurocore.blueprint.model import Blueprint
from neurocore.config import NeuroCoreConfig
from neurocore.errors import BlueprintError, RefusedError
from neurocore.persistence.base import RunRecord, RunStore
from neurocore.runtime import redefine
from neurocore.runtime.begin import plan_of, recorded_plan
from neurocore.skills.registry import SkillRegistry


def of_file(run: RunRecord) -> Blueprint:
    """The definition in the file the run was started from. Raises RefusedError when no file is recorded or left."""
    if not run.blueprint_path or not Path(run.blueprint_path).is_file():
        where = run.blueprint_path or "nowhere"
        raise RefusedError(
            f"Run {run.run_id} was started from {where}, which is not there now; leave --latest out to use the "
            "definition that was stored with the run."
        )
    return load_blueprint(run.blueprint_path)


def of_run(run: RunRecord, store: RunStore, registry: SkillRegistry, config: NeuroCoreConfig) -> Blueprint:
    """The file's definition, if every recorded node is still there with the same skill.

    Raises RefusedError naming the nodes that are not.
    """
    blueprint = of_file(run)
    problems = validate_blueprint(blueprint, registry, config, warnings=False)
    if problems:
        raise BlueprintError(
            f"{run.blueprint_path} cannot run: {'; '.join(str(problem) for problem in problems)}", problems
        )
    plan = plan_of(blueprint, registry)
    recorded = {(step.node_id, step.skill_type) for step in store.step_summaries(run.run_id)}
    gone = sorted(node for node, type_ in recorded if node not in plan.by_id or plan.by_id[node].type != type_)
    if gone:
        raise RefusedError(
            f"Run {run.run_id} cannot go on with {run.blueprint_path} as it is now: {', '.join(gone)} is gone or has "
            "another skill there; leave --latest out, or replay."
        )
    before = recorded_plan(run.run_id, store, registry)[1]
    if plan.flow_type != before.flow_type:
        raise RefusedError(
            f"Run {run.run_id} cannot go on with {run.blueprint_path} as it is now: its flow was {before.flow_type} "
            f"and is {plan.flow_type} there; leave --latest out, or replay."
        )
    steps = redefine.translated(store.step_summaries(run.run_id), before, plan)
    strays = redefine.strays(steps, store.load_gates(run.run_id), plan)
    if strays:
        raise RefusedError(
            f"Run {run.run_id} cannot go on with {run.blueprint_path} as it is now: {', '.join(strays)} would be done "
            "once more, since what stands before is not what stood there; leave --latest out, or replay."
        )
    return blueprint
