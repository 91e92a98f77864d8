"""Determine who drives a run, and whether that process is alive.

A driving process holds one lock as long as it lives (`neurocore.persistence.owners`). Its token is in the run's
`owner`, so whether the owner is alive is a question to a lock, never to a process id or a clock (promise 3). There are
three answers: a run whose owner cannot be checked is left alone until it can.
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
#: What was logged about owners that cannot be checked: each reason once.
_logged: set[tuple[str, str]] = set()
_log = logging.getLogger(__name__)


def owner_of_this_process(config: NeuroCoreConfig, store: RunStore) -> str:
    """Return `<token>@<host>:<pid>`; hold that token's lock from the first call on.

    Raises StoreError when the lock cannot be held.
    """
    return f"{owners_of(store, config).hold()}@{socket.gethostname()}:{os.getpid()}"


def owners_of(store: RunStore, config: NeuroCoreConfig) -> Ownership:
    """Return the ownership of this store: its own, or locks on files in the data folder."""
    return store.owners if store.owners is not None else Owners(config.data_dir / "owners", mode=config.file_mode)


def driver_of(run: RunRecord, config: NeuroCoreConfig, store: RunStore) -> Probe:
    """Return whether a process drives this run now. An unknown answer is logged, once for each owner and reason."""
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
    if found.life is Life.UNKNOWN and (run.owner, found.reason) not in _logged:
        if len(_logged) > 1000:
            _logged.clear()
        _logged.add((run.owner, found.reason))
        _log.warning("%s The run is left alone.", cannot_tell(run, found))
    return found


def _older(run: RunRecord, token: str, config: NeuroCoreConfig, locks: Owners) -> Probe:
    """Check an owner whose lock is in a data folder, where locks were before they moved beside the database.

    Several data folders may share one database. So if the lock file is missing, the owner is dead only if the database
    itself is in this project's data folder, or if the owner released the run.
    """
    own = Path(os.path.realpath(config.data_dir))
    beside = locks.folder.parent
    if own == beside and not (own / "owners").exists():
        return Probe(Life.DEAD)  # no older version has ever driven runs here
    found = [Owners(folder / "owners", complete=own == beside).probe(token) for folder in dict.fromkeys((own, beside))]
    for life in (Life.ALIVE, Life.DEAD):
        if any(probe.life is life for probe in found):
            return Probe(life)
    return Probe(Life.DEAD) if run.owed == Owed.RESUME else found[0]


def hand_back(run_id: str, store: RunStore, why: str) -> None:
    """Mark a run that this process drives as owed before the process ends, so that this is not a death."""
    run = store.load_summary(run_id)
    if run is not None and run.status is RunStatus.RUNNING and _is_own(run.owner):
        event = own_event("stopped", {"because": why}, at=store.clock.now())
        store.set_owed(run_id, Owed.RESUME, event=event, claim=(run.epoch, run.owner))


def _is_own(owner: str | None) -> bool:
    """Return whether an owner is this process."""
    return owners.is_this_process((owner or "").partition("@")[0])


def owner_label(owner: str | None) -> str:
    """Return the owner for people: `process 4711 on host`."""
    place = (owner or "").partition("@")[2]
    host, _, pid = place.rpartition(":")
    return f"process {pid} on {host}" if host else "nobody"


def busy(run: RunRecord) -> RunBusyError:
    """Return the error that names the driver of the run."""
    label = owner_label(run.owner)
    return RunBusyError(
        f"Run {run.run_id} is being driven by {label}; wait for it, or take the run over with "
        f"`neurocore runs resume {run.run_id} --take-over` if that process is frozen.",
        run_id=run.run_id,
        owner=label,
    )


def cannot_tell(run: RunRecord, found: Probe) -> DriverUnknown:
    """Return the error that says why it is unknown whether the run is driven."""
    label = owner_label(run.owner)
    return DriverUnknown(
        f"NeuroCore cannot tell whether {label} still drives run {run.run_id}: {found.reason}; if that process is gone,"
        f" take the run over with `neurocore runs resume {run.run_id} --take-over`.",
        run_id=run.run_id,
        owner=label,
    )


def refuse_if_driven(run: RunRecord, config: NeuroCoreConfig, store: RunStore) -> None:
    """Raise RunBusyError if a process drives the run, DriverUnknown if that is unknown."""
    found = driver_of(run, config, store)
    if found.life is Life.ALIVE:
        raise busy(run)
    if found.life is Life.UNKNOWN:
        raise cannot_tell(run, found)


@contextmanager
def driving(run_id: str) -> Iterator[None]:
    """Count this process, within the block, as the driver of the run. Raises RunBusyError if it is that already.

    A process whose history was upgraded by a newer version cannot continue: when its last drive ends, it releases its
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
