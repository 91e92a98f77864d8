"""What the preview of a gate says of loops at their bound, of outputs, and of gates that other skills bring."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest

from neurocore import FlowContext, Skill, SkillMeta
from neurocore.errors import ExecutionError, NotResumable
from neurocore.gates.preview import Preview, preview
from neurocore.runtime.executor import actions, decide_gate
from tests.runtime.worlds import World, chain


def looping(policy: str, **more: str) -> str:
    """n → g → e; a rejection goes back to n, and one round is the bound."""
    extra = "".join(f", {key}: {value}" for key, value in more.items())
    return (
        "name: loop\ncomponents: [{name: n, type: work}, {name: e, type: work}, "
        "{name: g, type: approval, config: {on_reject: n}}]\n"
        f"flow:\n  type: graph\n  settings: {{max_iterations: 1, on_max_iterations: {policy}{extra}}}\n"
        "  nodes: [{id: n, component: n}, {id: g, component: g}, {id: e, component: e}]\n"
        "  edges: [{source: n, target: g}, {source: g, target: e}]\n"
    )


def at_gate(world: World, text: str, work: Callable[[FlowContext], object] | None = None) -> tuple[str, Preview]:
    """A run that waits, and what is said of it."""
    world.skill("work", work)
    run_id = world.run(text).metadata.run_id
    return run_id, preview(run_id, world.store)


def answered(world: World, run_id: str, *, approved: bool) -> str:
    """The run's status after the answer, and what ran since."""
    before = len(world.calls)
    decide_gate(run_id, approved=approved, by="ann", run_store=world.store)
    with contextlib.suppress(ExecutionError):
        world.resume(run_id)
    return f"{world.record(run_id).status} {' '.join(world.calls[before:])}".strip()


def test_a_rejection_that_the_loop_s_bound_does_not_let_go_back_is_said_to_fail(world: World) -> None:
    run_id, told = at_gate(world, looping("fail"))
    assert told.reject.ends == "failed"
    assert told.reject.sentence == "the run fails, because the loop at n has reached its bound"
    assert (told.reject.runs, told.reject.skips) == ([], ["e"])
    assert (told.approve.ends, told.approve.runs) == ("completed", ["e"])
    assert answered(world, run_id, approved=False) == "failed"


@pytest.mark.parametrize("policy", ["exit", "warn"])
def test_a_loop_that_is_left_at_its_bound_is_said_to_be_left(world: World, policy: str) -> None:
    run_id, told = at_gate(world, looping(policy))
    assert told.reject.ends == "completed"
    assert told.reject.sentence.startswith("the loop at n ends, because it has reached its bound; ")
    assert told.reject.runs == []
    assert answered(world, run_id, approved=False) == "completed"


def test_a_loop_below_its_bound_goes_back(world: World) -> None:
    run_id, told = at_gate(world, looping("fail").replace("max_iterations: 1", "max_iterations: 2"))
    assert told.reject.ends == "goes back to n"
    assert answered(world, run_id, approved=False) == "suspended n"
    assert preview(run_id, world.store).reject.ends == "failed"


def test_an_output_that_nothing_will_set_is_said_to_fail_the_run(world: World) -> None:
    text = chain("a", "approval: {name: ok, require: false}", "b: 'if'", extra="outputs: {report: string}\n").replace(
        "'if'", "condition: context.data.approval.approved"
    )

    def work(context: FlowContext) -> None:
        if context.node_id == "b":
            context.set("report", "x")

    run_id, told = at_gate(world, text, work)
    assert told.approve.ends == "completed"
    assert told.approve.sentence == "runs b, then completed if report is set by then"
    assert told.reject.ends == "failed"
    assert told.reject.sentence == "skips b, then the run fails: nothing sets its output report"
    assert answered(world, run_id, approved=False) == "failed"
    assert answered(world, at_gate(world, text, lambda c: c.set("report", "x"))[0], approved=True) == "completed b"


def test_an_output_that_is_set_already_or_may_be_missing_is_no_trouble(world: World) -> None:
    extra = "outputs: {report: string, more: {type: string, required: false}}\n"
    run_id, told = at_gate(
        world, chain("a", "approval: {name: ok}", extra=extra), lambda context: context.set("report", "x")
    )
    assert (told.approve.ends, told.approve.sentence) == ("completed", "the run completes")
    assert answered(world, run_id, approved=True) == "completed"


def test_a_run_that_failed_for_its_outputs_is_offered_no_resume_that_fails_the_same_way(world: World) -> None:
    world.skill("work")
    with pytest.raises(ExecutionError):
        world.run(chain("a", extra="outputs: {report: string}\n"))
    run = world.only_run()
    reason = actions(run, world.config, world.store)["resume"]
    assert reason is not None
    assert "outputs are not what its blueprint declares" in reason
    with pytest.raises(NotResumable, match="correct the outputs in the file and add --latest, or"):
        world.resume(run.run_id)
    assert world.calls == ["a"]


def test_a_run_that_failed_for_its_outputs_goes_on_with_a_mended_file(world: World, tmp_path: Path) -> None:
    world.skill("work", lambda context: context.set("report", "x"))
    file = tmp_path / "flow.yaml"
    file.write_text(chain("a", extra="outputs: {rapport: string}\n"))
    with pytest.raises(ExecutionError):
        world.run(file.read_text(), blueprint_path=file)
    file.write_text(chain("a", extra="outputs: {report: string}\n"))
    assert world.resume(world.only_run().run_id, latest=True).metadata.status == "completed"
    assert world.calls == ["a"]


class Legal(Skill):
    """A gate that a project brings itself."""

    skill_meta = SkillMeta(name="legal")
    is_gate = True

    def process(self, context: FlowContext) -> FlowContext:
        return context


LEGAL = """
name: release
components: [{name: a, type: work}, {name: legal, type: legal}, {name: b, type: work}]
flow: {steps: [{component: a}, {approval: {name: ok}}, {component: legal}, {component: b}]}
"""


def test_a_gate_of_another_skill_is_waited_at_as_the_preview_says(world: World) -> None:
    world.registry.register(Legal)
    run_id, told = at_gate(world, LEGAL)
    assert (told.approve.runs, told.approve.ends) == (["legal"], "waits at legal")
    assert answered(world, run_id, approved=True) == "suspended"
    assert world.record(run_id).suspended_at_node == "legal"
    assert preview(run_id, world.store).approve.runs == ["b"]


def test_what_is_a_gate_is_kept_with_the_run(world: World) -> None:
    world.registry.register(Legal)
    run_id, _ = at_gate(world, LEGAL)
    other = World(world.config.project_root)
    other.skill("work")
    other.skill("legal")
    decide_gate(run_id, approved=True, by="ann", run_store=other.store)
    assert other.resume(run_id).metadata.suspended_at_node == "legal", "it was a gate when the run was started"
    other.store.close()
