"""Whatever a skill, a template or a value raises is a failure of its own step or gate, and never looks like a death."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest

from neurocore import Skill, SkillMeta, register_codec
from neurocore.errors import ExecutionError, GateChanged
from neurocore.gates import occurrence
from neurocore.persistence import RunStatus, StepStatus
from neurocore.runtime import advance
from neurocore.runtime.executor import decide_gate
from neurocore.skills import templates
from tests.runtime.worlds import World, chain


class Own(BaseException):
    """What nobody catches by `except Exception`."""


@dataclass
class Hostile:
    """Raises whatever it is asked to raise, wherever it is looked at."""

    name: str = ""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no comparison")

    def __len__(self) -> int:
        raise OSError("no length")

    def __bool__(self) -> bool:
        raise OSError("no truth")

    __hash__ = None  # type: ignore[assignment]


class Wordless:
    """Has no text, which is what a template sees of a class with a codec of its own."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


register_codec(Wordless, name="tests.wordless", to=lambda _: 1, from_=lambda _: Wordless())


def fails_at(world: World, text: str, node: str, calls: list[str]) -> str:
    """A run that fails at `node`, with what stands before it done once, however often it is resumed."""
    with pytest.raises(ExecutionError):
        world.run(text)
    run_id = world.only_run().run_id
    for _ in range(3):
        run = world.record(run_id)
        assert (run.status, run.owner, run.deaths) == (RunStatus.FAILED, None, 0)
        assert run.failure is not None
        assert run.failure.node == node, run.error
        assert world.calls == calls
        with pytest.raises(ExecutionError):
            world.resume(run_id)
    assert not any("died" in (event.kind + json.dumps(event.data)) for event in world.record(run_id).events)
    return run_id


@pytest.mark.parametrize(
    "message",
    ["{{ value }}", "{{ value|length }}", "{% if value %}x{% endif %}", "{{ value == 1 }}", "{{ value.missing.x }}"],
)
def test_a_message_that_cannot_be_made_is_the_gate_s_failure(world: World, message: str) -> None:
    world.skill("work", lambda context: context.set("value", Wordless()))
    gate = f"approval: {{name: ok, message: {json.dumps(message)}, show: []}}"
    run_id = fails_at(world, chain("a", gate, "b"), "ok", ["a"])
    assert world.story(run_id)[0] == "a 1.1 completed"
    assert {step.status for step in world.steps(run_id)[1:]} == {StepStatus.FAILED}


@pytest.mark.parametrize("message", ["{{ value }}", "{{ value|length }}{{ value == 1 }}{% if value %}x{% endif %}"])
def test_a_message_calls_nothing_of_the_values_it_shows(world: World, message: str) -> None:
    world.skill("work", lambda context: context.set("value", Hostile("Ada")))
    world.run(chain("a", f"approval: {{name: ok, message: {json.dumps(message)}, show: []}}", "b"))
    (gate,) = world.store.load_gates(world.only_run().run_id)
    assert gate.message in ("{'name': 'Ada'}", "1Falsex")


def test_an_error_of_any_kind_within_a_template_is_the_gate_s_failure(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.skill("work", lambda context: context.set("n", 1))

    def fails(*_: Any, **__: Any) -> str:
        raise FileNotFoundError(2, "No such file or directory", "x")

    monkeypatch.setattr(templates, "render", fails)
    run_id = fails_at(world, chain("a", "approval: {name: ok, message: 'Send {{ n }}?'}", "b"), "ok", ["a"])
    assert "No such file" in (world.record(run_id).error or "")


@pytest.mark.parametrize("condition", ["context.data.value", "context.data.value == 1", "len(context.data.value) > 1"])
def test_a_condition_over_a_value_that_raises_is_a_failure_of_its_step(world: World, condition: str) -> None:
    world.skill("work", lambda context: context.set("value", Hostile()))
    fails_at(world, chain("a", f"b: 'condition: {condition}'".replace("'", ""), "c"), "b", ["a"])


def test_outputs_that_cannot_be_looked_at_fail_the_run_and_nothing_is_done_again(world: World) -> None:
    world.skill("work", lambda context: context.set("value", Hostile()))
    text = chain("a", extra="outputs: {value: {type: string}}\n")
    with pytest.raises(ExecutionError):
        world.run(text)
    run = world.only_run()
    assert (run.status, run.failure and run.failure.type, world.calls) == ("failed", "OutputError", ["a"])


@pytest.mark.parametrize("where", ["setup", "process", "teardown"])
@pytest.mark.parametrize("error", [Own(), SystemExit(3), GeneratorExit(), MemoryError()], ids=repr)
def test_whatever_is_raised_in_any_part_of_a_skill_is_no_death(world: World, where: str, error: BaseException) -> None:
    class Raises(Skill):
        skill_meta = SkillMeta(name="raises")

        def setup(self, context: Any) -> None:
            self._raise("setup")

        def process(self, context: Any) -> Any:
            self._raise("process")
            return context

        def teardown(self, context: Any) -> None:
            self._raise("teardown")

        def _raise(self, here: str) -> None:
            if here == where:
                raise error

    world.registry.register(Raises)
    text = "name: r\ncomponents: [{name: a, type: raises}]\nflow: {steps: [{component: a}]}"
    if where == "teardown":
        world.run(text)
        assert world.only_run().status is RunStatus.COMPLETED
        return
    with pytest.raises(ExecutionError, match="Step a failed"):
        world.run(text)
    run = world.only_run()
    assert (run.status, run.owner, run.deaths, run.failure and run.failure.node) == ("failed", None, 0, "a")


def test_an_error_that_belongs_to_no_step_fails_the_run_at_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.skill("work", lambda context: context.set("n", (context.get("n") or 0) + 1))
    record = advance.record

    def broken(turn: Any, attempt: Any) -> None:
        record(turn, attempt)
        if attempt.node.id == "b":
            raise ZeroDivisionError("nobody expected this")

    monkeypatch.setattr("neurocore.runtime.driver.record", broken)
    with pytest.raises(ExecutionError, match="failed with an error outside of its steps: ZeroDivisionError: nobody"):
        world.run(chain("a", "b", "c"))
    run = world.only_run()
    assert (run.status, run.owner, run.deaths) == ("failed", None, 0)
    assert world.story(run.run_id) == ["a 1.1 completed", "b 1.1 failed"]
    monkeypatch.undo()
    assert world.resume(run.run_id).get("n") == 3


def test_an_answer_at_a_gate_whose_values_misbehave_is_refused_in_a_sentence(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.skill("work", lambda context: context.set("n", 1))
    run_id = world.run(chain("a", "approval: {name: ok, message: 'Send {{ n }}?'}")).metadata.run_id

    def fails(*_: Any) -> dict[str, Any]:
        raise OSError("the disk of the value is gone")

    monkeypatch.setattr(occurrence, "_inputs", fails)
    with pytest.raises(GateChanged, match="it cannot open again: the disk of the value is gone"):
        decide_gate(run_id, approved=True, by="ann", run_store=world.store)
    assert [gate.status for gate in world.store.load_gates(run_id)] == ["open"]
