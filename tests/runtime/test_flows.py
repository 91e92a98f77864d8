"""What runs, in which order, and what is passed over: sequential, conditional and graph flows."""

from __future__ import annotations

import threading
from typing import Any

import msgspec
import pytest
from msgspec import structs

from neurocore import FlowContext
from neurocore.errors import ExecutionError
from neurocore.persistence.records import Signals, Transition
from neurocore.run_events import RunEvent
from tests.runtime.worlds import World, chain


def count(context: FlowContext) -> None:
    context.set("n", (context.get("n") or 0) + 1)


def test_a_chain_runs_its_steps_in_order_and_records_each(world: World) -> None:
    world.skill("work", count)
    context = world.run(chain("a", "b", "c"))
    assert context.get("n") == 3
    assert context.metadata.completed_nodes == ["a", "b", "c"]
    assert world.story(context.metadata.run_id) == ["a 1.1 completed", "b 1.1 completed", "c 1.1 completed"]
    assert world.only_run().status == "completed"


def test_a_step_whose_condition_is_false_is_skipped_with_the_reason(world: World) -> None:
    world.skill("work", count)
    context = world.run(chain("a", "b: condition: context.data.n > 5", "c"))
    assert world.calls == ["a", "c"]
    skipped = world.steps(context.metadata.run_id)[1]
    assert skipped.status == "skipped"
    assert skipped.reason == "condition is false: context.data.n > 5"


def test_a_condition_that_cannot_be_evaluated_fails_the_step_it_belongs_to(world: World) -> None:
    world.skill("work", lambda context: context.set("n", "text"))
    with pytest.raises(ExecutionError, match="Step b failed"):
        world.run(chain("a", "b: condition: context.data.n > 5", "c"))
    assert world.calls == ["a"]
    assert world.story(world.only_run().run_id) == ["a 1.1 completed", "b 1.1 failed"]


def test_a_condition_that_failed_is_met_by_no_retry_and_no_resume(world: World) -> None:
    world.skill("work", lambda context: context.set("n", "text"))
    text = chain("a", "b: condition: context.data.n > 5, retry: {max: 2, delay: 0}", "c")
    with pytest.raises(ExecutionError, match="Step b failed"):
        world.run(text)
    for _ in range(2):
        with pytest.raises(ExecutionError, match="Step b failed"):
            world.resume(world.only_run().run_id)
    assert world.calls == ["a"]
    assert world.story(world.only_run().run_id) == ["a 1.1 completed", "b 1.1 failed", "b 1.2 failed", "b 1.3 failed"]


@pytest.mark.parametrize("policy", ["skip", "warn"])
def test_on_condition_error_holds_for_steps_and_edges(world: World, policy: str) -> None:
    world.skill("work", lambda context: context.set("n", "text"))
    text = chain("a", "b: condition: context.data.n > 5", "c")
    world.run(text.replace("type: sequential", f"type: sequential\n  settings: {{on_condition_error: {policy}}}"))
    assert world.calls == ["a", "c"]
    told = [event.data["message"] for event in world.only_run().events if event.kind == "warning"]
    assert len(told) == (policy == "warn")
    edges = world.run(graph("x>y?context.data.n~>~5 x>z", settings=f"{{on_condition_error: {policy}}}"))
    assert world.calls == ["a", "c", "x", "z"]
    run = world.record(edges.metadata.run_id)
    told = [event.data["message"] for event in run.events if event.kind == "warning"]
    assert [one.startswith("The edge x → y was not taken") for one in told] == [True] * (policy == "warn")


def test_a_conditional_flow_runs_the_first_step_that_matches(world: World) -> None:
    world.skill("work")
    text = chain("a: condition: context.data.x == 1", "b: condition: context.data.x == 2", "c", "d")
    context = world.run(text.replace("type: sequential", "type: conditional"), initial_data={"x": 2})
    assert world.calls == ["b"]
    reasons = {step.node_id: step.reason for step in world.steps(context.metadata.run_id)}
    assert reasons["a"] == "condition is false: context.data.x == 1"
    assert reasons["c"] == reasons["d"] == "an earlier step was chosen: b"


