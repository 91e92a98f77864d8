"""What a list needs to know of a run, and nothing that takes long to import."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from neurocore.persistence.base import RunStore


def short_id(run_id: str, store: RunStore | None = None) -> str:
    """How a run is called for people: 8 digits of an id of ours (more where the store holds two such), else all.

    An id that begins other ones is written `=ID`, which means it alone.
    """
    is_ours = len(run_id) == 32 and all(digit in "0123456789abcdef" for digit in run_id)
    if store is None:
        return run_id[:8] if is_ours else run_id
    for digits in (8, 12, 16) if is_ours else ():
        if len(store.find_runs(run_id[:digits], limit=2)) <= 1:
            return run_id[:digits]
    return f"={run_id}" if len(store.find_runs(run_id, limit=2)) > 1 else run_id
