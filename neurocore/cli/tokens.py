"""`neurocore tokens`: what lets programs act in the name of a user."""

from __future__ import annotations

from datetime import timedelta

import click

from neurocore.cli.output import Column, emit, out, say, table
from neurocore.cli.project import Project, pass_project
from neurocore.cli.text import line, when
from neurocore.cli.types import AGE, json_option
from neurocore.errors import NotFoundError


@click.group()
def tokens() -> None:
    """Create, list and revoke tokens of the API."""


@tokens.command(short_help="Create a token.")
@click.option("--user", required=True, metavar="USER", help="Whose token it is.")
@click.option("--name", required=True, metavar="TEXT", help="By which you know it again.")
@click.option("--scope", required=True, metavar="SCOPE,...", help="What it is for: view, start, resume, answer, …")
@click.option("--blueprints", default="*", metavar="PATTERN,...", help="For which blueprints. Default: all.")
@click.option("--expires", type=AGE, metavar="AGE", help="How long it is valid. Default: auth.tokens.max_age.")
@pass_project
def create(project: Project, user: str, name: str, scope: str, blueprints: str, expires: timedelta | None) -> None:
    """Create a token and print it, alone, on stdout. It is not shown again.

    A token may do what it is for and what its user may do, whichever is less.
    """
    from neurocore.accounts import people
    from neurocore.accounts import tokens as verbs

    made = verbs.create(
        people.find_person(user, project.make_store()), name=name, scopes=_parts(scope), blueprints=_parts(blueprints),
        days="" if expires is None else str(max(1, expires.days)), store=project.make_store(), config=project.config,
        actor=project.actor(None),
    )  # fmt: skip
    say(f"Token {made.token.id} of {line(user)} is valid until {when(made.token.expires_at)}:")
    out(made.secret)


@tokens.command("list", short_help="List the tokens.")
@json_option
@pass_project
def list_(project: Project, as_json: bool) -> None:
    """List all tokens, newest first; none is shown itself."""
    from neurocore.cli.reports import TokenDocument, TokensDocument

    names = {one.id: one.username for one in project.make_store().list_people()}
    found = project.make_store().list_tokens()
    if as_json:
        emit(
            TokensDocument(
                tokens=[
                    TokenDocument(
                        id=one.id, user=names.get(one.person, "?"), name=one.name, scopes=list(one.scopes),
                        blueprints=list(one.blueprints), created_at=one.created_at, expires_at=one.expires_at,
                        revoked_at=one.revoked_at,
                    )
                    for one in found
                ]
            )
        )  # fmt: skip
        return
    rows = [
        [
            one.id, line(names.get(one.person, "?")), line(one.name), ",".join(one.scopes),
            "revoked" if one.revoked_at else when(one.expires_at),
        ]
        for one in found
    ]  # fmt: skip
    out(
        table([Column("TOKEN"), Column("USER"), Column("NAME"), Column("FOR"), Column("UNTIL")], rows)
        if rows
        else "There are no tokens."
    )


@tokens.command(short_help="Revoke a token.")
@click.argument("token_id", metavar="ID")
@pass_project
def revoke(project: Project, token_id: str) -> None:
    """Revoke a token at once."""
    from neurocore.accounts.people import entry_of

    store = project.make_store()
    entry = entry_of(store, project.actor(None), "token-revoked", token=token_id)
    if not store.revoke_token(token_id, at=store.clock.now(), entry=entry):
        raise NotFoundError(f"No valid token has the id {token_id[:40]!r}; `neurocore tokens list` shows the ids.")
    out(f"Token {line(token_id)} is revoked.")


def _parts(text: str) -> list[str]:
    return [one.strip() for one in text.split(",") if one.strip()]
