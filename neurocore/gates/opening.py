"""What a gate's configuration means when it opens: its rules, and the instant of its deadline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from neurocore import typed
from neurocore.blueprint.conditions import compile_condition
from neurocore.blueprint.gate_rules import duration, not_yet, rule_problems, rules_in, written_out
from neurocore.blueprint.plan import PlanNode
from neurocore.context import FlowContext
from neurocore.errors import ConditionError, SkillError
from neurocore.gates.standing import after
from neurocore.persistence.gate_policy import GatePolicy


def policy_of(node: PlanNode, show: Sequence[str]) -> GatePolicy:
    """Return the rules of a gate that shows these keys. Raises SkillError if they are not valid.

    A blueprint is checked before it runs; this refuses what came past that, so that no rule is left out silently.
    """
    config = node.config
    problems = rule_problems(config) or not_yet(config)
    if problems:
        place, sentence = problems[0]
        raise SkillError(f"The gate {node.id} cannot open: {'.'.join(map(str, place))}: {sentence}")
    rules: dict[str, Any] = rules_in(config)
    if "form" in rules:
        rules["form"] = {name: written_out(spec) for name, spec in rules["form"].items()}
    rules["require"] = bool(config.get("require", True)) and config.get("on_reject") is None
    rules["on_reject"] = config.get("on_reject")
    rules["note"] = config.get("note", "optional")
    return typed.convert({**rules, "show": tuple(show)}, GatePolicy)


def deadline_at(node: PlanNode, policy: GatePolicy, context: Mapping[str, bytes], opened_at: str) -> str | None:
    """Return the instant of a gate's deadline, or None. Raises SkillError if its expression gives no time."""
    if policy.deadline is None:
        return None
    if duration(policy.deadline) is not None:
        return after(opened_at, policy.deadline)
    try:
        found = compile_condition(policy.deadline).value(FlowContext.over(context))
    except ConditionError as error:
        raise SkillError(f"The gate {node.id} cannot open, because its deadline has no value: {error}") from error
    if not isinstance(found, datetime) or found.tzinfo is None:
        kind = "a time without a zone" if isinstance(found, datetime) else type(found).__name__
        raise SkillError(
            f"The gate {node.id} cannot open: its deadline ({policy.deadline}) must be a time with a zone, not {kind}."
        )
    try:
        return found.astimezone(UTC).isoformat(timespec="microseconds")
    except (OverflowError, ValueError) as error:
        raise SkillError(f"The gate {node.id} cannot open: its deadline is beyond every clock.") from error
