"""The pages of blueprints: how their runs went, the flow picture, and a start form made from the inputs."""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Iterable
from statistics import quantiles
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint as Area
from flask import make_response, redirect, render_template, request
from msgspec import UNSET, Struct
from werkzeug.wrappers import Response as AnyResponse

from neurocore import codec
from neurocore.access.actor import name_problem
from neurocore.access.permission import Action
from neurocore.blueprint.lint import validate_blueprint
from neurocore.blueprint.model import Blueprint, InputSpec
from neurocore.blueprint.plans import plan_of
from neurocore.documents.masking import masked_definition
from neurocore.errors import BlueprintError, InputError, NotFoundError, RunExists, UsageError
from neurocore.forms import spelled
from neurocore.persistence.records import RunFilter, RunRecord, RunStatus
from neurocore.runs.start import NewRun, create_run
from neurocore.yamlfile import Problem, parse
from webapp.html import diagram, live
from webapp.html.helpers import blueprint_url, run_url
from webapp.runs import listing
from webapp.security import actors, form_tokens
from webapp.security.identity import signed_in
from webapp.security.permissions import action
from webapp.security.quotas import one_more_run
from webapp.security.sessions import remember, remembered
from webapp.services import Services, services

area = Area("blueprints", __name__)

LOOKED_AT = 200
LISTED = 100
RUNS_SHOWN = 10

#: Input types whose form field is read as plain text; the others are read as YAML.
AS_TEXT = frozenset({"string", "date", "datetime", "decimal", "path", "integer", "number", "boolean"})

PLACE_OF_SECRET = re.compile(r"\$\{\w+\}")


class Figures(Struct, frozen=True, kw_only=True):
    """How the last runs of a blueprint went. Times are working times in milliseconds."""

    runs: int
    ended: int = 0
    completed: int = 0
    p50: float | None = None
    p95: float | None = None

    @property
    def rate(self) -> float | None:
        """Return the share of ended runs that completed."""
        return self.completed / self.ended if self.ended else None


class _Line(Struct, frozen=True, kw_only=True):
    """A line of the list without its figures. `counts` are the runs by status, `last` is the newest run."""

    name: str
    description: str
    problem: str | None
    startable: bool
    counts: tuple[int, ...]
    last: list[RunRecord]


class Listed(Struct, frozen=True, kw_only=True):
    """A line of the list of blueprints."""

    name: str
    description: str
    url: str
    figures: Figures
    last: listing.Row | None
    problem: str | None
    startable: bool


class Field(Struct, frozen=True, kw_only=True):
    """A field of the start form."""

    name: str
    spec: InputSpec
    value: str
    problem: str | None

    @property
    def id(self) -> str:
        """Return the id of the element."""
        from webapp.html.helpers import anchor

        return anchor("input", self.name)

    @property
    def shape(self) -> str:
        """Return the name of the field's template."""
        if self.spec.enum is not None:
            return "choice"
        if self.spec.secret:
            return "line"
        if self.spec.type in ("list", "mapping", "any"):
            return "area"
        return {"boolean": "choice", "date": "date"}.get(self.spec.type, "area" if "\n" in self.value else "line")

    @property
    def choices(self) -> list[str]:
        """Return the possible values."""
        if self.spec.enum is not None:
            return [written(one) for one in self.spec.enum]
        return ["true", "false"]


@area.get("/blueprints")
def index() -> AnyResponse:
    """List every blueprint that has a file or a run, beginning with the name in `start`."""
    here = services()
    files = here.blueprint_files()
    counts = _counts(here, files)
    start = request.args.get("start", "")
    total, left = begin_with(start, {*files, *counts})
    lines = [_line(name, files.get(name), counts.get(name, ()), here) for name in left[:LISTED]]
    version = _version(lines, left, total, here)
    if live.wants_block() and request.args.get("v") == version:
        return live.unchanged()
    context = {
        "listed": [_listed(one, here, again=live.wants_block()) for one in lines],
        "total": total,
        "left_out": here.left_out,
        "start": start,
        "further": urlencode({"start": left[LISTED]}, errors="replace") if len(left) > LISTED else None,
        "question": urlencode({**({"start": start} if start else {}), "v": version}, errors="replace"),
        "config": here.config,
    }
    if live.wants_block():
        return live.blocks("blueprints/list.html", [], "list", context)
    return live.varying(make_response(render_template("blueprints/list.html", **context)))


def begin_with(start: str, names: set[str]) -> tuple[int, list[str]]:
    """Return the number of blueprints, and the sorted names from `start` on."""
    return len(names), sorted((one for one in names if one.casefold() >= start.casefold()), key=str.casefold)


@area.get("/blueprints/<path:name>")
def show(name: str) -> AnyResponse:
    """Show one blueprint."""
    here = services()
    return make_response(render_template("blueprints/show.html", **_page(name, here, {}, {})))


