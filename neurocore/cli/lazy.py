"""Groups whose commands are imported when they are called, so that `neurocore runs list` starts fast.

Commands can also come from other packages: entry point group `neurocore.cli`, name = command, value = a click command.
The listing in `--help` loads none of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

ENTRY_POINTS = "neurocore.cli"

#: What `--help` says of commands of ours that come by entry point.
_KNOWN = {"serve": "Serve the dashboard in the browser."}


class Lazy(NamedTuple):
    """Where a command is (`module:name`), what the listing says, and under which heading."""

    target: str
    help: str
    heading: str = "Commands"


class LazyGroup(click.Group):
    """A click group over a table of `Lazy` commands, and plug-ins where `plugins` is set.

    `meant` says what is meant by words that are no commands here: each with the command to type, from `neurocore` on.
    """

    def __init__(
        self,
        *args: Any,
        table: Mapping[str, Lazy] | None = None,
        plugins: bool = False,
        meant: Mapping[str, str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.table = dict(table or {})
        self.plugins = plugins
        self.meant = dict(meant or {})

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every name, ours in the order of the table."""
        return [*self.table, *(name for name in self._plugin_names() if name not in self.table)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported now."""
        lazy = self.table.get(cmd_name)
        if lazy is not None:
            module, _, name = lazy.target.partition(":")
            command: click.Command = getattr(import_module(module), name)
            return command
        return self._plugin(cmd_name) if self.plugins else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does it, with the nearest name in the refusal."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError:
            import difflib

            own = ctx.command_path.partition(" ")[2]
            names = {name: f"{own} {name}".strip() for name in self.list_commands(ctx)}
            known = {**self.meant, **names}
            # A word that is only a little like a command suggests nothing: another command may do harm.
            near = difflib.get_close_matches(args[0].lower(), known, n=1, cutoff=0.7)
            hint = f"; did you mean `neurocore {known[near[0]]}`?" if near else f"; there are {', '.join(names)}."
            raise click.UsageError(f"There is no command {args[0][:80]!r}{hint}", ctx) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The listing, by headings, from the table alone."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for name, lazy in self.table.items():
            sections.setdefault(lazy.heading, []).append((name, lazy.help))
        for name, text in self._plugin_names().items():
            if name not in self.table:
                sections.setdefault("Further commands", []).append((name, text))
        for heading, rows in sections.items():
            with formatter.section(heading):
                formatter.write_dl(rows)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Names with their short help, nothing imported; options when one is begun."""
        from click.shell_completion import CompletionItem

        if incomplete.startswith("-"):
            return super().shell_complete(ctx, incomplete)
        known = {**{name: lazy.help for name, lazy in self.table.items()}, **self._plugin_names()}
        return [CompletionItem(name, help=text) for name, text in known.items() if name.startswith(incomplete)]

    def _plugin_names(self) -> dict[str, str]:
        if not self.plugins:
            return {}
        return {
            point.name: _KNOWN.get(point.name) or f"From {point.dist.name if point.dist else point.module}."
            for point in sorted(_entry_points(), key=lambda point: point.name)
        }

    def _plugin(self, cmd_name: str) -> click.Command | None:
        point = next((point for point in _entry_points() if point.name == cmd_name), None)
        if point is None:
            return None
        try:
            command = point.load()
        except ImportError as error:
            raise click.ClickException(_not_loadable(cmd_name, error)) from error
        except Exception as error:
            raise click.ClickException(
                f"The command {cmd_name} of {point.module} cannot be loaded ({type(error).__name__}: {error})."
            ) from error
        if not isinstance(command, click.Command):
            raise click.ClickException(f"{point.value} is named as the command {cmd_name}, but it is no click command.")
        return command


def _not_loadable(name: str, error: ImportError) -> str:
    missing = f"the package {error.name}" if error.name else str(error)
    if name == "serve":
        return f"The dashboard needs {missing}, which is not there: pip install 'neurocore-ai[web]'."
    return f"The command {name} needs {missing}, which is not there."


def _entry_points() -> list[Any]:
    from importlib.metadata import entry_points

    return list(entry_points(group=ENTRY_POINTS))
