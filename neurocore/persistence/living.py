"""Find the processes that drive runs of a history: they must end before it is replaced or upgraded."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

from neurocore.errors import StoreInUse
from neurocore.persistence.contract.ownership import Life
from neurocore.persistence.owners import Owners


def refuse_while_driven(database: Path, folders: Iterable[Path], what: str, known: Iterable[str] = ()) -> None:
    """Raise StoreInUse, with their names, while other processes drive runs of a history, or may do so.

    `folders` contain the locks of older versions; `what` is the refused action. `known` are owners of runs; they
    provide the name of a process that wrote none into its lock.
    """
    places = [Owners.beside(database), *(Owners(folder) for folder in dict.fromkeys(folders))]
    labels, reasons = [], []
    for place in places:
        try:
            found = list(place.others())
        except OSError as error:
            reasons.append(f"{place.folder} cannot be read ({error.strerror or error})")
            continue
        labels += [_label(place, token, known) for token, probe in found if probe.life is Life.ALIVE]
        reasons += [probe.reason for _, probe in found if probe.life is Life.UNKNOWN]
    if labels:
        raise StoreInUse(
            f"The run history {database} cannot be {what} while others drive runs of it: stop {' and '.join(labels)}, "
            "then try again."
        )
    if reasons:
        raise StoreInUse(
            f"The run history {database} cannot be {what}: NeuroCore cannot tell whether another process drives runs "
            f"of it: {reasons[0]}; if that process is gone, remove the file."
        )


def _label(place: Owners, token: str, known: Iterable[str]) -> str:
    """Return `process 4711 on host`, as far as it is known."""
    names = [place.label(token), *(owner.partition("@")[2] for owner in known if owner.startswith(f"{token}@"))]
    host, _, pid = next(filter(None, names), "").rpartition(":")
    pid = pid or _holder(place.folder / f"{token}.lock") or ""
    if not pid:
        return f"the process that holds {place.folder / token}.lock"
    return f"process {pid} on {host}" if host else f"process {pid}"


def _holder(lock: Path) -> str | None:
    """Return the process that holds a lock, if the system tells."""
    with contextlib.suppress(OSError):
        there = lock.stat()
        name = f"{os.major(there.st_dev):02x}:{os.minor(there.st_dev):02x}:{there.st_ino}"
        for line in Path("/proc/locks").read_text("utf-8").splitlines():
            parts = line.split()
            if name in parts and "FLOCK" in parts:
                return parts[parts.index(name) - 1]
    return None