GRAPH = """
name: graph
components: [{names}]
flow:
  type: graph
  settings: {settings}
  nodes: [{nodes}]
  edges: [{edges}]
"""


def graph(
    edges: str, *, settings: str = "{}", types: dict[str, str] | None = None, extra: dict[str, str] | None = None
) -> str:
    """`a>b c>d[port] e>f?condition` as a graph blueprint; node ids are component names."""
    types, extra = types or {}, extra or {}
    ids: list[str] = []
    rows = []
    for edge in edges.split(" "):
        way, _, condition = edge.partition("?")
        way, _, port = way.partition("[")
        source, _, target = way.partition(">")
        ids += [one for one in (source, target) if one and one not in ids]
        if target:
            parts = [f"source: {source}", f"target: {target}"]
            parts += [f"port: {port.rstrip(']')}"] if port else []
            parts += [f"condition: '{condition.replace('~', ' ')}'"] if condition else []
            rows.append(f"{{{', '.join(parts)}}}")
    return GRAPH.format(
        names=", ".join(f"{{name: {one}, type: {types.get(one, 'work')}}}" for one in ids),
        nodes=", ".join(f"{{id: {one}, component: {one}{extra.get(one, '')}}}" for one in ids),
        edges=", ".join(rows),
        settings=settings,
    )


def test_branches_really_run_at_the_same_time(world: World) -> None:
    meet = threading.Barrier(2, timeout=20)
    world.skill("work")
    world.skill("meets", lambda context: meet.wait())
    world.run(graph("a>b a>c b>d c>d", types={"b": "meets", "c": "meets"}))
    assert world.calls[0] == "a"
    assert world.calls[-1] == "d"


def test_no_more_steps_run_at_once_than_are_allowed_and_none_is_left_out(world: World) -> None:
    world.config = structs.replace(world.config, runtime=structs.replace(world.config.runtime, max_workers=2))
    meet = threading.Barrier(2, timeout=20)
    running: set[str] = set()
    most = 0

    def work(context: FlowContext) -> None:
        nonlocal most
        running.add(context.node_id)
        most = max(most, len(running))
        meet.wait()
        running.discard(context.node_id)
        meet.wait()

    world.skill("work")
    world.skill("meets", work)
    names = ["b", "c", "d", "e"]
    world.run(graph(" ".join(f"a>{name}" for name in names), types=dict.fromkeys(names, "meets")))
    assert most == 2
    assert sorted(world.calls) == ["a", *names]


def test_a_node_with_two_incoming_edges_runs_once_after_both(world: World) -> None:
    world.skill("work")
    world.run(graph("a>b a>c b>d c>d"))
    assert sorted(world.calls) == ["a", "b", "c", "d"]
    assert world.calls[-1] == "d"


def test_join_any_goes_at_the_first_edge_taken(world: World) -> None:
    go = threading.Event()
    world.skill("work")
    world.skill("waits", lambda context: go.wait(20))
    world.skill("opens", lambda context: go.set())
    world.run(graph("a>slow a>quick slow>d quick>d", types={"slow": "waits", "d": "opens"}, extra={"d": ", join: any"}))
    assert world.calls.count("d") == 1, "d runs once, and while slow is still waiting for it"


def test_a_port_chooses_the_edges_that_name_it(world: World) -> None:
    world.skill("work")
    world.skill("chooses", lambda context: context.set_port("left"))
    context = world.run(graph("a>l[left] a>r[right] a>always", types={"a": "chooses"}))
    assert set(world.calls) == {"a", "l", "always"}
    assert "r 1.1 skipped" in world.story(context.metadata.run_id)


def test_a_dead_branch_is_skipped_to_its_end(world: World) -> None:
    world.skill("work")
    world.run(graph("a>b?context.data.x==1 b>c a>d"), initial_data={"x": 2})
    assert set(world.calls) == {"a", "d"}


