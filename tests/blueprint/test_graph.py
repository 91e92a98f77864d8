"""Walks through graphs: what they find is what the plain definitions say."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from neurocore.blueprint import graph


@st.composite
def ways(draw):
    count = draw(st.integers(0, 8))
    nodes = st.integers(0, max(0, count - 1))
    return graph.ways_of(count, draw(st.lists(st.tuples(nodes, nodes), max_size=20 if count else 0)))


def reaches(ways, start):
    """What a node leads to by at least one edge, by the plain definition."""
    found, before = set(ways[start]), None
    while found != before:
        before = set(found)
        found |= {target for node in before for target in ways[node]}
    return found


@given(ways())
def test_what_is_reached_are_the_starts_and_all_that_edges_lead_to(ways):
    for start in range(len(ways)):
        assert graph.reached([start], ways.__getitem__) == {start} | reaches(ways, start)


@given(ways())
def test_an_order_puts_every_node_behind_those_that_lead_to_it_and_leaves_cycles_out(ways):
    order = graph.ordered(range(len(ways)), ways.__getitem__)
    place = {node: index for index, node in enumerate(order)}
    for source, targets in enumerate(ways):
        for target in targets:
            assert target not in place or place[source] < place[target]
    on_cycles = {node for node in range(len(ways)) if node in reaches(ways, node)}
    behind = {target for node in on_cycles for target in reaches(ways, node)}
    assert set(order) == set(range(len(ways))) - on_cycles - behind


def test_of_nodes_that_could_come_next_the_lowest_comes():
    assert graph.ordered([3, 2, 1, 0], [[], [0], [], []].__getitem__) == [1, 0, 2, 3]


@given(ways())
def test_without_the_edges_that_close_a_cycle_there_is_none(ways):
    closing = graph.closing(ways)
    rest = [[target for target in targets if (source, target) not in closing] for source, targets in enumerate(ways)]
    assert len(graph.ordered(range(len(ways)), rest.__getitem__)) == len(ways)
    for source, target in closing:
        assert target == source or source in reaches(ways, target), "an edge that closes a cycle is on one"


@given(ways())
def test_cycles_are_the_groups_of_nodes_that_reach_one_another(ways):
    found = graph.cycles(ways)
    reached = [reaches(ways, node) for node in range(len(ways))]
    wanted = {
        frozenset(other for other in reached[node] if node in reached[other])
        for node in range(len(ways))
        if node in reached[node]
    }
    assert set(found) == wanted
    assert len(found) == len(wanted)


def test_a_chain_of_many_nodes_is_walked_in_no_time():
    count = 50_000
    ways = [[node + 1] for node in range(count - 1)] + [[0]]
    assert graph.closing(ways) == {(count - 1, 0)}
    assert graph.cycles(ways) == [frozenset(range(count))]
    assert graph.ordered(range(1, count), ways.__getitem__) == list(range(1, count))
