"""The events of a run while it is driven: `on_event=` of the verbs receives one `RunEvent` after another."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct


class RunEvent(Struct, frozen=True, kw_only=True):
    """One event of a run.

    `kind`: run_started, step_started, step_finished, step_retrying, gate_opened, run_suspended, run_finished, warning.
    `status` is the step's or the run's; `duration_ms` the time worked; `total` the number of nodes of the flow; `error`
    a sentence: the error, or the text of a warning.
    """

    kind: str
    run_id: str
    at: str
    node_id: str | None = None
    visit: int | None = None
    attempt: int | None = None
    status: str | None = None
    duration_ms: float | None = None
    error: str | None = None
    total: int | None = None


OnEvent = Callable[[RunEvent], None]
