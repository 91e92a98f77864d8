"""What `neurocore validate` finds beyond the form of a blueprint, and what it does not complain about."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurocore.blueprint.model import Blueprint, Component, Edge, Flow, Node, Step
from neurocore.blueprint.model import Settings as FlowSettings
from neurocore.runtime.blueprint import Problem, parse_blueprint, validate_blueprint

HEAD = "name: x\n"
SKILLS = """components:
  - {name: load, type: load}
  - {name: sum, type: sum}
  - {name: send, type: send}
  - {name: quiet, type: silent}
"""


def found(text: str, registry: Any, **more: Any) -> list[str]:
    """Severity, place and sentence of each finding; findings about unused components are left out."""
    problems = validate_blueprint(parse_blueprint(HEAD + text), registry, **more)
    return [said(problem) for problem in problems if "does not use" not in problem.message]


def said(problem: Problem) -> str:
    assert problem.line is not None, f"{problem} has no place"
    assert problem.message.endswith((".", "?")), problem
    return f"{problem.severity} {problem.path}: {problem.message}"


def chain(*steps: str, inputs: str = "", kind: str = "sequential", settings_: str = "{}") -> str:
    lines = "".join(f"    - {step}\n" for step in steps)
    return f"{inputs}{SKILLS}flow:\n  type: {kind}\n  settings: {settings_}\n  steps:\n{lines}"


def graph(nodes: str, edges: str, inputs: str = "", settings_: str = "{max_iterations: 10}") -> str:
    """`nodes` are ids (of the component `quiet`, or `id=component`) or gates in braces; edges `a>b` or `a>b:port`."""
    node_lines = []
    for node in nodes.split(" | "):
        name, _, component = node.partition("=")
        node_lines.append(node if node.startswith("{") else f"{{id: {name}, component: {component or 'quiet'}}}")
    edge_lines = []
    for edge in edges.split():
        ends, _, port = edge.partition(":")
        source, target = ends.split(">")
        more = f", condition: {port[1:]}" if port.startswith("?") else f", port: {port}" if port else ""
        edge_lines.append(f"{{source: {source}, target: {target}{more}}}")
    places = "".join(f"    - {line}\n" for line in node_lines)
    ways = "".join(f"    - {line}\n" for line in edge_lines)
    flow = f"  type: graph\n  settings: {settings_}\n  nodes:\n{places}  edges:\n{ways or '    []'}\n"
    return f"{inputs}{SKILLS}flow:\n{flow}"


INPUTS = "inputs: {batch: string}\n"


def test_a_sound_blueprint_has_no_findings(registry: Any) -> None:
    steps = ("component: load", "component: sum", "approval: {show: [total, batch]}", "component: send")
    assert found(chain(*steps, inputs=INPUTS), registry) == []


# -------------------------------------------------------------------- skills and their configuration


def test_an_unknown_skill_names_the_nearest(registry: Any) -> None:
    text = "components: [{name: a, type: laod}]\nflow: {steps: [{component: a}]}\n"
    assert found(text, registry) == ["error components[0].type: There is no skill 'laod'; did you mean 'load'?"]


def test_configuration_is_checked_with_what_the_project_says_for_the_skill(registry: Any) -> None:
    class Config:
        project_root = Path("project")
        environ: ClassVar[dict[str, str]] = {}

        def skill_config(self, name: str) -> dict[str, Any]:
            return {"from_project": 1} if name == "load" else {}

    text = "components:\n  - name: a\n    type: load\n    config: {file: x}\nflow: {steps: [{component: a}]}\n"
    assert found(text, registry) == []
    assert found(text, registry, config=Config()) == [
        "error components[0].config: a: there is no config key 'from_project'."
    ]


def test_a_skill_whose_own_check_raises_is_named(registry: Any) -> None:
    def config_problems(config: dict[str, Any]) -> list[str]:
        raise ZeroDivisionError("oops")

    registry.skills["broken"] = type(registry.get("load"))()
    registry.skills["broken"].config_problems = config_problems
    (finding,) = found("components: [{name: a, type: broken}]\nflow: {steps: [{component: a}]}\n", registry)
    assert "a: the skill's check of its config raised ZeroDivisionError: oops" in finding


# -------------------------------------------------------------------- gates


@pytest.mark.parametrize(
    ("goal", "sentence"),
    [
        ("sned", "goes to 'sned' on a rejection, which is not a node; did you mean 'send'?"),
        ("load", "can go to a later step on a rejection, not to 'load'."),
        ("review", "can go to a later step on a rejection, not to 'review'."),
    ],
)
def test_a_rejection_must_go_to_a_later_step(registry: Any, goal: str, sentence: str) -> None:
    text = chain("component: load", f"approval: {{name: review, on_reject: {goal}}}", "component: send")
    (finding,) = found(text, registry)
    assert finding.startswith("error flow.steps[1].approval.on_reject: ")
    assert finding.endswith(sentence)


def test_a_gate_cannot_show_what_is_called_like_a_secret(registry: Any) -> None:
    text = chain("component: load", "approval: {show: [rows, api_key, token_count]}", "component: send")
    (finding,) = found(text, registry)
    assert finding == (
        "error flow.steps[1].approval.show[1]: The gate approval cannot show api_key: its name looks like a secret; "
        "remove it from `show`."
    )


def test_a_rejection_in_a_conditional_flow_has_nowhere_to_go(registry: Any) -> None:
    text = chain(
        "{approval: {on_reject: send}, condition: context.data.x}", "component: send", kind="conditional"
    )  # fmt: skip
    assert any("a rejection has nowhere to go" in finding for finding in found(text, registry))


def test_a_rejection_may_go_back_in_a_graph(registry: Any) -> None:
    text = graph("load=load | {approval: {name: review, on_reject: load}} | send=send", "load>review review>send")
    assert found(text, registry) == []


def test_a_gate_of_another_skill_is_a_gate_too(registry: Any) -> None:
    registry.skills["four_eyes"] = type(registry.get("load"))(provides="approval", is_gate=True)
    text = (
        "components:\n  - {name: a, type: four_eyes, config: {on_reject: b}}\n  - {name: c, type: silent}\n"
        "flow: {steps: [{component: a}, {component: c}]}\n"
    )
    (finding,) = found(text, registry)
    assert finding.startswith("error components[0].config.on_reject: The gate a goes to 'b'")


def test_a_gate_that_nothing_follows_is_pointed_at(registry: Any) -> None:
    assert found(chain("component: load", "approval:"), registry) == [
        "warning flow.steps[1]: Nothing follows the gate approval: approving it leads to no step."
    ]
    text = graph("{approval: {require: false}} | b", "approval>b:rejected")
    assert found(text, registry) == [
        "warning flow.nodes[0]: Nothing follows the gate approval: approving it leads to no step."
    ]


def test_an_edge_that_a_gate_never_takes_is_pointed_at(registry: Any) -> None:
    text = graph("{approval: } | b | c | d", "approval>b approval>c:aproved approval>d:rejected")
    assert found(text, registry) == [
        "warning flow.nodes[2]: c can never run: no edge that can be taken leads to it.",
        "warning flow.nodes[3]: d can never run: no edge that can be taken leads to it.",
        "warning flow.edges[1]: The gate approval has no port 'aproved'; did you mean 'approved'?",
        (
            "warning flow.edges[2]: A rejection at the gate approval ends the run before this; set `require: false` on "
            "the gate."
        ),
    ]


def test_settings_that_change_nothing_are_pointed_at(registry: Any) -> None:
    text = chain(
        "{approval: {require: true, on_reject: send}, timeout: 3}",
        "component: load",
        "component: send",
        settings_="{timeout_mode: hard_async, convergence_keys: [a], max_iterations: 3}",
    )
    assert found(text, registry) == [
        "warning flow.settings.timeout_mode: The setting timeout_mode is accepted and changes nothing.",
        "warning flow.settings.convergence_keys: The setting convergence_keys is accepted and changes nothing.",
        ("warning flow.steps[0].approval.require: on_reject continues the run after a rejection; leave `require` out."),
        "warning flow.steps[0].timeout: A gate waits for people; timeout changes nothing here.",
    ]


# -------------------------------------------------------------------- loops and ways


def test_a_loop_that_can_never_come_to_rest_is_an_error(registry: Any) -> None:
    (finding,) = found(graph("a | b | c", "a>b b>a b>c"), registry)
    assert finding.startswith("error flow.edges: The loop of a, b can never end, so it always fails")
    (finding,) = found(graph("a | b", "a>b b>b"), registry)
    assert "The loop of b can never end" in finding


@pytest.mark.parametrize(
    "edges",
    [
        "a>b b>a:again b>c",
        "a>b:?context.data.x b>a b>c",
        "a>b b>a:?context.data.x b>c",
        "a>b b>c c>a:again a>c",
    ],
)
def test_a_loop_with_a_port_or_a_condition_on_its_way_can(registry: Any, edges: str) -> None:
    assert found(graph("a | b | c", edges), registry) == []


def test_a_loop_that_is_left_at_its_bound_is_fine(registry: Any) -> None:
    bounded = "{max_iterations: 3, on_max_iterations: exit}"
    assert found(graph("a | b", "a>b b>a", settings_=bounded), registry) == []


def test_a_loop_through_a_gate_that_may_reject_can_come_to_rest(registry: Any) -> None:
    text = graph("a | {approval: {name: g, on_reject: a}} | b", "a>g g>b")
    assert found(text, registry) == []


def test_a_loop_without_a_bound_of_its_own_is_pointed_at(registry: Any) -> None:
    (finding,) = found(graph("a | b", "a>b b>a:again", settings_="{fail_fast: true}"), registry)
    assert finding.startswith(
        "warning flow.settings: The loop of a, b has no bound of its own, so it ends after 10 rounds"
    )
    text = graph("a | {id: b, component: quiet, max_visits: 2}", "a>b b>a:again", settings_="{fail_fast: true}")
    assert found(text, registry) == []


def test_a_loop_that_nothing_leads_into_is_an_error(registry: Any) -> None:
    assert found(graph("a | b | c | d", "a>b c>d:go d>c"), registry) == [
        "error flow.nodes[2]: Only its own loop leads to the node c; draw an edge into it, or remove it."
    ]
    assert found(graph("a | b", "a>b:go b>a"), registry) == [], "a graph that is one loop begins at its first node"


def test_a_node_without_edges_and_an_edge_that_stands_twice_are_pointed_at(registry: Any) -> None:
    assert found(graph("a | b | c", "a>b a>b"), registry) == [
        "warning flow.nodes[2]: No edge leads to c or from it, so it runs at the start.",
        "warning flow.edges[1]: The same edge appears twice; remove one.",
    ]
    assert found(graph("a", ""), registry) == []


def test_max_visits_outside_of_a_loop_is_pointed_at(registry: Any) -> None:
    text = graph("{id: a, component: quiet, max_visits: 2} | b", "a>b")
    assert found(text, registry) == [
        "warning flow.nodes[0].max_visits: a is in no loop, so max_visits changes nothing."
    ]


def test_what_stands_after_a_step_that_is_always_chosen_is_pointed_at(registry: Any) -> None:
    text = chain(
        "{component: load, condition: context.data.x}", "component: sum", "component: send", kind="conditional"
    )  # fmt: skip
    assert found(text, registry) == [
        "warning flow.steps[1]: sum has no condition and is always chosen, so send can never run."
    ]


def test_a_component_that_stands_nowhere_is_pointed_at(registry: Any) -> None:
    text = HEAD + "components: [{name: a, type: load}, {name: b, type: load}]\nflow: {steps: [{component: a}]}\n"
    (problem,) = validate_blueprint(parse_blueprint(text), registry)
    assert said(problem) == "warning components[1]: The flow does not use the component b."
    assert (problem.line, problem.column) == (2, 37)


# -------------------------------------------------------------------- keys


def test_a_key_that_is_read_before_anything_sets_it_is_pointed_at(registry: Any) -> None:
    text = chain("component: sum", "component: load", "component: send", inputs=INPUTS)
    assert found(text, registry) == [
        "warning flow.steps[0]: sum reads 'rows', which no input and no step before it provides."
    ]


def test_a_condition_and_a_gate_are_looked_at_too(registry: Any) -> None:
    text = chain(
        "component: load",
        "approval: {show: [rows, totl], message: 'Pay {{ rows | length }} of {{ bach }}? {{ now() }}'}",
        "{component: sum, condition: context.data.limit > 3 and context.has('maybe') and context.data.batch}",
        "{component: send, condition: context.data.approval.approved}",
        inputs=INPUTS,
    )
    assert found(text, registry) == [
        (
            "warning flow.steps[1]: approval reads 'bach', which no input and no step before it provides; "
            "did you mean 'batch'?"
        ),
        "warning flow.steps[1]: approval reads 'now', which no input and no step before it provides.",
        "warning flow.steps[1].approval.show: approval reads 'totl', which no input and no step before it provides.",
        "warning flow.steps[2].condition: The condition reads 'limit' before anything sets it.",
    ]


def test_an_answer_is_there_only_after_a_gate(registry: Any) -> None:
    step = "{component: load, condition: context.data.approval.approved}"
    assert found(chain(step, inputs=INPUTS), registry) == [
        "warning flow.steps[0].condition: The condition reads 'approval' before anything sets it."
    ]
    assert found(chain("approval:", step, inputs=INPUTS), registry) == []


def test_the_condition_of_an_edge_sees_what_its_source_provides(registry: Any) -> None:
    text = graph("a=load | b=sum | c=send", "a>b:?context.data.rows b>c:?context.data.totl", inputs=INPUTS)
    assert found(text, registry) == [
        "warning flow.edges[1].condition: The condition reads 'totl' before anything sets it; did you mean 'total'?"
    ]


def test_what_a_loop_brings_back_counts(registry: Any) -> None:
    text = graph("a=sum | b=load | c=send", "a>b b>a:again b>c", inputs=INPUTS)
    assert found(text, registry) == [], "sum may get its rows on its second visit"


def test_in_a_conditional_flow_no_other_step_has_run_before(registry: Any) -> None:
    text = chain(
        "{component: load, condition: context.data.batch}",
        "{component: sum, condition: context.data.batch}",
        inputs=INPUTS,
        kind="conditional",
    )
    assert found(text, registry) == [
        "warning flow.steps[1]: sum reads 'rows', which no input and no step before it provides."
    ]


@pytest.mark.parametrize(
    "text",
    [
        chain("component: sum", "component: send"),
        chain("component: quiet", "component: sum", inputs=INPUTS),
        chain("component: sum", inputs="inputs: {rows: list}\n"),
        chain(
            "component: load", "approval: {message: '{% for row in rows %}{{ row.x }}{% endfor %}'}", "component: sum"
        ),
        chain("{component: load, condition: context.get('resume_data')}", inputs=INPUTS),
        chain("component: load\n      condition: context.data.x is None or context.get('y', 1) > 0", inputs=INPUTS),
        graph("a=load | b=quiet | c=send", "a>c b>c", inputs=INPUTS),
    ],
    ids=["no inputs", "a silent skill", "an input", "a loop in a template", "resume data", "asked about", "one branch"],
)
def test_where_one_cannot_know_nothing_is_said(registry: Any, text: str) -> None:
    assert found(text, registry) == []


def test_a_skill_whose_configuration_names_keys_may_read_and_set_others(registry: Any) -> None:
    registry.skills["agent"] = type(registry.get("load"))(provides="reply", consumes="prompt")
    text = (
        f"{INPUTS}components:\n  - {{name: a, type: agent, config: {{input_key: batch, output_key: plan}}}}\n"
        "  - {name: b, type: sum}\nflow: {steps: [{component: a}, {component: b, condition: context.data.plan}]}\n"
    )
    assert found(text, registry) == []


def test_an_output_that_nothing_sets_is_pointed_at(registry: Any) -> None:
    text = chain("component: load", "component: sum", inputs=f"{INPUTS}outputs: {{total: any, receipt: any}}\n")
    assert found(text, registry) == ["warning outputs.receipt: Nothing in the flow sets the output 'receipt'."]


# -------------------------------------------------------------------- as a whole


def test_without_warnings_only_errors_are_looked_for(registry: Any) -> None:
    text = chain("approval: {on_reject: nowhere}", settings_="{timeout_mode: x}")
    assert {finding.split()[0] for finding in found(text, registry)} == {"warning", "error"}
    problems = validate_blueprint(parse_blueprint(HEAD + text), registry, warnings=False)
    assert [problem.severity for problem in problems] == ["error"]


def test_a_blueprint_made_by_a_program_is_checked_as_one_from_a_file(registry: Any) -> None:
    one = Component(name="a", type="load")
    broken = Blueprint(name="x", components=[one, one], flow=Flow(steps=[Step(component="b", condition="1 +")]))
    sentences = "\n".join(map(str, validate_blueprint(broken, registry)))
    assert "Two components are called 'a'" in sentences
    assert "flow.steps[0].component: There is no component 'b'" in sentences
    assert "cannot be parsed" in sentences
    sound = Blueprint(name="x", components=[one], flow=Flow(steps=[Step(component="a")]))
    assert validate_blueprint(sound, registry) == []


def test_a_flow_of_ten_thousand_steps_is_checked_in_seconds(registry: Any) -> None:
    blueprint = parse_blueprint(HEAD + INPUTS + SKILLS + "flow:\n  steps:\n" + "  - component: load\n" * 10_000)
    started = time.process_time()
    assert all("does not use" in problem.message for problem in validate_blueprint(blueprint, registry))
    assert time.process_time() - started < 10


nodes = [Node(id=name, component="load") for name in "abcd"]
edges = st.builds(
    Edge,
    source=st.sampled_from("abcd"),
    target=st.sampled_from("abcd"),
    port=st.none() | st.just("go"),
    condition=st.none() | st.just("context.data.x"),
)


@settings(deadline=None)
@given(st.lists(edges, max_size=8), st.sampled_from(["fail", "exit"]))
def test_any_graph_gets_sentences(ways: list[Edge], on_max: Any) -> None:
    blueprint = Blueprint(
        name="x",
        components=[Component(name="load", type="load")],
        flow=Flow(type="graph", nodes=nodes, edges=ways, settings=FlowSettings(on_max_iterations=on_max)),
    )

    class Registry:
        def get(self, name: str) -> Any:
            return None

        def names(self) -> list[str]:
            return []

    for problem in validate_blueprint(blueprint, Registry()):
        assert problem.message.endswith((".", "?")), problem
