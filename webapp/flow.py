"""The flow's picture: nodes and edges as SVG, coloured by state, each node a link to its step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import pairwise

from markupsafe import Markup
from msgspec import Struct

from neurocore.blueprint.plan import Carry, Plan, PlanEdge
from neurocore.persistence.base import GateRecord, GateStatus, RunRecord, StepRecord
from webapp.layout import HEIGHT, Layout, label_width, layered, rail
from webapp.marks import anchor
from webapp.text import counted, html, line, safe

MOST_NODES = 1000

WORDS = {
    "completed": "completed",
    "failed": "failed",
    "skipped": "skipped",
    "suspended": "waiting",
    "running": "running",
    "open": "not reached",
    "plain": "",
}


class NodeState(Struct, frozen=True):
    """How a node is drawn: its `state` (a step's status, `running`, `open`), how often it was visited, and its link."""

    state: str = "open"
    visits: int = 0
    href: str | None = None


class Flow(Struct, frozen=True):
    """What is to be drawn."""

    plan: Plan
    layout: Layout
    nodes: dict[str, NodeState]
    edges: dict[int, str]

    @property
    def svg(self) -> Markup:
        """The picture."""
        return _draw(self)


def of_blueprint(plan: Plan, key: str) -> Flow:
    """The flow on its own; `key` is the definition's hash."""
    nodes = {node.id: NodeState("plain") for node in plan.nodes}
    return Flow(plan, _layout(key, _Held(plan)), nodes, {})


def of_run(plan: Plan, run: RunRecord, steps: Sequence[StepRecord], gates: Sequence[GateRecord]) -> Flow:
    """The flow as far as the run has come."""
    nodes: dict[str, NodeState] = {node.id: NodeState() for node in plan.nodes}
    edges: dict[int, str] = {}
    for step in steps:
        name = step.node_id or step.component
        if name in nodes:
            nodes[name] = NodeState(step.status.value, max(step.visit, nodes[name].visits), f"#step-{step.step_index}")
            for edge in plan.outgoing[plan.by_id[name].index]:
                if step.edges_taken is not None:
                    taken = edge.index in step.edges_taken
                    edges[edge.index] = "taken" if taken or edges.get(edge.index) == "taken" else "dead"
    for gate in gates:
        if gate.status is GateStatus.OPEN and gate.node_id in nodes:
            before = nodes[gate.node_id]
            nodes[gate.node_id] = NodeState("suspended", max(gate.visit, before.visits), before.href)
    for current in () if run.status.ended else run.current_nodes:
        if current.node_id in nodes:
            nodes[current.node_id] = NodeState("running", current.visit, f"#{anchor('now', current.node_id)}")
    return Flow(plan, _layout(run.blueprint_hash or run.run_id, _Held(plan)), nodes, edges)


class _Held:
    """A plan as an argument of a cached function whose other argument, the definition's hash, stands for it."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan

    def __hash__(self) -> int:
        return len(self.plan.nodes)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Held) and [n.id for n in self.plan.nodes] == [n.id for n in other.plan.nodes]


@lru_cache(maxsize=200)
def _layout(_key: str, held: _Held) -> Layout:
    widths = [label_width(line(node.id, 22)) for node in held.plan.nodes]
    if not _is_chain(held.plan):
        return layered(held.plan, widths)
    return rail(widths, below=36 if any(node.condition is not None for node in held.plan.nodes) else 24)


def _is_chain(plan: Plan) -> bool:
    return plan.flow_type != "graph" and all(edge.target == edge.source + 1 for edge in plan.edges)


# -------------------------------------------------------------------- drawing


def _draw(flow: Flow) -> Markup:
    plan, layout = flow.plan, flow.layout
    if len(plan.nodes) > MOST_NODES:
        return html('<p class="dim">{} are too many to draw.</p>', counted(len(plan.nodes), "node"))
    parts = [_edge(edge, flow) for edge in plan.edges if edge.index in layout.paths]
    parts += [_node(index, flow) for index in range(len(plan.nodes))]
    return html(
        '<svg class="flow" width="{0:.0f}" height="{1:.0f}" viewBox="0 0 {0:.0f} {1:.0f}" role="group" '
        'aria-label="{2}">{3}</svg>',
        layout.width,
        layout.height,
        _told(flow),
        Markup("").join(parts),
    )


def _told(flow: Flow) -> str:
    counts: dict[str, int] = {}
    for node in flow.nodes.values():
        counts[node.state] = counts.get(node.state, 0) + 1
    states = ", ".join(f"{count} {WORDS[state]}" for state, count in counts.items() if WORDS.get(state))
    return f"The flow: {counted(len(flow.nodes), 'node')}{f' ({states})' if states else ''}"


def _node(index: int, flow: Flow) -> Markup:
    node, box = flow.plan.nodes[index], flow.layout.boxes[index]
    state = flow.nodes[node.id]
    name = line(node.id, 22)
    top = box.y - HEIGHT / 2
    told = f"{safe(node.id[:300])}: {node.type}{', a gate' if node.is_gate else ''}"
    if WORDS[state.state]:
        told += f", {WORDS[state.state]}"
    if node.condition is not None:
        told += f"; only if {line(node.condition.text, 200)}"
    visits = Markup("")
    if state.visits > 1:
        visits = html(
            '<text class="visits" x="{:.0f}" y="{:.0f}">×{}</text>', box.x + box.width - 6, top - 4, state.visits
        )
    condition = Markup("")
    if node.condition is not None:
        condition = html(
            '<text class="cond" x="{:.1f}" y="{:.0f}">if {}</text>',
            box.x + box.width / 2,
            top + HEIGHT + 13,
            line(node.condition.text.replace("context.data.", ""), max(8, int(box.width / 6))),
        )
    body = html(
        '<title>{}</title><rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{}" rx="{}"/>{}'
        '<text class="name" x="{:.1f}" y="{:.1f}">{}</text>{}{}',
        told, box.x, top, box.width, HEIGHT, HEIGHT // 2 if node.is_gate else 8, _icon(state.state, box.x + 10, box.y),
        box.x + box.width / 2 + (8 if state.state != "plain" else 0), box.y + 4.5, name, visits, condition,
    )  # fmt: skip
    classes = f"node {state.state}{' gate' if node.is_gate else ''}"
    if state.href:
        return html('<a class="{}" href="{}" aria-label="{}">{}</a>', classes, state.href, told, body)
    return html('<g class="{}" role="img" aria-label="{}">{}</g>', classes, told, body)


def _icon(state: str, x: float, y: float) -> Markup:
    if state == "plain":
        return Markup("")
    return html('<use href="#i-{}" x="{:.1f}" y="{:.1f}" width="14" height="14"/>', state, x, y - 7)


def _edge(edge: PlanEdge, flow: Flow) -> Markup:
    points = flow.layout.paths[edge.index]
    state = flow.edges.get(edge.index, "open") if flow.edges else "open"
    classes = f"edge {state}{' back' if edge.back else ''}"
    angular = edge.back or (flow.layout.rail and len(points) > 2)
    way = _angular(points) if angular else _curved(points)
    places = list(points[2:4]) if edge.back else points
    label = _edge_label(edge)
    text = Markup("")
    if label:
        (x1, y1), (x2, y2) = places[0], places[1]
        x, y = ((x1 + x2) / 2, y2 - 4) if angular else (x1 + 8, y1 + (y2 - y1) * 0.12 - 5)
        text = html(
            '<text class="label{}" x="{:.1f}" y="{:.1f}"><title>{}</title>{}</text>',
            Markup(" mid") if angular else "",
            x,
            y,
            line(label, 300),
            line(label, 14),
        )
    return html('<g class="{}"><path d="{}"/><path class="head" d="{}"/>{}</g>', classes, way, _head(points), text)


def _edge_label(edge: PlanEdge) -> str:
    if edge.port is not None:
        return edge.port
    if edge.condition is not None:
        return f"if {edge.condition.text.replace('context.data.', '')}"
    return "else" if edge.carry is Carry.MISSED else ""


def _curved(points: Sequence[tuple[float, float]]) -> str:
    parts = [f"M{points[0][0]:.1f} {points[0][1]:.1f}"]
    for (x1, y1), (x2, y2) in pairwise(points):
        middle = (x1 + x2) / 2
        straight = abs(y1 - y2) < 0.5
        parts.append(
            f"L{x2:.1f} {y2:.1f}" if straight else f"C{middle:.1f} {y1:.1f} {middle:.1f} {y2:.1f} {x2:.1f} {y2:.1f}"
        )
    return "".join(parts)


def _angular(points: Sequence[tuple[float, float]], radius: float = 7) -> str:
    """Straight pieces with rounded corners."""
    parts = [f"M{points[0][0]:.1f} {points[0][1]:.1f}"]
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        (ax, ay), (bx, by) = _towards(corner, before, radius), _towards(corner, after, radius)
        parts.append(f"L{ax:.1f} {ay:.1f}Q{corner[0]:.1f} {corner[1]:.1f} {bx:.1f} {by:.1f}")
    return "".join([*parts, f"L{points[-1][0]:.1f} {points[-1][1]:.1f}"])


def _towards(a: tuple[float, float], b: tuple[float, float], distance: float) -> tuple[float, float]:
    length = abs(b[0] - a[0]) + abs(b[1] - a[1])
    share = min(0.5, distance / length) if length else 0.0
    return a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share


def _head(points: Sequence[tuple[float, float]]) -> str:
    """The arrow's tip, in the direction of the last piece."""
    (px, py), (x, y) = points[-2], points[-1]
    if abs(x - px) < 0.5:
        down = 1 if py < y else -1
        return f"M{x - 4:.1f} {y - 7 * down:.1f}L{x:.1f} {y:.1f}L{x + 4:.1f} {y - 7 * down:.1f}"
    return f"M{x - 7:.1f} {y - 4:.1f}L{x:.1f} {y:.1f}L{x - 7:.1f} {y + 4:.1f}"


def edge_names(plan: Plan, indexes: Sequence[int]) -> list[str]:
    """Edges for people: `review → write_file`."""
    return [
        f"{plan.nodes[plan.edges[index].source].id} → {plan.nodes[plan.edges[index].target].id}"
        for index in indexes
        if 0 <= index < len(plan.edges)
    ]


def states_of(flow: Flow) -> Mapping[str, NodeState]:
    """The state of every node by its id."""
    return flow.nodes