def test_a_loop_goes_round_until_its_condition_fails_and_then_leaves(world: World) -> None:
    world.skill("work", count)
    context = world.run(graph("start>body body>check check>body?context.data.n<7 check>after"))
    assert world.calls == ["start", "body", "check", "body", "check", "body", "check", "after"]
    assert "body 3.1 completed" in world.story(context.metadata.run_id)


@pytest.mark.parametrize(("action", "ends"), [("fail", "failed"), ("exit", "completed"), ("warn", "completed")])
def test_a_loop_is_bounded(world: World, action: str, ends: str) -> None:
    world.skill("work", count)
    text = graph("a>b b>a?context.data.n<1000 b>after", settings=f"{{max_iterations: 3, on_max_iterations: {action}}}")
    if ends == "failed":
        with pytest.raises(ExecutionError, match="did not end within 3 rounds"):
            world.run(text)
    else:
        world.run(text)
        assert world.calls[-1] == "after"
    assert world.only_run().status == ends
    assert world.calls.count("b") == 3
    warned = [event.kind for event in world.only_run().events].count("warning")
    assert warned == (action == "warn")


def test_a_loop_that_does_not_come_to_rest_leads_nowhere_where_branches_run_to_their_end(world: World) -> None:
    world.skill("work", count)
    settings = "{max_iterations: 2, on_max_iterations: fail, fail_fast: false}"
    with pytest.raises(ExecutionError, match="did not end within 2 rounds"):
        world.run(graph("a>b b>a?context.data.n<1000 b>after", settings=settings))
    assert world.calls == ["a", "b", "a", "b"]


@pytest.mark.parametrize(("visits", "times"), [(1, 1), (2, 2), (9, 3)])
@pytest.mark.parametrize("loop", ["b>b?context.data.n<1000", "b>c c>b?context.data.n<1000"])
def test_a_loop_ends_at_the_smaller_one_of_the_bounds_of_its_nodes_and_of_the_flow(
    world: World, loop: str, visits: int, times: int
) -> None:
    world.skill("work", count)
    world.run(
        graph(
            f"a>b {loop} b>after",
            extra={"b": f", max_visits: {visits}"},
            settings="{max_iterations: 3, on_max_iterations: exit}",
        )
    )
    assert world.calls.count("b") == times
    assert world.calls[-1] == "after"


def test_a_warning_is_told_once_where_it_is_recorded_and_not_again_by_a_resume(world: World) -> None:
    def last(context: FlowContext) -> None:
        if context.attempt < 3:
            raise ValueError("not yet")

    heard: list[RunEvent] = []
    world.skill("work", count)
    world.skill("last", last)
    text = graph("a>b b>a?context.data.n<1000 b>after", settings="{max_iterations: 3, on_max_iterations: warn}",
                 types={"after": "last"})  # fmt: skip
    with pytest.raises(ExecutionError, match="not yet"):
        world.run(text, on_event=heard.append)
    run_id = world.only_run().run_id
    with pytest.raises(ExecutionError, match="not yet"):
        world.resume(run_id, on_event=heard.append)
    world.resume(run_id, on_event=heard.append)

    sentence = "A loop ended after 3 rounds, its bound."
    assert [event.data["message"] for event in world.record(run_id).events if event.kind == "warning"] == [sentence]
    assert [(event.run_id, event.error) for event in heard if event.kind == "warning"] == [(run_id, sentence)]
    kinds = [event.kind for event in heard]
    assert kinds[kinds.index("warning") - 1] == "step_finished"


