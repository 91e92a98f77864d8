"""Check a blueprint beyond its form: against the available skills, and against its own flow.

Errors prevent a run. Warnings report likely mistakes, and only where the check can be sure.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

from neurocore.blueprint import graph
from neurocore.blueprint.consistency import check_consistency
from neurocore.blueprint.dataflow import unprovided
from neurocore.blueprint.gate_lint import GateFinding, Known, gate_errors, gate_warnings
from neurocore.blueprint.gate_rules import not_yet, rule_problems, rules_in
from neurocore.blueprint.load import document_of
from neurocore.blueprint.model import Blueprint, Component
from neurocore.blueprint.plan import APPROVED, REJECTED, Carry, Plan, PlanEdge, PlanNode, compile_plan
from neurocore.context import reserved_problem
from neurocore.errors import said
from neurocore.secrets import find_references, looks_secret
from neurocore.yamlfile import Document, Place, Problem, in_order, nearest


class Registry(Protocol):
    """The part of a skill registry that checking needs. `hint` says more about a name that is missing."""

    def get(self, name: str) -> Any:
        """Return the skill class of this name, or None."""

    def names(self) -> list[str]:
        """Return every name."""


class Config(Protocol):
    """The part of a project's configuration that checking needs."""

    @property
    def project_root(self) -> Path:
        """Return the project's folder."""

    @property
    def environ(self) -> dict[str, str]:
        """Return the environment that references are resolved from."""

    def skill_config(self, name: str) -> dict[str, Any]:
        """Return the skill's configuration from neurocore.yaml."""


#: The place, the sentence, and whether it prevents a run.
Finding = tuple[Place, str, str]


def validate_blueprint(
    blueprint: Blueprint, registry: Registry, config: Config | None = None, *, warnings: bool = True
) -> list[Problem]:
    """Return every problem, in the order of the file; an empty list means that the blueprint is valid.

    Without `warnings` only errors are checked, which is fast: a run does this before it starts.
    """
    made = Document(None, [], {})
    check_consistency(made, blueprint.definition())
    if made.problems:  # a program made it; an inconsistent file is never loaded
        return made.problems
    checks = _Checks(blueprint, registry, config)
    findings = [*checks.errors(), *(checks.warnings() if warnings else ())]
    if not findings:
        return []
    document = document_of(blueprint)
    problems = [document.problem(place, message, severity=severity) for place, message, severity in findings]
    return sorted(problems, key=in_order)


def _error(place: Place, message: str) -> Finding:
    return place, message, "error"


def _warning(place: Place, message: str) -> Finding:
    return place, message, "warning"


