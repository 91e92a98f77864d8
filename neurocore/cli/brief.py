"""What a list needs to know of a run, and nothing that takes long to import."""

from __future__ import annotations

from typing import TYPE_CHECKING

from neurocore.persistence.base import RunStatus

if TYPE_CHECKING:
    from neurocore.config import NeuroCoreConfig
    from neurocore.persistence.base import RunRecord, RunStore


def state(run: RunRecord, config: NeuroCoreConfig, store: RunStore) -> str:
    """`driven`, `owed`, `lost` or `idle`; only what may be moving is looked into.

    A run that has ended since it was read, with its process, is not taken for lost: it is read again.
    """
    if run.status.ended or (run.status is RunStatus.SUSPENDED and run.owed is None):
        return "idle"
    from neurocore.runtime.sweep import liveness

    found = liveness(run, config)
    if found == "lost":
        now = store.load_summary(run.run_id)
        if now is not None and now.version != run.version:
            return liveness(now, config)
    return found


def short_id(run_id: str, store: RunStore | None = None) -> str:
    """How a run is called for people: 8 digits of an id of ours (more where the store holds two such), else all."""
    if len(run_id) != 32 or any(digit not in "0123456789abcdef" for digit in run_id):
        return run_id
    if store is None:
        return run_id[:8]
    for digits in (8, 12, 16):
        if len(store.find_runs(run_id[:digits], limit=2)) <= 1:
            return run_id[:digits]
    return run_id
