"""`neurocore runs diff`: show the differences between two runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from neurocore.cli.brief import short_id
from neurocore.cli.output import columns, emit, mark, out, paint
from neurocore.cli.project import Project, pass_project
from neurocore.cli.text import ago, cut, line, width
from neurocore.cli.types import RUN_ID, json_option
from neurocore.errors import NotFoundError
from neurocore.readable import counted, took

if TYPE_CHECKING:
    from collections.abc import Sequence

    from neurocore.documents.gates import DifferenceDocument
    from neurocore.documents.runs import DiffDocument, RunSummary, StepDifferenceDocument
    from neurocore.persistence.records import RunRecord

MOST = 40


@click.command()
@click.argument("before", metavar="RUN_ID", type=RUN_ID)
@click.argument("after", metavar="[OTHER_RUN_ID]", type=RUN_ID, required=False)
@json_option
@pass_project
def diff(project: Project, before: str, after: str | None, as_json: bool) -> None:
    """Show the differences between two runs: inputs, values that each step set, durations, and the blueprint.

    If you name one run, it is compared with the previous run of the same blueprint. If a node was tried several times,
    its last attempt is compared.
    """
    from neurocore.differences import COMMAND_MOST, COMMAND_WORK, Work
    from neurocore.documents.compare import compare

    project.know_classes()
    first, second = _both(project, before, after)
    document = compare(
        first, second, project.store, project.config,
        project.schema_of, work=Work(COMMAND_WORK), most=COMMAND_MOST,
    )  # fmt: skip
    if as_json:
        emit(document)
    else:
        _print(document, [short_id(one.run_id, project.store) for one in (document.before, document.after)])


def _both(project: Project, one: str, other: str | None) -> tuple[RunRecord, RunRecord]:
    run = project.load(one)
    if other is not None:
        return run, project.load(other)
    from neurocore.runs.find import load_run, run_before

    before = run_before(run, project.store)
    if before is None:
        raise NotFoundError(
            f"No run of {line(run.blueprint_name)} started before run {line(run.run_id)}; name two runs to compare."
        )
    return load_run(before.run_id, project.store), run


def _print(document: DiffDocument, names: Sequence[str]) -> None:
    for sign, name, run in zip("-+", names, (document.before, document.after), strict=True):
        out("\n".join(_described(sign, name, run)))
    out(f"\n{paint('Inputs', 'bold')}")
    _differences(document.inputs, "  ")
    out(f"\n{paint('Steps', 'bold')}")
    gutter = min(max((width(_name(step)) for step in document.steps), default=0), 28)
    for step in document.steps:
        _step(step, gutter)
    out(f"\n{paint('Blueprint', 'bold')}")
    if document.same_blueprint:
        out("  The same.")
    for one in document.blueprint:
        colour = "" if one.startswith(("---", "+++")) else {"+": "green", "-": "red"}.get(one[:1], "")
        out(f"  {paint(line(one), colour) if colour else line(one)}".rstrip())
    if not document.same_blueprint and not document.blueprint:
        out("  The definitions differ, but their text is the same.")


def _described(sign: str, name: str, run: RunSummary) -> list[str]:
    about = line(run.title or run.blueprint)
    worked = f", {took(run.duration_ms)} of work" if run.duration_ms is not None else ""
    rest = f"  {mark(run.status)} {run.status} {ago(run.created_at)}{worked}"
    room = columns() - width(name) - width(rest) - 4
    if room >= min(12, width(about)):
        return [f"{sign} {name}  {cut(about, room)}{rest}"]
    return [f"{sign} {name}", f"  {cut(about, max(12, columns() - width(rest) - 2))}{rest}"]


def _step(step: StepDifferenceDocument, gutter: int) -> None:
    name = cut(_name(step), gutter)
    before, after = _went(step.before_status, step.before_ms), _went(step.after_status, step.after_ms)
    out(f"  {name}{' ' * (gutter - width(name))}  {before} → {after}")
    _differences(step.differences, "      ", quiet=True)


def _name(step: StepDifferenceDocument) -> str:
    return f"{line(step.node)} (visit {step.visit})" if step.visit > 1 else line(step.node)


def _went(status: str | None, milliseconds: float | None) -> str:
    if status is None:
        return "none"
    milliseconds = milliseconds if milliseconds and milliseconds >= 0.05 else None  # a gate has no working time
    worked = f" {took(milliseconds)}" if milliseconds and status in ("completed", "failed") else ""
    return f"{mark(status)} {status}{worked}"


def _differences(found: Sequence[DifferenceDocument], indent: str, *, quiet: bool = False) -> None:
    from neurocore.cli.gate import change

    if not found and not quiet:
        out(f"{indent}The same.")
    gutter = min(max((width(line(one.key)) for one in found), default=0), 28)
    for one in found[:MOST]:
        key = cut(line(one.key), gutter)
        told = change(one, columns() - gutter - len(indent) - 2)
        out(f"{indent}{key}{' ' * (gutter - width(key))}  {told}")
    if len(found) > MOST:
        whole = found[-1].kind != "cut"
        note = "--json has all" if whole else f"--json has them; {line(found[-1].note or '')}"
        out(f"{indent}… {counted(len(found) - MOST - (not whole), 'more difference')} ({note})")
