"""Who sends a request, as the server knows it."""

from __future__ import annotations

from msgspec import Struct

from neurocore.access.permission import Action
from neurocore.access.roles import Grant, Role
from webapp.api.operations import get
from webapp.security.identity import signed_in
from webapp.services import Services


class MeDocument(Struct, kw_only=True):
    """Who sends the request, and what for.

    `mode` is the server's `auth.mode`. In `open` mode nobody signs in: `username` is null, and requests that change
    something name a person in `by`. `roles` are `ROLE`, or `ROLE@PATTERN` for the blueprints that fit. `known_by` is
    how the person is known: claimed, session, proxy, token, … `scopes` and `blueprints` are what the token is for; null
    without a token.
    """

    mode: str
    username: str | None
    label: str | None
    roles: list[str]
    groups: list[str]
    known_by: str
    scopes: list[str] | None
    blueprints: list[str] | None


@get("/me", 401, action=Action.IDENTIFY)
def show_me(here: Services) -> MeDocument:
    """Show who sends this request. Every token may ask, whatever it is for."""
    actor = signed_in()
    if actor is None or actor.rights is None:
        return MeDocument(
            mode=here.config.auth.mode, username=None, label=None, roles=[role.value for role in Role], groups=[],
            known_by="claimed", scopes=None, blueprints=None,
        )  # fmt: skip
    person = here.all_runs.load_person(id=actor.person)
    rights, is_token = actor.rights, actor.rights.scopes is not None
    return MeDocument(
        mode=here.config.auth.mode,
        username=person.username if person is not None else actor.label,
        label=person.label if person is not None else actor.label,
        roles=[_role(grant) for grant in rights.grants],
        groups=list(actor.groups),
        known_by=actor.known_by.value,
        scopes=[one.value for one in rights.scopes or ()] if is_token else None,
        blueprints=list(rights.only) if is_token else None,
    )


def _role(grant: Grant) -> str:
    return grant.role.value if grant.pattern == "*" else f"{grant.role.value}@{grant.pattern}"
