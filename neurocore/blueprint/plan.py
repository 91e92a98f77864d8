"""Compile a blueprint to a plan: one graph of nodes and edges for every type of flow.

A sequential or conditional flow becomes a chain whose edges say when they carry on (`Carry`); a graph is used as it is.
Edges that close a cycle are found here, once; a group of nodes that can reach one another is a `Loop`.
`neurocore.blueprint.progress` determines what runs next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import Any

from msgspec import Struct

from neurocore.blueprint import graph
from neurocore.blueprint.conditions import Condition, compile_condition
from neurocore.blueprint.model import Blueprint, Retry, Settings

APPROVED, REJECTED = "approved", "rejected"


class Carry(StrEnum):
    """When an edge may be taken, apart from its port and condition."""

    DONE = "done"  # its source did its work
    PASSED = "passed"  # … or was skipped because its own condition was false (sequential flows)
    MISSED = "missed"  # only if its source was skipped because its condition was false (first match)


class PlanNode(Struct, frozen=True, kw_only=True):
    """A place in the flow where a component runs."""

    index: int
    id: str
    component: str
    type: str
    config: dict[str, Any]
    condition: Condition | None = None
    on_error: str = "fail"
    join_any: bool = False
    max_visits: int | None = None
    timeout: float | None = None
    retry: Retry | None = None
    description: str | None = None
    is_gate: bool = False
    loop: int | None = None


class PlanEdge(Struct, frozen=True, kw_only=True):
    """An edge from one node to another; `back` closes a cycle. `source` and `target` are node indexes."""

    index: int
    source: int
    target: int
    carry: Carry = Carry.DONE
    port: str | None = None
    condition: Condition | None = None
    back: bool = False


class Plan(Struct, frozen=True, kw_only=True):
    """A compiled blueprint. `outgoing` and `incoming` list edges by node index; `incoming` has no back edges.

    `guarded` are the indexes of the nodes with an outgoing edge that has a condition.
    """

    flow_type: str
    nodes: tuple[PlanNode, ...]
    edges: tuple[PlanEdge, ...]
    outgoing: tuple[tuple[PlanEdge, ...], ...]
    incoming: tuple[tuple[PlanEdge, ...], ...]
    guarded: frozenset[int]
    loops: tuple[frozenset[int], ...]
    by_id: dict[str, PlanNode]
    settings: Settings

    def onward(self, index: int) -> list[int]:
        """List the nodes that this node's edges lead to, without back edges."""
        return [edge.target for edge in self.outgoing[index] if not edge.back]

    def before(self, node_id: str) -> list[PlanNode]:
        """List the nodes with an edge to this one, without back edges."""
        return [self.nodes[edge.source] for edge in self.incoming[self.by_id[node_id].index]]


def compile_plan(blueprint: Blueprint, *, is_gate: Callable[[str], bool] | None = None) -> Plan:
    """Compile a blueprint without errors (`validate_blueprint`).

    `is_gate` returns whether a component type is a gate; without it, `approval` and `blueprint.gates` are. Raises
    ConditionError for an expression that does not parse.
    """
    gates = frozenset(
        component.type
        for component in blueprint.components
        if (is_gate(component.type) if is_gate else component.type in ("approval", *(blueprint.gates or ())))
    )
    nodes = _graph_nodes(blueprint, gates) if blueprint.flow.type == "graph" else _chain_nodes(blueprint, gates)
    edges = _graph_edges(blueprint, nodes) if blueprint.flow.type == "graph" else _chain_edges(blueprint, nodes)
    edges = _with_rejections(nodes, edges)
    edges = _with_back_edges(len(nodes), edges)
    loops = _loops(len(nodes), edges)
    member = {node: number for number, loop in enumerate(loops) for node in loop}
    placed = tuple(_replace(node, loop=member[node.index]) if node.index in member else node for node in nodes)
    return Plan(
        flow_type=blueprint.flow.type,
        nodes=placed,
        edges=tuple(edges),
        outgoing=_by_node(len(nodes), edges, lambda edge: edge.source),
        incoming=_by_node(len(nodes), [edge for edge in edges if not edge.back], lambda edge: edge.target),
        guarded=frozenset(edge.source for edge in edges if edge.condition is not None),
        loops=tuple(loops),
        by_id={node.id: node for node in placed},
        settings=blueprint.flow.settings,
    )


