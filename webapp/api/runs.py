"""The operations that read runs. None of them changes anything."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Annotated, Any, Literal

from flask import request
from msgspec import Meta, Struct, structs

from neurocore.documents import make
from neurocore.documents.compare import compare as compared
from neurocore.documents.inspect import inspect as inspected
from neurocore.documents.runs import (
    DiffDocument,
    EventDocument,
    InspectDocument,
    LogDocument,
    LogsDocument,
    OutcomeDocument,
    RunsDocument,
    StepDocument,
)
from neurocore.documents.streamed import Streamed
from neurocore.errors import NotFoundError
from neurocore.moments import TAKEN
from neurocore.persistence.records import RunRecord
from neurocore.runs.find import load_run, load_summary, resolve_run_id
from webapp.api import waiting
from webapp.api.operations import get, unless_seen
from webapp.runs import filters
from webapp.runs.run_state import token
from webapp.services import Services

#: How commands begin in `next`.
PROGRAM = "neurocore"

#: A page of steps.
STEPS = 200

Moment = Annotated[
    str, Meta(description=f"{TAKEN[0].upper()}{TAKEN[1:]}; a time without a zone is in `project.timezone`.")
]


YesNo = Literal["true", "false", "1", "0", "yes", "no", "on", "off"]


class RunsQuery(Struct, kw_only=True):
    """The filter of the page `/runs`. A run must match everything that is given."""

    status: Annotated[list[str], Meta(description="Repeat it, or separate statuses by commas.")] = []
    blueprint: Annotated[str, Meta(description="The blueprint's name.")] = ""
    q: Annotated[str, Meta(description="The beginning of the title or of the id.")] = ""
    since: Moment = ""
    until: Moment = ""
    tag: Annotated[str, Meta(description="A tag of the run.")] = ""
    by: Annotated[str, Meta(description="Who started it.")] = ""
    waiting: Annotated[YesNo, Meta(description="Only runs with an open gate or input, including running ones.")] = (
        "false"
    )
    before: Annotated[str, Meta(description="The `older` of a page: the runs after it.")] = ""
    after: Annotated[str, Meta(description="The `newer` of a page: the runs before it.")] = ""
    limit: Annotated[int, Meta(ge=1, le=filters.MAX_LIMIT, description="How many.")] = filters.DEFAULT_LIMIT


class RunQuery(Struct, kw_only=True):
    """How long to wait for a run, and for which statuses."""

    wait: Annotated[
        float, Meta(ge=0, le=waiting.MAX_WAIT, description="The most seconds to wait for one of the statuses.")
    ] = 0.0
    until: Annotated[
        str, Meta(description="Statuses to wait for, separated by commas; the default is all but running.")
    ] = ""
    change: Annotated[
        YesNo, Meta(description="Wait only until anything about the run has changed since the ETag in If-None-Match.")
    ] = "false"
    context: Annotated[YesNo, Meta(description="Include the context; without it, `data` is empty.")] = "true"


class FullQuery(Struct, kw_only=True):
    """How many details to return."""

    full: Annotated[bool, Meta(description="Include configuration, tracebacks, logs and YAML.")] = False


class StepsQuery(FullQuery, kw_only=True):
    """Which steps to return."""

    after: Annotated[int, Meta(ge=-1, le=2**31 - 1, description="Only steps with a greater step_index.")] = -1
    limit: Annotated[int, Meta(ge=1, le=STEPS, description="How many.")] = STEPS


class StepsDocument(Struct, kw_only=True):
    """Steps of a run in order. `more` is the `after` of the next page, or null on the last page."""

    run_id: str
    steps: list[StepDocument]
    more: int | None


class EventsDocument(Struct, kw_only=True):
    """The activity of a run, oldest first."""

    run_id: str
    events: list[EventDocument]


@get("/runs")
def list_runs(here: Services, query: RunsQuery) -> RunsDocument:
    """List runs, newest first."""
    wanted = filters.Filter.of(request.args.to_dict(flat=False), here.config.clock)
    wanted.check()
    page = here.store.page_runs(wanted.runs, before=wanted.before, after=wanted.after, limit=query.limit)
    runs = [make.summary(run, here.store, here.config) for run in page.runs]
    return RunsDocument(
        runs=runs, older=page.older, newer=page.newer, since=wanted.runs.since, until=wanted.runs.until,
        timezone=here.config.clock.name,
    )  # fmt: skip


@get("/runs/{run_id}", 304, 404, 409, 410, 429)
def show_run(here: Services, run_id: str, query: RunQuery) -> OutcomeDocument:
    """Show the state of a run, now or after waiting for a status.

    With `wait`, the answer comes as soon as the run has one of the statuses in `until`, or else after so many seconds,
    with the run as it is then. A run that was decided or resumed and has not continued yet counts as running.
    """
    statuses = waiting.statuses(query.until)
    whole = resolve_run_id(run_id, here.store)
    if query.wait:
        waiting.wait(whole, statuses, query.wait, here, changed=_has_changed(here) if _is_yes(query.change) else None)
    run = here.store.load_summary(whole) or load_run(whole, here.store)
    unless_seen(token(run, here))
    found = make.outcome(run, here.store, here.config, PROGRAM, later=True)
    return found if _is_yes(query.context) else structs.replace(found, data={})


def _has_changed(here: Services) -> Callable[[RunRecord], bool]:
    """Return the check whether a run has another version than the client."""
    seen = request.if_none_match
    return lambda run: not seen.contains_weak(token(run, here))


def _is_yes(answer: YesNo) -> bool:
    return answer in ("true", "1", "yes", "on")


@get("/runs/{run_id}/inspection", 404, 409, 410)
def inspect_run(here: Services, run_id: str, query: FullQuery) -> InspectDocument:
    """Show all data of a run: its inputs, steps, gates and activity, and the possible actions."""
    run = _run(here, run_id)
    return inspected(run, here.store, here.config, here.schema_of, PROGRAM, full=query.full, later=True)


@get("/runs/{run_id}/steps", 404, 409, 410)
def list_steps(here: Services, run_id: str, query: StepsQuery) -> StepsDocument:
    """List the steps of a run in order, in pages."""
    whole = resolve_run_id(run_id, here.store)
    found = here.store.step_summaries(whole, after=query.after, limit=query.limit + 1)

    def items() -> Iterator[StepDocument]:
        for one in found[: query.limit]:
            step = here.store.load_step(whole, one.step_index)
            schema = here.schema_of(one.skill_type or "") if query.full else None
            if step is not None:
                yield make.step(step, full=query.full, schema=schema, later=True)

    return StepsDocument(
        run_id=whole,
        steps=_written_later(items),
        more=found[query.limit - 1].step_index if len(found) > query.limit else None,
    )


@get("/runs/{run_id}/steps/{index}", 404, 409, 410)
def show_step(here: Services, run_id: str, index: int) -> StepDocument:
    """Show one step with its configuration, traceback and log."""
    whole = resolve_run_id(run_id, here.store)
    found = here.store.load_step(whole, index)
    if found is None:
        raise NotFoundError(f"Run {whole} has no step {index}; see the list of its steps.")
    return make.step(found, full=True, schema=here.schema_of(found.skill_type or ""), later=True)


@get("/runs/{run_id}/events", 404, 409, 410)
def list_events(here: Services, run_id: str) -> EventsDocument:
    """List the activity of a run: every start, answer, resume and cancellation, by whom and when."""
    whole = resolve_run_id(run_id, here.store)
    events = here.store.load_events(whole)
    return EventsDocument(run_id=whole, events=_written_later(lambda: map(make.event, events)))


@get("/runs/{run_id}/logs", 404, 409, 410)
def list_logs(here: Services, run_id: str) -> LogsDocument:
    """List what the steps of a run logged, in order."""
    whole = resolve_run_id(run_id, here.store)

    def items() -> Iterator[LogDocument]:
        for one in here.store.step_summaries(whole):
            step = here.store.load_step(whole, one.step_index)
            yield from make.logs(step) if step is not None else ()

    return LogsDocument(run_id=whole, lines=_written_later(items))


def _written_later(items: Callable[[], Iterable[Any]]) -> Any:
    """Return a list whose items are made when they are written, so that they are never all in memory."""
    return Streamed(items)


@get("/runs/{run_id}/compare/{other_id}", 404, 409, 410)
def compare_runs(here: Services, run_id: str, other_id: str) -> DiffDocument:
    """Show the differences between two runs: inputs, steps, how they ended, and the blueprint."""
    return compared(_run(here, run_id), _run(here, other_id), here.store, here.config, here.schema_of)


def _run(here: Services, run_id: str) -> RunRecord:
    """Return the run without its data, which each document reads from the store when it is written."""
    return load_summary(resolve_run_id(run_id, here.store), here.store)
