"""Where attempts run when they do not run on the caller's thread: reused threads, and one event loop per driver."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import queue
import threading
from collections.abc import Awaitable, Mapping
from concurrent.futures import Future
from functools import partial
from typing import Any

from neurocore.runtime.attempt import Attempt, orphaned
from neurocore.runtime.skills import Instances
from neurocore.runtime.threads import run_on_thread

#: How long a cancelled async skill may take to end, in seconds; after that it is abandoned.
GRACE = 1.0
#: How long an event loop may take to answer before it counts as blocked, in seconds.
ANSWER = 0.2


class _Works:
    """Returns whether an attempt on a thread still runs; the thread itself is reused."""

    still = True

    def __call__(self) -> bool:
        return self.still


class Workers:
    """Starts attempts and returns those that ended, in the order in which they end.

    Threads are daemons: an abandoned skill must not keep the process alive.
    """

    def __init__(self, instances: Instances) -> None:
        self._instances = instances
        self._ended: queue.SimpleQueue[Attempt] = queue.SimpleQueue()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._held_up: list[asyncio.AbstractEventLoop] = []

    def start(self, attempt: Attempt, base: Mapping[str, bytes], *, is_async: bool) -> None:
        """Run the attempt in parallel with the caller."""
        if is_async:
            work = asyncio.run_coroutine_threadsafe(self._run_async(attempt, base), self._event_loop())
            attempt.cancel, attempt.works = work, lambda: not work.done()
        else:
            works = attempt.works = _Works()
            attempt.cancel = run_on_thread(
                partial(self._run_on_thread, attempt, base, works), partial(self._ended.put, attempt)
            )

    def next(self, timeout: float | None) -> Attempt | None:
        """Return the next attempt that ended, or None if none did within `timeout` seconds."""
        try:
            return self._ended.get(timeout=timeout)
        except queue.Empty:
            return None

    def patience(self, attempt: Attempt) -> float | None:
        """Return when to stop waiting for an attempt: a thread cannot be cancelled; an async skill may ignore it."""
        if attempt.deadline is None:
            return None
        return attempt.deadline if isinstance(attempt.cancel, threading.Thread) else attempt.deadline + GRACE

    def abandon(self, attempt: Attempt) -> Attempt:
        """Stop waiting for an attempt; its later results are dropped. Return the attempt to record."""
        attempt.abandoned = True
        if attempt.works is not None:
            orphaned[attempt.key] = attempt.works
            if not isinstance(attempt.cancel, threading.Thread):
                self._leave_if_held_up()
        seen = copy.copy(attempt)  # the skill, if it still runs, ends the original attempt
        seen.logs = list(attempt.logs)
        return seen

    def wait_for(self, awaitable: Awaitable[Any]) -> Any:
        """Await something on the driver's event loop and wait for it."""

        async def wrapped() -> Any:
            return await awaitable

        return asyncio.run_coroutine_threadsafe(wrapped(), self._event_loop()).result()

    def close(self) -> None:
        """Cancel what still runs on the event loops, and close each loop when its last task has ended."""
        loop, self._loop = self._loop, None
        held_up, self._held_up = self._held_up, []
        for one in held_up:
            _end(one)
        if loop is not None:
            with contextlib.suppress(TimeoutError):
                _end(loop).result(GRACE)

    def _leave_if_held_up(self) -> None:
        """Start a new loop if a skill blocks this one: later async skills must not wait for it."""
        answered = threading.Event()
        if self._loop is not None:
            self._loop.call_soon_threadsafe(answered.set)
            if not answered.wait(ANSWER):
                self._held_up.append(self._loop)
                self._loop = None

    def _run_on_thread(self, attempt: Attempt, base: Mapping[str, bytes], works: _Works) -> None:
        try:
            attempt.run(base, self._instances, self.wait_for)
        except BaseException as error:  # SystemExit or the like is the step's failure, not the thread's
            attempt.fail(error, self._instances)
        finally:
            works.still = False
            orphaned.pop(attempt.key, None)

    async def _run_async(self, attempt: Attempt, base: Mapping[str, bytes]) -> None:
        try:
            await attempt.run_async(base, self._instances)
        except BaseException as error:  # as on a thread
            attempt.fail(error, self._instances)
        finally:
            orphaned.pop(attempt.key, None)
            self._ended.put(attempt)

    def _event_loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            loop = asyncio.new_event_loop()
            started = threading.Event()

            def run() -> None:
                asyncio.set_event_loop(loop)
                loop.call_soon(started.set)
                while True:
                    with contextlib.suppress(SystemExit, KeyboardInterrupt):
                        loop.run_forever()
                        break
                    # A task raised it through the loop. Whoever awaits the task gets it too; the other tasks continue.
                loop.close()

            threading.Thread(target=run, name="async-skills", daemon=True).start()
            started.wait()
            self._loop = loop
        return self._loop


def _end(loop: asyncio.AbstractEventLoop) -> Future[None]:
    """Cancel what runs on a loop, then stop the loop."""

    async def drain() -> None:
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await loop.shutdown_asyncgens()

    drained = asyncio.run_coroutine_threadsafe(drain(), loop)
    drained.add_done_callback(lambda _: loop.call_soon_threadsafe(loop.stop))
    return drained
