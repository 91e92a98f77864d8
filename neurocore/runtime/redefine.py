"""What was recorded over one definition, read over another (`--latest`): steps name the edges they took by number."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from msgspec import structs

from neurocore.blueprint.plan import Plan, PlanEdge
from neurocore.blueprint.progress import Progress
from neurocore.gates.past import outcomes
from neurocore.persistence.base import GateRecord, StepRecord


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
    strange = Progress(plan).restore(outcomes(steps, gates))
    return sorted({outcome.node_id for outcome in strange})


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
