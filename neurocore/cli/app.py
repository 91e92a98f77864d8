"""The root of the command line: the global options and the table of commands."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import click

from neurocore.cli.errors import guarded
from neurocore.cli.lazy import Lazy, LazyGroup
from neurocore.cli.project import Project

WORK, HISTORY, PROJECT = "Blueprints and skills", "Runs", "Project"

COMMANDS = {
    "init": Lazy("neurocore.cli.init:init", "Create a project that is ready to run.", WORK),
    "run": Lazy("neurocore.cli.run:run", "Run a blueprint.", WORK),
    "validate": Lazy("neurocore.cli.validate:validate", "Check blueprints without running them.", WORK),
    "schema": Lazy("neurocore.cli.schema:schema", "Print the JSON Schema of blueprints or of neurocore.yaml.", WORK),
    "skill": Lazy("neurocore.cli.skill:skill", "List, explain and create skills.", WORK),
    "runs": Lazy("neurocore.cli.runs:runs", "Inspect runs, decide, resume, replay.", HISTORY),
    "db": Lazy("neurocore.cli.db:db", "Check, back up, prune, shrink and move the history.", HISTORY),
    "users": Lazy("neurocore.cli.users:users", "Add people who sign in, and give them roles.", PROJECT),
    "tokens": Lazy("neurocore.cli.tokens:tokens", "Create, list and revoke tokens of the API.", PROJECT),
    "login": Lazy("neurocore.cli.login:login", "Sign in to a server with a token.", PROJECT),
    "logout": Lazy("neurocore.cli.login:logout", "Forget the token of a server.", PROJECT),
    "config": Lazy("neurocore.cli.config:config", "Show the settings and where they come from.", PROJECT),
    "doctor": Lazy("neurocore.cli.doctor:doctor", "Check this project, and say how to fix what is wrong.", PROJECT),
    "completion": Lazy("neurocore.cli.completion:completion", "Print the completion script of a shell.", PROJECT),
}

#: The commands for words that other tools use.
MEANT = {
    **dict.fromkeys(("start", "execute", "exec"), "run"),
    **dict.fromkeys(("new", "create"), "init"),
    **dict.fromkeys(("check", "lint"), "validate"),
    **dict.fromkeys(("server", "dashboard", "web", "ui"), "serve"),
    **dict.fromkeys(("settings", "configuration"), "config"),
    **{name: f"db {name}" for name in ("backup", "restore", "prune", "export", "import", "adopt")},
    **dict.fromkeys(("signin", "sign-in", "auth"), "login"),
    **dict.fromkeys(("signout", "sign-out"), "logout"),
    "version": "--version",
    "skills": "skill list",
    "blueprints": "validate",
}


class Root(LazyGroup):
    """The group that turns every outcome into an exit code and, after an error, one sentence."""

    def main(self, args: Sequence[str] | None = None, prog_name: str | None = None, **extra: Any) -> NoReturn:  # type: ignore[override]
        """Parse the arguments, call the command, and exit with SystemExit."""
        _streams_take_anything()
        Root.debug = bool(os.environ.get("NEUROCORE_DEBUG"))
        extra.pop("standalone_mode", None)
        code = guarded(
            lambda: click.Group.main(self, args, prog_name or "neurocore", standalone_mode=False, **extra),
            debug=lambda: Root.debug,
        )
        sys.exit(code)

    debug: bool = False

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command as every group does; suggestions include the commands of `runs`."""
        if args and args[0] not in self.table:
            from neurocore.cli import runs

            self.meant = {**runs.MEANT, **{name: f"runs {name}" for name in runs.COMMANDS}, **MEANT}
        return super().resolve_command(ctx, args)


def _streams_take_anything() -> None:
    """Let stdout and stderr escape characters that their encoding lacks; a closed stderr discards everything."""
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        encoding = (getattr(stream, "encoding", None) or "").lower()
        if "utf" in encoding and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        from neurocore import __version__

        click.echo(f"neurocore {__version__}")
        ctx.exit()


@click.group(
    cls=Root,
    table=COMMANDS,
    plugins=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "-C", "--project", "directory", metavar="DIR", type=click.Path(path_type=Path),
    help="Act as if started in DIR; the project is there or above it.",
)  # fmt: skip
@click.option("--debug", is_flag=True, help="Show the traceback of what goes wrong.")
@click.option(
    "-V", "--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Print the version."
)
@click.pass_context
def cli(ctx: click.Context, directory: Path | None, debug: bool) -> None:
    """Durable YAML workflows of Python skills, with approval gates that hold.

    A first project: `neurocore init hello`, then what it says.
    """
    Root.debug = Root.debug or debug
    ctx.obj = Project("neurocore" if directory is None else f"neurocore -C {shlex.quote(str(directory))}")
    if directory is not None:
        _go_to(ctx, directory)
    ctx.call_on_close(ctx.obj.close)


def _go_to(ctx: click.Context, directory: Path) -> None:
    before = Path.cwd()
    try:
        os.chdir(directory)
    except OSError as error:
        raise click.BadParameter(f"{directory}: {error.strerror or error}.", ctx, param_hint="--project") from error
    ctx.call_on_close(lambda: os.chdir(before))
