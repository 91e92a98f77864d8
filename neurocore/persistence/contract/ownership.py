"""Who drives runs, and whether that process lives: a lock on a file on one machine, a lease between machines."""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol

from msgspec import Struct


class Life(StrEnum):
    """Whether an owner lives. Nobody may be taken for dead who may live."""

    ALIVE = "alive"
    DEAD = "dead"
    UNKNOWN = "cannot tell"


class Probe(Struct, frozen=True):
    """What a look at an owner found; `reason` says why it cannot be told."""

    life: Life
    reason: str = ""


class Ownership(Protocol):
    """The owners of runs, each known by a token. `neurocore.persistence.owners.Owners` keeps locks on files."""

    def hold(self) -> str:
        """Let this process count as alive from the first call on; returns its token. Raises StoreError."""

    def keep(self) -> None:
        """Mend what keeps this process alive here, if it holds anything. Raises StoreError."""

    def is_held(self, token: str) -> bool:
        """Return whether this is the token of this process."""

    def probe(self, token: str) -> Probe:
        """Return whether the owner of this token lives."""
