"""What was recorded over one definition, read over another (`--latest`): steps name the edges they took by number."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from msgspec import structs

from neurocore.blueprint.plan import Plan, PlanEdge
from neurocore.blueprint.progress import Outcome, Progress
from neurocore.persistence.base import GateRecord, GateStatus, StepRecord


def translated(steps: Iterable[StepRecord], old: Plan, new: Plan) -> list[StepRecord]:
    """The steps with the edges they took as the new plan counts them; one that is not there any more is left out."""
    names = _names(old)
    places = {name: index for index, name in _names(new).items()}

    def there(edges: list[int]) -> list[int]:
        return [places[names[index]] for index in edges if names.get(index) in places]

    return [
        step if step.edges_taken is None else structs.replace(step, edges_taken=there(step.edges_taken))
        for step in steps
    ]


def strays(steps: Sequence[StepRecord], gates: Sequence[GateRecord], plan: Plan) -> list[str]:
    """Nodes whose recorded ends do not fit this plan: they would be done once more in it."""
    voided = {(gate.node_id, gate.visit) for gate in gates if gate.status is GateStatus.VOIDED and gate.kind == "gate"}
    outcomes = [
        Outcome(
            step.node_id,
            step.visit - sum(node_id == step.node_id and visit < step.visit for node_id, visit in voided),
            tuple(step.edges_taken),
        )
        for step in sorted(steps, key=lambda step: step.commit_index)
        if step.edges_taken is not None and (step.node_id, step.visit) not in voided
    ]
    return sorted({outcome.node_id for outcome in Progress(plan).restore(outcomes)})


def _names(plan: Plan) -> dict[int, Any]:
    """What an edge is called whatever its number: its ends and its port; in a chain the way on is the way on."""
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
