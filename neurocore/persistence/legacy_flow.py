"""Where the steps of a 0.4 run were in its flow, and which edges they took: derived, because 0.4 did not record it."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection
from typing import Any

from msgspec import Struct

from neurocore import codec
from neurocore.persistence.records import StepRecord, StepStatus


class Edge(Struct, frozen=True):
    """An edge of a graph; the index is its place among the edges."""

    index: int
    source: str
    target: str
    port: str | None
    condition: str | None


class Flow(Struct):
    """The flow of a stored blueprint. `nodes` maps each node id to its component, in order."""

    type: str
    nodes: dict[str, str]
    edges: list[Edge]
    types: dict[str, str]
    configs: dict[str, dict[str, Any]]

    @classmethod
    def of(cls, snapshot: dict[str, Any]) -> Flow:
        """Return the flow of a blueprint as 0.4 stored it; invalid parts are left out."""
        flow = snapshot.get("flow") if isinstance(snapshot.get("flow"), dict) else {}
        assert isinstance(flow, dict)
        components = [one for one in snapshot.get("components") or () if isinstance(one, dict) and "name" in one]
        nodes: dict[str, str] = {}
        if flow.get("type") == "graph":
            nodes = {str(one["id"]): str(one["component"]) for one in flow.get("nodes") or ()}
        else:
            seen: Counter[str] = Counter()
            for one in flow.get("steps") or ():
                name = str(one["component"])
                seen[name] += 1
                nodes[name if seen[name] == 1 else f"{name}#{seen[name]}"] = name
        return cls(
            type=str(flow.get("type") or "sequential"),
            nodes=nodes,
            edges=[
                Edge(index, str(one["source"]), str(one["target"]), one.get("port"), one.get("condition"))
                for index, one in enumerate(flow.get("edges") or ())
            ],
            types={str(one["name"]): str(one.get("type")) for one in components},
            configs={str(one["name"]): one.get("config") or {} for one in components},
        )

    def before(self, node: str) -> set[str]:
        """Return the nodes directly before this one."""
        if self.type == "graph":
            return {edge.source for edge in self.edges if edge.target == node}
        order = list(self.nodes)
        place = order.index(node) if node in order else 0
        return {order[place - 1]} if place else set()

    def went_on_past(self, step: StepRecord, steps: list[StepRecord]) -> bool:
        """Return whether completed steps follow this one: 0.4's synchronous flows did not stop at a suspension."""
        done = {one.node_id for one in steps if one.status is StepStatus.COMPLETED and one is not step}
        order = list(self.nodes)
        return (
            self.type != "graph"
            and step.node_id in order
            and any(node in done for node in order[order.index(step.node_id) + 1 :])
        )

    def ways_to(self, node: str) -> int:
        """Return how many edges lead to a node."""
        return sum(edge.target == node for edge in self.edges)

    def has_cycle(self) -> bool:
        """Return whether a node of the graph can be reached from itself."""
        return len(self.order()) < len(self.nodes)

    def order(self) -> list[str]:
        """Return the nodes, each after those that lead to it; nodes in and behind a cycle are left out."""
        left = {node: {edge.source for edge in self.edges if edge.target == node} for node in self.nodes}
        order: list[str] = []
        while free := [node for node, sources in left.items() if not sources & left.keys()]:
            order += free
            for node in free:
                del left[node]
        return order


def hash_of(snapshot: dict[str, Any]) -> str:
    """Return a hash of a stored definition."""
    return hashlib.sha256(codec.canonical(snapshot)).hexdigest()


