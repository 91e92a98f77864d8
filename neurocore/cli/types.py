"""Parameter types: each checks its own values, and provides completion for the shell."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from neurocore.cli.project import Project
from neurocore.cli.text import line
from neurocore.moments import age

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    ParamType = click.ParamType[Any]
else:
    ParamType = click.ParamType

STATUSES = ("running", "completed", "failed", "suspended", "cancelled")


class RunId(ParamType):
    """The id of a run or a unique prefix of it; the newest runs complete it."""

    name = "run_id"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the text; the store is asked later what it means."""
        text = str(value).strip()
        if not text:
            self.fail("The run id is empty; give an id or a prefix of one.", param, ctx)
        if "\0" in text or not _is_unicode(text):
            self.fail("A run id has only letters, digits, - and _.", param, ctx)
        return text

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Return matching ids of the newest runs, with their titles."""
        from click.shell_completion import CompletionItem

        try:
            project = _project(ctx)
            runs = project.store.list_runs(limit=100) if project.has_history else []
        except Exception:  # completion prints no errors, whatever is wrong with the project
            return []
        return [
            CompletionItem(run.run_id, help=line(f"{run.status.value} {run.title or run.blueprint_name}"))
            for run in runs
            if run.run_id.startswith(incomplete) and line(run.run_id) == run.run_id
        ]


class BlueprintName(ParamType):
    """The file of a blueprint, or its name in the blueprints folder."""

    name = "blueprint"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Return names in the folder, and files."""
        from click.shell_completion import CompletionItem

        try:
            names = [
                name
                for name in _project(ctx).blueprint_names()
                if name.startswith(incomplete) and line(name) == name  # the shell inserts what is printed
            ]
        except Exception:
            names = []
        # bash drops the items before the file item, and completes files only if no name matches
        return [CompletionItem(incomplete, type="file"), *map(CompletionItem, names)]


class SkillName(ParamType):
    """The name of a skill."""

    name = "skill"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Return the names of the skills of the project."""
        from click.shell_completion import CompletionItem

        try:
            from neurocore.skills.loader import discover_skills

            names = discover_skills(_project(ctx).config).names()
        except Exception:
            return []
        return [CompletionItem(name) for name in names if name.startswith(incomplete)]


class Moment(ParamType):
    """A point in time as `neurocore.moments` reads it, in the project's time zone; with `end`, a day means its end.

    It is converted to ISO 8601 in UTC.
    """

    name = "time"

    def __init__(self, *, end: bool = False) -> None:
        self.end = end

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the ISO time in UTC with microseconds, as in records."""
        project = _project(ctx) if ctx is not None else Project()
        if project.elsewhere is not None:
            return str(value)  # the server reads it, in its own zone
        clock = project.config.clock
        try:
            return clock.read(str(value), end=self.end)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Age(ParamType):
    """An age such as `90d`, `12h`, `30min` or `2w`; it is converted to a timedelta."""

    name = "age"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """Return the age."""
        if isinstance(value, timedelta):
            return value
        try:
            found = None if str(value).strip().lower().endswith("m") else age(str(value))  # minutes, or months?
        except OverflowError:
            found = None
        if found is None:
            self.fail(
                f"{str(value)[:40]!r} is not an age; give a number and a unit, such as 90d, 12h, 30min or 2w.",
                param,
                ctx,
            )
        return found


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _use_server(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    """Let the command work on a server instead of the project around the current folder."""
    is_given = param.name is not None and ctx.get_parameter_source(param.name) is ParameterSource.COMMANDLINE
    if value is None or not value.strip():
        if is_given:  # of a variable that is not set: the command must not work here instead
            raise click.BadParameter("it is empty; give the address of a server.", ctx, param)
        return
    from neurocore.cli.elsewhere import Elsewhere

    ctx.obj = there = Elsewhere(value, is_given=is_given)
    ctx.call_on_close(there.close)


def _project(ctx: click.Context) -> Project:
    return ctx.find_object(Project) or Project()


RUN_ID, BLUEPRINT, SKILL, AGE = RunId(), BlueprintName(), SkillName(), Age()
SINCE, UNTIL = Moment(), Moment(end=True)

run_argument = click.argument("run_id", type=RUN_ID)
server_option = click.option(
    "--server", metavar="URL", envvar="NEUROCORE_SERVER", is_eager=True, expose_value=False, callback=_use_server,
    help="Work on the runs of this server. Default: NEUROCORE_SERVER.",
)  # fmt: skip
json_option = click.option("-j", "--json", "as_json", is_flag=True, help="Print JSON (docs/json.md) on stdout.")
by_option = click.option("--by", metavar="NAME", help="Who you are. Default: the user of the operating system.")
data_option = click.option(
    "-d", "--data", "pairs", multiple=True, metavar="KEY=VALUE", help="A value; KEY=@FILE reads a file. Repeatable."
)