def test_a_warning_has_no_value_of_a_secret(world: World) -> None:
    world.config = msgspec.structs.replace(world.config, real_environ={"TOKEN": "s3cr3t-value"})
    heard: list[RunEvent] = []
    world.skill("work", lambda context: context.set("n", "text"))
    text = chain(
        "a", """b: condition: "context.data.n > 5 and context.data.n != 's3cr3t-value'\"""",
        extra="inputs: {token: {type: string, secret: true}}\n",
    )  # fmt: skip
    text = text.replace("type: sequential", "type: sequential\n  settings: {on_condition_error: warn}")
    world.run(text, initial_data={"token": "${TOKEN}"}, on_event=heard.append)
    told = [event.data["message"] for event in world.only_run().events if event.kind == "warning"]
    told += [event.error or "" for event in heard if event.kind == "warning"]
    assert len(told) == 2
    assert all("•••" in sentence and "s3cr3t" not in sentence for sentence in told)


@pytest.mark.parametrize(("policy", "status"), [("skip", "skipped"), ("continue", "failed")])
def test_a_tolerated_failure_lets_the_run_go_on(world: World, policy: str, status: str) -> None:
    world.skill("work")
    world.skill("fails", lambda context: 1 / 0)
    text = chain("a", f"b: on_error: {policy}", "c").replace("name: b, type: work", "name: b, type: fails")
    context = world.run(text)
    assert world.calls == ["a", "b", "c"]
    row = world.steps(context.metadata.run_id)[1]
    assert (row.status, row.error) == (status, "division by zero")


def test_what_a_failed_step_changed_is_discarded(world: World) -> None:
    def work(context: FlowContext) -> None:
        context.set("half", "done")
        raise ValueError("no")

    world.skill("work", work)
    with pytest.raises(ExecutionError, match="Step a failed: no"):
        world.run(chain("a"))
    run = world.only_run()
    assert run.final_context is not None
    assert run.final_context["data"] == {}
    assert run.failure is not None
    assert (run.failure.kind, run.failure.type) == ("error", "ValueError")


def test_a_failure_lets_siblings_finish_and_starts_nothing_new(world: World) -> None:
    failed = threading.Event()

    def fails(context: FlowContext) -> None:
        raise ValueError("no")

    def notice(event: RunEvent) -> None:
        if event.kind == "step_finished" and event.status == "failed":
            failed.set()

    world.skill("work")
    world.skill("fails", fails)

    def slow(context: FlowContext) -> None:
        failed.wait(20)
        context.set("slow", "done")

    world.skill("slow", slow)
    with pytest.raises(ExecutionError, match="Step bad failed"):
        world.run(graph("a>bad a>good good>late", types={"bad": "fails", "good": "slow"}), on_event=notice)
    run = world.only_run()
    assert "late" not in world.calls
    assert run.final_context is not None
    assert run.final_context["data"] == {"slow": "done"}


def test_without_fail_fast_a_branch_that_waits_for_its_next_try_gets_it(world: World) -> None:
    def work(context: FlowContext) -> None:
        if context.node_id == "b" or (context.node_id == "c" and context.attempt == 1):
            raise ValueError(context.node_id)

    world.skill("work", work)
    text = graph(
        "a>b a>c c>d", settings="{fail_fast: false}", extra={"c": ", retry: {max: 1, delay: 0.05}"}
    )  # fmt: skip
    with pytest.raises(ExecutionError, match="Step b failed"):
        world.run(text)
    assert sorted(world.story(world.only_run().run_id)) == [
        "a 1.1 completed", "b 1.1 failed", "c 1.1 failed", "c 1.2 completed", "d 1.1 completed",
    ]  # fmt: skip


def test_two_branches_that_write_one_key_differently_fail_the_later_one(world: World) -> None:
    meet = threading.Barrier(2, timeout=20)

    def work(name: str) -> Any:
        def write(context: FlowContext) -> None:
            context.set("key", name)
            meet.wait()

        return write

    world.skill("work")
    world.skill("one", work("one"))
    world.skill("other", work("other"))
    text = graph("a>b a>c", types={"b": "one", "c": "other"})
    with pytest.raises(ExecutionError, match="both wrote 'key'"):
        world.run(text)
    world.run(text.replace("settings: {}", "settings: {on_conflict: last}"))


