"""`neurocore config`: every setting, its value and where it comes from."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click
import msgspec

from neurocore.cli.output import Cell, Column, emit, out, say, table
from neurocore.cli.project import Project, pass_project
from neurocore.cli.text import line, short
from neurocore.cli.types import json_option
from neurocore.errors import NotFoundError

if TYPE_CHECKING:
    from neurocore.cli.reports import SettingDocument

_PASSWORD_IN_URL = re.compile(r"(\w+://[^/\s:@]*:)(?!\$\{)[^@/\s]+(?=@)")


@click.group()
def config() -> None:
    """Show the settings and where they come from."""


@config.command(short_help="Print settings, and where they come from.")
@click.argument("names", metavar="[NAME]...", nargs=-1)
@json_option
@pass_project
def show(project: Project, names: tuple[str, ...], as_json: bool) -> None:
    """Print every setting with its value and origin, or the settings that begin with NAME.

    Secrets are masked; a reference such as ${TOKEN} is printed as it is written.
    """
    settings = list(settings_of(project))
    unknown = [name for name in names if not any(_chosen(one.name, name) for one in settings)]
    if unknown:
        from neurocore.yamlfile import nearest

        hint = nearest(
            unknown[0], [one.name for one in settings] + sorted({one.name.split(".")[0] for one in settings})
        )
        raise NotFoundError(f"There is no setting {unknown[0][:80]!r}{hint}")
    chosen = [one for one in settings if not names or any(_chosen(one.name, name) for name in names)]
    file = project.config.project_root / "neurocore.yaml"
    if as_json:
        from neurocore.cli.reports import ConfigDocument

        emit(
            ConfigDocument(
                project_root=str(project.config.project_root),
                file=str(file) if file.is_file() else None,
                settings=chosen,
            )
        )
        return
    say(
        f"Project {line(project.config.project_root)}"
        + ("" if file.is_file() else " (no neurocore.yaml, all defaults)")
    )
    rows: list[list[str | Cell]] = [
        [
            one.name,
            "–" if one.value in (None, "", [], {}) else short(one.value, 200),
            Cell(line(one.origin), "dim" if one.origin == "default" else ""),
        ]
        for one in chosen
    ]
    out(table([Column("setting"), Column("value", least=12), Column("from", least=10)], rows))


def settings_of(project: Project) -> Iterator[SettingDocument]:
    """Yield every setting, masked, in the order of the sections. Skill settings are also masked by their schema."""
    from neurocore.cli.reports import SettingDocument
    from neurocore.config import SECTIONS

    config = project.config
    for section in SECTIONS:
        if section == "skills":
            continue
        values = getattr(config, section)
        for one in msgspec.structs.fields(values):
            name = f"{section}.{one.name}"
            value = _masked(one.name, getattr(values, one.name))
            yield SettingDocument(name=name, value=value, origin=config.origins.get(name, "default"))
    for skill, values in config.skills.items():
        schema = project.schema_of(skill)
        for key, value in values.items():
            name = f"skills.{skill}.{key}"
            yield SettingDocument(
                name=name, value=_masked(key, value, schema), origin=config.origins.get(name, "neurocore.yaml")
            )


def _masked(key: str, value: Any, schema: Any = None) -> Any:
    """Mask a value by its name or its schema, and always mask the password in an address."""
    from neurocore.documents.masking import masked_under

    return _without_passwords(masked_under(key, value, schema))


def _without_passwords(value: Any) -> Any:
    if isinstance(value, str):
        return _PASSWORD_IN_URL.sub(r"\1•••", value)
    if isinstance(value, list):
        return [_without_passwords(item) for item in value]
    return {key: _without_passwords(item) for key, item in value.items()} if isinstance(value, dict) else value


def _chosen(setting: str, name: str) -> bool:
    return setting == name or setting.startswith(f"{name}.")
