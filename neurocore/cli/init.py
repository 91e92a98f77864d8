"""`neurocore init`: create a project that runs at once."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import click

from neurocore.cli.output import emit, out, paint
from neurocore.cli.text import line
from neurocore.cli.types import json_option
from neurocore.errors import RefusedError, UsageError


@click.command()
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--name", help="The name of the project. Default: the name of the folder.")
@json_option
@click.pass_context
def init(ctx: click.Context, directory: Path, name: str | None, as_json: bool) -> None:
    """Create a project in DIR that is ready to run.

    It has neurocore.yaml, a blueprint with a gate, one skill and its test, and a .gitignore that keeps secrets out.
    A folder that is not empty (except for .git) is refused. Nothing is overwritten.
    """
    from neurocore.cli.scaffold import project_files, write

    root = directory.expanduser()
    if root.exists() and not root.is_dir():
        raise UsageError(f"{root} is a file; name a folder.")
    if root.is_dir() and any(entry.name != ".git" for entry in root.iterdir()):
        raise RefusedError(f"The folder {root} is not empty, so nothing was written; name a new folder.")
    files = project_files(name or root.resolve().name or "my-project")
    write(root, files)
    if as_json:
        from neurocore.cli.reports import InitDocument

        emit(InitDocument(directory=str(root.resolve()), files=list(files)))
        return
    given: Path | None = ctx.find_root().params.get(
        "directory"
    )  # with -C, the person is in another folder than this process
    seen = root if given is None else given / root
    is_here = seen == Path() or (given is None and root.resolve() == Path.cwd())
    out(f"Made {line(seen)}{os.sep} with")
    for file in files:
        out(f"  {line(file)}")
    out()
    out("Type next:")
    for command in [*([] if is_here else [f"cd {shlex.quote(str(seen))}"]), "neurocore run hello --data name=Ada"]:
        out(f"  {paint(line(command), 'bold')}")
    out()
    out("The run stops at its gate, and prints the command that approves it.")
