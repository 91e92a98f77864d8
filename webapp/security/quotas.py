"""What one person may use of what everybody shares, where people sign in: places to wait, and runs that wait to begin.

Answers at gates are never counted. Where nobody signs in, nobody can be told apart, so only the limits for all hold.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from werkzeug.exceptions import TooManyRequests

from neurocore import forks
from webapp.security.identity import signed_in
from webapp.services import Services

#: Seconds after which somebody who has reached a quota may try again.
RETRY_AFTER = 5

#: One at a time of a person counts their runs and adds one; two people rarely share a lock.
_LOCKS = [threading.Lock() for _ in range(64)]


class Holders:
    """How many places each person holds."""

    def __init__(self) -> None:
        self._lock = forks.lock()
        self._held: Counter[str] = Counter()

    def take(self, person: str, most: int) -> bool:
        """Take one more place, unless the person holds as many as they may."""
        with self._lock:
            if self._held[person] >= most:
                return False
            self._held[person] += 1
            return True

    def give_back(self, person: str) -> None:
        """Give one place back."""
        with self._lock:
            self._held[person] -= 1
            if not self._held[person]:
                del self._held[person]


@contextmanager
def place_of_mine(holders: Holders, here: Services) -> Iterator[None]:
    """Hold one of the places that the sender of the request may hold. Raises TooManyRequests."""
    actor, most = signed_in(), here.config.auth.limits.waits
    if actor is None:
        yield
        return
    if not holders.take(actor.id, most):
        raise TooManyRequests(
            f"You have {most} requests that wait for runs, which is the most (auth.limits.waits); try again in a "
            "moment, or without wait.",
            retry_after=RETRY_AFTER,
        )
    try:
        yield
    finally:
        holders.give_back(actor.id)


@contextmanager
def one_more_run(run_id: str, here: Services) -> Iterator[None]:
    """Let the sender of the request add a run. Raises TooManyRequests while too many of theirs wait to begin."""
    actor, most = signed_in(), here.config.auth.limits.starts
    if actor is None:
        yield
        return
    with _LOCKS[hash(actor.id) % len(_LOCKS)]:
        waiting = here.all_runs.count_unbegun(actor.label)
        if waiting >= most and here.all_runs.load_summary(run_id) is None:
            raise TooManyRequests(
                f"You have started {waiting:,} runs that wait to begin, and may have {most:,} (auth.limits.starts); "
                "wait until some of them begin, then try again.",
                retry_after=RETRY_AFTER,
            )
        yield
