"""Parameter types: each refuses for itself, and knows how to be completed by the shell."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click

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
    """A run's id or any unique beginning of it; completed by the newest runs."""

    name = "run_id"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The text; what it means is looked up in the store."""
        text = str(value).strip()
        if not text:
            self.fail("An empty run id means no run.", param, ctx)
        if "\0" in text or not _is_unicode(text):
            self.fail("A run id has letters, digits, - and _ only.", param, ctx)
        return text

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Ids of the newest runs that begin so, with what each is about."""
        from click.shell_completion import CompletionItem

        try:
            project = _project(ctx)
            runs = project.store.list_runs(limit=100) if project.has_history else []
        except Exception:  # completion stays silent, whatever is wrong with the project
            return []
        return [
            CompletionItem(run.run_id, help=line(f"{run.status.value} {run.title or run.blueprint_name}"))
            for run in runs
            if run.run_id.startswith(incomplete) and line(run.run_id) == run.run_id
        ]


class BlueprintName(ParamType):
    """A blueprint's file, or its name in the blueprints folder."""

    name = "blueprint"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Names in the folder, and files."""
        from click.shell_completion import CompletionItem

        try:
            names = [
                name
                for name in _project(ctx).blueprint_names()
                if name.startswith(incomplete) and line(name) == name  # a shell takes what is printed
            ]
        except Exception:
            names = []
        # bash forgets what came before a file's item, and looks for files only where no name fits
        return [CompletionItem(incomplete, type="file"), *map(CompletionItem, names)]


class SkillName(ParamType):
    """The name of a skill."""

    name = "skill"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The names of the skills found here."""
        from click.shell_completion import CompletionItem

        try:
            from neurocore.skills.loader import discover_skills

            names = discover_skills(_project(ctx).config).names()
        except Exception:
            return []
        return [CompletionItem(name) for name in names if name.startswith(incomplete)]


class Moment(ParamType):
    """A point in time as `neurocore.moments` reads it, on the project's clock; with `end`, of a day where it ends.

    Converted to ISO 8601 in UTC.
    """

    name = "time"

    def __init__(self, *, end: bool = False) -> None:
        self.end = end

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """ISO time in UTC, with microseconds, as records have it."""
        clock = (_project(ctx) if ctx is not None else Project()).config.clock
        try:
            return clock.read(str(value), end=self.end)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Age(ParamType):
    """How old something may be: `90d`, `12h`, `30min`, `2w`; converted to a timedelta."""

    name = "age"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """The age."""
        if isinstance(value, timedelta):
            return value
        try:
            found = None if str(value).strip().lower().endswith("m") else age(str(value))  # minutes, or months?
        except OverflowError:
            found = None
        if found is None:
            self.fail(
                f"{str(value)[:40]!r} is no age; give a number and a unit, such as 90d, 12h, 30min or 2w.", param, ctx
            )
        return found


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _project(ctx: click.Context) -> Project:
    return ctx.find_object(Project) or Project()


RUN_ID, BLUEPRINT, SKILL, AGE = RunId(), BlueprintName(), SkillName(), Age()
SINCE, UNTIL = Moment(), Moment(end=True)

run_argument = click.argument("run_id", type=RUN_ID)
json_option = click.option("-j", "--json", "as_json", is_flag=True, help="Print JSON (docs/json.md) on stdout.")
by_option = click.option("--by", metavar="NAME", help="Who you are. Default: the user of the operating system.")
data_option = click.option(
    "-d", "--data", "pairs", multiple=True, metavar="KEY=VALUE", help="A value; KEY=@FILE reads a file. Repeatable."
)
