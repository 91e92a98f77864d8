"""`neurocore login` and `logout`: the token with which commands work on a server."""

from __future__ import annotations

import os
import sys

import click

from neurocore.cli.output import is_terminal, out, say, warn
from neurocore.cli.text import line
from neurocore.errors import NotFoundError, UsageError

#: The most characters read for a token.
MOST = 4096


@click.command(short_help="Sign in to a server with a token.")
@click.option("--server", "url", metavar="URL", envvar="NEUROCORE_SERVER", required=True, help="The server.")
@click.option("--token-stdin", is_flag=True, help="Read the token from standard input.")
def login(url: str, token_stdin: bool) -> None:
    """Check a token, and keep it for the commands that work on this server.

    Create the token on the page Account of the server. It is kept in the keyring of the system if there is one, else in
    a file that only you can read. Name the server with --server or NEUROCORE_SERVER in each command.
    """
    from neurocore.cli.elsewhere import Me
    from neurocore.remote.address import read_address
    from neurocore.remote.client import Client
    from neurocore.remote.tokens import VARIABLE, check_token, keep_token

    address = read_address(url)
    token = check_token(_given(token_stdin, address.url))
    client = Client(address, token)
    try:
        me = client.document("/me", Me)
    except NotFoundError as error:
        raise NotFoundError(f"{address.url} has no /api/v1/me: it is older than this version of NeuroCore.") from error
    finally:
        client.close()
    if me.username is None:
        raise UsageError(f"Nobody signs in to {address.url} (auth.mode: {me.mode}): it needs no token, only --server.")
    place = keep_token(address, token)
    roles = ", ".join(line(role) for role in me.roles) or "no role"
    scopes = "" if me.scopes is None else f", for {', '.join(line(scope) for scope in me.scopes)}"
    out(f"Signed in to {line(address.url)} as {line(me.username)} ({roles}{scopes}).")
    say(f"The token is kept {line(place)}.")
    if os.environ.get(VARIABLE, "").strip():
        warn(f"{VARIABLE} is set: commands use that token instead.")


@click.command(short_help="Forget the token of a server.")
@click.option(
    "--server", "url", metavar="URL", envvar="NEUROCORE_SERVER", help="The server, if tokens of several are kept."
)
def logout(url: str | None) -> None:
    """Forget the token of a server on this machine. The token stays valid until it is revoked on the page Account."""
    from neurocore.remote.address import read_address
    from neurocore.remote.tokens import forget_token, known_servers

    if url is None:
        known = known_servers()
        if len(known) > 1:
            raise UsageError(f"Tokens of several servers are kept; name one with --server: {', '.join(known)}.")
        if not known:
            raise NotFoundError("No token is kept here.")
        (url,) = known
    address = read_address(url)
    if not forget_token(address):
        raise NotFoundError(f"No token of {address.url} is kept here.")
    out(f"The token of {line(address.url)} is forgotten here.")
    say(f"It stays valid until it is revoked: see {line(address.url)}/account.")


def _given(from_stdin: bool, url: str) -> str:
    """Return the token that is typed without echo, or the line on standard input."""
    if from_stdin:
        return sys.stdin.readline(MOST)
    if not is_terminal(sys.stdin):
        raise UsageError("There is no terminal to type the token in; give it on standard input with --token-stdin.")
    token: str = click.prompt(f"Token for {line(url)}", hide_input=True, err=True)
    return token
