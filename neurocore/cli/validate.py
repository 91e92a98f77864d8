"""`neurocore validate`: find everything that is wrong with a blueprint before it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from msgspec import structs

from neurocore.cli.errors import DONE, FAILED
from neurocore.cli.output import columns, emit, out, paint
from neurocore.cli.project import Project, pass_project
from neurocore.cli.text import line, near, wrapped
from neurocore.cli.types import BLUEPRINT, json_option
from neurocore.errors import BlueprintError, UsageError
from neurocore.readable import counted


@click.command()
@click.argument("blueprints", metavar="[BLUEPRINT]...", nargs=-1, type=BLUEPRINT)
@click.option("--strict", is_flag=True, help="Treat warnings as errors.")
@json_option
@pass_project
def validate(project: Project, blueprints: tuple[str, ...], strict: bool, as_json: bool) -> int:
    """Check blueprints without running them: all of the project, if none is named.

    Each finding says where it is and what to do. Exits with 1 when a finding prevents a blueprint from running.
    """
    files = [project.blueprint_path(name) for name in blueprints] or project.blueprint_files()
    if not files:
        raise UsageError(f"There are no blueprints in {project.config.blueprints_dir}; name a file.")
    checked = [(file, *check(project, file)) for file in files]
    sound = not any(_counts(problems, strict) for _, _, problems in checked)
    if as_json:
        _emit(checked, sound, strict)
    else:
        for file, name, problems in checked:
            _print(file, name, problems)
    return DONE if sound else FAILED


def check(project: Project, file: Path, *, quiet: bool = False) -> tuple[str | None, list[Any]]:
    """Return the blueprint's name (None if it cannot be read) and every problem; `quiet` prints no skill warnings."""
    from neurocore.blueprint.lint import validate_blueprint
    from neurocore.blueprint.load import load_blueprint

    try:
        blueprint = load_blueprint(file)
    except BlueprintError as error:
        return None, list(error.problems)
    registry = project.quiet_registry if quiet else project.registry
    problems = validate_blueprint(blueprint, registry, project.config)
    return blueprint.name, _placed(problems, file)


def _placed(problems: list[Any], file: Path) -> list[Any]:
    """Add file, line and column to the problems: of the value at the path, or of the nearest value above it."""
    if not any(problem.line is None for problem in problems):
        return problems
    from neurocore.yamlfile import dotted, parse, read_file

    text, _ = read_file(file)
    marks = {dotted(place): mark for place, mark in parse(text).marks.items()} if text is not None else {}
    placed = []
    for problem in problems:
        path = problem.path
        while path and path not in marks:
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        where = (problem.line, problem.column) if problem.line is not None else marks.get(path, (None, None))
        placed.append(structs.replace(problem, file=problem.file or str(file), line=where[0], column=where[1]))
    return placed


def _counts(problems: list[Any], strict: bool) -> bool:
    return any(strict or problem.severity == "error" for problem in problems)


def _print(file: Path, name: str | None, problems: list[Any]) -> None:
    errors = sum(problem.severity == "error" for problem in problems)
    warnings = len(problems) - errors
    found = ", ".join(
        counted(count, noun) for count, noun in ((errors, "error"), (warnings, "warning")) if count
    )  # fmt: skip
    sign = paint("✗", "red") if errors else paint("!", "yellow") if warnings else paint("✓", "green")
    label = f" ({line(name)})" if name else ""
    out(f"{sign} {line(near(file))}{label}: {found or 'no problems'}")
    for problem in problems:
        place = f"{problem.line}:{problem.column} " if problem.line is not None else ""
        path = f"{problem.path}: " if problem.path else ""
        colour = "red" if problem.severity == "error" else "yellow"
        said = line(f"{problem.severity} {place}{path}{problem.message}")
        first, *rest = wrapped(said, min(columns(), 110), "  ", "    ")
        out(first.replace(problem.severity, paint(problem.severity, colour), 1))
        for one in rest:
            out(one)


def _emit(checked: list[tuple[Path, str | None, list[Any]]], sound: bool, strict: bool) -> None:
    from neurocore.cli.reports import CheckedDocument, ProblemDocument, ValidateDocument

    documents = [
        CheckedDocument(
            file=str(file), name=name, ok=not _counts(problems, strict),
            problems=[
                ProblemDocument(
                    severity=one.severity, message=one.message, path=one.path, line=one.line, column=one.column,
                )
                for one in problems
            ],
        )
        for file, name, problems in checked
    ]  # fmt: skip
    emit(ValidateDocument(ok=sound, blueprints=documents))
