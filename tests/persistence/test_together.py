"""Writes that wait for a synced commit share the next one, and each of them is whole or not at all."""

from __future__ import annotations

import signal
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from neurocore import failpoints
from neurocore.errors import ClaimLost, RunExists, StoreError
from neurocore.persistence import RunStatus, SQLiteRunStore
from neurocore.persistence.testing.contract import event, run, turn
from tests.waiting import until


@pytest.fixture
def store(tmp_path):
    made = SQLiteRunStore(tmp_path / "runs.db")
    yield made
    made.close()


@pytest.fixture
def together(store):
    """Call functions on threads of their own; all of them wait until somebody who writes has ended."""

    def call(*acts):
        commits = []
        with ThreadPoolExecutor(len(acts)) as threads:
            with store.database.write():
                made = [threads.submit(act) for act in acts]
                waiting = store.database.together._waiting
                until(lambda: len(waiting) == len(acts), "that all of them wait")
                assert not any(one.done() for one in made)
            with failpoints.arm("together.before_commit", lambda: commits.append(1)):
                return [one.exception(60) or one.result() for one in made], len(commits)

    return call


def starts(store, *run_ids):
    return [lambda run_id=run_id: store.create_run(run(run_id)) for run_id in run_ids]


def there(store):
    return sorted(one.run_id for one in store.list_runs())


def test_starts_that_wait_share_one_commit(store, together):
    ids = [f"r{number}" for number in range(8)]
    assert together(*starts(store, *ids)) == ([None] * 8, 1)
    assert there(store) == ids
    assert [store.load_run(run_id).blueprint_snapshot for run_id in ids] == [run("x").blueprint_snapshot] * 8
    assert store.blueprint_counts() == {"payouts": 8}


def test_the_shared_commit_is_synced(store, together):
    together(*starts(store, "a", "b"))
    assert store.database._writer.execute("PRAGMA synchronous").fetchone()[0] == 2


def test_a_refused_start_does_not_hurt_the_others(store, together):
    store.create_run(run("taken"))
    said, commits = together(*starts(store, "a", "taken", "b"))
    assert [type(one) for one in said] == [type(None), RunExists, type(None)]
    assert commits == 1
    assert there(store) == ["a", "b", "taken"]


def test_of_a_write_that_fails_half_way_nothing_is_left_and_the_others_are_whole(store, together):
    broken = run("broken", tags=["seen"], events=[event(), event(data={"file": object()})])
    said, _ = together(*starts(store, "a"), lambda: store.create_run(broken), *starts(store, "b"))
    assert [said[0], said[2]] == [None, None]
    assert isinstance(said[1], Exception)
    assert there(store) == ["a", "b"]
    assert store.blueprint_counts() == {"payouts": 2}


def test_two_that_want_one_id_get_it_once(store, together):
    said, _ = together(*starts(store, "same", "same"))
    assert sorted(type(one).__name__ for one in said) == ["NoneType", "RunExists"]
    assert there(store) == ["same"]


def test_starts_and_ends_of_runs_share_a_commit_and_who_lost_the_claim_writes_nothing(store, together):
    ended, lost = run("ended", owner="me", epoch=1), run("lost", owner="me", epoch=1)
    store.create_run(ended)
    store.create_run(lost)
    assert store.claim("lost", owner="you", expected_epoch=1, expected_owner="me") == 2
    for one in (ended, lost):
        one.status = RunStatus.COMPLETED
    acts = [lambda one=one: store.commit(turn(one, owner="me", sync=True)) for one in (ended, lost)]
    said, commits = together(*starts(store, "a"), *acts)
    assert commits == 1
    assert said[0] is None
    assert said[1].epoch == 1
    assert isinstance(said[2], ClaimLost)
    assert store.load_summary("ended").status is RunStatus.COMPLETED
    assert store.load_summary("lost").status is RunStatus.RUNNING


def test_nobody_returns_before_the_commit(store):
    before, go = threading.Event(), threading.Event()

    def stop():
        before.set()
        assert go.wait(60)

    with failpoints.arm("together.before_commit", stop), ThreadPoolExecutor(2) as threads:
        first = threads.submit(store.create_run, run("first"))
        assert before.wait(60)
        second = threads.submit(store.create_run, run("second"))
        until(lambda: len(store.database.together._waiting) == 1, "that the second waits")
        assert not first.done()
        assert not second.done()
        assert there(store) == []
        go.set()
        first.result(60)
        assert store.load_run("first") is not None
        second.result(60)
    assert there(store) == ["first", "second"]


def test_when_the_commit_fails_all_are_told_so_and_nothing_is_written(store, together):
    refused = []

    def fail():
        if not refused:
            refused.append(1)
            raise sqlite3.OperationalError("disk I/O error")

    with ThreadPoolExecutor(3) as threads:
        with store.database.write():
            made = [threads.submit(act) for act in starts(store, "a", "b", "c")]
            until(lambda: len(store.database.together._waiting) == 3, "that all of them wait")
            armed = failpoints.arm("together.before_commit", fail)
            armed.__enter__()
        said = [one.exception(60) for one in made]
        armed.__exit__(None, None, None)
    assert all(isinstance(one, StoreError) and "cannot be written" in str(one) for one in said)
    assert len({id(one) for one in said}) == 3
    assert there(store) == []
    store.create_run(run("a"))
    assert there(store) == ["a"]


def test_who_is_interrupted_leads_nobody_into_waiting_for_ever(store):
    def interrupt():
        if threading.current_thread() is threading.main_thread():
            raise KeyboardInterrupt

    with ThreadPoolExecutor(2) as threads, failpoints.arm("together.before_commit", interrupt):
        store.database.lock.acquire()
        try:
            others = []

            def come():
                others.extend(threads.submit(act) for act in starts(store, "b", "c"))
                until(lambda: len(store.database.together._waiting) == 3, "that all of them wait")

            begun = store.database.write
            store.database.write = lambda sync=False: (come(), begun(sync=sync))[1]
            with pytest.raises(KeyboardInterrupt):
                store.create_run(run("a"))
            store.database.write = begun
        finally:
            store.database.lock.release()
        assert all("interrupted" in str(one.exception(60)) for one in others)
    store.create_run(run("d"))
    assert there(store) == ["d"]


def test_who_is_interrupted_while_it_waits_is_not_waited_for(store):
    before, go = threading.Event(), threading.Event()

    def stop():
        before.set()
        assert go.wait(60)

    def interrupt(*_):
        raise KeyboardInterrupt

    def when_it_waits():
        until(lambda: len(store.database.together._waiting) == 1, "that the main thread waits")
        signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)

    heard = signal.signal(signal.SIGUSR1, interrupt)
    try:
        with failpoints.arm("together.before_commit", stop), ThreadPoolExecutor(3) as threads:
            first = threads.submit(store.create_run, run("first"))
            assert before.wait(60)
            threads.submit(when_it_waits)
            with pytest.raises(KeyboardInterrupt):
                store.create_run(run("interrupted"))
            third = threads.submit(store.create_run, run("third"))
            until(lambda: len(store.database.together._waiting) == 1, "that the third waits")
            go.set()
            first.result(60)
            third.result(60)
    finally:
        signal.signal(signal.SIGUSR1, heard)
    store.create_run(run("fourth"))
    assert there(store) == ["first", "fourth", "third"]


def test_a_forked_child_waits_for_none_of_its_parent_s_threads(store):
    shared = store.database.together
    shared._is_led, shared._waiting = True, [object()]
    shared.reset_in_child()
    store.create_run(run("a"))
    assert there(store) == ["a"]
