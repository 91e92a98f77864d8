"""The store of a verb that was called without one."""

from __future__ import annotations

from neurocore.config import NeuroCoreConfig
from neurocore.errors import UsageError
from neurocore.persistence import build_run_store
from neurocore.persistence.base import RunStore


def store_of(run_store: RunStore | None, config: NeuroCoreConfig) -> RunStore:
    """Return the given store, else the configured one. Raises UsageError if persistence is disabled."""
    store = run_store if run_store is not None else build_run_store(config)
    if store is None:
        raise UsageError("Persistence is disabled (persistence.enabled: false), so there are no runs to continue.")
    return store
