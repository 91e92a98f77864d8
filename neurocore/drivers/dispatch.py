"""Dispatchers drive submitted runs: at once, or on a thread of this process.

With any dispatcher, submitting a run twice is harmless: driving begins with a claim by compare-and-set.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import traceback
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for_futures
from typing import Protocol

from neurocore import forks, log, output_redaction
from neurocore.config import NeuroCoreConfig
from neurocore.context import FlowContext
from neurocore.errors import NeuroCoreError
from neurocore.persistence.base import RunStore
from neurocore.persistence.ownership import hand_back
from neurocore.persistence.records import Owed
from neurocore.run_events import OnEvent
from neurocore.runtime.resume import drive_on
from neurocore.skills.registry import SkillRegistry

_log = logging.getLogger(__name__)


class Dispatcher(Protocol):
    """Accepts runs to drive."""

    def submit(self, run_id: str) -> None:
        """Drive the run, now or later, with what people asked for: that is recorded with the run."""

    def state(self, run_id: str) -> str | None:
        """Return `queued` or `running` while this dispatcher has the run, else None."""

    def close(self, grace: float = 0.0) -> list[str]:
        """Start nothing new; steps that run get `grace` seconds to end, and their runs are released as owed.

        Returns the ids of runs whose steps did not end in time: they run until the process ends.
        """


class InlineDispatcher:
    """Drives a run on the calling thread, before `submit` returns, which raises the run's failure."""

    def __init__(
        self, registry: SkillRegistry, config: NeuroCoreConfig, store: RunStore, *, on_event: OnEvent | None = None
    ) -> None:
        self._registry = registry
        self._config = config
        self._store = store
        self._on_event = on_event
        self.context: FlowContext | None = None

    def submit(self, run_id: str) -> None:
        """Drive the run and keep its `context`. Raises the same errors as `resume_blueprint`."""
        self.context = drive_on(run_id, self._registry, self._config, self._store, on_event=self._on_event)

    def state(self, run_id: str) -> str | None:
        """Return None: no run is left when `submit` returns."""
        return None

    def close(self, grace: float = 0.0) -> list[str]:
        """Do nothing: no run is left."""
        return []


class NullDispatcher:
    """The dispatcher of `--no-dispatch`: runs stay owed until a sweep elsewhere drives them."""

    def submit(self, run_id: str) -> None:
        """Do nothing: the run stays owed."""

    def state(self, run_id: str) -> str | None:
        """Return None: no run is driven here."""
        return None

    def close(self, grace: float = 0.0) -> list[str]:
        """Do nothing: no run is left."""
        return []


#: The reasons for which a run is owed after a person decided or resumed.
BY_PEOPLE = (Owed.DECISION, Owed.RESUME)

#: While decided runs wait, one of this many runs that start is another waiting run.
ONE_OTHER_OF = 4


