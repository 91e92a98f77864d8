"""Waiting for the status of a run. The number of waiting requests is limited, so that others find a free thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from flask import Flask, current_app, request
from werkzeug.exceptions import ServiceUnavailable

from neurocore.errors import InputError
from neurocore.persistence.records import RunRecord, RunStatus
from webapp.security.quotas import Holders, place_of_mine
from webapp.services import Services

#: Seconds that one request may wait.
MAX_WAIT = 60

#: How many requests may wait at once; `neurocore serve` has so many extra threads.
MAX_WAITERS = 16

#: Seconds between two checks of the run, each one read of one row.
LOOK_EVERY = 0.1

#: Seconds after which a client that found no free place may try again.
RETRY_AFTER = 2

#: In the environment of a waiting request: until when it waits (`time.monotonic`). The watchdog ignores it until then.
WAITS_UNTIL = "neurocore.waits_until"

#: The keys of the places, and of those who hold them, in the extensions of the app.
PLACES, HOLDERS = "neurocore.api.waiters", "neurocore.api.waiters.holders"

ENDS_WAIT = tuple(status for status in RunStatus if status is not RunStatus.RUNNING)


def init_app(app: Flask) -> None:
    """Make the places."""
    app.extensions[PLACES] = threading.BoundedSemaphore(MAX_WAITERS)
    app.extensions[HOLDERS] = Holders()


def statuses(until: str) -> tuple[RunStatus, ...]:
    """Return the statuses in `until`. Raises InputError for an unknown one."""
    names = [name.strip() for name in until.split(",") if name.strip()]
    wrong = [name for name in names if name not in RunStatus.__members__.values()]
    if wrong:
        known = ", ".join(status.value for status in RunStatus)
        sentence = f"There is no status {wrong[0][:50]!r}; there are {known}."
        raise InputError(sentence, {"until": sentence})
    return tuple(RunStatus(name) for name in names) or ENDS_WAIT


Changed = Callable[[RunRecord], bool]


def wait(
    run_id: str, wanted: tuple[RunStatus, ...], seconds: float, here: Services, *, changed: Changed | None = None
) -> None:
    """Wait until the run has one of these statuses, does not exist any more, time is up, or the server stops.

    With `changed`, wait until that is true of the run instead of until it has one of the statuses.

    Raises ServiceUnavailable, with Retry-After, if all places are taken, and TooManyRequests if whoever asks holds as
    many as one person may.
    """
    if _is_over(here.store.load_summary(run_id), wanted, here, changed):
        return
    places: threading.BoundedSemaphore = current_app.extensions[PLACES]
    with place_of_mine(current_app.extensions[HOLDERS], here):
        if not places.acquire(blocking=False):
            raise ServiceUnavailable(
                f"{MAX_WAITERS} requests already wait for runs; try again in a moment, or without wait.",
                retry_after=RETRY_AFTER,
            )
        until = request.environ[WAITS_UNTIL] = time.monotonic() + seconds
        try:
            _watch(run_id, wanted, until, here, changed)
        finally:
            places.release()


def _watch(run_id: str, wanted: tuple[RunStatus, ...], end: float, here: Services, changed: Changed | None) -> None:
    while not _is_over(here.store.load_summary(run_id), wanted, here, changed):
        left = end - time.monotonic()
        if left <= 0 or here.closing.wait(min(left, LOOK_EVERY)):
            return


def _is_over(run: RunRecord | None, wanted: tuple[RunStatus, ...], here: Services, changed: Changed | None) -> bool:
    if changed is None or run is None:
        return reached(run, wanted, here)
    return changed(run)


def reached(run: RunRecord | None, wanted: tuple[RunStatus, ...], here: Services) -> bool:
    """Return whether the run has one of these statuses. A decided or resumed run that is pending counts as running."""
    if run is None or run.held is not None:
        return True
    if run.status is RunStatus.RUNNING:
        return RunStatus.RUNNING in wanted
    on_its_way = run.owed is not None or here.dispatcher.state(run.run_id) is not None
    return RunStatus.RUNNING in wanted if on_its_way and not _final(run) else run.status in wanted


def _final(run: RunRecord) -> bool:
    """Return whether the run cannot change any more, even while the thread that drove it ends."""
    return run.status in (RunStatus.COMPLETED, RunStatus.CANCELLED)
