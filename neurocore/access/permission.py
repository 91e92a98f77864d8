"""The one question of rights: may this actor do this to that resource?

The idea of the triple is Datasette's; that of actions as an enumeration is Warehouse's.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from neurocore.access.actor import Actor
from neurocore.errors import Forbidden


class Action(StrEnum):
    """Everything that somebody may or may not do."""

    VIEW = "view"
    START = "start"
    RESUME = "resume"
    REPLAY = "replay"
    CANCEL = "cancel"
    ANSWER = "answer"
    DELETE = "delete"
    ADOPT = "adopt"


class Resource(Struct, frozen=True, kw_only=True):
    """What an action is done to; None where it is every blueprint, run or gate."""

    blueprint: str | None = None
    run_id: str | None = None
    gate: str | None = None


class Verdict(Struct, frozen=True, kw_only=True):
    """Whether an action is allowed; if not, why, and at most five people who may."""

    allowed: bool
    reason: str | None = None
    who_can: tuple[str, ...] = ()


ANYTHING = Resource()


def may(actor: Actor, action: Action, resource: Resource = ANYTHING) -> Verdict:  # noqa: ARG001 - no rights are kept yet
    """Return whether the actor may do this. Pure: it reads nothing but what it is given.

    Without sign-in everybody who reaches NeuroCore may do everything.
    """
    return Verdict(allowed=True)


def require(actor: Actor, action: Action, resource: Resource = ANYTHING) -> None:
    """Raise Forbidden, with the reason and who may, unless the actor may do this."""
    verdict = may(actor, action, resource)
    if not verdict.allowed:
        raise Forbidden(verdict.reason or f"{actor.label} may not {action.value} here.", who_can=verdict.who_can)
