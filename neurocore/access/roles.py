"""Roles, and what they let people do. Grants only add; a role is for every blueprint that fits its pattern."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any

from msgspec import Struct

from neurocore.access.permission_names import Action


class Role(StrEnum):
    """What somebody is. Every role includes viewer, and nothing else."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    APPROVER = "approver"
    ADMIN = "admin"


#: What every role allows.
ALL_MAY = frozenset({Action.VIEW, Action.COMMENT})
#: What each role allows beside that.
ALLOWS: dict[Role, frozenset[Action]] = {
    Role.VIEWER: frozenset(),
    Role.OPERATOR: frozenset({Action.START, Action.RESUME, Action.REPLAY, Action.CANCEL}),
    Role.APPROVER: frozenset({Action.ANSWER}),
    Role.ADMIN: frozenset({Action.DELETE, Action.ADOPT, Action.ADMINISTER}),
}

#: Actions that are about no blueprint: a grant for any blueprint is not enough for them.
FOR_ALL = frozenset({Action.ADOPT, Action.ADMINISTER})


class Grant(Struct, frozen=True, order=True):
    """A role for the blueprints that fit a pattern (`*` and `?` stand for any characters and any one)."""

    role: Role
    pattern: str = "*"

    def allows(self, action: Action, blueprint: str | None) -> bool:
        """Return whether this grant allows an action on a blueprint; None stands for any blueprint."""
        if action not in ALL_MAY and action not in ALLOWS[self.role]:
            return False
        if action in FOR_ALL:
            return self.pattern == "*"
        return blueprint is None or fnmatchcase(blueprint, self.pattern)


class Holder(Struct, frozen=True):
    """Somebody with grants: what a verdict needs to say who can."""

    username: str
    grants: tuple[Grant, ...]
    person: str = ""
    groups: tuple[str, ...] = ()
    service: bool = False


class Rights(Struct, frozen=True):
    """What somebody may do: their own grants, and those of everybody else for the sentence that says who can."""

    grants: tuple[Grant, ...]
    #: Asked only for a sentence of refusal: most requests are allowed.
    holders: Callable[[], Iterable[Holder]] = tuple
    #: A token is for these actions alone, and for blueprints that fit one of these patterns.
    scopes: tuple[Action, ...] | None = None
    only: tuple[str, ...] = ("*",)
    #: The grants of a person as they are now, for a check within a transaction.
    now: Callable[[Any], tuple[Grant, ...]] | None = None

    def allow(self, action: Action, blueprint: str | None) -> bool:
        """Return whether any grant allows this, and the token, if it is one, is for it."""
        if action is Action.IDENTIFY:
            return True  # so that a token for one thing can still find out whose it is
        if action is Action.OWN:
            return self.scopes is None
        if self.scopes is not None and action not in self.scopes:
            return False
        if action in FOR_ALL and "*" not in self.only:
            return False
        if blueprint is not None and not any(fnmatchcase(blueprint, one) for one in self.only):
            return False
        return any(grant.allows(action, blueprint) for grant in self.grants)

    def sees(self, blueprint: str) -> bool:
        """Return whether runs of this blueprint are there for its holder at all, whatever a token is for.

        A token that is only for starting runs must reach the run that it starts.
        """
        is_for = any(fnmatchcase(blueprint, one) for one in self.only)
        return is_for and any(grant.allows(Action.VIEW, blueprint) for grant in self.grants)

    @property
    def sees_everything(self) -> bool:
        """Return whether every blueprint is there."""
        return "*" in self.only and any(grant.pattern == "*" for grant in self.grants)

    def allow_all(self, action: Action) -> bool:
        """Return whether this is allowed for every blueprint there is or will be."""
        if self.scopes is not None and action not in self.scopes:
            return False
        return "*" in self.only and any(one.pattern == "*" and one.allows(action, None) for one in self.grants)

    def who_can(self, action: Action, blueprint: str | None, most: int = 5) -> tuple[str, ...]:
        """Return the usernames of at most so many people who may do this."""
        found = (one.username for one in self.holders() if any(g.allows(action, blueprint) for g in one.grants))
        return tuple(sorted(found)[:most])


def roles_for(action: Action) -> list[str]:
    """Return the roles that allow an action."""
    return [role.value for role in Role if action in ALL_MAY or action in ALLOWS[role]]


def read_grant(text: str) -> Grant:
    """Return the grant that `ROLE` or `ROLE@PATTERN` names. Raises ValueError for a role that does not exist."""
    role, _, pattern = text.partition("@")
    return Grant(Role(role), pattern or "*")


def merged(grants: Iterable[Grant]) -> tuple[Grant, ...]:
    """Return the grants in order, each once."""
    return tuple(sorted(set(grants)))