class ThreadDispatcher:
    """A bounded pool of threads in this process. Errors of runs are logged; they are already recorded with the run.

    Runs that a person decided or resumed have priority over those that were started or found by a sweep, except for
    every fourth run. If there are two threads or more, other runs use all but one, so that a decided run finds a free
    thread beside long ones.

    A forked child drops its parent's runs and threads, and starts its own threads when a run is submitted there.
    """

    def __init__(
        self,
        registry: SkillRegistry | Callable[[], SkillRegistry],
        config: NeuroCoreConfig,
        store: RunStore,
        *,
        max_workers: int | None = None,
        on_event: OnEvent | None = None,
    ) -> None:
        self._registry = registry
        self._config = config
        self._store = store
        self._on_event = on_event
        self._workers = max_workers or config.runtime.max_workers
        self._stop = threading.Event()
        self._begin()
        forks.begin_anew(self)

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._states: dict[str, str] = {}
        self._again: set[str] = set()
        self._decided: deque[str] = deque()
        self._others: deque[str] = deque()
        #: How many of the others are driven, how many may be, and how many decided runs have started since the last
        #: of them.
        self._driven, self._most, self._since = 0, max(1, self._workers - 1), 0
        self._pool = ThreadPoolExecutor(self._workers, thread_name_prefix="run")
        self._futures: set[Future[None]] = set()

    def reset_in_child(self) -> None:
        """Forget, in a forked child, the parent's runs and threads."""
        closed, self._stop = self._stop.is_set(), threading.Event()
        if closed:
            self._stop.set()
        self._begin()

    def submit(self, run_id: str) -> None:
        """Queue the run. If it is queued or driven here already, it is checked once more when that drive ends."""
        decided = self._owed(run_id) in BY_PEOPLE
        with self._lock:
            if self._stop.is_set():
                return
            if run_id not in self._states:
                self._queue(run_id, decided=decided)
                return
            self._again.add(run_id)
            if decided and run_id in self._others:
                self._others.remove(run_id)
                self._decided.append(run_id)
                self._wake()

    def state(self, run_id: str) -> str | None:
        """Return `queued`, `running` or None."""
        return self._states.get(run_id)

    def close(self, grace: float = 0.0) -> list[str]:
        """Start nothing new and wait up to `grace` seconds for running steps; their runs are released as owed."""
        with self._lock:  # a caller of `submit` has queued its run by now, or sees that the pool is closed
            self._stop.set()
            self._decided.clear()
            self._others.clear()
            self._pool.shutdown(wait=False, cancel_futures=True)
        wait_for_futures(list(self._futures), timeout=grace)
        late = [run_id for run_id, state in list(self._states.items()) if state == "running"]
        for run_id in late:
            with contextlib.suppress(NeuroCoreError):
                hand_back(run_id, self._store, "its process was stopped")
        return late

    def idle(self, timeout: float | None = None) -> bool:
        """Wait until nothing is queued or running; return False if `timeout` seconds were not enough."""
        while futures := list(self._futures):
            if wait_for_futures(futures, timeout=timeout).not_done:
                return False
        return True

    def _queue(self, run_id: str, *, decided: bool) -> None:
        """Put the run into its queue; the caller holds the lock."""
        self._states[run_id] = "queued"
        (self._decided if decided else self._others).append(run_id)
        self._wake()

    def _wake(self) -> None:
        future = self._pool.submit(self._work)
        self._futures.add(future)
        future.add_done_callback(self._futures.discard)

    def _work(self) -> None:
        """Drive one run after another, as long as one may start."""
        while (found := self._next()) is not None:
            run_id, other = found
            try:
                self._drive(run_id)
            finally:
                with self._lock:
                    self._driven -= other

    def _next(self) -> tuple[str, bool] | None:
        """Return the run that starts now, and whether it is one of the others; None if no run may start."""
        with self._lock:
            may_other = bool(self._others) and self._driven < self._most
            if self._decided and not (may_other and self._since >= ONE_OTHER_OF - 1):
                run_id, other = self._decided.popleft(), False
                self._since += 1
            elif may_other:
                run_id, other = self._others.popleft(), True
                self._driven += 1
                self._since = 0
            else:
                return None
            self._states[run_id] = "running"
            return run_id, other

    def _drive(self, run_id: str) -> None:
        try:
            registry = self._registry() if callable(self._registry) else self._registry
            drive_on(run_id, registry, self._config, self._store, on_event=self._on_event, stop=self._stop)
        except NeuroCoreError as error:
            _log.info("Run %s: %s", run_id, error)
        except Exception:
            trace = output_redaction.masked(traceback.format_exc())
            log.with_details(_log, logging.ERROR, f"Run {run_id} could not be continued.", trace)
        finally:
            with self._lock:
                self._states.pop(run_id, None)
                if run_id in self._again and not self._stop.is_set():
                    self._again.discard(run_id)
                    if (owed := self._owed(run_id)) is not None:
                        self._queue(run_id, decided=owed in BY_PEOPLE)

    def _owed(self, run_id: str) -> str | None:
        run = self._store.load_summary(run_id)
        return run.owed if run is not None else None
