"""Rights as a test wants them."""

from __future__ import annotations

from collections.abc import Callable

from neurocore.access.actor import Actor
from neurocore.access.permission import ANYTHING, Action, Resource, Verdict


def all_but(refused: Action) -> Callable[..., Verdict]:
    """A `may` that allows every action but this one, which ann may carry out."""

    def may(_actor: Actor, action: Action, _resource: Resource = ANYTHING) -> Verdict:
        return Verdict(allowed=action is not refused, reason="Not here.", who_can=("ann",))

    return may