class _Checks:
    """The checks of one blueprint, with its plan and the places of its parts."""

    def __init__(self, blueprint: Blueprint, registry: Registry, config: Config | None) -> None:
        self.blueprint = blueprint
        self.registry = registry
        self.config = config
        self.skills = {one.type: registry.get(one.type) for one in blueprint.components}
        self.plan = compile_plan(blueprint, is_gate=self._is_gate)
        self.component_at = {one.name: place for place, one in enumerate(blueprint.components)}

    def _reserved(self) -> Iterator[Finding]:
        """Report keys that would be set under a name reserved for the answers of gates."""
        for kind, names in ("inputs", self.blueprint.inputs), ("outputs", self.blueprint.outputs):
            for name in names:
                if (problem := reserved_problem(name)) is not None:
                    yield _error((kind, name), problem)
        for place, component in enumerate(self.blueprint.components):
            skill = self.skills[component.type]
            schema = getattr(getattr(skill, "skill_meta", None), "config_schema", None) or {}
            if "output" not in (schema.get("properties") or {}):
                continue
            output = component.config.get("output", component.name)
            if isinstance(output, str) and (problem := reserved_problem(output)) is not None:
                key = "config" if "output" in component.config else "name"
                yield _error(("components", place, key), problem)

    def errors(self) -> Iterator[Finding]:
        yield from self._reserved()
        yield from self._configs()
        for node in self.plan.nodes:
            if node.is_gate:
                yield from self._rejection(node)
        yield from self._rules(gate_errors, _error)
        yield from self._endless_loops()
        yield from self._islands()

    def warnings(self) -> Iterator[Finding]:
        yield from self._project()
        yield from self._without_effect()
        yield from self._gates()
        yield from self._rules(gate_warnings, _warning)
        yield from self._unbounded_loops()
        yield from self._never_run()
        yield from self._unused()
        yield from (_warning(place, message) for place, message in unprovided(self.blueprint, self.plan, self.skills))

    def _is_gate(self, skill_type: str) -> bool:
        return skill_type == "approval" or bool(getattr(self.skills.get(skill_type), "is_gate", False))

    def _place(self, node: PlanNode, *keys: str) -> Place:
        return ("flow", "nodes" if self.plan.flow_type == "graph" else "steps", node.index, *keys)

    def _config_of(self, node: PlanNode, *keys: str | int) -> Place:
        return ("components", self.component_at[node.component], "config", *keys)

    def _names(self, indexes: Iterable[int]) -> str:
        names = [self.plan.nodes[index].id for index in sorted(indexes)]
        return ", ".join(names[:6]) + (", …" if len(names) > 6 else "")

    # ---------------------------------------------------------------- errors

    def _configs(self) -> Iterator[Finding]:
        for place, component in enumerate(self.blueprint.components):
            skill = self.skills[component.type]
            if skill is None:
                more = getattr(self.registry, "hint", None)
                hint = more(component.type) if more else nearest(component.type, self.registry.names())
                yield _error(("components", place, "type"), f"There is no skill {component.type!r}{hint}")
                continue
            base = self.config.skill_config(component.type) if self.config is not None else {}
            config = {**base, **component.config}
            try:
                sentences = list(skill.config_problems(config))
                sentences += skill.llm_problems(config) if self.config is not None else []
            except Exception as error:  # a skill's own check may raise anything
                sentences = [f"the skill's check of its config raised {type(error).__name__}: {said(error)}."]
            for sentence in sentences:
                yield _error(("components", place, "config"), f"{component.name}: {sentence}")
            if self._is_gate(component.type) and not sentences:
                for at, sentence in [*rule_problems(component.config), *not_yet(component.config)]:
                    yield _error(("components", place, "config", *at), f"{component.name}: {sentence}")
                for key in rules_in(base):
                    sentence = f"neurocore.yaml sets {key} for every gate, which changes no gate; set it here."
                    yield _error(("components", place, "config"), f"{component.name}: {sentence}")
            for at, sentence in skill.template_problems(config):
                yield _error(("components", place, "config", *at), f"{component.name}: {sentence}")
            if self._is_gate(component.type):
                yield from self._secrets_shown(place, component)

    def _secrets_shown(self, place: int, gate: Component) -> Iterator[Finding]:
        """Report what no gate can show, whatever its value: opening the gate would fail."""
        show = gate.config.get("show")
        for index, key in enumerate(show if isinstance(show, list) else ()):
            if isinstance(key, str) and looks_secret(key):
                yield _error(
                    ("components", place, "config", "show", index),
                    f"The gate {gate.name} cannot show {key}: its name looks like a secret; remove it from `show`.",
                )

    def _rejection(self, gate: PlanNode) -> Iterator[Finding]:
        goal = gate.config.get("on_reject")
        place = self._config_of(gate, "on_reject")
        if not isinstance(goal, str):
            return
        target = self.plan.by_id.get(goal)
        if target is None:
            hint = nearest(goal, self.plan.by_id)
            yield _error(place, f"The gate {gate.id} goes to {goal!r} on a rejection, which is not a node{hint}")
        elif self.plan.flow_type == "conditional":
            yield _error(place, "In a conditional flow only one step runs, so a rejection has nowhere to go.")
        elif self.plan.flow_type == "sequential" and target.index <= gate.index:
            yield _error(place, f"The gate {gate.id} can go to a later step on a rejection, not to {goal!r}.")

    def _rules(
        self, check: Callable[[Plan, Known], Iterator[GateFinding]], finding: Callable[[Place, str], Finding]
    ) -> Iterator[Finding]:
        """Report what the rules of gates cannot mean in this flow, or with what the project knows of people."""
        auth = getattr(self.config, "auth", None)
        mode = getattr(auth, "mode", None)
        known = Known(mode=mode, groups=getattr(auth, "groups", None) if mode == "open" else None)
        found = ((self._config_of(gate, *place), sentence) for gate, place, sentence in check(self.plan, known))
        for place, sentence in dict.fromkeys(found):
            yield finding(place, sentence)

    def _endless_loops(self) -> Iterator[Finding]:
        if self.plan.settings.on_max_iterations != "fail":
            return
        for loop in self.plan.loops:
            endless = _on_cycles([one for one in self._inside(loop) if one.port is None and one.condition is None])
            if endless:
                yield _error(
                    ("flow", "edges"),
                    f"The loop of {self._names(endless)} can never end, so it always fails: give an edge of "
                    "it a port or a condition, or set max_iterations and on_max_iterations: exit.",
                )

    def _islands(self) -> Iterator[Finding]:
        """Report loops that nothing leads into, although the graph starts elsewhere."""
        led_to = {edge.target for edge in self.plan.edges if edge.source != edge.target}
        if len(led_to) == len(self.plan.nodes):
            return
        for node in self.plan.nodes:
            if node.index in led_to and not self.plan.incoming[node.index]:
                yield _error(
                    self._place(node),
                    f"Only its own loop leads to the node {node.id}; draw an edge into it, or remove it.",
                )

    def _inside(self, loop: frozenset[int]) -> list[PlanEdge]:
        return [edge for index in loop for edge in self.plan.outgoing[index] if edge.target in loop]

    # ---------------------------------------------------------------- warnings

    def _project(self) -> Iterator[Finding]:
        """Report what the project or its environment lacks now. It may exist where the run is driven."""
        if self.config is None:
            return
        environ = self.config.environ
        for place, component in enumerate(self.blueprint.components):
            skill = self.skills[component.type]
            config = {**self.config.skill_config(component.type), **component.config}
            for sentence in skill.project_problems(config, self.config.project_root) if skill is not None else ():
                yield _error(("components", place, "config"), f"{component.name}: {sentence}")
            for name in sorted(find_references(config) - environ.keys()):
                sentence = f"{component.name}: the environment has no {name} now; set it, or put it into .env."
                yield _warning(("components", place, "config"), sentence)

    def _without_effect(self) -> Iterator[Finding]:
        for name in self.blueprint.flow.settings.without_effect:
            yield _warning(("flow", "settings", name), f"The setting {name} is accepted and changes nothing.")
        for node in self.plan.nodes:
            if node.is_gate and (node.timeout is not None or node.retry is not None):
                key = "timeout" if node.timeout is not None else "retry"
                yield _warning(self._place(node, key), f"A gate waits for people; {key} changes nothing here.")
            if node.max_visits is not None and node.loop is None:
                yield _warning(
                    self._place(node, "max_visits"), f"{node.id} is in no loop, so max_visits changes nothing."
                )
            if node.is_gate and node.config.get("require") is True and isinstance(node.config.get("on_reject"), str):
                yield _warning(
                    self._config_of(node, "require"),
                    "on_reject continues the run after a rejection; leave `require` out.",
                )

    def _gates(self) -> Iterator[Finding]:
        for node in self.plan.nodes:
            if not node.is_gate:
                continue
            ways = [one for one in self.plan.outgoing[node.index] if one.carry is not Carry.MISSED]
            if not any(one.port in (None, APPROVED) for one in ways):
                yield _warning(self._place(node), f"Nothing follows the gate {node.id}: approving it leads to no step.")

    def _dead(self, edge: PlanEdge) -> str | None:
        """Return why an edge that leaves a gate is never taken."""
        gate = self.plan.nodes[edge.source]
        if not gate.is_gate or edge.port is None:
            return None
        if edge.port not in (APPROVED, REJECTED):
            return f"The gate {gate.id} has no port {edge.port!r}{nearest(edge.port, (APPROVED, REJECTED))}"
        goes_on = gate.config.get("require", True) is False or isinstance(gate.config.get("on_reject"), str)
        if edge.port == REJECTED and not goes_on:
            return f"A rejection at the gate {gate.id} ends the run before this; set `require: false` on the gate."
        return None

    def _unbounded_loops(self) -> Iterator[Finding]:
        loops = self.plan.loops if self.plan.flow_type == "graph" else ()
        settings = document_of(self.blueprint).marks if loops else {}
        if not settings or ("flow", "settings", "max_iterations") in settings:
            return
        for loop in loops:
            if not any(self.plan.nodes[index].max_visits for index in loop):
                yield _warning(
                    ("flow", "settings"),
                    f"The loop of {self._names(loop)} has no bound of its own, so it ends after "
                    f"{self.plan.settings.max_iterations} rounds; set max_iterations to say what you mean.",
                )

    def _never_run(self) -> Iterator[Finding]:
        if self.plan.flow_type == "conditional":
            yield from self._after_the_last_choice()
        elif self.plan.flow_type == "graph":
            yield from self._edges()

    def _after_the_last_choice(self) -> Iterator[Finding]:
        for node in self.plan.nodes[:-1]:
            if node.condition is None:
                after = self._names(range(node.index + 1, len(self.plan.nodes)))
                yield _warning(
                    self._place(node), f"{node.id} has no condition and is always chosen, so {after} can never run."
                )
                return

    def _edges(self) -> Iterator[Finding]:
        written = len(self.blueprint.flow.edges or ())  # the plan adds the edges of on_reject
        seen: set[Any] = set()
        ways: dict[int, list[int]] = {}
        for edge in self.plan.edges:
            why = self._dead(edge) if edge.index < written else None
            key = (edge.source, edge.target, edge.port, edge.condition and edge.condition.text)
            if why:
                yield _warning(("flow", "edges", edge.index), why)
            elif edge.index < written and key in seen:
                yield _warning(("flow", "edges", edge.index), "The same edge appears twice; remove one.")
            seen.add(key)
            if not why:
                ways.setdefault(edge.source, []).append(edge.target)
        starts = (node.index for node in self.plan.nodes if not self.plan.incoming[node.index])
        reached = graph.reached(starts, lambda node: ways.get(node, ()))
        for node in self.plan.nodes:
            alone = not self.plan.incoming[node.index] and not self.plan.outgoing[node.index]
            if node.index not in reached:
                yield _warning(self._place(node), f"{node.id} can never run: no edge that can be taken leads to it.")
            elif alone and len(self.plan.nodes) > 1:
                yield _warning(self._place(node), f"No edge leads to {node.id} or from it, so it runs at the start.")

    def _unused(self) -> Iterator[Finding]:
        used = {node.component for node in self.plan.nodes}
        for place, component in enumerate(self.blueprint.components):
            if component.name not in used:
                yield _warning(("components", place), f"The flow does not use the component {component.name}.")


def _on_cycles(edges: list[PlanEdge]) -> set[int]:
    """Return the nodes on cycles of these edges, and between two of them."""
    left = {node for edge in edges for node in (edge.source, edge.target)}
    for pairs in ([(edge.source, edge.target) for edge in edges], [(edge.target, edge.source) for edge in edges]):
        ways = defaultdict(list)
        for source, target in pairs:
            ways[source].append(target)
        left -= set(graph.ordered(left, ways.__getitem__))
    return left
