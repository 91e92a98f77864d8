"""The flow picture: nodes and edges as SVG, coloured by state. Each node links to its step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import pairwise

from markupsafe import Markup
from msgspec import Struct

from neurocore.blueprint.plan import Carry, Plan, PlanEdge, PlanNode
from neurocore.persistence.records import CurrentNode, GateRecord, GateStatus, RunRecord, StepRecord
from neurocore.readable import counted
from webapp.html.graph_layout import HEIGHT, Box, Layout, edge_label_width, label_width, layered, rail
from webapp.html.helpers import step_anchor
from webapp.html.text import html, line
from webapp.services import identity

#: A larger picture is sent only on request.
MOST_NODES = 250
MOST_LABEL = 30

WORDS = {
    "completed": "completed",
    "failed": "failed",
    "rejected": "rejected",
    "skipped": "skipped",
    "suspended": "waiting",
    "running": "running",
    "cancelled": "cancelled",
    "voided": "undecided",
    "owed": "decided",
    "open": "not reached",
    "plain": "",
}


class NodeState(Struct, frozen=True):
    """How a node is drawn: its `state` (how the last step ended, `running` or `open`), visits and link."""

    state: str = "open"
    visits: int = 0
    href: str | None = None


class Sheet:
    """What all pictures of one definition share: the positions, and the SVG of each part by state, made once."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        widths = [label_width(line(node.id, 22)) for node in plan.nodes]
        labels = {edge.index: line(text, MOST_LABEL) for edge in plan.edges if (text := _edge_label(edge))}
        if _is_chain(plan):
            below = 36 if any(node.condition is not None for node in plan.nodes) else 24
            self.layout = rail(widths, below=below)
        else:
            self.layout = layered(plan, widths, {index: edge_label_width(text) for index, text in labels.items()})
        self.labels = _placed(plan, labels, self.layout)
        self._nodes: dict[tuple[int, str], tuple[str, str]] = {}
        self._edges: dict[tuple[int, str], str] = {}

    def node(self, index: int, state: NodeState) -> str:
        """Return a node, as a link if it has a step."""
        piece = self._nodes.get((index, state.state))
        if piece is None:
            piece = self._nodes[index, state.state] = _node(
                self.plan.nodes[index], self.layout.boxes[index], state.state
            )
        classes, body = piece
        if state.visits > 1:
            box = self.layout.boxes[index]
            place = f'x="{box.x + box.width - 6:.0f}" y="{box.y - HEIGHT / 2 - 4:.0f}"'
            body = f'{body}<text class="visits" {place}>×{state.visits}</text>'
        if state.href:
            return f'<a class="{classes}" href="{state.href}">{body}</a>'
        return f'<g class="{classes}" role="img">{body}</g>'

    def edge(self, edge: PlanEdge, state: str) -> str:
        """Return an edge with its head and label."""
        piece = self._edges.get((edge.index, state))
        if piece is None:
            piece = self._edges[edge.index, state] = _edge(edge, self.layout, state, self.labels.get(edge.index))
        return piece


class Flow(Struct, frozen=True):
    """A flow with the states of its nodes and edges."""

    sheet: Sheet
    nodes: dict[str, NodeState]
    edges: dict[int, str]

    @property
    def large(self) -> bool:
        """Return whether the picture is sent only on request."""
        return len(self.nodes) > MOST_NODES

    @property
    def svg(self) -> Markup:
        """Return the picture."""
        sheet = self.sheet
        parts = [
            sheet.edge(edge, self.edges.get(edge.index, "open"))
            for edge in sheet.plan.edges
            if edge.index in sheet.layout.paths
        ]
        parts += [sheet.node(node.index, self.nodes[node.id]) for node in sheet.plan.nodes]
        return html(
            '<svg class="flow" width="{0:.0f}" height="{1:.0f}" viewBox="0 0 {0:.0f} {1:.0f}" role="group" '
            'aria-label="{2}">{3}</svg>',
            sheet.layout.width, sheet.layout.height, _told(self), Markup("".join(parts)),  # noqa: S704 - escaped pieces
        )  # fmt: skip


def of_blueprint(plan: Plan, key: str) -> Flow:
    """Return the flow of a blueprint without a run; `key` is the hash of the definition."""
    nodes = {node.id: NodeState("plain") for node in plan.nodes}
    return Flow(_sheet(key, _Held(plan)), nodes, {})


