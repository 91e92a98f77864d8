"""Groups that import a command only when it is called, so that `neurocore runs list` starts fast.

Other packages can add commands: entry point group `neurocore.cli`, name = command, value = a click command. The list in
`--help` loads none of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

ENTRY_POINTS = "neurocore.cli"

#: The help of our own commands that are entry points.
_KNOWN = {"serve": "Serve the dashboard in the browser."}


class Lazy(NamedTuple):
    """Where a command is (`module:name`), its short help, and its heading in the list."""

    target: str
    help: str
    heading: str = "Commands"


class LazyGroup(click.Group):
    """A click group with a table of `Lazy` commands, and with plug-ins if `plugins` is set.

    `meant` maps words that are not commands here to the command to type instead, without `neurocore`.
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
        """Return all names, our own first, in the order of the table."""
        return [*self.table, *(name for name in self._plugin_names() if name not in self.table)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command and return it."""
        lazy = self.table.get(cmd_name)
        if lazy is not None:
            module, _, name = lazy.target.partition(":")
            command: click.Command = getattr(import_module(module), name)
            return command
        return self._plugin(cmd_name) if self.plugins else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command as click does; the refusal suggests the nearest name."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError:
            import difflib

            own = ctx.command_path.partition(" ")[2]
            names = {name: f"{own} {name}".strip() for name in self.list_commands(ctx)}
            known = {**self.meant, **names}
            # Suggest nothing for a word that is only a little like a command: the wrong command may do harm.
            near = difflib.get_close_matches(args[0].lower(), known, n=1, cutoff=0.7)
            hint = f"; did you mean `neurocore {known[near[0]]}`?" if near else f"; there are {', '.join(names)}."
            raise click.UsageError(f"There is no command {args[0][:80]!r}{hint}", ctx) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands by headings; it needs only the table."""
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
        """Return names with their short help, without imports; return options if the text begins with `-`."""
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
            raise click.ClickException(f"The command {cmd_name} is {point.value}, which is not a click command.")
        return command


def _not_loadable(name: str, error: ImportError) -> str:
    missing = f"the package {error.name}" if error.name else str(error)
    if name == "serve":
        return f"The dashboard needs {missing}, which is not installed: pip install 'neurocore-ai[web]'."
    return f"The command {name} needs {missing}, which is not installed."


def _entry_points() -> list[Any]:
    from importlib.metadata import entry_points

    return list(entry_points(group=ENTRY_POINTS))
