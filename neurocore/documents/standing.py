"""Who moves a run on, in a word. It imports little, since plain lists need it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from neurocore.persistence.base import RunStatus

if TYPE_CHECKING:
    from neurocore.config import NeuroCoreConfig
    from neurocore.persistence.base import RunRecord, RunStore


def state(run: RunRecord, config: NeuroCoreConfig, store: RunStore) -> str:
    """`driven`, `owed`, `lost`, `cannot_tell`, `held` or `idle`; only what may be moving is looked into.

    A run that has ended since it was read, with its process, is not taken for lost: it is read again.
    """
    if run.held is not None:
        return "held"
    if run.status is not RunStatus.RUNNING and run.owed is None:
        return "idle"
    from neurocore.runtime.sweep import liveness_now

    return liveness_now(run, config, store)
