"""The plan that a run follows: of its stored definition, or of the current file."""

from __future__ import annotations

from typing import Protocol

from msgspec import structs

from neurocore.blueprint.model import Blueprint
from neurocore.blueprint.plan import Plan, compile_plan
from neurocore.blueprint.stored import stored_blueprint, stored_plan
from neurocore.persistence.base import RunStore


class SkillClass(Protocol):
    """What a plan needs to know about a skill."""

    @property
    def is_gate(self) -> bool:
        """Return whether a node of this skill waits for a decision."""


class KnowsSkills(Protocol):
    """The part of a registry that a plan needs."""

    def get(self, name: str) -> SkillClass | None:
        """Return the skill of this name, or None."""


def plan_of(blueprint: Blueprint, registry: KnowsSkills) -> Plan:
    """Return the plan of a blueprint; if it does not name its gates, the registry determines them."""
    return compile_plan(with_gates(blueprint, registry))


def with_gates(blueprint: Blueprint, registry: KnowsSkills) -> Blueprint:
    """Return the blueprint with its gates beside `approval`, from the registry unless it names them already."""
    if blueprint.gates is not None:
        return blueprint
    types = dict.fromkeys(component.type for component in blueprint.components if component.type != "approval")
    known = {name: registry.get(name) for name in types}
    return structs.replace(blueprint, gates=[name for name, skill in known.items() if skill and skill.is_gate])


def recorded_plan(run_id: str, store: RunStore, registry: KnowsSkills) -> tuple[Blueprint, Plan]:
    """Return the definition stored with a run, and its plan. Raises BlueprintError."""
    text = store.load_definition(run_id)
    blueprint = stored_blueprint(text)
    return (blueprint, stored_plan(text)) if blueprint.gates is not None else (blueprint, plan_of(blueprint, registry))
