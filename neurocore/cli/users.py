"""`neurocore users`: who may sign in, and what they may do."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from neurocore.access.roles import Grant, Role, read_grant
from neurocore.cli.output import Column, emit, out, say, table
from neurocore.cli.project import Project, pass_project
from neurocore.cli.text import ago, line
from neurocore.cli.types import ParamType, json_option
from neurocore.errors import UsageError

if TYPE_CHECKING:
    from neurocore.persistence.people import Person


class GrantType(ParamType):
    """`ROLE`, or `ROLE@PATTERN` for the blueprints that fit a pattern."""

    name = "role"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Grant:
        """The grant."""
        if isinstance(value, Grant):
            return value
        try:
            return read_grant(str(value))
        except ValueError:
            roles = ", ".join(role.value for role in Role)
            self.fail(f"{str(value)[:60]!r} is no role; there are {roles}, alone or as ROLE@PATTERN.", param, ctx)


GRANT = GrantType()


@click.group()
def users() -> None:
    """Add people who sign in, and give them roles.

    Roles are viewer, operator (start, resume, replay, cancel), approver (answer gates) and admin (accounts, deletion).
    Each includes viewer and nothing else. Accounts count where people sign in (auth.mode in neurocore.yaml).
    """


@users.command(short_help="Add an account.")
@click.argument("name")
@click.option("--label", metavar="TEXT", help="The name that people see. Default: NAME.")
@click.option("--role", "grants", type=GRANT, multiple=True, metavar="ROLE[@PATTERN]", help="A role. Repeatable.")
@click.option("--group", "groups", multiple=True, metavar="GROUP", help="A group. Repeatable.")
@click.option("--service", is_flag=True, help="An account for a program: it signs in by tokens alone.")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@pass_project
def add(
    project: Project, name: str, label: str | None, grants: tuple[Grant, ...], groups: tuple[str, ...], service: bool,
    password_stdin: bool,
) -> None:  # fmt: skip
    """Add an account. Without a password it prints a link with which the person sets one; it is valid for an hour.

    Where a proxy or a provider signs people in, say next who it is: `neurocore users identity`.
    """
    from neurocore.accounts import people

    password = sys.stdin.readline().rstrip("\r\n") if password_stdin else None
    person = people.add_person(
        name, store=project.make_store(), actor=project.actor(None), label=label, grants=grants, groups=groups,
        service=service, password=password,
    )  # fmt: skip
    say(f"Added {line(person.username)}.")
    if password is None and not service and project.config.auth.mode in ("open", "local"):
        _print_link(project, person)


@users.command(short_help="Print a one-time sign-in link.")
@click.argument("name")
@pass_project
def link(project: Project, name: str) -> None:
    """Print a link with which NAME signs in once, within an hour.

    With auth.mode: local NAME also sets a new password. With auth.mode: oidc the link does without the provider, for
    when that is down. With auth.mode: proxy there are no links: the proxy says who sends each request.
    """
    from neurocore.accounts import people

    _print_link(project, people.find_person(name, project.make_store()))


@users.command(short_help="Let somebody set a new password.")
@click.argument("name")
@pass_project
def reset(project: Project, name: str) -> None:
    """End all sessions of NAME, remove all passkeys, and print a link with which NAME signs in again."""
    from neurocore.accounts import people

    _refuse_links(project)
    _print(project, people.reset(name, store=project.make_store(), actor=project.actor(None)))


@users.command(short_help="Say who somebody is at the provider or the proxy.")
@click.argument("name")
@click.option("--oidc", metavar="SUBJECT", help="The claim `sub` of the provider in auth.oidc.issuer.")
@click.option("--proxy", metavar="USER", help="The name that the proxy sends.")
@pass_project
def identity(project: Project, name: str, oidc: str | None, proxy: str | None) -> None:
    """Let whom the provider or the proxy signs in be NAME from now on.

    This is needed where the user name that they bring belongs to an account already.
    """
    from neurocore.accounts import people, provided, proxied

    if (oidc is None) == (proxy is None) or not (oidc or proxy):
        raise UsageError("Give either --oidc SUBJECT or --proxy USER.")
    settings = project.config.auth.oidc
    if oidc and not settings.issuer:
        raise UsageError("A subject belongs to a provider; set auth.oidc.issuer first.")
    mode, subject = (provided.MODE, provided.subject_of(settings, oidc)) if oidc else (proxied.MODE, proxy or "")
    people.link_identity(name, mode, subject, store=project.make_store(), actor=project.actor(None))
    out(f"{line(oidc or proxy or '')} is {line(name)}.")


def _refuse_links(project: Project) -> None:
    """Refuse a link where nobody could sign in by one. Raises UsageError."""
    if project.config.auth.mode == "proxy":
        raise UsageError(
            "auth.mode is proxy: the proxy says who sends each request, so that no link can sign anybody in; when it "
            "is down, use the command line, which may do everything except answer gates."
        )


def _print_link(project: Project, person: Person) -> None:
    from neurocore.accounts import people

    _refuse_links(project)
    _print(project, people.make_link(person, store=project.make_store(), actor=project.actor(None)))


def _print(project: Project, secret: str) -> None:
    """Print the address of a one-time link."""
    web = project.config.web
    out(f"{(web.public_url or f'http://{web.host}:{web.port}').rstrip('/')}/link/{secret}")


@users.command("list", short_help="List the accounts.")
@json_option
@pass_project
def list_(project: Project, as_json: bool) -> None:
    """List the accounts: who may do what, who signed in when, who is disabled since when and by whom."""
    from neurocore.accounts.people import grants_of
    from neurocore.cli.reports import UserDocument, UsersDocument

    store = project.make_store()
    found = store.list_people()

    def granted(one: Person) -> Iterator[Grant]:
        yield from grants_of(one, project.config, store.clock)

    if as_json:
        emit(
            UsersDocument(
                users=[
                    UserDocument(
                        username=one.username, label=one.label, service=one.service, groups=list(one.groups),
                        grants=[f"{grant.role.value}@{grant.pattern}" for grant in granted(one)],
                        created_at=one.created_at, signed_in_at=one.signed_in_at, disabled_at=one.disabled_at,
                        disabled_by=one.disabled_by,
                    )
                    for one in found
                ]
            )
        )  # fmt: skip
        return
    if not found:
        out("There are no accounts; `neurocore users add NAME --role admin` adds the first one.")
        return
    rows = [
        [
            line(one.username), line(one.label),
            " ".join(f"{grant.role.value}@{line(grant.pattern)}" for grant in granted(one)) or "none",
            "disabled" if one.disabled_at else ago(one.signed_in_at) if one.signed_in_at else "never signed in",
        ]
        for one in found
    ]  # fmt: skip
    out(table([Column("USER"), Column("NAME"), Column("ROLES"), Column("SIGNED IN")], rows))


@users.command(short_help="Let somebody sign in no more.")
@click.argument("name")
@pass_project
def disable(project: Project, name: str) -> None:
    """Let NAME sign in no more. All sessions and tokens of NAME end at once."""
    from neurocore.accounts import people

    people.disable(name, store=project.make_store(), actor=project.actor(None))
    out(f"{line(name)} is disabled.")


@users.command(short_help="Let somebody sign in again.")
@click.argument("name")
@pass_project
def enable(project: Project, name: str) -> None:
    """Let NAME sign in again."""
    from neurocore.accounts import people

    people.enable(name, store=project.make_store(), actor=project.actor(None))
    out(f"{line(name)} can sign in again.")


@users.command(short_help="Give somebody a role.")
@click.argument("name")
@click.argument("role", type=GRANT, metavar="ROLE[@PATTERN]")
@pass_project
def grant(project: Project, name: str, role: Grant) -> None:
    """Give NAME a role, for all blueprints or for those that fit PATTERN."""
    from neurocore.accounts import people

    people.grant(name, [role], store=project.make_store(), actor=project.actor(None))
    out(f"{line(name)} is {role.role.value} for {line(role.pattern)}.")


@users.command(short_help="Take a role from somebody.")
@click.argument("name")
@click.argument("role", type=GRANT, metavar="ROLE[@PATTERN]")
@pass_project
def revoke(project: Project, name: str, role: Grant) -> None:
    """Take a role from NAME."""
    from neurocore.accounts import people

    people.revoke(name, [role], store=project.make_store(), actor=project.actor(None))
    out(f"{line(name)} is not {role.role.value} for {line(role.pattern)} any more.")


@users.command(short_help="Put somebody into groups.", context_settings={"ignore_unknown_options": True})
@click.argument("name")
@click.argument("changes", nargs=-1, required=True, metavar="+GROUP|-GROUP...")
@pass_project
def group(project: Project, name: str, changes: tuple[str, ...]) -> None:
    """Put NAME into groups (+GROUP), and take NAME out of groups (-GROUP)."""
    from neurocore.accounts import people

    wrong = [one for one in changes if one[:1] not in "+-" or len(one) < 2]
    if wrong:
        raise UsageError(f"{wrong[0]!r} is no change of groups; write +GROUP or -GROUP.")
    now = set(people.find_person(name, project.make_store()).groups)
    for one in changes:
        now = now | {one[1:]} if one[0] == "+" else now - {one[1:]}
    person = people.set_groups(name, sorted(now), store=project.make_store(), actor=project.actor(None))
    out(f"{line(name)} is in {', '.join(map(line, person.groups)) or 'no group'}.")


@users.command(short_help="List or end somebody's sessions.")
@click.argument("name")
@click.option("--end", is_flag=True, help="End them all.")
@pass_project
def sessions(project: Project, name: str, end: bool) -> None:
    """List the browsers in which NAME is signed in."""
    from neurocore.accounts import people
    from neurocore.readable import counted

    person = people.find_person(name, project.make_store())
    if end:
        out(f"{counted(project.make_store().end_sessions(person.id), 'session')} of {line(name)} ended.")
        return
    found = project.make_store().list_sessions(person.id)
    rows = [[line(one.id), ago(one.signed_in_at), ago(one.seen_at), line(one.agent)] for one in found]
    out(
        table([Column("SESSION"), Column("SIGNED IN"), Column("LAST USED"), Column("BROWSER")], rows)
        if rows
        else "No session is open."
    )