def test_what_a_failed_step_would_have_written_stands_in_nobody_s_way(world: World) -> None:
    b_failed = threading.Event()

    def work(context: FlowContext) -> None:
        if context.node_id == "c":
            assert b_failed.wait(20)
        context.set("key", context.node_id)
        context.set_port("left")

    def listen(event: RunEvent) -> None:
        if event.kind == "step_finished" and event.status == "failed":
            b_failed.set()

    world.skill("work", work)
    text = graph("a>b a>c b>d[left]?context.data.name~>~3", extra={"b": ", on_error: continue"})
    context = world.run(text, initial_data={"name": "Ada"}, on_event=listen)
    assert context.get("key") == "c"
    assert context.metadata.completed_nodes == ["a", "c"]


def test_outputs_that_are_missing_fail_the_run_at_its_end(world: World) -> None:
    world.skill("work")
    with pytest.raises(ExecutionError, match="report: The flow ended without setting this output"):
        world.run(chain("a", extra="outputs: {report: {type: string}}\n"))


def test_a_component_may_stand_at_two_nodes(world: World) -> None:
    world.skill("work", count)
    context = world.run(chain("a", "b", "a"))
    assert context.metadata.completed_nodes == ["a", "b", "a#2"]
    assert context.get("n") == 3


def test_an_async_skill_runs_like_any_other(world: World) -> None:
    world.async_skill("work", count)
    context = world.run(chain("a", "b"))
    assert context.get("n") == 2


def test_what_was_read_by_attribute_can_be_set_within_something_else(world: World) -> None:
    def work(context: FlowContext) -> None:
        if context.node_id == "a":
            context.set("people", [context.data.user, {"boss": context.data.user.boss}])

    world.skill("work", work)
    user = {"name": "Ada", "boss": {"name": "Bob"}}
    context = world.run(chain("a", "b"), initial_data={"user": user})
    assert context.get("people") == [user, {"boss": {"name": "Bob"}}]
    assert type(context.get("people")[0]) is dict


def test_the_context_gives_private_copies_and_notices_nested_changes(world: World) -> None:
    world.skill("make", lambda context: context.set("user", {"tags": ["a"]}))
    world.skill("change", lambda context: context.get("user")["tags"].append("b"))
    world.skill("look", lambda context: context.get("user"))
    text = chain("x", "y", "z")
    for name, kind in (("x", "make"), ("y", "change"), ("z", "look")):
        text = text.replace(f"name: {name}, type: work", f"name: {name}, type: {kind}")
    context = world.run(text)
    assert context.data.user.tags == ["a", "b"]
    assert [step.output_keys for step in world.steps(context.metadata.run_id)] == [["user"], ["user"], []]


@pytest.mark.parametrize("wanted", [False, True])
def test_the_whole_context_is_kept_with_every_step_where_that_is_wanted(world: World, wanted: bool) -> None:
    persistence = structs.replace(world.config.persistence, persist_step_snapshots=wanted)
    world.config = structs.replace(world.config, persistence=persistence)
    world.skill("work", lambda context: context.set(context.node_id, {1}))
    context = world.run(chain("a", "b"), initial_data={"x": 3})
    snapshots = [step.context_snapshot for step in world.steps(context.metadata.run_id)]
    assert snapshots == ([{"x": 3, "a": {1}}, {"x": 3, "a": {1}, "b": {1}}] if wanted else [None, None])


def test_what_a_run_comes_to_at_a_gate_and_at_its_end_is_synced_and_its_other_steps_are_not(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[str, bool]] = []
    commit = world.store.commit

    def note(turn: Transition) -> Signals:
        told.append((turn.run.status.value, turn.sync))
        return commit(turn)

    world.skill("work")
    monkeypatch.setattr(world.store, "commit", note)
    run_id = world.run(chain("a", "b", "approval: {name: ok}", "c", "d")).metadata.run_id
    assert told == [("running", False), ("suspended", True)]
    world.resume(run_id, resume_data={"approved": True})
    assert told[2:] == [("running", True), ("running", False), ("completed", True)]