def of_run(plan: Plan, run: RunRecord, steps: Sequence[StepRecord], gates: Sequence[GateRecord]) -> Flow:
    """Return the flow with the states of a run."""
    nodes: dict[str, NodeState] = {node.id: NodeState() for node in plan.nodes}
    edges: dict[int, str] = {}
    for step in steps:
        name = step.node_id or step.component
        if name in nodes:
            nodes[name] = NodeState(step.outcome, max(step.visit, nodes[name].visits), _link(name, step))
            for edge in plan.outgoing[plan.by_id[name].index]:
                if step.edges_taken is not None:
                    taken = edge.index in step.edges_taken
                    edges[edge.index] = "taken" if taken or edges.get(edge.index) == "taken" else "dead"
    for gate in gates:
        if gate.status is GateStatus.OPEN and gate.node_id in nodes:
            before = nodes[gate.node_id]
            nodes[gate.node_id] = NodeState("suspended", max(gate.visit, before.visits), before.href)
        elif gate.status in _CLOSED and gate.node_id in nodes:
            before = nodes[gate.node_id]
            if before.visits == gate.visit and before.state in ("suspended", "skipped"):
                nodes[gate.node_id] = NodeState(_CLOSED[gate.status], before.visits, before.href)
    for current in () if run.status.ended else run.current_nodes:
        if current.node_id in nodes:
            nodes[current.node_id] = NodeState("running", current.visit, _link(current.node_id, current))
    return Flow(_sheet(run.blueprint_hash or identity(run), _Held(plan)), nodes, edges)


#: The states of gates that no longer wait, while the run has not continued.
_CLOSED = {GateStatus.DECIDED: "owed", GateStatus.VOIDED: "voided"}


def _link(node_id: str, one: StepRecord | CurrentNode) -> str:
    return f"#{step_anchor(node_id, one.visit, one.attempt)}"


class _Held:
    """A plan as an argument of a cached function. The other argument, the hash of the definition, identifies it."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan

    def __hash__(self) -> int:
        return len(self.plan.nodes)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Held) and [n.id for n in self.plan.nodes] == [n.id for n in other.plan.nodes]


@lru_cache(maxsize=100)
def _sheet(_key: str, held: _Held) -> Sheet:
    return Sheet(held.plan)


def _is_chain(plan: Plan) -> bool:
    return plan.flow_type != "graph" and all(edge.target == edge.source + 1 for edge in plan.edges)


# -------------------------------------------------------------------- drawing


def _told(flow: Flow) -> str:
    counts: dict[str, int] = {}
    for node in flow.nodes.values():
        counts[node.state] = counts.get(node.state, 0) + 1
    states = ", ".join(f"{count} {WORDS[state]}" for state, count in counts.items() if WORDS.get(state))
    return f"The flow: {counted(len(flow.nodes), 'node')}{f' ({states})' if states else ''}"


def _node(node: PlanNode, box: Box, state: str) -> tuple[str, str]:
    """Return the classes and the SVG of a node. Its title is the tooltip, and the name for screen readers."""
    middle, top = box.x + box.width / 2, box.y - HEIGHT / 2
    condition = Markup("")
    if node.condition is not None:
        text = line(node.condition.text.replace("context.data.", ""), max(8, int(box.width / 6)))
        place = Markup('x="{:.1f}" y="{:.0f}"').format(middle, top + HEIGHT + 13)
        condition = html('<text class="cond" {}>if {}</text>', place, text)
    body = html(
        '<title>{}</title><rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{}" rx="{}"/>{}'
        '<text class="name" x="{:.1f}" y="{:.1f}">{}</text>{}',
        _title(node, state), box.x, top, box.width, HEIGHT, HEIGHT // 2 if node.is_gate else 8,
        _icon(state, box.x + 10, box.y), middle + (8 if state != "plain" else 0), box.y + 4.5, line(node.id, 22),
        condition,
    )  # fmt: skip
    return f"node {state}{' gate' if node.is_gate else ''}", str(body)


def _title(node: PlanNode, state: str) -> str:
    told = f"{line(node.id, 300)}: {line(node.type, 100)}{', a gate' if node.is_gate else ''}"
    if WORDS[state]:
        told += f", {WORDS[state]}"
    return f"{told}; only if {line(node.condition.text, 200)}" if node.condition is not None else told


def _icon(state: str, x: float, y: float) -> Markup:
    if state == "plain":
        return Markup("")
    return html('<use href="#i-{}" x="{:.1f}" y="{:.1f}" width="14" height="14"/>', state, x, y - 7)


class Label(Struct, frozen=True):
    """The text at an edge. `anchor` says if `x` is its start, its end or its middle; `y` is its base line."""

    text: str
    anchor: str
    x: float
    y: float

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Return the area that it covers: left, top, right, bottom."""
        wide = edge_label_width(self.text)
        left = self.x - {"start": 0.0, "mid": wide / 2, "end": wide}[self.anchor]
        return left, self.y - 10, left + wide, self.y + 3

    def covers(self, other: Label) -> bool:
        """Return whether the two labels overlap."""
        left, top, right, bottom = self.box
        x1, y1, x2, y2 = other.box
        return left < x2 and x1 < right and top < y2 and y1 < bottom