def placed(flow: Flow, steps: list[StepRecord]) -> list[StepRecord]:
    """Return the steps with node and visit: 0.4 recorded the place in a chain, a graph's node, or its component."""
    order = list(flow.nodes)
    visits: Counter[str] = Counter()
    has_cycle = flow.type == "graph" and flow.has_cycle()
    for step in steps:
        node = step.component
        if flow.type != "graph":
            if step.step_index < len(order) and flow.nodes[order[step.step_index]] == step.component:
                node = order[step.step_index]
        elif node not in flow.nodes:
            fits = [one for one, component in flow.nodes.items() if component == step.component]
            node = min(fits, key=lambda one: visits[one], default=node)
        visits[node] += 1
        step.node_id = node
        step.visit, step.attempt = (visits[node], 1) if has_cycle else (1, visits[node])
        step.component = flow.nodes.get(node, step.component)
    if not has_cycle:  # the same node again is the resume of a step that had waited
        for step in steps:
            if step.status is StepStatus.COMPLETED and step.attempt < visits[step.node_id]:
                step.status = StepStatus.SUSPENDED
    return steps


def with_passed_over(run_id: str, flow: Flow, steps: list[StepRecord], named: Collection[str]) -> list[StepRecord]:
    """Return the steps with rows for the skipped places, for which 0.4 wrote none, in the order of the flow.

    `named` are the components that 0.4 recorded as skipped, which it stored only with the context.
    """
    if not steps or any(step.node_id not in flow.nodes for step in steps) or flow.has_cycle():
        return steps
    order = flow.order()
    reached = {step.node_id for step in steps}
    if flow.type == "graph":
        passed = {node for node, component in flow.nodes.items() if component in named} - reached
    else:
        passed = set(order[: max(order.index(node) for node in reached)]) - reached
    started = min(step.started_at for step in steps)
    rows = [*steps, *(_passed_over(run_id, flow, node, started) for node in passed)]
    return sorted(rows, key=lambda step: (order.index(step.node_id), step.attempt))


def _passed_over(run_id: str, flow: Flow, node: str, at: str) -> StepRecord:
    return StepRecord(
        run_id=run_id,
        step_index=0,
        component=flow.nodes[node],
        node_id=node,
        skill_type=flow.types.get(flow.nodes[node]),
        status=StepStatus.SKIPPED,
        reason="its condition did not hold when 0.4 ran it",
        started_at=at,
        duration_ms=0.0,
    )


def give_edges(flow: Flow, steps: list[StepRecord]) -> str | None:
    """Give each ended step the edges that it took. Returns why that is unknown, if it is."""
    if flow.type != "graph":
        order = list(flow.nodes)
        for step in steps:
            if step.status in (StepStatus.COMPLETED, StepStatus.SKIPPED) and step.node_id in flow.nodes:
                place = order.index(step.node_id)
                step.edges_taken = [place] if place < len(order) - 1 else []
        return None
    if any(step.visit > 1 for step in steps):
        return "NeuroCore 0.4 did not store which way its loop took"
    return _graph_edges(flow, steps)


def _graph_edges(flow: Flow, steps: list[StepRecord]) -> str | None:
    """Set the edges of each node that was evaluated, from its edges in; the resume determines the others."""
    skipped = {step.node_id for step in steps if step.status is StepStatus.SKIPPED}
    reached = {step.node_id for step in steps} - skipped
    trouble = None
    for step in steps:
        if step.status is StepStatus.SKIPPED:
            step.edges_taken = []
        if step.status is not StepStatus.COMPLETED:
            continue
        outgoing = [edge for edge in flow.edges if edge.source == step.node_id]
        ports = {edge.port for edge in outgoing if edge.target in reached and flow.ways_to(edge.target) == 1} - {None}
        unknown = [
            edge
            for edge in outgoing
            if edge.target not in reached | skipped
            and (edge.condition or edge.port)
            and not (ports and edge.port and edge.port not in ports)
        ]
        taken = [edge.index for edge in outgoing if edge.target in reached or not (edge.condition or edge.port)]
        if any(edge.port for edge in unknown):
            trouble = "NeuroCore 0.4 did not store the ports that its steps chose"
        elif not unknown or any(edge.port for edge in outgoing):
            step.edges_taken = taken
    return trouble
