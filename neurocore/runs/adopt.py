"""Adopt runs that came with a copy of a history, or by an import."""

from __future__ import annotations

from collections.abc import Sequence

from neurocore.access.actor import Actor, acting
from neurocore.access.permission import Action, require
from neurocore.persistence.base import RunStore
from neurocore.persistence.records import event_of
from neurocore.runs.find import load_summary


def adopt_runs(
    run_ids: Sequence[str] | None, *, run_store: RunStore, by: str | None = None, actor: Actor | None = None
) -> int:
    """Let held runs continue here: the named ones, or all. Returns how many were held.

    Runs are held when they came with a copy of a history, or by an import. Whoever adopts them makes sure that they do
    not continue elsewhere as well. Raises RunNotFound.
    """
    who = acting(by, actor)
    require(who, Action.ADOPT)
    for run_id in run_ids or ():
        load_summary(run_id, run_store)
    return run_store.adopt_runs(run_ids, event=event_of(who, "adopted", at=run_store.clock.now()))
