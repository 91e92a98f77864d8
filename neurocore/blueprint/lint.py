"""What is wrong with a blueprint beyond its form: against the skills there are, and against its own flow."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Protocol

from neurocore.blueprint.model import Blueprint
from neurocore.blueprint.plan import Plan, PlanNode, compile_plan
from neurocore.yamlfile import Problem, nearest


class Registry(Protocol):
    """The part of a skill registry that checking needs."""

    def get(self, name: str) -> Any:
        """The skill class of this name, or None."""

    def names(self) -> list[str]:
        """Every name."""


class Config(Protocol):
    """The part of a project's configuration that checking needs."""

    def skill_config(self, name: str) -> dict[str, Any]:
        """The skill's configuration from neurocore.yaml."""


def validate_blueprint(blueprint: Blueprint, registry: Registry, config: Config | None = None) -> list[Problem]:
    """Every finding: errors keep the blueprint from running, warnings do not. An empty list means it is sound."""
    problems = [*_components(blueprint, registry, config)]
    plan = compile_plan(blueprint)
    problems += _settings(blueprint)
    problems += _gates(blueprint, plan)
    problems += _loops(plan)
    problems += _reachable(plan)
    problems += _unused(blueprint, plan)
    if not any(problem.severity == "error" for problem in problems):
        problems += _keys(blueprint, plan, registry)
    return problems


def _error(path: str, message: str) -> Problem:
    return Problem(message=message, path=path)


def _warning(path: str, message: str) -> Problem:
    return Problem(message=message, path=path, severity="warning")


def _components(blueprint: Blueprint, registry: Registry, config: Config | None) -> Iterator[Problem]:
    for place, component in enumerate(blueprint.components):
        path = f"components[{place}]"
        skill_class = registry.get(component.type)
        if skill_class is None:
            hint = nearest(component.type, registry.names())
            yield _error(f"{path}.type", f"There is no skill {component.type!r}{hint}")
            continue
        base = config.skill_config(component.type) if config is not None else {}
        for sentence in skill_class.config_problems({**base, **component.config}):
            yield _error(f"{path}.config", f"{component.name}: {sentence}")


def _settings(blueprint: Blueprint) -> Iterator[Problem]:
    for name in blueprint.flow.settings.without_effect:
        yield _warning(f"flow.settings.{name}", f"The setting {name} is accepted and changes nothing.")


def _gates(blueprint: Blueprint, plan: Plan) -> Iterator[Problem]:
    for node in plan.nodes:
        if not node.is_gate:
            continue
        goal = node.config.get("on_reject")
        place = next(i for i, one in enumerate(blueprint.components) if one.name == node.component)
        path = f"components[{place}].config.on_reject"
        if goal is not None and goal not in plan.by_id:
            yield _error(
                path, f"The gate {node.id} goes to {goal!r} on a rejection, which is no node{nearest(goal, plan.by_id)}"
            )
        elif goal is not None and plan.flow_type != "graph" and plan.by_id[goal].index <= node.index:
            yield _error(path, f"The gate {node.id} can only go to a later step on a rejection, not to {goal!r}.")
        elif goal is not None and plan.flow_type == "conditional":
            yield _error(path, "In a conditional flow one step runs; on_reject has nowhere to go.")
        if not plan.outgoing[node.index]:
            yield _warning(f"components[{place}]", f"Nothing follows the gate {node.id}: approving it changes nothing.")


def _loops(plan: Plan) -> Iterator[Problem]:
    for loop in plan.loops:
        back = [edge for edge in plan.edges if edge.back and edge.source in loop and edge.target in loop]
        bounded = plan.settings.on_max_iterations != "fail" or any(plan.nodes[i].max_visits for i in loop)
        if not bounded and any(_always(plan, edge) for edge in back):
            names = ", ".join(plan.nodes[index].id for index in sorted(loop))
            yield _error(
                "flow.edges",
                f"The loop of {names} never comes to rest: give the edge that closes it a port or a condition, or set "
                "max_iterations with on_max_iterations: exit.",
            )


def _always(plan: Plan, back: Any) -> bool:
    """Whether nothing on the way round can keep this edge from being taken."""
    if back.port or back.condition is not None:
        return False
    inner = [e for e in plan.edges if not e.back and e.target == back.source and e.source != back.source]
    return all(edge.port is None and edge.condition is None for edge in inner)


def _reachable(plan: Plan) -> Iterator[Problem]:
    reached = {node.index for node in plan.nodes if not plan.incoming[node.index]}
    if plan.flow_type == "graph":
        led_to = {edge.target for edge in plan.edges if edge.source != edge.target}
        alone = [node for node in plan.nodes if node.index not in led_to and not plan.outgoing[node.index]]
        if len(plan.nodes) > 1:
            for node in alone:
                yield _warning("flow.nodes", f"No edge leads to or from the node {node.id}; it runs on its own.")
        roots = [node for node in plan.nodes if node.index not in led_to]
        for node in plan.nodes:
            if roots and node.index in reached and node.index in led_to:
                yield _error(
                    "flow.nodes", f"The node {node.id} is only reached from itself: no way leads into its loop."
                )
    elif plan.flow_type == "conditional":
        for node in plan.nodes[:-1]:
            if node.condition is None:
                following = plan.nodes[node.index + 1].id
                yield _warning(
                    f"flow.steps[{node.index}]",
                    f"{node.id} has no condition, so in a conditional flow {following} and what comes after never run.",
                )
                break


def _unused(blueprint: Blueprint, plan: Plan) -> Iterator[Problem]:
    used = {node.component for node in plan.nodes}
    for place, component in enumerate(blueprint.components):
        if component.name not in used:
            yield _warning(f"components[{place}]", f"The component {component.name} stands nowhere in the flow.")


def _keys(blueprint: Blueprint, plan: Plan, registry: Registry) -> Iterator[Problem]:
    """Keys that are read before anything can have set them. Silent wherever a skill does not say what it provides."""
    if not blueprint.inputs:
        return
    given = set(blueprint.inputs) | {"approval", "approvals", "resume_data"}
    for node in plan.nodes:
        before = _before(plan, node)
        metas = [registry.get(one.type).skill_meta for one in before]
        if any(not meta.provides and not one.is_gate for meta, one in zip(metas, before, strict=True)):
            continue
        known = given | {key for meta in metas for key in meta.provides}
        if node.condition is not None:
            for key in sorted(node.condition.keys - known):
                yield _warning(
                    f"flow.steps[{node.index}].condition",
                    f"{node.id}'s condition reads {key!r} before anything sets it.",
                )
        if node.type in ("template", "python", "http", "command", "delay"):
            continue  # what these read is a matter of their configuration
        for key in sorted(set(registry.get(node.type).skill_meta.consumes) - known):
            yield _warning("flow", f"{node.id} reads {key!r}, which no input and no step before it provides.")


def _before(plan: Plan, node: PlanNode) -> list[PlanNode]:
    seen: set[int] = set()
    todo: list[int] = [node.index]
    into: Iterable[Any]
    while todo:
        index = todo.pop()
        into = (edge.source for edge in plan.edges if edge.target == index)
        for source in into:
            if source not in seen:
                seen.add(source)
                todo.append(source)
    return [plan.nodes[index] for index in sorted(seen)]
