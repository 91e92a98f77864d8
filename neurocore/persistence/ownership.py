"""Who drives a run, and whether that process still lives.

A process that drives holds one lock for as long as it lives (`neurocore.persistence.owners`). Its token stands in the
run's `owner`, so "is the owner alive" is a question to a lock, never to a process id or a clock (promise 3). There are
three answers: a run whose owner cannot be looked at is left alone until that can be told.
"""

from __future__ import annotations

import atexit
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from neurocore.config import NeuroCoreConfig
from neurocore.errors import DriverUnknown, RunBusyError, StoreTooNew
from neurocore.persistence import owners
from neurocore.persistence.base import RunStore
from neurocore.persistence.contract.ownership import Life, Ownership, Probe
from neurocore.persistence.owners import Owners
from neurocore.persistence.records import Owed, RunRecord, RunStatus, own_event

_driving: dict[str, object] = {}
#: What was logged of owners that cannot be looked at: each reason once.
_told: set[tuple[str, str]] = set()
_log = logging.getLogger(__name__)


def owner_of_this_process(config: NeuroCoreConfig, store: RunStore) -> str:
    """`<token>@<host>:<pid>`, and hold that token's lock from the first call on.

    Raises StoreError when the lock cannot be held.
    """
    return f"{owners_of(store, config).hold()}@{socket.gethostname()}:{os.getpid()}"


def owners_of(store: RunStore, config: NeuroCoreConfig) -> Ownership:
    """The ownership of this store: its own, or locks on files in the data folder."""
    return store.owners if store.owners is not None else Owners(config.data_dir / "owners", mode=config.file_mode)


def driver_of(run: RunRecord, config: NeuroCoreConfig, store: RunStore) -> Probe:
    """Whether a process drives this run now. That it cannot be told is logged, once for each owner and reason."""
    if not run.owner:
        return Probe(Life.DEAD)
    token = run.owner.partition("@")[0]
    place = owners_of(store, config)
    if place.is_held(token):
        return Probe(Life.ALIVE if run.run_id in _driving else Life.DEAD)
    if isinstance(store.owners, Owners) and owners.is_of_data_folder(token):
        found = _older(run, token, config, store.owners)
    else:
        found = place.probe(token)
    if found.life is Life.UNKNOWN and (run.owner, found.reason) not in _told:
        if len(_told) > 1000:
            _told.clear()
        _told.add((run.owner, found.reason))
        _log.warning("%s The run is left alone.", cannot_tell(run, found))
    return found


def _older(run: RunRecord, token: str, config: NeuroCoreConfig, locks: Owners) -> Probe:
    """Look for an owner whose lock lies in a data folder, where locks lay before they lay beside the database.

    Several data folders may share one database. So where its file is missing, the owner is dead only if the database
    itself is in this project's data folder, or if the owner gave the run back.
    """
    own = Path(os.path.realpath(config.data_dir))
    beside = locks.folder.parent
    if own == beside and not (own / "owners").exists():
        return Probe(Life.DEAD)  # no older version has ever driven anything here
    found = [Owners(folder / "owners", complete=own == beside).probe(token) for folder in dict.fromkeys((own, beside))]
    for life in (Life.ALIVE, Life.DEAD):
        if any(probe.life is life for probe in found):
            return Probe(life)
    return Probe(Life.DEAD) if run.owed == Owed.RESUME else found[0]


def hand_back(run_id: str, store: RunStore, why: str) -> None:
    """Mark a run that this process drives as owed before the process ends, so that its end is no death of a step."""
    run = store.load_summary(run_id)
    if run is not None and run.status is RunStatus.RUNNING and _is_own(run.owner):
        event = own_event("stopped", {"because": why}, at=store.clock.now())
        store.set_owed(run_id, Owed.RESUME, event=event, claim=(run.epoch, run.owner))


def _is_own(owner: str | None) -> bool:
    """Whether an owner is this very process."""
    return owners.is_this_process((owner or "").partition("@")[0])


def owner_label(owner: str | None) -> str:
    """The owner for people: `process 4711 on host`."""
    place = (owner or "").partition("@")[2]
    host, _, pid = place.rpartition(":")
    return f"process {pid} on {host}" if host else "nobody"


def busy(run: RunRecord) -> RunBusyError:
    """The error that says who drives the run."""
    label = owner_label(run.owner)
    return RunBusyError(
        f"Run {run.run_id} is being driven by {label}; wait for it, or take the run over with "
        f"`neurocore runs resume {run.run_id} --take-over` if that process is frozen.",
        run_id=run.run_id,
        owner=label,
    )


def cannot_tell(run: RunRecord, found: Probe) -> DriverUnknown:
    """The error that says why nobody knows whether the run is driven."""
    label = owner_label(run.owner)
    return DriverUnknown(
        f"Whether {label} still drives run {run.run_id} cannot be told: {found.reason}; if that process is gone, take "
        f"the run over with `neurocore runs resume {run.run_id} --take-over`.",
        run_id=run.run_id,
        owner=label,
    )


def refuse_if_driven(run: RunRecord, config: NeuroCoreConfig, store: RunStore) -> None:
    """Raise RunBusyError where a process drives the run, or where that cannot be told (DriverUnknown)."""
    found = driver_of(run, config, store)
    if found.life is Life.ALIVE:
        raise busy(run)
    if found.life is Life.UNKNOWN:
        raise cannot_tell(run, found)


@contextmanager
def driving(run_id: str) -> Iterator[None]:
    """Within the block this process counts as the one that drives the run. Raises RunBusyError when it does already.

    A process that finds its history brought up by a newer version cannot drive on: with its last drive, it releases its
    lock, so that the newer version takes the runs over.
    """
    mine = object()
    if _driving.setdefault(run_id, mine) is not mine:
        raise RunBusyError(
            f"Run {run_id} is being driven by this very process; wait for it.", run_id=run_id, owner="this process"
        )
    try:
        yield
    except StoreTooNew:
        _driving.pop(run_id, None)
        if not _driving:
            owners.let_go(driving=False)
        raise
    finally:
        _driving.pop(run_id, None)


def _forget_in_child() -> None:
    owners.forget_in_child()
    _driving.clear()


atexit.register(lambda: owners.let_go(driving=bool(_driving)))
os.register_at_fork(after_in_child=_forget_in_child)
