"""A gate opens with the rules that its blueprint has: checked, stored, and under its digest."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
import yaml
from msgspec import structs

from neurocore import codec
from neurocore.blueprint.model import Blueprint, Component, Flow, Step
from neurocore.blueprint.plan import PlanNode, compile_plan
from neurocore.config import NeuroCoreConfig, load_config
from neurocore.errors import SkillError
from neurocore.gates import occurrence
from neurocore.persistence import SQLiteRunStore, seals
from neurocore.persistence.gate_policy import Escalation, GatePolicy, Stage
from neurocore.persistence.records import GateRecord, RunRecord, RunStatus
from neurocore.runtime.blueprint import parse_blueprint, validate_blueprint
from neurocore.skills.loader import discover_skills

NOW = "2026-03-31T12:00:00.000000+00:00"
RULES = """
    - approval:
        name: pay
        show: [total]
        note: on_reject
        stages: [{approvers: [ann, "group:finance"], required: 2}, {}]
        self_approval: false
        distinct_from: [first]
        deadline: 4h
        on_deadline: reject
        escalate: {after: 1h, to: ["group:board"]}
        undo: 10s
        fresh_login: 5m
"""
HEAD = "name: x\ncomponents: [{name: made, type: template, config: {template: a, output: total}}]\nflow:\n  steps:\n"


def node(**config: Any) -> PlanNode:
    parts = [Component(name="g", type="approval", config=config)]
    return compile_plan(Blueprint(name="x", components=parts, flow=Flow(steps=[Step(component="g")]))).nodes[0]


def opened(at: str = NOW, *, context: dict[str, Any] | None = None, **config: Any) -> GateRecord:
    encoded = {key: codec.encode(value) for key, value in (context or {}).items()}
    return occurrence.open_gate("r1", node(**config), 1, encoded, (), at=at)


def problems(steps: str, config: NeuroCoreConfig | None = None, tmp_path: Any = "/nowhere") -> list[str]:
    found = validate_blueprint(parse_blueprint(HEAD + steps), discover_skills(skills_dir=tmp_path), config)
    return [f"{one.severity} {one.path}: {one.message}" for one in found]


def test_what_the_blueprint_says_is_stored_with_the_gate(tmp_path: Any) -> None:
    steps = "    - component: made\n    - approval: {name: first}\n" + RULES.lstrip("\n") + "    - component: made\n"
    blueprint = parse_blueprint(HEAD + steps)
    assert problems(steps, tmp_path=tmp_path) == []
    config = blueprint.component("pay").config
    gate = opened(**config)
    assert gate.policy == GatePolicy(
        show=("total",), note="on_reject", stages=(Stage(approvers=("ann", "group:finance"), required=2), Stage()),
        self_approval=False, distinct_from=("first",), deadline="4h", on_deadline="reject",
        escalate=Escalation(after="1h", to=("group:board",)), undo="10s", fresh_login="5m",
    )  # fmt: skip
    assert gate.deadline == "2026-03-31T16:00:00.000000+00:00"
    assert seals.version_of(gate.digest) == seals.RULED
    assert occurrence.still_shows(gate, node(**config), {})
    changed = structs.replace(gate, policy=structs.replace(gate.policy, self_approval=True))
    assert not occurrence.still_shows(changed, node(**config), {})

    store = SQLiteRunStore(tmp_path / "runs.db")
    store.create_run(RunRecord(run_id="r1", blueprint_name="x", status=RunStatus.SUSPENDED, gates=[gate]))
    assert store.load_gates("r1") == [gate]
    store.close()


def test_a_gate_without_rules_opens_as_before() -> None:
    gate = opened(on_reject="a", note="required")
    assert gate.policy == GatePolicy(require=False, on_reject="a", note="required", show=())
    assert (gate.deadline, seals.version_of(gate.digest)) == (None, seals.GATE)


def test_a_deadline_may_be_an_expression_over_the_context() -> None:
    due = datetime(2026, 4, 1, 9, tzinfo=timezone(timedelta(hours=2)))
    gate = opened(deadline="context.data.order.due", context={"order": {"due": due}})
    assert gate.deadline == "2026-04-01T07:00:00.000000+00:00"


@pytest.mark.parametrize(
    ("due", "why"),
    [
        (datetime(2026, 4, 1), "must be a time with a zone, not a time without a zone"),  # noqa: DTZ001 - the mistake
        ("tomorrow", "must be a time with a zone, not str"), (None, "must be a time with a zone, not NoneType"),
        (datetime.max.replace(tzinfo=timezone(-timedelta(hours=9))), "beyond every clock"),
    ],
)  # fmt: skip
def test_a_deadline_that_is_no_time_fails_the_gate(due: Any, why: str) -> None:
    with pytest.raises(SkillError, match=why):
        opened(deadline="context.data.due", context={"due": due})


def test_rules_that_came_past_the_checks_open_no_gate() -> None:
    with pytest.raises(SkillError, match="The gate g cannot open: undo: An answer can be withdrawn for at most 5m"):
        opened(undo="1h")


@pytest.mark.parametrize(
    ("gate", "sentence"),
    [
        (
            "{undo: 6m}",
            "error flow.steps[0].approval.undo: approval: An answer can be withdrawn for at most 5m, not 6m.",
        ),
        ("{required: 2, stages: [{}]}", "flow.steps[0].approval.required: approval: With `stages`, each stage has its"),
        (
            "{distinct_from: [approvl]}",
            "approval.distinct_from[0]: The gate approval is distinct from 'approvl', which",
        ),
        ("{deadline: 4h}", "warning flow.steps[0].approval.deadline: The deadline of the gate approval only marks it"),
        ("{approvers: [ann], required: 2}", "warning flow.steps[0].approval.approvers: The gate approval needs 2"),
        ("{request_changes: {to: made}}", "cannot apply `request_changes` yet, so it does not take it"),
    ],
)
def test_validate_names_a_mistake_where_it_is(gate: str, sentence: str, tmp_path: Any) -> None:
    found = problems(f"    - approval: {gate}\n    - component: made\n", tmp_path=tmp_path)
    assert sentence in found[0]


@pytest.mark.parametrize(
    "key", ["remind: 1h", "form: {a: string}", "editable: [total]", "bulk: true", "signature: passkey"]
)
def test_a_rule_that_cannot_be_applied_yet_is_refused_and_never_stored(key: str, tmp_path: Any) -> None:
    found = problems(f"    - approval: {{show: [total], {key}}}\n    - component: made\n", tmp_path=tmp_path)
    assert any("cannot apply" in one and one.startswith("error") for one in found)
    with pytest.raises(SkillError, match="cannot apply"):
        opened(show=["total"], **yaml.safe_load(f"{{{key}}}"))


def test_the_long_form_is_checked_alike_and_a_wrong_type_is_one_sentence(tmp_path: Any) -> None:
    def checked(config: str) -> list[str]:
        text = f"name: x\ncomponents: [{{name: g, type: approval, config: {config}}}]\nflow: {{steps: [component: g]}}"
        found = validate_blueprint(parse_blueprint(text), discover_skills(skills_dir=tmp_path))
        return [one.message for one in found if one.severity == "error"]

    assert checked("{undo: 6m}") == ["g: An answer can be withdrawn for at most 5m, not 6m."]
    assert len(checked("{required: many}")) == len(checked("{approvers: ann}")) == 1
    assert len(checked("{aprovers: [ann]}")) == 1


def test_validate_knows_the_mode_of_sign_in_and_rules_that_neurocore_yaml_cannot_give(tmp_path: Any) -> None:
    (tmp_path / "neurocore.yaml").write_text("project: {name: x}\nskills: {approval: {required: 2}}\n", "utf-8")
    found = problems("    - approval: {fresh_login: 5m}\n    - component: made\n", load_config(tmp_path), tmp_path)
    assert [one.partition(": ")[2][:60] for one in found] == [
        "approval: neurocore.yaml sets required for every gate, which",
        "With auth.mode open nobody can give what `fresh_login` of th",
    ]
