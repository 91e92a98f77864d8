"""Walks through a directed graph. Nodes are numbers; `leads_to` returns the nodes that one node's edges lead to.

Walks over all nodes take each node's targets as a list instead, from node 0.

Every walk takes time in proportion to the nodes and edges it visits, and needs no deep stack.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

Ways = Sequence[Collection[int]]
LeadsTo = Callable[[int], Iterable[int]]


def ways_of(count: int, edges: Iterable[tuple[int, int]]) -> list[list[int]]:
    """Return the targets of each of `count` nodes, from edges as (source, target), in the order of the edges."""
    ways: list[list[int]] = [[] for _ in range(count)]
    for source, target in edges:
        ways[source].append(target)
    return ways


def reached(starts: Iterable[int], leads_to: LeadsTo) -> set[int]:
    """Return the starts and every node that they lead to."""
    seen = set(starts)
    todo = list(seen)
    while todo:
        for target in leads_to(todo.pop()):
            if target not in seen:
                seen.add(target)
                todo.append(target)
    return seen


def ordered(nodes: Iterable[int], leads_to: LeadsTo) -> list[int]:
    """Return the nodes, each after those that lead to it; if several could come next, the lowest.

    A node on a cycle, or behind one, is left out.
    """
    wanted = set(nodes)
    waits_for = dict.fromkeys(wanted, 0)
    for source in wanted:
        for target in leads_to(source):
            if target in wanted:
                waits_for[target] += 1
    ready = [node for node, count in waits_for.items() if not count]
    heapq.heapify(ready)
    order = []
    while ready:
        node = heapq.heappop(ready)
        order.append(node)
        for target in leads_to(node):
            if target in wanted:
                waits_for[target] -= 1
                if not waits_for[target]:
                    heapq.heappush(ready, target)
    return order


def closing(ways: Ways) -> set[tuple[int, int]]:
    """Return the edges that close a cycle: those that a depth-first walk finds leading to a node that it is still in.

    The walk starts at the nodes without incoming edges, then takes the rest in order.
    """
    led_to = {target for source, targets in enumerate(ways) for target in targets if target != source}
    inside: set[int] = set()
    left: set[int] = set()
    found: set[tuple[int, int]] = set()
    for root in sorted(range(len(ways)), key=lambda node: node in led_to):
        if root in left:
            continue
        inside.add(root)
        path: list[tuple[int, Iterator[int]]] = [(root, iter(ways[root]))]
        while path:
            node, targets = path[-1]
            target = next(targets, None)
            if target is None:
                inside.discard(node)
                left.add(node)
                path.pop()
            elif target in inside:
                found.add((node, target))
            elif target not in left:
                inside.add(target)
                path.append((target, iter(ways[target])))
    return found


def cycles(ways: Ways) -> list[frozenset[int]]:
    """Return the groups of nodes that reach one another, and single nodes that lead to themselves.

    These are the strongly connected components, found with Kosaraju's algorithm: by the order in which a walk leaves
    the nodes, and a walk backwards.
    """
    backwards = ways_of(len(ways), ((target, source) for source, targets in enumerate(ways) for target in targets))
    order: list[int] = []
    seen: set[int] = set()
    for root in range(len(ways)):
        order += _left(root, ways, seen)
    seen = set()
    groups = []
    for root in reversed(order):
        group = frozenset(_left(root, backwards, seen))
        if len(group) > 1 or (group and root in ways[root]):
            groups.append(group)
    return groups


def _left(root: int, ways: Ways, seen: set[int]) -> list[int]:
    """Return the nodes newly reached from `root`, in the order in which a depth-first walk leaves them."""
    if root in seen:
        return []
    seen.add(root)
    order: list[int] = []
    path = [(root, iter(ways[root]))]
    while path:
        node, targets = path[-1]
        following = next((target for target in targets if target not in seen), None)
        if following is None:
            order.append(node)
            path.pop()
        else:
            seen.add(following)
            path.append((following, iter(ways[following])))
    return order
