"""What a list needs to know about a run, without slow imports."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from neurocore.persistence.base import RunStore


def short_id(run_id: str, store: RunStore | None = None) -> str:
    """Return the short id of a run: 8 digits of a generated id (more if they are not unique), else the whole id.

    An id that is a prefix of others is written `=ID`, which means exactly this one.
    """
    is_ours = len(run_id) == 32 and all(digit in "0123456789abcdef" for digit in run_id)
    if store is None:
        return run_id[:8] if is_ours else run_id
    for digits in (8, 12, 16) if is_ours else ():
        if len(store.find_runs(run_id[:digits], limit=2)) <= 1:
            return run_id[:digits]
    return f"={run_id}" if len(store.find_runs(run_id, limit=2)) > 1 else run_id
