"""Send a run's events to a listener."""

from __future__ import annotations

import logging

from neurocore.clock import Clock
from neurocore.persistence.records import RunRecord
from neurocore.run_events import OnEvent, RunEvent
from neurocore.runtime.attempt import Attempt

_log = logging.getLogger(__name__)


class Listener:
    """Sends a run's events to `on_event`. A listener that raised an exception is not called again."""

    def __init__(self, on_event: OnEvent | None, clock: Clock) -> None:
        self._on_event = on_event
        self._clock = clock

    def run(
        self,
        kind: str,
        run: RunRecord,
        *,
        status: str | None = None,
        error: str | None = None,
        total: int | None = None,
    ) -> None:
        """Send an event of the run."""
        if self._on_event:
            self._send(
                RunEvent(
                    kind=kind, run_id=run.run_id, at=self._clock.now(), status=status, error=error, total=total,
                    duration_ms=run.duration_ms,
                )
            )  # fmt: skip

    def step(self, kind: str, attempt: Attempt, at: str | None = None) -> None:
        """Send an event of a step."""
        if self._on_event:
            self._send(
                RunEvent(
                    kind=kind, run_id=attempt.run_id, at=at or self._clock.now(), node_id=attempt.node.id,
                    visit=attempt.visit, attempt=attempt.number, status=attempt.status or None, error=attempt.error,
                    duration_ms=attempt.duration_ms if attempt.status else None,
                )
            )  # fmt: skip

    def _send(self, event: RunEvent) -> None:
        try:
            if self._on_event:
                self._on_event(event)
        except Exception:
            _log.exception("Run %s continues without sending its events: their listener failed.", event.run_id)
            self._on_event = None
