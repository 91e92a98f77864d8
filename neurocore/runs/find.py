"""Find the run that a person names."""

from __future__ import annotations

from neurocore.errors import RunAmbiguous, RunNotFound
from neurocore.persistence.base import RunStore
from neurocore.persistence.records import RunFilter, RunRecord


def resolve_run_id(prefix: str, run_store: RunStore) -> str:
    """Return the whole id that begins with `prefix`, looked up in the whole history; `=ID` means exactly that id.

    A text that begins several ids is ambiguous even if it is one of them: a person who types the beginning of one run's
    id must not reach another run. Raises RunNotFound (with the tombstone, for the whole id of a deleted run) or
    RunAmbiguous.
    """
    if prefix.startswith("="):
        prefix = prefix.removeprefix("=")
        found = [prefix] if run_store.load_summary(prefix) is not None else []
    else:
        found = run_store.find_runs(prefix, limit=11) if prefix else []
    if len(found) == 1:
        return found[0]
    if found:
        some = ", ".join(found[:10]) + (", …" if len(found) > 10 else "")
        way = f"give more of the id, or ={prefix} for that one" if prefix in found else "give more of the id"
        raise RunAmbiguous(f"Several runs begin with {prefix[:80]!r}: {some}; {way}.", found[:10])
    tombstone = run_store.load_tombstone(prefix)
    if tombstone is not None:
        raise RunNotFound(
            f"Run {prefix} of {tombstone.blueprint_name} was deleted by {tombstone.deleted_by} "
            f"at {tombstone.deleted_at}.",
            run_id=prefix,
            tombstone=tombstone,
        )
    raise RunNotFound(f"No run's id begins with {prefix[:80]!r}; `neurocore runs list` lists the runs.", run_id=prefix)


def run_before(run: RunRecord, run_store: RunStore) -> RunRecord | None:
    """Return the (narrow) run of the same blueprint that started last before this one; None if there is none."""
    wanted = RunFilter(blueprint=run.blueprint_name, until=run.created_at)
    return next(iter(run_store.page_runs(wanted, limit=1).runs), None)


def load_summary(run_id: str, run_store: RunStore) -> RunRecord:
    """Return the run without its data, which only a replay needs. Raises RunNotFound."""
    run = run_store.load_summary(run_id)
    return run if run is not None else load_run(run_id, run_store)


def load_run(run_id: str, run_store: RunStore) -> RunRecord:
    """Return the whole run. Raises RunNotFound."""
    run = run_store.load_run(run_id)
    if run is None:
        resolve_run_id(run_id, run_store)  # raises another error if it was deleted
        raise RunNotFound(f"There is no run with the whole id {run_id[:80]!r}.", run_id=run_id)
    return run
