"""Delete ended runs; each leaves a tombstone."""

from __future__ import annotations

from collections.abc import Callable

from neurocore.access.actor import Actor, acting
from neurocore.access.permission import Action, Resource, require
from neurocore.errors import RefusedError
from neurocore.persistence import admin
from neurocore.persistence.base import RunStore
from neurocore.persistence.projections import last_hash
from neurocore.persistence.records import Tombstone
from neurocore.runs.find import load_summary


def delete_run(run_id: str, *, run_store: RunStore, by: str | None = None, actor: Actor | None = None) -> Tombstone:
    """Delete an ended run. Its tombstone keeps who deleted it, when, and the end of its answers' chain (promise 8).

    Raises RefusedError for a run that has not ended.
    """
    who = acting(by, actor)
    run = load_summary(run_id, run_store)
    require(who, Action.DELETE, Resource(blueprint=run.blueprint_name, run_id=run_id))
    if not run.status.ended:
        raise RefusedError(f"Run {run_id} is {run.status.value}; only ended runs can be deleted, so cancel it first.")
    tombstone = Tombstone(
        run_id=run_id,
        blueprint_name=run.blueprint_name,
        deleted_at=run_store.clock.now(),
        deleted_by=who.label,
        last_hash=last_hash(run_store.load_gates(run_id)),
    )
    run_store.bury_run(run_id, tombstone)
    return tombstone


def prune_runs(
    run_store: RunStore,
    *,
    before: str,
    keep_last: int = 0,
    by: str | None = None,
    actor: Actor | None = None,
    dry_run: bool = False,
    on_batch: Callable[[int], None] | None = None,
) -> admin.Pruned:
    """Delete ended runs that started before an ISO time, oldest first, in small batches (`admin.prune`)."""
    who = acting(by, actor)
    require(who, Action.DELETE)
    for name in run_store.blueprint_counts():
        require(who, Action.DELETE, Resource(blueprint=name))
    return admin.prune(
        run_store, before=before, keep_last=keep_last, by=who.label, dry_run=dry_run, on_batch=on_batch
    )  # fmt: skip
