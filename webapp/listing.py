"""The rows of a list of runs, with everything a cell shows worked out: the template only puts it in place."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from markupsafe import Markup, escape
from msgspec import Struct

from neurocore.persistence.base import RunRecord, RunStatus
from webapp.marks import blueprint_url, chip, run_url, short_id
from webapp.services import Services
from webapp.standing import Standing, standing
from webapp.text import line, moment, safe, time_ago, time_since, took


class Row(Struct, frozen=True):
    """One run in a list."""

    run_id: str
    short: str
    url: str
    chip: Markup
    title: str
    blueprint: str
    blueprint_url: str
    stands: str
    started: Markup
    lasted: Markup
    nodes: str
    by: str
    tags: list[str]


def rows(runs: Iterable[RunRecord], services: Services) -> list[Row]:
    """A row for each run."""
    return [_row(run, standing(run, services)) for run in runs]


def token(runs: Iterable[RunRecord], services: Services) -> str:
    """Differs when a row of the list would."""
    parts = (f"{run.run_id}{run.version}{standing(run, services).label}" for run in runs)
    return hashlib.blake2b("|".join(parts).encode("utf-8", "surrogatepass"), digest_size=9).hexdigest()


def _row(run: RunRecord, stands: Standing) -> Row:
    return Row(
        run_id=safe(run.run_id),
        short=safe(short_id(run.run_id)),
        url=run_url(run.run_id),
        chip=chip(stands.kind, stands.label),
        title=line(run.title or run.blueprint_name, 120),
        blueprint=line(run.blueprint_name, 60),
        blueprint_url=blueprint_url(run.blueprint_name),
        stands=where(run),
        started=time_ago(run.created_at),
        lasted=lasted(run, stands),
        nodes=f"{run.nodes_done} / {run.nodes_total}" if run.nodes_total else "",
        by=line(run.started_by or "", 40),
        tags=[line(tag, 30) for tag in run.tags[:4]],
    )


def where(run: RunRecord) -> str:
    """One line: what it waits for, where it is, why it ended."""
    if run.status is RunStatus.SUSPENDED:
        return line(run.suspension_reason or run.suspended_at_node or "", 140)
    if run.status is RunStatus.RUNNING:
        return line(", ".join(node.node_id for node in run.current_nodes), 140)
    return line(run.error or "", 140)


def lasted(run: RunRecord, stands: Standing) -> Markup:
    """Time worked; for what waits, since when."""
    if stands.kind == "suspended":
        return Markup("waiting {}").format(time_since(run.updated_at))
    if run.status is RunStatus.RUNNING and stands.kind == "running":
        return time_since(worked_since(run))
    return escape(took(run.duration_ms))


def worked_since(run: RunRecord) -> str:
    """When a run that works now would have begun had it never waited: what a counter counts from."""
    at = moment(run.updated_at)
    if at is None or run.duration_ms is None:
        return run.created_at
    from datetime import timedelta

    return (at - timedelta(milliseconds=run.duration_ms)).isoformat()
