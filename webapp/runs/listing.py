"""The rows of a list of runs. Every cell is prepared here, so that the template only inserts it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta

from flask import current_app
from markupsafe import Markup, escape
from msgspec import Struct

from neurocore.persistence.records import RunRecord, RunStatus
from neurocore.readable import moment, took
from webapp.html.helpers import chip, run_url, short_id
from webapp.html.text import ago, line, time_ago, time_since
from webapp.runs.run_state import Standing, standing
from webapp.services import RowParts, Services, identity


class Row(Struct, frozen=True):
    """One run in a list."""

    run_id: str
    short: str
    url: str
    chip: Markup
    title: str
    blueprint: str
    stands: str
    started: Markup
    ended: Markup
    lasted: Markup
    nodes: str
    by: str
    tags: list[str]


class Listing:
    """Runs for a list: `rows` are what it shows, and `token` changes when a row changes."""

    def __init__(self, runs: Iterable[RunRecord], services: Services) -> None:
        self._runs = [(run, standing(run, services)) for run in runs]
        self._services = services

    @property
    def rows(self) -> list[Row]:
        """Return a row for each run."""
        now, base = datetime.now(UTC), run_url("")
        return [_row(run, stands, base, now, lasted(run, stands)) for run, stands in self._runs]

    @property
    def table(self) -> Markup:
        """Return the rows as HTML. Each is cached for its version and shown age; the duration is inserted."""
        now, base, here = datetime.now(UTC), run_url(""), self._services
        tells = [_tells(run, stands, now) for run, stands in self._runs]
        found = [here.kept_row(identity(run), base, one) for (run, _), one in zip(self._runs, tells, strict=True)]
        new = [place for place, parts in enumerate(found) if parts is None]
        if new:
            rows = [_row(*self._runs[place], base, now, _HERE) for place in new]
            for place, parts in zip(new, _parts(rows), strict=True):
                found[place] = parts
                here.keep_row(identity(self._runs[place][0]), base, tells[place], parts)
        told = zip(found, self._runs, strict=True)
        rows_html = [f"{parts[0]}{lasted(run, stands)}{parts[1]}" for parts, (run, stands) in told if parts]
        return Markup("\n".join(rows_html))  # noqa: S704 - from a template of ours, which escapes

    @property
    def token(self) -> str:
        """Return a token that changes when a row of the list changes."""
        parts = [f"{identity(run)}{run.version}{stands.label}" for run, stands in self._runs]
        return hashlib.blake2b("|".join(parts).encode("utf-8", "surrogatepass"), digest_size=9).hexdigest()


def rows(runs: Iterable[RunRecord], services: Services) -> list[Row]:
    """Return a row for each run."""
    return Listing(runs, services).rows


def _row(run: RunRecord, stands: Standing, base: str, now: datetime, worked: Markup) -> Row:
    return Row(
        run_id=run.run_id,
        short=short_id(run.run_id),
        url=base + run.run_id if run.run_id.isalnum() and run.run_id.isascii() else run_url(run.run_id),
        chip=chip(stands.kind, stands.label),
        title=line(run.title or run.blueprint_name, 120),
        blueprint=line(run.blueprint_name, 60),
        stands=where(run),
        started=time_ago(run.created_at, now),
        ended=time_ago(run.finished_at, now),
        lasted=worked,
        nodes=f"{run.nodes_done} / {run.nodes_total}" if run.nodes_total else "",
        by=line(run.started_by or "", 40),
        tags=[line(tag, 30) for tag in run.tags[:4]],
    )


_HERE, _END = Markup("\x00"), Markup("\x01")


def _tells(run: RunRecord, stands: Standing, now: datetime) -> tuple[int, str, str]:
    """Return the values that a cached row depends on."""
    at = moment(run.created_at)
    return (run.version, stands.label, ago(at, now) if at else "")


def _parts(rows: list[Row]) -> Iterator[RowParts]:
    """Yield the text before and after `_HERE` of each row. One rendering makes them all: it costs more than a row."""
    html = current_app.jinja_env.get_template("runs/_rows.html").render(rows=rows, end=_END)
    for one in html.split(_END)[:-1]:
        before, _, after = one.partition(_HERE)
        yield before.lstrip("\n"), after


def where(run: RunRecord) -> str:
    """Return one line: what the run waits for, where it is, or why it ended."""
    if run.status is RunStatus.SUSPENDED:
        return line(run.suspension_reason or run.suspended_at_node or "", 140)
    if run.status is RunStatus.RUNNING:
        return line(", ".join(node.node_id for node in run.current_nodes), 140)
    return line(run.error or "", 140)


_WAITING = Markup("waiting ")


def lasted(run: RunRecord, stands: Standing) -> Markup:
    """Return the time that the run worked; if it waits, how long it has waited."""
    if stands.kind == "suspended":
        return _WAITING + time_since(run.updated_at)
    if run.status is RunStatus.RUNNING and stands.kind == "running":
        return time_since(worked_since(run))
    return escape(took(run.duration_ms))


def worked_since(run: RunRecord) -> str:
    """Return when a working run would have started if it had never waited; a counter counts from there."""
    at = moment(run.updated_at)
    if at is None or run.duration_ms is None:
        return run.created_at
    return (at - timedelta(milliseconds=run.duration_ms)).isoformat()
