"""Waiting for the thing itself."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE = 60.0


def until(there: Callable[[], object], what: str = "what a test waits for", patience: float = PATIENCE) -> None:
    """Return as soon as `there()` is true; fail where that takes longer than `patience` seconds."""
    end = time.monotonic() + patience
    while not there():
        assert time.monotonic() < end, f"{what} did not happen within {patience:g} s"
        time.sleep(0.01)