def _replace(node: Any, **changes: Any) -> Any:
    from msgspec.structs import replace

    return replace(node, **changes)


def _chain_nodes(blueprint: Blueprint, gates: frozenset[str]) -> list[PlanNode]:
    components = {component.name: component for component in blueprint.components}
    seen: dict[str, int] = {}
    nodes = []
    for index, step in enumerate(blueprint.flow.steps or ()):
        component = components[step.component]
        seen[step.component] = times = seen.get(step.component, 0) + 1
        nodes.append(
            PlanNode(
                index=index,
                id=step.component if times == 1 else f"{step.component}#{times}",
                component=component.name,
                type=component.type,
                config=component.config,
                condition=compile_condition(step.condition) if step.condition is not None else None,
                on_error=step.on_error,
                timeout=step.timeout,
                retry=step.retry,
                description=step.description,
                is_gate=component.type in gates,
            )
        )
    return nodes


def _graph_nodes(blueprint: Blueprint, gates: frozenset[str]) -> list[PlanNode]:
    components = {component.name: component for component in blueprint.components}
    return [
        PlanNode(
            index=index,
            id=node.id,
            component=node.component,
            type=components[node.component].type,
            config=components[node.component].config,
            on_error=node.on_error,
            join_any=node.join == "any",
            max_visits=node.max_visits,
            timeout=node.timeout,
            retry=node.retry,
            description=node.description,
            is_gate=components[node.component].type in gates,
        )
        for index, node in enumerate(blueprint.flow.nodes or ())
    ]


def _chain_edges(blueprint: Blueprint, nodes: list[PlanNode]) -> list[PlanEdge]:
    carry = Carry.MISSED if blueprint.flow.type == "conditional" else Carry.PASSED
    return [PlanEdge(index=i, source=i, target=i + 1, carry=carry) for i in range(len(nodes) - 1)]


def _graph_edges(blueprint: Blueprint, nodes: list[PlanNode]) -> list[PlanEdge]:
    index = {node.id: node.index for node in nodes}
    return [
        PlanEdge(
            index=number,
            source=index[edge.source],
            target=index[edge.target],
            port=edge.port,
            condition=compile_condition(edge.condition) if edge.condition is not None else None,
        )
        for number, edge in enumerate(blueprint.flow.edges or ())
    ]


def _with_rejections(nodes: list[PlanNode], edges: list[PlanEdge]) -> list[PlanEdge]:
    """Turn `on_reject: <node>` into edges: edges without a port are for approval, a new one is for rejection."""
    index = {node.id: node.index for node in nodes}
    goals: dict[int, int] = {}
    for node in nodes:
        goal = node.config.get("on_reject") if node.is_gate else None
        if isinstance(goal, str) and goal in index:
            goals[node.index] = index[goal]
    drawn = {edge.source for edge in edges if edge.port == REJECTED and goals.get(edge.source) == edge.target}
    marked = [_replace(edge, port=APPROVED) if edge.source in goals and edge.port is None else edge for edge in edges]
    missing = [(source, target) for source, target in goals.items() if source not in drawn]
    return marked + [
        PlanEdge(index=len(edges) + place, source=source, target=target, port=REJECTED)
        for place, (source, target) in enumerate(missing)
    ]


def _with_back_edges(count: int, edges: list[PlanEdge]) -> list[PlanEdge]:
    """Mark the edges that close a cycle."""
    if all(edge.source < edge.target for edge in edges):
        return edges
    back = graph.closing(_ways(count, edges))
    return [_replace(edge, back=True) if (edge.source, edge.target) in back else edge for edge in edges]


def _loops(count: int, edges: list[PlanEdge]) -> list[frozenset[int]]:
    return graph.cycles(_ways(count, edges)) if any(edge.back for edge in edges) else []


def _ways(count: int, edges: Iterable[PlanEdge]) -> list[list[int]]:
    return graph.ways_of(count, ((edge.source, edge.target) for edge in edges))


def _by_node(
    count: int, edges: Iterable[PlanEdge], node: Callable[[PlanEdge], int]
) -> tuple[tuple[PlanEdge, ...], ...]:
    lists: list[list[PlanEdge]] = [[] for _ in range(count)]
    for edge in edges:
        lists[node(edge)].append(edge)
    return tuple(tuple(edges) for edges in lists)
