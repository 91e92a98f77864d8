"""The blueprints: what can be started, the inputs of each, and how its runs went."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Struct

from neurocore.blueprint.lint import validate_blueprint
from neurocore.blueprint.model import Blueprint
from neurocore.documents.masking import masked, masked_definition
from neurocore.errors import BlueprintError, NotFoundError
from neurocore.forms import spelled
from neurocore.persistence.records import RunFilter
from neurocore.yamlfile import Problem
from webapp.api.operations import get
from webapp.blueprints.views import LISTED, LOOKED_AT, begin_with, figures
from webapp.services import Services


class FiguresDocument(Struct, kw_only=True):
    """How the last 200 runs went: how many ended, how many of these completed, and working times in milliseconds.

    `runs` counts all runs.
    """

    runs: int
    ended: int
    completed: int
    p50_ms: float | None
    p95_ms: float | None


class BlueprintSummary(Struct, kw_only=True):
    """A blueprint that has a file or a run. `problem` says why it cannot start."""

    name: str
    version: str | None
    description: str
    file: str | None
    problem: str | None
    figures: FiguresDocument


class BlueprintsDocument(Struct, kw_only=True):
    """Blueprints by name. `more` counts those after this page; `next` is the `start` of the next page.

    `warnings` says that skills or settings changed on disk since the server started.
    `files_left_out` counts the files of the blueprints folder beyond the first 10,000, which are not read.
    """

    blueprints: list[BlueprintSummary]
    more: int
    next: str | None
    warnings: list[str]
    files_left_out: int


class BlueprintsQuery(Struct, kw_only=True):
    """The start of the list."""

    start: Annotated[str, Meta(description="The name to begin with: the `next` of a page.")] = ""


class InputDocument(Struct, kw_only=True):
    """An input of a run. `default` is null if there is none; a `secret` input accepts only `${NAME}`."""

    name: str
    type: str
    required: bool
    default: Any
    choices: list[Any] | None
    secret: bool
    description: str


class BlueprintDocument(BlueprintSummary, kw_only=True):
    """A blueprint: its inputs, nodes, problems and warnings, and its YAML with secrets masked."""

    flow_type: str | None
    nodes: list[str]
    inputs: list[InputDocument]
    problems: list[str]
    warnings: list[str]
    source: str | None


@get("/blueprints")
def list_blueprints(here: Services, query: BlueprintsQuery) -> BlueprintsDocument:
    """List the blueprints."""
    files = here.blueprint_files()
    counts = here.blueprint_counts(files)
    _, left = begin_with(query.start, {*files, *counts})
    return BlueprintsDocument(
        blueprints=[_summary(here, name, files, counts) for name in left[:LISTED]],
        more=max(0, len(left) - LISTED),
        next=left[LISTED] if len(left) > LISTED else None,
        warnings=[*filter(None, [here.stale()])],
        files_left_out=here.files_left_out,
    )


@get("/blueprints/{name}", 404)
def show_blueprint(here: Services, name: str) -> BlueprintDocument:
    """Show one blueprint from its current file."""
    files = here.blueprint_files()
    counts = here.blueprint_counts(files)
    name = spelled([*files, *counts], name) or name
    if name not in files and name not in counts:
        raise NotFoundError(
            f"There is no blueprint {name[:200]!r}: no file in {here.config.paths.blueprints} and no run has this name"
            f"{here.left_out}."
        )
    loaded = files[name][1] if name in files else None
    blueprint = loaded if isinstance(loaded, Blueprint) else None
    found: list[Problem] = validate_blueprint(blueprint, here.registry, here.config) if blueprint else []
    problems = [str(problem) for problem in found if problem.severity == "error"]
    if isinstance(loaded, BlueprintError):
        problems = [str(problem) for problem in loaded.problems] or [str(loaded)]
    summary = msgspec.structs.asdict(_summary(here, name, files, counts))
    summary["problem"] = problems[0] if problems else summary["problem"]
    return BlueprintDocument(
        **summary,
        flow_type=blueprint.flow.type if blueprint else None,
        nodes=list(blueprint.node_ids) if blueprint else [],
        inputs=_inputs(blueprint) if blueprint else [],
        problems=problems,
        warnings=[
            *filter(None, [here.stale()]),
            *(str(problem) for problem in found if problem.severity != "error"),
        ],
        source=masked_definition(blueprint.snapshot(), here.schema_of)[0] if blueprint else None,
    )


def _summary(here: Services, name: str, files: dict[str, Any], counts: dict[str, int]) -> BlueprintSummary:
    path, loaded = files.get(name, (None, None))
    blueprint = loaded if isinstance(loaded, Blueprint) else None
    count = counts.get(name, 0)
    went = figures(here.store.page_runs(RunFilter(blueprint=name), limit=LOOKED_AT).runs if count else [], count)
    problem = None
    if blueprint is None:
        problem = str(loaded).splitlines()[0] if loaded is not None else "Its file does not exist any more."
    root = here.config.project_root
    return BlueprintSummary(
        name=name,
        version=blueprint.version if blueprint else None,
        description=(blueprint.description or "") if blueprint else "",
        file=str(path.relative_to(root) if path.is_relative_to(root) else path) if path is not None else None,
        problem=problem,
        figures=FiguresDocument(
            runs=went.runs, ended=went.ended, completed=went.completed, p50_ms=went.p50, p95_ms=went.p95
        ),
    )


def _inputs(blueprint: Blueprint) -> list[InputDocument]:
    return [
        InputDocument(
            name=name, type=spec.type, required=spec.is_required,
            default=None if spec.default is UNSET else masked({name: spec.default})[name],
            choices=None if spec.enum is None else masked(spec.enum), secret=spec.secret, description=spec.description,
        )
        for name, spec in blueprint.inputs.items()
    ]  # fmt: skip
