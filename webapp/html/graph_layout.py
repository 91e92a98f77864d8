"""The positions of the nodes of a flow: rows that wrap for chains, layers from left to right for graphs.

The layered layout is the classic one: layers by the longest path, long edges through invisible nodes, a few sweeps that
move each node near the middle of its neighbours, then straightening. The functions are pure, and fast enough to draw
200 nodes while a page loads; `webapp.html.diagram` caches the result per definition.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Mapping, Sequence
from itertools import pairwise
from unicodedata import east_asian_width

from msgspec import Struct

from neurocore.blueprint import graph
from neurocore.blueprint.plan import Plan

HEIGHT = 36
RAIL_WIDTH = 1080
GAP = 34
ROW_GAP = 46
LAYER_GAP = 64
LABEL_MARGIN = 26
LANE = 54
SWEEPS = 8


class Box(Struct, frozen=True):
    """The position of a node: left edge, vertical middle, width."""

    x: float
    y: float
    width: float


class Layout(Struct, frozen=True):
    """`boxes` by node index; `paths` by edge index, as points from the source to the target.

    `gaps`, by edge index, is the free space behind the edge's source, from left to right: the room for its label.
    """

    width: float
    height: float
    boxes: list[Box]
    paths: dict[int, list[tuple[float, float]]]
    gaps: dict[int, tuple[float, float]] = {}
    rail: bool = False


def label_width(text: str) -> float:
    """Return the approximate width of a node with this label."""
    return max(96.0, 7.4 * _cells(text) + 44)


def edge_label_width(text: str) -> float:
    """Return the approximate width of the label of an edge."""
    return 6.2 * _cells(text)


def _cells(text: str) -> int:
    """Count letters; wide ones (Chinese, Japanese, Korean) count twice."""
    return sum(2 if east_asian_width(letter) in "WF" else 1 for letter in text)


def rail(widths: Sequence[float], *, below: float = 24) -> Layout:
    """Lay out a chain in rows from left to right, like text; `below` is the space under the middle of the last row."""
    boxes: list[Box] = []
    x, y, rightmost = 8.0, 36.0, 0.0
    for width in widths:
        if boxes and x + width > RAIL_WIDTH:
            x, y = 8.0, y + HEIGHT + ROW_GAP
        boxes.append(Box(x, y, width))
        rightmost = max(rightmost, x + width)
        x += width + GAP
    paths = {}
    for index, (a, b) in enumerate(pairwise(boxes)):
        start, end = (a.x + a.width, a.y), (b.x, b.y)
        if a.y == b.y:
            paths[index] = [start, end]
        else:
            middle = a.y + HEIGHT / 2 + ROW_GAP / 2
            bottom, top = (a.x + a.width / 2, a.y + HEIGHT / 2), (b.x + b.width / 2, b.y - HEIGHT / 2)
            paths[index] = [bottom, (bottom[0], middle), (top[0], middle), top]
    return Layout(rightmost + 8, y + below, boxes, paths, rail=True)


def layered(plan: Plan, widths: Sequence[float], labels: Mapping[int, float] | None = None) -> Layout:
    """Lay out a graph in layers from left to right. Edges that close a cycle run back below the nodes.

    `labels` gives the width of the edges' labels by edge index; the layers are far enough apart for them.
    """
    forward = [(edge.index, edge.source, edge.target) for edge in plan.edges if not edge.back]
    layer = _layers(len(plan.nodes), [(a, b) for _, a, b in forward])
    places, chains, layer = _with_bends(forward, layer)
    order = _ordered(layer, places)
    y = _heights(order, places)
    columns = [max([widths[node] for node in nodes if node < len(widths)], default=0.0) for nodes in order]
    apart = [float(LAYER_GAP)] * len(columns)
    for index, start, _ in forward:
        if labels and index in labels:
            apart[layer[start]] = max(apart[layer[start]], labels[index] + LABEL_MARGIN)
    lefts, x = [], 40.0 if any(edge.back for edge in plan.edges) else 8.0
    for width, gap in zip(columns, apart, strict=True):
        lefts.append(x)
        x += width + gap
    boxes = [
        Box(lefts[layer[node]] + (columns[layer[node]] - widths[node]) / 2, y[node], widths[node])
        for node in range(len(widths))
    ]
    paths, gaps = {}, {}
    for index, chain in chains.items():
        first, last = boxes[chain[0]], boxes[chain[-1]]
        bends = [(lefts[layer[node]] + columns[layer[node]] / 2, y[node]) for node in chain[1:-1]]
        paths[index] = [(first.x + first.width, first.y), *bends, (last.x, last.y)]
        behind = layer[chain[0]]
        gaps[index] = (lefts[behind] + columns[behind], lefts[behind + 1])
    bottom = max((box.y for box in boxes), default=0.0) + HEIGHT / 2
    for lane, edge in enumerate(edge for edge in plan.edges if edge.back):
        # Down behind the layer of the source, and up before the layer of the target, where there are no nodes.
        source, target, depth = boxes[edge.source], boxes[edge.target], bottom + 16 + 14 * lane
        right = lefts[layer[edge.source]] + columns[layer[edge.source]] + 14 + 3 * (lane % 6)
        left = lefts[layer[edge.target]] - 16 - 3 * (lane % 6)
        paths[edge.index] = [
            (source.x + source.width, source.y + 7), (right, source.y + 7), (right, depth), (left, depth),
            (left, target.y + 7), (target.x, target.y + 7),
        ]  # fmt: skip
    backs = sum(edge.back for edge in plan.edges)
    width = x - apart[-1] if apart else x
    return Layout(width + (36 if backs else 8), bottom + 22 + 14 * backs, boxes, paths, gaps)


# -------------------------------------------------------------------- layers


def _layers(count: int, edges: list[tuple[int, int]]) -> list[int]:
    """Return the layers: the longest path from a node without incoming edges; then sources move to their targets."""
    ways = graph.ways_of(count, edges)
    led_to = {target for _, target in edges}
    layer = [0] * count
    in_order = graph.ordered(range(count), ways.__getitem__)
    for node in in_order:
        for target in ways[node]:
            layer[target] = max(layer[target], layer[node] + 1)
    for node in reversed(in_order):
        if node not in led_to and ways[node]:
            layer[node] = max(layer[node], min(layer[target] for target in ways[node]) - 1)
    return layer


Neighbours = list[tuple[list[int], list[int]]]


def _with_bends(
    edges: list[tuple[int, int, int]], layer: list[int]
) -> tuple[Neighbours, dict[int, list[int]], list[int]]:
    """Add an invisible node where an edge crosses a layer. Return neighbours, the path of each edge, and layers."""
    layer = list(layer)
    neighbours: Neighbours = [([], []) for _ in layer]
    chains = {}
    for index, source, target in edges:
        chain = [source]
        for level in range(layer[source] + 1, layer[target]):
            layer.append(level)
            neighbours.append(([], []))
            chain.append(len(layer) - 1)
        chain.append(target)
        chains[index] = chain
        for a, b in pairwise(chain):
            neighbours[a][1].append(b)
            neighbours[b][0].append(a)
    return neighbours, chains, layer


def _ordered(layer: list[int], neighbours: Neighbours) -> list[list[int]]:
    order: list[list[int]] = [[] for _ in range(max(layer, default=0) + 1)]
    for node, level in enumerate(layer):
        order[level].append(node)
    best, fewest = [list(nodes) for nodes in order], _crossings(order, neighbours)
    for sweep in range(SWEEPS):
        levels = range(1, len(order)) if sweep % 2 == 0 else range(len(order) - 2, -1, -1)
        for level in levels:
            place = {node: index for nodes in order for index, node in enumerate(nodes)}
            side = 0 if sweep % 2 == 0 else 1

            def middle(node: int, place: dict[int, int] = place, side: int = side) -> float:
                near = [place[other] for other in neighbours[node][side]]
                return sum(near) / len(near) if near else place[node]

            order[level].sort(key=middle)
        crossings = _crossings(order, neighbours)
        if crossings < fewest:
            best, fewest = [list(nodes) for nodes in order], crossings
        if not fewest:
            break
    return best


def _crossings(order: list[list[int]], neighbours: Neighbours) -> int:
    total = 0
    for nodes, following in pairwise(order):
        place = {node: index for index, node in enumerate(following)}
        seen: list[int] = []
        for node in nodes:
            targets = sorted(place[other] for other in neighbours[node][1])
            total += sum(len(seen) - bisect_left(seen, target + 1) for target in targets)
            for target in targets:
                insort(seen, target)
    return total


def _heights(order: list[list[int]], neighbours: Neighbours) -> dict[int, float]:
    """Move each node as near to the middle of its neighbours as order and distance allow."""
    y = {node: float(index * LANE) for nodes in order for index, node in enumerate(nodes)}
    for step in range(12):
        for nodes in order if step % 2 == 0 else reversed(order):
            wish = {}
            for node in nodes:
                near = [y[other] for side in neighbours[node] for other in side]
                wish[node] = sum(near) / len(near) if near else y[node]
            _place(nodes, wish, y)
    top = min(y.values(), default=0.0)
    return {node: value - top + 38 for node, value in y.items()}


def _place(nodes: list[int], wish: dict[int, float], y: dict[int, float]) -> None:
    """Set the heights nearest to the wishes that keep order and distance, by pooling nodes that collide."""
    pools: list[tuple[float, int]] = []  # sum of (wish - offset), count
    for node in nodes:
        offset = LANE * sum(count for _, count in pools)
        total, count = wish[node] - offset, 1
        while pools and pools[-1][0] / pools[-1][1] > total / count:
            before = pools.pop()
            total, count = total + before[0], count + before[1]
        pools.append((total, count))
    index = 0
    for total, count in pools:
        for _ in range(count):
            y[nodes[index]] = total / count + index * LANE
            index += 1