@area.post("/blueprints/<path:name>/runs")
@action(Action.START)
def start(name: str) -> AnyResponse:
    """Record a new run and hand it to the dispatcher. The form's token allows one new run."""
    here, form = services(), request.form
    try:
        path, blueprint = here.blueprint(name)
    except BlueprintError:  # the file changed after the form was opened; the page shows the errors
        return make_response(render_template("blueprints/show.html", **_page(name, here, {}, {})), 422)
    typed = {
        key.removeprefix("input."): value.replace("\r\n", "\n")
        for key, value in form.items()
        if key.startswith("input.")
    }
    typed |= {key: form.get(key, "") for key in ("data", "by", form_tokens.FIELD)}
    by = typed["by"].strip() or remembered()
    problem = name_problem(by) if signed_in() is None else None
    problems = {"by": problem} if problem else {}
    try:
        run_id = form_tokens.run_id_of(typed[form_tokens.FIELD], f"start {name}")
        data = read_form(blueprint, typed)
        if not problems:
            with contextlib.suppress(RunExists):  # the same form was sent before
                new = NewRun(
                    blueprint=blueprint, actor=actors.typed(by), initial_data=data, run_id=run_id, blueprint_path=path
                )  # fmt: skip
                with one_more_run(run_id, here):
                    create_run(new, here.registry, here.config, run_store=here.store)
                here.dispatcher.submit(run_id)
                if signed_in() is None:
                    remember(by)
            return redirect(run_url(run_id), 303)
    except InputError as error:
        problems |= error.problems or {"data": str(error)}
    except (BlueprintError, UsageError) as error:
        problems["data"] = str(error)
    return make_response(render_template("blueprints/show.html", **_page(name, here, typed, problems)), 422)


def read_form(blueprint: Blueprint, typed: dict[str, str]) -> dict[str, Any]:
    """Return the typed texts as data for `check_inputs`. Empty fields are left out, structured ones are parsed as YAML.

    Raises InputError with a sentence for each field that cannot be parsed.
    """
    data: dict[str, Any] = {}
    problems: dict[str, str] = {}
    if not blueprint.inputs:
        whole = _yaml("data", typed.get("data", ""), problems)
        if whole is not None and not isinstance(whole, dict):
            problems["data"] = "Write the data as lines of `key: value`."
        data = whole if isinstance(whole, dict) else {}
    for name, spec in blueprint.inputs.items():
        text = typed.get(name, "")
        if not text.strip():
            continue
        if spec.enum is not None:
            data[name] = next((one for one in spec.enum if written(one) == text), text)
        elif spec.type in AS_TEXT or spec.secret:
            data[name] = text if spec.type == "string" else text.strip()
        else:
            data[name] = _yaml(name, text, problems)
    if problems:
        raise InputError(" ".join(problems.values()), problems)
    return data


def _yaml(name: str, text: str, problems: dict[str, str]) -> Any:
    if not text.strip():
        return None
    document = parse(text)
    if document.problems:
        problems[name] = document.problems[0].message
        return None
    return document.data


def written(value: Any) -> str:
    """Return a default or a choice as the text of a form field."""
    if value is UNSET or value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (dict, list)):
        import yaml

        return str(yaml.safe_dump(codec.plain(value), sort_keys=False, allow_unicode=True)).rstrip()
    return str(codec.plain(value))


# -------------------------------------------------------------------- the page


def _page(name: str, here: Services, typed: dict[str, str], problems: dict[str, str]) -> dict[str, Any]:
    files = here.blueprint_files()
    name = spelled(files, name) or name
    path, loaded = files.get(name, (None, None))
    runs = here.store.page_runs(RunFilter(blueprint=name), limit=LOOKED_AT).runs
    if loaded is None and not runs:
        raise NotFoundError(
            f"There is no blueprint {name[:200]!r}: no file in {here.config.paths.blueprints} and no run has this name"
            f"{here.left_out}."
        )
    blueprint = loaded if isinstance(loaded, Blueprint) else None
    found: list[Problem] = validate_blueprint(blueprint, here.registry, here.config) if blueprint else []
    errors = [_said(problem) for problem in found if problem.severity == "error"]
    if isinstance(loaded, BlueprintError):
        errors = _errors(loaded)
    return {
        "name": name,
        "path": path.relative_to(here.config.project_root)
        if path and path.is_relative_to(here.config.project_root)
        else path,
        "blueprint": blueprint,
        "source": masked_definition(blueprint.snapshot(), here.schema_of)[0] if blueprint else None,
        "errors": errors,
        "warnings": [_said(problem) for problem in found if problem.severity != "error"],
        "figures": figures(runs),
        "total": sum(here.store.status_counts(blueprint=name).values()),
        "runs": listing.rows(runs[:RUNS_SHOWN], here),
        "flow": _flow(blueprint, here) if blueprint and not errors else None,
        "fields": _fields(blueprint, typed, problems) if blueprint else [],
        "typed": typed,
        "problems": problems,
        "once": typed.get(form_tokens.FIELD) or form_tokens.issue(f"start {name}"),
        "by": typed.get("by") or remembered(),
        "url": blueprint_url(name),
    }


