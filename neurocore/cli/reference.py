"""The generated parts of docs/cli.md and docs/json.md, and all of docs/schemas.

`python -m neurocore.cli.reference docs` writes them; tests check that the files are up to date.
"""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from neurocore.cli.app import cli
from neurocore.cli.schemas import DOCUMENTS, document_schema

BEGIN, END = "<!-- made from the code: begin -->", "<!-- made from the code: end -->"


def files() -> dict[str, str]:
    """Return the text between the marks of each page, and the whole schemas, by path below docs/."""
    schemas = {
        f"schemas/{name}.json": json.dumps(document_schema(name), indent=2, ensure_ascii=False) + "\n"
        for name in DOCUMENTS
    }
    return {"cli.md": commands_page(), "json.md": documents_page(), **schemas}


def commands(group: click.Group = cli, path: tuple[str, ...] = ("neurocore",)) -> Iterator[tuple[str, click.Command]]:
    """Yield every command with its full name, groups before their commands, without plug-ins."""
    context = click.Context(group, info_name=path[-1])
    names = getattr(group, "table", None) or group.list_commands(context)
    for name in names:
        command = group.get_command(context, name)
        if command is None or command.hidden:
            continue
        yield " ".join((*path, name)), command
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


def commands_page() -> str:
    """Return all commands with their arguments and options as Markdown."""
    parts = ["## Every command", "", "Options of `neurocore` itself, before the command:", "", *_options(cli), ""]
    for name, command in commands():
        level = "###" if isinstance(command, click.Group) or name.count(" ") == 1 else "####"
        parts += [f"{level} `{name}`", "", inspect.cleandoc(command.help or "").replace("\b\n", ""), ""]
        if not isinstance(command, click.Group):
            pieces = command.collect_usage_pieces(click.Context(command, info_name=name))
            parts += ["```", " ".join([name, *pieces]), "```", "", *_options(command), ""]
    return "\n".join(parts).rstrip() + "\n"


def _options(command: click.Command) -> list[str]:
    lines = []
    for option in command.params:
        if not isinstance(option, click.Option) or option.hidden:
            continue
        names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
        value = "" if option.is_flag or option.count else f" `{option.make_metavar(click.Context(command))}`"
        default = f" (default {option.default})" if option.show_default and option.default is not None else ""
        lines.append(f"- {names}{value}: {option.help or ''}{default}")
    return lines


def documents_page() -> str:
    """Return all documents with the commands that print them and their fields as Markdown."""
    parts = ["## Every document", ""]
    for name, (kind, printed_by) in DOCUMENTS.items():
        schema = document_schema(name)
        top = schema["$defs"][kind.__name__]
        parts += [
            f"### {name}", "", ", ".join(f"`neurocore {one} --json`" for one in printed_by)
            + f" · [schema](schemas/{name}.json)", "",
        ]  # fmt: skip
        parts += [_prose(top.get("description", "")), "", "| field | type |", "|---|---|"]
        parts += [f"| `{field}` | {_type(one)} |" for field, one in top["properties"].items()]
        parts.append("")
    return "\n".join(parts).rstrip() + "\n"


def _prose(text: str) -> str:
    return " ".join(text.split())


def _type(schema: dict[str, object]) -> str:
    """Return the type of a field in a few words."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    options = schema.get("anyOf")
    if isinstance(options, list):
        return " or ".join(_type(option) for option in options)
    kind = schema.get("type", "any")
    items = schema.get("items")
    if kind == "array" and isinstance(items, dict):
        return f"list of {_type(items)}"
    return str(kind)


def write(docs: Path) -> None:
    """Update the files below `docs`; text outside the marks of a page is not changed."""
    for name, made in files().items():
        path, text = docs / name, made
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(".md"):
            page = path.read_text("utf-8")
            before, _, rest = page.partition(BEGIN)
            text = f"{before}{BEGIN}\n\n{text}\n{END}{rest.partition(END)[2]}"
        path.write_text(text, "utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
