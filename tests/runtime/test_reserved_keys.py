"""Approvals cannot be forged through data: `approval`, `approvals` and `resume_data` are NeuroCore's own."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs

from neurocore import FlowContext
from neurocore.access.actor import this_user
from neurocore.errors import BlueprintError, ExecutionError, InputError
from neurocore.runtime.blueprint import parse_blueprint, validate_blueprint
from neurocore.runtime.executor import create_replay, create_run, decide_gate, execute_blueprint, replay_run
from neurocore.runtime.start import NewRun
from tests.runtime.worlds import World, chain

KEYS = ["approval", "approvals", "resume_data"]
FORGED = {"cfo": {"approved": True}}


@pytest.mark.parametrize("key", KEYS)
def test_no_run_starts_with_such_a_key(world: World, key: str) -> None:
    world.skill("work")
    blueprint = parse_blueprint(chain("a"))
    with pytest.raises(InputError, match=f"Only NeuroCore sets {key}, to .*; choose another name"):
        world.run(chain("a"), initial_data={key: FORGED})
    with pytest.raises(InputError, match=key):
        create_run(
            NewRun(blueprint=blueprint, actor=this_user(), initial_data={key: FORGED}),
            world.registry,
            world.config,
            run_store=world.store,
        )
    with pytest.raises(InputError, match=key):
        execute_blueprint(blueprint, world.registry, world.config, initial_data={key: FORGED})
    assert world.store.list_runs() == []


@pytest.mark.parametrize("key", KEYS)
def test_no_blueprint_declares_such_a_key(world: World, key: str) -> None:
    world.skill("work")
    for extra in (f"inputs: {{{key}: {{type: any, default: null}}}}\n", f"outputs: {{{key}: any}}\n"):
        problems = validate_blueprint(parse_blueprint(chain("a", extra=extra)), world.registry, world.config)
        assert any(f"Only NeuroCore sets {key}" in problem.message for problem in problems)
        with pytest.raises(BlueprintError, match=f"Only NeuroCore sets {key}"):
            world.run(chain("a", extra=extra))


@pytest.mark.parametrize("config", ["config: {template: x, output: approvals}", "config: {template: x}"])
def test_no_built_in_skill_is_told_to_set_such_a_key(world: World, config: str) -> None:
    name = "t" if "output" in config else "approvals"
    text = (
        f"name: b\ncomponents: [{{name: {name}, type: template, {config}}}]\nflow: {{steps: [{{component: {name}}}]}}"
    )
    with pytest.raises(BlueprintError, match="Only NeuroCore sets approvals"):
        world.run(text)


def _set(context: FlowContext) -> None:
    context.set("approvals", FORGED)


def _set_by_attribute(context: FlowContext) -> None:
    context.data.approval = {"approved": True}


def _change_in_place(context: FlowContext) -> None:
    context.get("approvals")["cfo"] = {"approved": True}


def _delete(context: FlowContext) -> None:
    context.delete("approvals")


def _resume_data(context: FlowContext) -> None:
    context.set("resume_data", {"approved": True})


@pytest.mark.parametrize("forge", [_set, _set_by_attribute, _change_in_place, _delete, _resume_data])
def test_no_step_sets_or_changes_such_a_key(world: World, forge: Any) -> None:
    def work(context: FlowContext) -> None:
        if context.node_id == "b":
            forge(context)

    world.skill("work", work)
    run_id = world.run(chain("a", "approval: {name: ok}", "b")).metadata.run_id
    decide_gate(run_id, approved=True, by="ann", run_store=world.store)
    with pytest.raises(ExecutionError, match=r"Step b would set '(approvals?|resume_data)'\. Only NeuroCore sets"):
        world.resume(run_id)
    context = world.record(run_id).final_context
    assert context is not None
    assert list(context["data"]["approvals"]) == ["ok"]
    assert context["data"]["approval"]["by"] == "ann"


def test_a_step_may_read_them_and_set_other_keys(world: World) -> None:
    def work(context: FlowContext) -> None:
        context.set("who", (context.get("approvals") or {}).get("ok", {}).get("by"))

    world.skill("work", work)
    run_id = world.run(chain("a", "approval: {name: ok}", "b")).metadata.run_id
    decide_gate(run_id, approved=True, by="ann", run_store=world.store)
    assert world.resume(run_id).get("who") == "ann"


def test_what_an_older_run_was_given_is_not_taken_into_a_replay_nor_into_the_approvals(world: World) -> None:
    world.skill("work")
    run_id = world.run(chain("a", "approval: {name: ok}", "b"), initial_data={"x": 1}).metadata.run_id
    run = world.record(run_id)
    world.store.save_run(structs.replace(run, initial_data={"x": 1, "approvals": FORGED}))
    for replay in (replay_run, create_replay):
        with pytest.raises(InputError, match="Only NeuroCore sets approvals"):
            replay(run_id, world.registry, world.config, run_store=world.store)
    decide_gate(run_id, approved=True, by="ann", run_store=world.store)
    assert list(world.resume(run_id).get("approvals")) == ["ok"], "they are made from the recorded answers"


def test_each_gate_s_answer_is_there_by_its_name_the_latest_last(world: World) -> None:
    world.skill("work")
    text = chain("a", "approval: {name: one, require: false}", "b", "approval: {name: two}", "c")
    run_id = world.run(text).metadata.run_id
    decide_gate(run_id, approved=False, by="ann", run_store=world.store)
    world.resume(run_id)
    decide_gate(run_id, approved=True, by="bea", run_store=world.store)
    context = world.resume(run_id)
    assert {name: (one["approved"], one["by"]) for name, one in context.get("approvals").items()} == {
        "one": (False, "ann"),
        "two": (True, "bea"),
    }
    assert context.get("approval")["gate"] == "two"
