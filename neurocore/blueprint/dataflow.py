"""Find context keys that are read before anything can have set them.

It reports only what it can know: inputs must be declared, and every skill that may have run before must declare what it
provides.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from neurocore.blueprint.conditions import Condition
from neurocore.blueprint.model import Blueprint
from neurocore.blueprint.plan import Plan, PlanNode
from neurocore.yamlfile import Place, nearest

#: Keys that the runtime itself sets, in every flow.
GIVEN = frozenset({"resume_data"})
_OF_GATES = frozenset({"approval", "approvals"})
#: In larger flows the sets of keys would grow with the square of the number of nodes.
_MAX_NODES = 1_000
_REMAPS = re.compile(r"(^|_)(keys?|inputs?|outputs?|arguments)$")


def unprovided(blueprint: Blueprint, plan: Plan, skills: Mapping[str, Any]) -> Iterator[tuple[Place, str]]:
    """Yield a place and a sentence for each key that nothing provides before; `skills` are classes by type."""
    if not blueprint.inputs or len(plan.nodes) > _MAX_NODES:
        return
    flow = _Flow(blueprint, plan, skills)
    kind = "nodes" if plan.flow_type == "graph" else "steps"
    places = {one.name: place for place, one in enumerate(blueprint.components)}
    for node in plan.nodes:
        if node.condition is not None:
            for key in flow.missing(_asked(node.condition), flow.before[node.index]):
                sentence = _too_early(key, flow.before[node.index], blueprint)
                yield ("flow", kind, node.index, "condition"), sentence
        for key in flow.missing(flow.reads(node), flow.before[node.index]):
            at: Place = ("flow", kind, node.index)
            at = ("components", places[node.component], "config", "show") if key in _shown(node) else at
            hint = _meant(key, flow.before[node.index], blueprint)
            yield at, f"{node.id} reads {key!r}, which no input and no step before it provides{hint}"
    for number, edge in enumerate(plan.edges):
        if edge.condition is not None:
            for key in flow.missing(_asked(edge.condition), flow.after(edge.source)):
                yield ("flow", "edges", number, "condition"), _too_early(key, flow.after(edge.source), blueprint)
    everything = frozenset().union(*(flow.own[node.index] or () for node in plan.nodes))
    if all(flow.own[node.index] is not None for node in plan.nodes):
        for key in flow.missing(blueprint.outputs, everything):
            yield ("outputs", key), f"Nothing in the flow sets the output {key!r}."


def _too_early(key: str, known: frozenset[str] | None, blueprint: Blueprint) -> str:
    return f"The condition reads {key!r} before anything sets it{_meant(key, known, blueprint)}"


def _meant(key: str, known: frozenset[str] | None, blueprint: Blueprint) -> str:
    hint = nearest(key, {*(known or ()), *blueprint.inputs})
    return hint if hint.startswith("; did") else "."


class _Flow:
    """What each node provides (None: it does not declare it), and what may be set before it."""

    def __init__(self, blueprint: Blueprint, plan: Plan, skills: Mapping[str, Any]) -> None:
        self.inputs = GIVEN | set(blueprint.inputs)
        self.plan = plan
        self.skills = skills
        self.own = [self._provides(node) for node in plan.nodes]
        self.before = self._before()

    def missing(self, keys: Any, known: frozenset[str] | None) -> list[str]:
        return [] if known is None else sorted(set(keys) - known - self.inputs)

    def after(self, index: int) -> frozenset[str] | None:
        before, own = self.before[index], self.own[index]
        return None if before is None or own is None else before | own

    def reads(self, node: PlanNode) -> set[str]:
        if node.is_gate:
            return {*_shown(node), *(self._declared(node, "keys_read", node.config) or ())}
        declared = self._declared(node, "keys_read", node.config)
        if declared is not None:
            return declared
        skill = self.skills.get(node.type)
        return set() if _remaps(node) else set(getattr(getattr(skill, "skill_meta", None), "consumes", ()) or ())

    def _declared(self, node: PlanNode, method: str, *given: Any) -> set[str] | None:
        """Return what a skill declares for a component of its own; None if it declares nothing."""
        ask = getattr(self.skills.get(node.type), method, None)
        declared = ask(*given) if ask is not None else None
        return None if declared is None else set(declared)

    def _provides(self, node: PlanNode) -> frozenset[str] | None:
        if node.is_gate:
            return _OF_GATES
        declared = self._declared(node, "keys_set", node.config, node.component)
        if declared is not None:
            return frozenset(declared)
        skill = self.skills.get(node.type)
        provides = getattr(getattr(skill, "skill_meta", None), "provides", None)
        return frozenset(provides) if provides and not _remaps(node) else None

    def _before(self) -> list[frozenset[str] | None]:
        """Return everything that any path to the node provides; None if a skill on one of them does not declare it."""
        before: list[frozenset[str] | None] = [frozenset()] * len(self.plan.nodes)
        if self.plan.flow_type == "conditional":
            return before  # only one step runs: nothing has run before it
        todo = list(range(len(before)))[::-1]
        waiting = set(todo)
        while todo:
            index = todo.pop()
            waiting.discard(index)
            own, known = self.own[index], before[index]
            for edge in self.plan.outgoing[index]:
                held = before[edge.target]
                new = None if own is None or known is None or held is None else held | known | own
                if new != held:
                    before[edge.target] = new
                    if edge.target not in waiting:
                        waiting.add(edge.target)
                        todo.append(edge.target)
        return before


def _asked(condition: Condition) -> frozenset[str]:
    return condition.keys - condition.optional


def _shown(node: PlanNode) -> list[str]:
    show = node.config.get("show") if node.is_gate else None
    return [key for key in show if isinstance(key, str)] if isinstance(show, list) else []


def _remaps(node: PlanNode) -> bool:
    """Return whether the configuration seems to rename the keys that the skill declares."""
    return any(_REMAPS.search(str(key)) for key in node.config)
