"""Named places in the durable path where a test can stop the process (the idea is DBOS's).

`failpoint("step.before_commit")` does nothing unless a test armed that name with `arm`, or the environment variable
`NEUROCORE_FAILPOINT` names it: `<name>[@<n>]` makes the process kill itself with SIGKILL at the n-th pass (default 1).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

ENVIRONMENT = "NEUROCORE_FAILPOINT"

#: Every name, so that a test can go through them all.
NAMES = (
    "run.before_create",
    "run.after_create",
    "together.before_commit",
    "together.after_commit",
    "claim.after",
    "step.before_run",
    "step.after_run",
    "step.before_commit",
    "step.after_commit",
    "answer.before_commit",
    "answer.after_commit",
    "end.before_commit",
    "end.after_commit",
    "request.before_kept",
    "migrate.before_commit",
    "migrate.after_commit",
    "vacuum.after_commit",
    "restore.staged",
    "restore.moved",
    "restore.placed",
    "restore.kept",
)

_armed: dict[str, Callable[[], None]] = {}


def failpoint(name: str) -> None:
    """Pass the place called `name`; the action that a test armed there runs now."""
    if _armed:
        action = _armed.get(name)
        if action is not None:
            action()


@contextmanager
def arm(name: str, action: Callable[[], None]) -> Iterator[None]:
    """Within the block, call `action` each time `name` is passed. Raises ValueError for a name that does not exist."""
    if name not in NAMES:
        raise ValueError(f"There is no failpoint {name!r}; the names are {', '.join(NAMES)}.")
    _armed[name] = action
    try:
        yield
    finally:
        del _armed[name]


def _kill_at(passing: int) -> Callable[[], None]:
    import signal  # for tests alone; it would cost every command a millisecond

    left = passing

    def action() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    return action


def _arm_from_environment() -> None:
    wish = os.environ.get(ENVIRONMENT, "")
    if wish:
        name, _, passing = wish.partition("@")
        if name in NAMES:
            _armed[name] = _kill_at(int(passing or 1))


_arm_from_environment()
