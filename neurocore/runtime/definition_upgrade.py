"""`--latest`: continue (or replay) a run with the blueprint's current file instead of the stored definition."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from msgspec import structs

from neurocore.blueprint.lint import validate_blueprint
from neurocore.blueprint.load import load_blueprint
from neurocore.blueprint.model import Blueprint
from neurocore.blueprint.plan import Plan, PlanEdge
from neurocore.blueprint.plans import plan_of, recorded_plan
from neurocore.blueprint.progress import Progress
from neurocore.config import NeuroCoreConfig
from neurocore.errors import BlueprintError, RefusedError
from neurocore.gates.history import outcomes
from neurocore.persistence.base import RunStore
from neurocore.persistence.records import GateRecord, RunRecord, StepRecord
from neurocore.skills.registry import SkillRegistry


def of_file(run: RunRecord) -> Blueprint:
    """Load the definition from the file that the run was started from. Raises RefusedError if it is gone."""
    if not run.blueprint_path or not Path(run.blueprint_path).is_file():
        path = run.blueprint_path
        why = f"was started from {path}, which no longer exists" if path else "was not started from a file"
        raise RefusedError(
            f"Run {run.run_id} {why}; leave --latest out to use the definition that was stored with the run."
        )
    return load_blueprint(run.blueprint_path)


def of_run(run: RunRecord, store: RunStore, registry: SkillRegistry, config: NeuroCoreConfig) -> Blueprint:
    """Return the file's definition, if every recorded node is still in it with the same skill.

    Raises RefusedError, which names the nodes that are not.
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
            f"Run {run.run_id} cannot continue with the current {run.blueprint_path}: {', '.join(gone)} is gone or has "
            "another skill there; leave --latest out, or replay."
        )
    before = recorded_plan(run.run_id, store, registry)[1]
    if plan.flow_type != before.flow_type:
        raise RefusedError(
            f"Run {run.run_id} cannot continue with the current {run.blueprint_path}: its flow was {before.flow_type} "
            f"and is {plan.flow_type} there; leave --latest out, or replay."
        )
    steps = translated(store.step_summaries(run.run_id), before, plan)
    strange = strays(steps, store.load_gates(run.run_id), plan)
    if strange:
        raise RefusedError(
            f"Run {run.run_id} cannot continue with the current {run.blueprint_path}: {', '.join(strange)} would run "
            "again, because the nodes before it are not the same; leave --latest out, or replay."
        )
    return blueprint


def translated(steps: Iterable[StepRecord], old: Plan, new: Plan) -> list[StepRecord]:
    """Return the steps with their edges numbered as in the new plan; edges that no longer exist are left out."""
    names = _names(old)
    places = {name: index for index, name in _names(new).items()}

    def there(edges: list[int]) -> list[int]:
        return [places[names[index]] for index in edges if names.get(index) in places]

    return [
        step if step.edges_taken is None else structs.replace(step, edges_taken=there(step.edges_taken))
        for step in steps
    ]


def strays(steps: Sequence[StepRecord], gates: Sequence[GateRecord], plan: Plan) -> list[str]:
    """List the nodes whose recorded ends do not fit this plan: they would run again in it."""
    strange = Progress(plan).restore(outcomes(steps, gates))
    return sorted({outcome.node_id for outcome in strange})


def _names(plan: Plan) -> dict[int, Any]:
    """Name each edge independently of its number: by its ends and its port; all ways through a chain have one name."""
    seen: dict[Any, int] = {}
    names = {}
    for edge in plan.edges:
        name = _name(edge, plan)
        seen[name] = seen.get(name, 0) + 1
        names[edge.index] = (*name, seen[name])
    return names


def _name(edge: PlanEdge, plan: Plan) -> tuple[Any, ...]:
    target = plan.nodes[edge.target].id if plan.flow_type == "graph" else None
    return (plan.nodes[edge.source].id, target, edge.port)
