"""Who drives runs, and whether that process is alive: a lock on a file on one machine, a lease between machines."""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol

from msgspec import Struct


class Life(StrEnum):
    """Whether an owner is alive. An owner that may be alive never counts as dead."""

    ALIVE = "alive"
    DEAD = "dead"
    UNKNOWN = "cannot tell"


class Probe(Struct, frozen=True):
    """The result of checking an owner; `reason` says why it is unknown."""

    life: Life
    reason: str = ""


class Ownership(Protocol):
    """The owners of runs, each known by a token. `neurocore.persistence.owners.Owners` keeps locks on files."""

    def hold(self) -> str:
        """Count this process as alive from the first call on; return its token. Raises StoreError."""

    def keep(self) -> None:
        """Repair what shows that this process is alive, if it holds anything here. Raises StoreError."""

    def is_held(self, token: str) -> bool:
        """Return whether this is the token of this process."""

    def probe(self, token: str) -> Probe:
        """Return whether the owner of this token lives."""
