"""The one question of rights: may this actor do this to that resource?

The idea of the triple is Datasette's; that of actions as an enumeration is Warehouse's.
"""

from __future__ import annotations

from msgspec import Struct

from neurocore.access.actor import Actor
from neurocore.access.permission_names import Action
from neurocore.access.roles import roles_for
from neurocore.errors import Forbidden

__all__ = ["ANYTHING", "Action", "Resource", "Verdict", "allows", "may", "require", "sees"]


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


def allows(actor: Actor, action: Action, resource: Resource = ANYTHING) -> bool:
    """Return whether the actor may do this, for those who need no sentence.

    An actor without `rights` may do everything: nobody signs in, so whoever reaches NeuroCore may do everything, or it
    is the user who owns the files.
    """
    return actor.rights is None or actor.rights.allow(action, resource.blueprint)


def sees(actor: Actor, blueprint: str) -> bool:
    """Return whether a blueprint is there at all for the actor: whatever they may not see does not exist for them."""
    return actor.rights is None or actor.rights.sees(blueprint)


def may(actor: Actor, action: Action, resource: Resource = ANYTHING) -> Verdict:
    """Return whether the actor may do this, and if not, why. Only who may instead is read, by the actor's rights."""
    rights = actor.rights
    if rights is None or allows(actor, action, resource):
        return Verdict(allowed=True)
    who_can = rights.who_can(action, resource.blueprint)
    roles = " or ".join(roles_for(action)[:2])
    about = f" of {resource.blueprint}" if resource.blueprint else ""
    return Verdict(allowed=False, reason=f"You need the role {roles} to {WORDS[action]}{about}.", who_can=who_can)


#: What each action is called in a sentence.
WORDS = {
    Action.VIEW: "see this", Action.START: "start a run", Action.RESUME: "resume a run",
    Action.REPLAY: "replay a run", Action.CANCEL: "cancel a run", Action.ANSWER: "answer a gate",
    Action.COMMENT: "comment on a gate",
    Action.DELETE: "delete a run", Action.ADOPT: "adopt runs", Action.ADMINISTER: "manage accounts",
    Action.OWN: "change your account", Action.IDENTIFY: "ask who you are",
}  # fmt: skip


def require(actor: Actor, action: Action, resource: Resource = ANYTHING) -> None:
    """Raise Forbidden, with the reason and who may, unless the actor may do this."""
    verdict = may(actor, action, resource)
    if not verdict.allowed:
        raise Forbidden(verdict.reason or f"{actor.label} may not {action.value} here.", who_can=verdict.who_can)
