"""The flow's picture: every node there, none upon another, readable and quick."""

from __future__ import annotations

import random
import time
from xml.etree import ElementTree as ET

import pytest

from neurocore.blueprint.load import parse_blueprint
from neurocore.blueprint.plan import compile_plan
from neurocore.persistence.records import GateRecord, RunRecord, RunStatus, StepRecord, StepStatus
from webapp.html import diagram
from webapp.html.graph_layout import HEIGHT, label_width, layered, rail


def graph(count, edges, kind="delay"):
    nodes = "\n".join(f"    - {{id: n{n}, component: c}}" for n in range(count))
    lines = "\n".join(f"    - {{source: n{a}, target: n{b}}}" for a, b in edges)
    return compile_plan(
        parse_blueprint(
            f"name: g\ncomponents: [{{name: c, type: {kind}}}]\n"
            f"flow:\n  type: graph\n  nodes:\n{nodes}\n  edges:\n{lines}\n"
        )
    )


def random_graph(count, seed, back=0):
    generator = random.Random(seed)
    edges = {
        (generator.randrange(max(0, n - 12), n), n) for n in range(1, count) for _ in range(generator.choice([1, 1, 2]))
    }
    return graph(count, sorted(edges) + [(count - 1 - n, count // 2 - n) for n in range(back)])


def overlapping(boxes):
    for place, a in enumerate(boxes):
        for b in boxes[place + 1 :]:
            if abs(a.y - b.y) < HEIGHT and a.x < b.x + b.width and b.x < a.x + a.width:
                return a, b
    return None


@pytest.mark.parametrize("count", [1, 2, 10, 50, 200])
def test_no_node_stands_upon_another(count):
    plan = random_graph(count, count)
    layout = layered(plan, [120.0] * count)
    assert overlapping(layout.boxes) is None
    assert all(box.x >= 0 and box.x + box.width <= layout.width for box in layout.boxes)
    assert all(HEIGHT / 2 <= box.y <= layout.height - HEIGHT / 2 for box in layout.boxes)


def test_edges_lead_from_left_to_right():
    plan = random_graph(50, 7)
    layout = layered(plan, [120.0] * 50)
    for edge in plan.edges:
        assert layout.boxes[edge.source].x + 120 <= layout.boxes[edge.target].x, f"{edge.source} → {edge.target}"


BRANCHES = """
name: branches
components: [{name: c, type: delay}, {name: ask, type: approval, config: {message: "Well?", require: false}}]
flow:
  type: graph
  nodes:
    [{id: draft, component: c}, {id: review, component: ask}, {id: publish, component: c}, {id: tell, component: c}]
  edges:
    - {source: draft, target: review}
    - {source: review, target: draft, condition: "context.data.approval.approved == False"}
    - {source: review, target: publish, condition: "context.data.approval.approved == True"}
    - {source: review, target: tell, condition: "context.data.amount > 1000"}
    - {source: publish, target: tell, condition: "context.data.amount < 10"}
"""
ON_REJECT = """
name: on_reject
components: [{name: a, type: delay}, {name: b, type: delay}, {name: c, type: delay}, {name: tidy, type: delay}]
flow:
  steps:
    - {component: a}
    - approval: {name: read, message: "Publish?", on_reject: tidy}
    - {component: b}
    - {component: c}
    - {component: tidy}
"""


@pytest.mark.parametrize("text", [BRANCHES, ON_REJECT])
def test_no_label_of_an_edge_stands_upon_another_or_upon_a_node(text):
    sheet = diagram.Sheet(compile_plan(parse_blueprint(text)))
    labels = list(sheet.labels.values())
    assert len(labels) > 1
    for place, one in enumerate(labels):
        left, top, right, bottom = one.box
        assert not [other.text for other in labels[place + 1 :] if one.covers(other)], f"{one.text} is written upon"
        for box in sheet.layout.boxes:
            beside = left >= box.x + box.width or right <= box.x
            apart = beside or top >= box.y + HEIGHT / 2 or bottom <= box.y - HEIGHT / 2
            assert apart, f"{one.text} stands upon a node"


def test_a_node_is_as_wide_as_its_name():
    for name in ("n" * 22, "名" * 22):
        assert label_width(name) > 40 + 6 * len(name)
    assert label_width("名" * 22) > label_width("n" * 22)


def test_two_hundred_nodes_are_laid_out_while_a_page_loads():
    plan = random_graph(200, 3)
    begin = time.process_time()
    layered(plan, [120.0] * 200)
    assert time.process_time() - begin < 2.0


def test_a_picture_is_well_formed_and_each_node_is_in_it():
    plan = random_graph(60, 1, back=3)
    picture = ET.fromstring(f'<d xmlns:x="y">{diagram.of_blueprint(plan, "k1").svg}</d>')
    assert {one.text for one in picture.iter("text") if one.get("class") == "name"} == {f"n{n}" for n in range(60)}
    assert len([one for one in picture.iter("g") if "edge" in (one.get("class") or "")]) == len(plan.edges)
    assert "style" not in {name for one in picture.iter() for name in one.attrib}


def test_a_chain_is_a_rail_that_wraps():
    layout = rail([120.0] * 30)
    assert overlapping(layout.boxes) is None
    assert layout.width < 1120
    assert len({box.y for box in layout.boxes}) > 2


def test_nodes_are_coloured_by_state_and_lead_to_their_step():
    plan = graph(5, [(0, 1), (1, 2), (2, 3), (3, 4)])
    run = RunRecord(run_id="r", blueprint_name="g", blueprint_hash="k2", status=RunStatus.SUSPENDED)
    steps = [
        StepRecord(run_id="r", step_index=0, component="c", node_id="n0", edges_taken=[0]),
        StepRecord(run_id="r", step_index=1, component="c", node_id="n1", status=StepStatus.SKIPPED, edges_taken=[]),
        StepRecord(run_id="r", step_index=2, component="c", node_id="n2", visit=3, status=StepStatus.SUSPENDED),
    ]
    drawn = diagram.of_run(plan, run, steps, [GateRecord(run_id="r", node_id="n2", visit=3)])
    states = diagram.states_of(drawn)
    assert [states[f"n{n}"].state for n in range(4)] == ["completed", "skipped", "suspended", "open"]
    svg = str(drawn.svg)
    assert 'href="#step-n0-1-1"' in svg
    assert "×3" in svg
    assert drawn.edges == {0: "taken", 1: "dead"}


def test_the_layout_is_kept_by_definition():
    plan = random_graph(30, 2)
    assert diagram.of_blueprint(plan, "k3").sheet is diagram.of_blueprint(plan, "k3").sheet