def _placed(plan: Plan, labels: Mapping[int, str], layout: Layout) -> dict[int, Label]:
    """Put each label at the first of its possible places that is free."""
    found: dict[int, Label] = {}
    for edge in plan.edges:
        if edge.index in labels and edge.index in layout.paths:
            places = _places(edge, labels[edge.index], layout)
            free = (one for one in places if not any(one.covers(other) for other in found.values()))
            found[edge.index] = next(free, places[0])
    return found


def _places(edge: PlanEdge, text: str, layout: Layout) -> list[Label]:
    """Return the possible places of an edge's label, best first: along its lane, or at the ends of the gap.

    In the gap behind the source the label is on the outer side of the curve: above a rising, below a falling curve.
    """
    points = layout.paths[edge.index]
    if edge.back or edge.index not in layout.gaps:
        (x1, y1), (x2, y2) = points[2:4] if edge.back else points[:2]
        return [Label(text, "mid", (x1 + x2) / 2, y2 - 4) if edge.back else Label(text, "start", x1 + 8, y1 - 5)]
    left, right = layout.gaps[edge.index]
    left, right = left + 8, right - 10
    far, near = _height_at(points[0], points[1], right), _height_at(points[0], points[1], left)
    return [
        Label(text, anchor, x, y + above)
        for above in ((-5, 13) if far <= near else (13, -5))
        for anchor, x, y in (("end", right, far), ("start", left, near))
    ]


def _height_at(a: tuple[float, float], b: tuple[float, float], x: float) -> float:
    """Return the height at `x` of the curve from `a` to `b` (`_curved`)."""
    low, high = 0.0, 1.0
    for _ in range(12):
        t = (low + high) / 2
        middle = (a[0] + b[0]) / 2
        at = a[0] * (1 - t) ** 3 + 3 * middle * t * (1 - t) + b[0] * t**3
        low, high = (t, high) if at < x else (low, t)
    share: float = 3 * low**2 - 2 * low**3
    return a[1] + (b[1] - a[1]) * share


def _edge(edge: PlanEdge, layout: Layout, state: str, label: Label | None) -> str:
    points = layout.paths[edge.index]
    angular = edge.back or (layout.rail and len(points) > 2)
    way = _angular(points) if angular else _curved(points)
    text = Markup("")
    if label is not None:
        text = html(
            '<text class="label {}" x="{:.1f}" y="{:.1f}"><title>{}</title>{}</text>',
            label.anchor, label.x, label.y, line(_edge_label(edge), 300), label.text,
        )  # fmt: skip
    classes = f"edge {state}{' back' if edge.back else ''}"
    head = _head(points)
    return str(html('<g class="{}"><path d="{}"/><path class="head" d="{}"/>{}</g>', classes, way, head, text))


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
    """Return a path of straight lines with rounded corners."""
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
    """Return the arrow head, in the direction of the last line."""
    (px, py), (x, y) = points[-2], points[-1]
    if abs(x - px) < 0.5:
        down = 1 if py < y else -1
        return f"M{x - 4:.1f} {y - 7 * down:.1f}L{x:.1f} {y:.1f}L{x + 4:.1f} {y - 7 * down:.1f}"
    return f"M{x - 7:.1f} {y - 4:.1f}L{x:.1f} {y:.1f}L{x - 7:.1f} {y + 4:.1f}"


def states_of(flow: Flow) -> Mapping[str, NodeState]:
    """Return the state of every node by its id."""
    return flow.nodes
