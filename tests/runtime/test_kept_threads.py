"""Sync steps that run beside others use threads that are kept, and one that was left behind takes none of them away."""

from __future__ import annotations

import contextvars
import threading
from functools import partial

import pytest

from neurocore import FlowContext
from neurocore.errors import ExecutionError
from neurocore.runtime import threads
from tests.runtime.test_what_grows import calls_of
from tests.runtime.worlds import World
from tests.waiting import until


def wide(count: int, *, timeout: float | None = None) -> str:
    """So many branches that do not depend on each other."""
    more = f", timeout: {timeout}" if timeout else ""
    nodes = "".join(f"    - {{id: b{number}, component: s{more}}}\n" for number in range(count))
    return f"name: wide\ncomponents: [{{name: s, type: work}}]\nflow:\n  type: graph\n  nodes:\n{nodes}  edges: []\n"


@pytest.fixture(autouse=True)
def no_idle_threads() -> None:
    """Threads of other tests are left to them."""
    threads._idle.clear()


def test_a_hundred_branches_use_as_many_threads_as_run_at_once(world: World) -> None:
    seen: set[int] = set()
    world.skill("work", lambda context: seen.add(threading.get_ident()))
    assert world.run(wide(100)).metadata.status == "completed"
    assert len(seen) <= world.config.runtime.max_workers + 1


def test_the_next_run_uses_the_threads_of_the_one_before(world: World) -> None:
    seen: list[threading.Thread] = []
    world.skill("work", lambda context: seen.append(threading.current_thread()))
    world.run(wide(8))
    first = set(seen)
    seen.clear()
    world.run(wide(8))
    assert set(seen) <= first | set(threads._idle)
    assert set(seen) & first


def test_a_thread_that_a_time_out_left_behind_is_replaced_and_comes_back(world: World) -> None:
    stuck, go = threading.Event(), threading.Event()
    kept: list[threading.Thread] = []

    def work(context: FlowContext) -> None:
        if context.node_id == "b0" and not go.is_set():
            kept.append(threading.current_thread())
            stuck.set()
            go.wait(60)

    world.skill("work", work)
    with pytest.raises(ExecutionError, match="did not end within"):
        world.run(wide(3, timeout=0.2))
    assert stuck.is_set()
    assert kept[0] not in threads._idle
    go.set()
    until(lambda: kept[0] in threads._idle, "the thread that was left behind")


def test_what_a_step_leaves_in_its_context_variables_is_gone_for_the_next(world: World) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("mine", default="")
    seen: list[str] = []

    def work(context: FlowContext) -> None:
        seen.append(variable.get())
        variable.set(context.node_id)

    world.skill("work", work)
    world.run(wide(40))
    assert seen == [""] * 40


def test_of_many_ready_branches_each_is_looked_at_once(world: World) -> None:
    """What is chosen to start after each step costs the same whether ten or a thousand branches are waiting."""
    world.skill("work")
    few, many = (calls_of(partial(world.run, text)) for text in (wide(40), wide(240)))
    assert (many - few) / 200 < 400, f"{few} calls for 40 branches, {many} for 240"
