"""A forked child does its own work: it waits for no thread of its parent, and takes nothing from it."""

from __future__ import annotations

import os
import signal
import threading
import warnings
from collections.abc import Callable

import pytest

from neurocore import FlowContext, forks
from neurocore.access.actor import this_user
from neurocore.drivers.dispatch import ThreadDispatcher
from neurocore.errors import ExecutionError
from neurocore.persistence import RunStatus
from neurocore.runtime.blueprint import parse_blueprint
from neurocore.runtime.executor import create_run
from neurocore.runtime.start import NewRun
from tests.runtime.test_kept_threads import wide
from tests.runtime.worlds import World, chain


def in_child(work: Callable[[], object]) -> object:
    """What `work` returns in a forked child, as text; the child is given a minute."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():  # Python 3.12 and newer warn of what is tested here
        warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
        child = os.fork()
    if child == 0:
        signal.alarm(60)
        try:
            os.write(writing, str(work()).encode())
        except BaseException as error:
            os.write(writing, repr(error).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read().decode()
    assert os.waitpid(child, 0)[1] == 0, f"the child did not end in time; it said {said!r}"
    return said


def test_a_child_drives_its_runs_on_threads_of_its_own(world: World) -> None:
    world.skill("work")
    dispatch = ThreadDispatcher(world.registry, world.config, world.store)
    first, second = (new_run(world, chain("a", "b")) for _ in range(2))
    dispatch.submit(first)
    assert dispatch.idle(60)  # the pool has a thread by now

    def work() -> str:
        dispatch.submit(second)
        assert dispatch.idle(50)
        dispatch.close()
        return f"{world.record(second).status} {dispatch.state(second)}"

    assert in_child(work) == "completed None"
    assert world.record(second).status is RunStatus.COMPLETED
    dispatch.close()


def test_a_child_leaves_the_runs_of_its_parent_to_the_parent(world: World) -> None:
    begun, go = threading.Event(), threading.Event()

    def wait(context: FlowContext) -> None:
        begun.set()
        assert go.wait(60)

    world.skill("wait", wait)
    world.skill("work")
    dispatch = ThreadDispatcher(world.registry, world.config, world.store, max_workers=1)
    driven, queued = new_run(world, chain("a", types="wait")), new_run(world, chain("a"))
    dispatch.submit(driven)
    assert begun.wait(60)
    dispatch.submit(queued)
    assert in_child(lambda: (dispatch.state(driven), dispatch.state(queued), dispatch.close(5))) == "(None, None, [])"
    assert (dispatch.state(driven), dispatch.state(queued)) == ("running", "queued")
    go.set()
    assert dispatch.idle(60)
    assert {world.record(run_id).status for run_id in (driven, queued)} == {RunStatus.COMPLETED}
    dispatch.close()


def test_a_closed_dispatcher_stays_closed_in_a_child(world: World) -> None:
    world.skill("work")
    dispatch = ThreadDispatcher(world.registry, world.config, world.store)
    dispatch.close()
    run_id = new_run(world, chain("a"))

    def work() -> str | None:
        dispatch.submit(run_id)
        return dispatch.state(run_id)

    assert in_child(work) == "None"
    assert world.record(run_id).status is RunStatus.RUNNING


def test_a_child_waits_for_no_lock_that_a_thread_of_its_parent_held(world: World) -> None:
    world.skill("work")
    world.run(wide(4))
    dispatch = ThreadDispatcher(world.registry, world.config, world.store)
    locks = [*forks._locks, dispatch._lock, world.store.database.lock]
    held, go = threading.Event(), threading.Event()

    def hold() -> None:
        for lock in locks:
            lock.acquire()
        held.set()
        go.wait(60)
        for lock in locks:
            lock.release()

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(60)
    try:
        assert in_child(lambda: world.run(wide(4)).metadata.status) == "completed"
    finally:
        go.set()
        holder.join(60)
    dispatch.close()


def test_a_step_that_was_left_behind_in_the_parent_is_none_in_the_child(world: World) -> None:
    go = threading.Event()
    world.skill("work", lambda context: go.wait(60) if context.attempt == 1 else None)
    with pytest.raises(ExecutionError, match="did not end within"):
        world.run(wide(1, timeout=0.1))
    run_id = world.only_run().run_id
    assert in_child(lambda: world.resume(run_id).metadata.status) == "completed"
    go.set()


def new_run(world: World, text: str) -> str:
    """A run that nobody drives yet."""
    return create_run(
        NewRun(blueprint=parse_blueprint(text), actor=this_user()), world.registry, world.config, run_store=world.store
    ).run_id