def _errors(error: BlueprintError) -> list[str]:
    return [_said(problem) for problem in error.problems] or [str(error)]


def _said(problem: Problem) -> str:
    """Return the problem with its place in the file. The page names the file above."""
    place = f"line {problem.line}" if problem.line is not None else ""
    return ": ".join(part for part in (place, problem.path, problem.message) if part)


def _fields(blueprint: Blueprint, typed: dict[str, str], problems: dict[str, str]) -> list[Field]:
    return [
        Field(name=name, spec=spec, value=_shown(spec, typed.get(name)), problem=problems.get(name))
        for name, spec in blueprint.inputs.items()
    ]


def _shown(spec: InputSpec, typed: str | None) -> str:
    """Return the content of a field: what was typed, or the default. A secret typed in plain text is not shown."""
    if typed is None:
        return written(spec.default)
    return "" if spec.secret and not PLACE_OF_SECRET.fullmatch(typed.strip()) else typed


def _flow(blueprint: Blueprint, here: Services) -> diagram.Flow | None:
    try:
        return diagram.of_blueprint(plan_of(blueprint, here.registry), blueprint.hash)
    except BlueprintError:
        return None


def _counts(here: Services, files: Iterable[str]) -> dict[str, tuple[int, ...]]:
    """Return how many runs each blueprint has in each status."""
    found = [here.blueprint_counts(files, status=status) for status in RunStatus]
    return {name: tuple(of.get(name, 0) for of in found) for name in set().union(*found)}


def _line(
    name: str, file: tuple[Any, Blueprint | BlueprintError] | None, counts: tuple[int, ...], here: Services
) -> _Line:
    loaded = file[1] if file else None
    return _Line(
        name=name,
        description=(loaded.description or "") if isinstance(loaded, Blueprint) else "",
        problem=_errors(loaded)[0] if isinstance(loaded, BlueprintError) else None,
        startable=isinstance(loaded, Blueprint),
        counts=counts,
        last=here.store.page_runs(RunFilter(blueprint=name), limit=1).runs if sum(counts) else [],
    )


def _version(lines: list[_Line], left: list[str], total: int, here: Services) -> str:
    """Return a token that changes when the list changes. It leaves out the figures, which are slow to compute."""
    shown = [(one.name, one.description, one.problem, one.startable, one.counts) for one in lines]
    runs = listing.Listing([run for one in lines for run in one.last], here).token
    whole = repr((total, left[LISTED : LISTED + 1], shown, runs)).encode("utf-8", "surrogatepass")
    return live.version(hashlib.blake2b(whole, digest_size=9).hexdigest())


def _listed(line: _Line, here: Services, *, again: bool) -> Listed:
    """Add the figures to a line. A refresh (`again`) uses the cached figures while the runs are the same."""
    made_of = (line.counts, [(run.run_id, run.version) for run in line.last])
    kept = here.kept_figures.get(line.name)
    if not again or kept is None or kept[0] != made_of:
        runs = here.store.page_runs(RunFilter(blueprint=line.name), limit=LOOKED_AT).runs if line.last else []
        if len(here.kept_figures) >= 10 * LISTED:
            here.kept_figures.clear()
        kept = here.kept_figures[line.name] = (made_of, figures(runs, sum(line.counts)))
    return Listed(
        name=line.name,
        description=line.description,
        url=blueprint_url(line.name),
        figures=kept[1],
        last=next(iter(listing.rows(line.last, here)), None),
        problem=line.problem,
        startable=line.startable,
    )


def figures(runs: list[Any], count: int | None = None) -> Figures:
    """Return success rate and working times of these runs. Cancelled runs count for neither."""
    ended = [run for run in runs if run.status in (RunStatus.COMPLETED, RunStatus.FAILED)]
    times = sorted(
        run.duration_ms for run in ended if run.duration_ms is not None and run.status is RunStatus.COMPLETED
    )
    p50 = p95 = times[0] if times else None
    if len(times) > 1:
        cuts = quantiles(times, n=20, method="inclusive")
        p50, p95 = cuts[9], cuts[18]
    completed = sum(run.status is RunStatus.COMPLETED for run in ended)
    return Figures(runs=len(runs) if count is None else count, ended=len(ended), completed=completed, p50=p50, p95=p95)
