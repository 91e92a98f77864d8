"""The data of the run page, read only when it is used: a refresh reads only the narrow rows."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property, lru_cache
from typing import Any

from flask import render_template, request
from markupsafe import Markup
from msgspec import Struct

from neurocore import codec
from neurocore.blueprint.model import Blueprint
from neurocore.blueprint.plan import Plan
from neurocore.blueprint.plans import plan_of
from neurocore.differences import Work
from neurocore.documents.masking import masked_definition
from neurocore.documents.run_state import nodes_told
from neurocore.errors import NeuroCoreError
from neurocore.gates.compare import LastApproved, last_approved
from neurocore.gates.preview import Preview, preview
from neurocore.persistence.ownership import driver_of
from neurocore.persistence.projections import last_hash
from neurocore.persistence.records import Event, FailureKind, GateRecord, GateStatus, RunRecord, RunStatus, StepRecord
from neurocore.readable import safe
from neurocore.runs.find import run_before
from webapp.html import diff, live, rendering
from webapp.html.diagram import Flow, of_run
from webapp.html.helpers import anchor, run_url
from webapp.runs.gate_rules import Rules, rules_of, version_of
from webapp.runs.listing import worked_since
from webapp.runs.run_state import Choice, Standing, choices, standing, token
from webapp.runs.step_rows import rows_html
from webapp.runs.timeline import Row, Timeline, build
from webapp.security import form_tokens
from webapp.services import Services, identity

_log = logging.getLogger(__name__)

#: For a long run, the page contains the first and the last steps; the others are sent on request.
FIRST_STEPS, LAST_STEPS = 40, 110
DECIDED_SHOWN = 3
#: How many characters of HTML the values of gates may take: on the whole page, and at least for each gate.
MOST_WHOLE, LEAST_WHOLE = 400_000, 50_000
#: How many courses of ended runs are cached, about 50 KB each.
MOST_COURSES = 64

TABS = ("activity", "context", "inputs", "blueprint")


class Typed(Struct, kw_only=True):
    """What a person typed into a form that was refused, and why. The page shows it again in its place (422, 409)."""

    gate: str = ""
    visit: int = 0
    digest: str = ""
    by: str = ""
    note: str = ""
    data: str = ""
    problems: dict[str, str] = {}
    refused: str | None = None


class Shown(Struct, kw_only=True):
    """One value that a gate shows. `before` is the value of the last approved run, or `GONE` if there is none."""

    key: str
    value: Any
    before: Any = diff.GONE

    @property
    def beside(self) -> bool:
        """Return whether both are a few named figures that fit side by side."""
        now, then = rendering.plain_types(self.value), rendering.plain_types(self.before)
        return all(isinstance(one, dict) and rendering.is_figures(one) for one in (now, then))


class Panel(Struct, kw_only=True):
    """One open gate with everything that a person needs to decide."""

    gate: GateRecord
    id: str
    #: Renders the message and values of the gate; `page.cut` is true if something did not fit.
    page: rendering.Page
    whole_at: str
    values: list[Shown]
    outlook: Preview | None
    last: LastApproved | None
    differences: list[diff.Change]
    same: bool = False
    typed: Typed | None = None
    since_looked: list[diff.Change] = []
    rules: Rules | None = None

    @property
    def address(self) -> str:
        """Return what the form calls the gate: its node, or this panel's id if a form would alter the name."""
        node = self.gate.node_id
        carried = len(node) <= 300 and safe(node) == node.strip() and "\n" not in node
        return node if carried else self.id

    @property
    def note_needed(self) -> str:
        """Return the hint beside the label Note."""
        return {"required": "required", "on_reject": "required to reject"}.get(self.gate.policy.note, "optional")


class Course(Struct, frozen=True, kw_only=True):
    """How a run went. `most_tried` is the last attempt of the step with the most attempts, if any was retried."""

    html: Markup
    waited_ms: float
    most_tried: StepRecord | None
    failed_step: StepRecord | None


class RunPage:
    """The page of a run. Every property is computed once."""

    def __init__(
        self,
        run: RunRecord,
        services: Services,
        *,
        tab: str = "activity",
        all_steps: bool = False,
        picture: bool = False,
    ) -> None:
        self.run = run
        self.services = services
        self.store = services.store
        self.tab = tab if tab in TABS else TABS[0]
        self.all_steps = all_steps
        self.picture = picture
        self.typed: Typed | None = None
        #: Read before all other data: a change while the page is being made then shows at the next refresh.
        self.seen = token(run, services)

    @cached_property
    def once(self) -> str:
        """Return the token of this page's replay form. It makes one new run."""
        return form_tokens.issue(f"replay {self.run.run_id}")

    @cached_property
    def standing(self) -> Standing:
        """Return the state of the run as a word."""
        return standing(self.run, self.services)

    @cached_property
    def why_cannot_tell(self) -> str:
        """Return why NeuroCore cannot tell whether the process that drove the run is alive."""
        return driver_of(self.run, self.services.config, self.store).reason

    @cached_property
    def token(self) -> str:
        """Return the version that this page shows."""
        return live.version(self.seen)

    @cached_property
    def run_before(self) -> RunRecord | None:
        """Return the previous run of the same blueprint."""
        return run_before(self.run, self.store)

    @cached_property
    def choices(self) -> dict[str, Choice]:
        """Return the buttons."""
        return choices(self.run, self.services)

    @cached_property
    def steps(self) -> Sequence[StepRecord]:
        """Return all steps without their wide columns."""
        return self.store.step_summaries(self.run.run_id)

    @cached_property
    def gates(self) -> list[GateRecord]:
        """Return all gate occurrences with their answers, but without the values they show (see `values_of`)."""
        return self.store.load_gates(self.run.run_id, narrow=True)

    @cached_property
    def events(self) -> list[Event]:
        """Return the activity, newest first."""
        return list(reversed(self.store.load_events(self.run.run_id)))

    # ---------------------------------------------------------------- the timeline and the picture

    @cached_property
    def course(self) -> Course:
        """Return the timeline and what the status line says about it. For an ended run it is cached per version."""
        run, kept = self.run, self.services.kept_courses
        if self.standing.live or not run.status.ended or self.all_steps:
            return self._course()
        key = (identity(run), f"{run.version} {run.epoch} {run.updated_at}", self.picture, request.script_root)
        found: Course | None = kept.get(key)
        if found is None:
            while len(kept) >= MOST_COURSES:
                kept.pop(next(iter(kept)), None)
            found = kept[key] = self._course()
        return found

    def _course(self) -> Course:
        node = self.run.failure.node if self.run.failure else None
        failed = (one for one in reversed(self.steps) if node in (one.node_id, one.component))
        return Course(
            html=Markup(render_template("runs/sections/timeline.html", page=self)),  # noqa: S704 - it escapes
            waited_ms=self.timeline.waited_ms,
            most_tried=max((one for one in self.steps if one.attempt > 1), key=lambda one: one.attempt, default=None),
            failed_step=next(failed, None) if node else None,
        )

    @cached_property
    def timeline(self) -> Timeline:
        """Return all rows with their bars."""
        return build(self.run, self.steps, self.gates)

    @property
    def nodes_told(self) -> str:
        """Return how far the run is."""
        return nodes_told(self.run, self.steps)

    @property
    def rows(self) -> tuple[list[Row], int, list[Row]]:
        """Return the first rows, the number of rows left out, and the last rows."""
        rows = self.timeline.rows
        if self.all_steps or len(rows) <= FIRST_STEPS + LAST_STEPS:
            return rows, 0, []
        return rows[:FIRST_STEPS], len(rows) - FIRST_STEPS - LAST_STEPS, rows[-LAST_STEPS:]

    @cached_property
    def plan(self) -> Plan | None:
        """Return the plan of the stored definition, or None if it cannot be read."""
        key = self.run.blueprint_hash or identity(self.run)
        try:
            return _plan(key, _Loader(self.run.run_id, self.services))
        except Exception:  # a definition of 0.4, or a skill that no longer exists: the page shows the rest
            return None

    @cached_property
    def flow(self) -> Flow | None:
        """Return the flow picture."""
        return of_run(self.plan, self.run, self.steps, self.gates) if self.plan else None

    def rows_html(self, rows: list[Row]) -> Markup:
        """Return these rows of the timeline as HTML."""
        return rows_html(self.run, rows, self.services)

    @property
    def link(self) -> str:
        """Return what "copy link" copies: the whole id under the public address."""
        base = self.services.config.web.public_url
        path = run_url(self.run.run_id)
        return f"{base.rstrip('/')}{path.removeprefix(request.script_root)}" if base else path

    @property
    def worked_since(self) -> str:
        """Return the time from which the counter of a working run counts."""
        return worked_since(self.run)

    @property
    def waited_since(self) -> str:
        """Return the time from which the counter of a waiting run counts."""
        return (datetime.now(UTC) - timedelta(milliseconds=self.course.waited_ms)).isoformat()

    # ---------------------------------------------------------------- gates

    @property
    def open_gates(self) -> list[GateRecord]:
        """Return the gates that wait, longest first. A held run has none."""
        if self.run.status.ended or self.run.held is not None:
            return []
        waiting = [gate for gate in self.gates if gate.status is GateStatus.OPEN]
        return sorted(waiting, key=lambda gate: gate.opened_at)

    @property
    def decided(self) -> list[GateRecord]:
        """Return the last decided gates, newest first."""
        closed = [gate for gate in self.gates if gate.status in (GateStatus.DECIDED, GateStatus.DONE) and gate.decision]
        return sorted(closed, key=lambda gate: gate.closed_at or "", reverse=True)[:DECIDED_SHOWN]

    @property
    def ended_by_rejection(self) -> bool:
        """Return whether the latest decision already says why the run failed."""
        if self.run.failure is None or self.run.failure.kind is not FailureKind.REJECTED:
            return False
        last = self.decided[0].decision if self.decided else None
        return last is not None and last.approved is False

    @property
    def all_decided(self) -> list[GateRecord]:
        """Return all closed gate occurrences with their answers, in the order in which they opened."""
        return [gate for gate in self.gates if gate.status is not GateStatus.OPEN]

    @property
    def chain_end(self) -> str:
        """Return the last hash of the run's answers."""
        return last_hash(self.gates)

    @property
    def gates_token(self) -> str:
        """Return the version of the panels, which are replaced only when it changes."""
        return version_of(self.open_gates, self.events if self.open_gates else [])

    @cached_property
    def panels(self) -> list[Panel]:
        """Return one panel for each open gate."""
        return [self._panel(gate) for gate in self.open_gates]

    @property
    def typed_has_panel(self) -> bool:
        """Return whether a form shows again what was typed."""
        return any(panel.typed is not None for panel in self.panels)

    def resuming(self, gate: GateRecord) -> str:
        """Return how the run continues after a decision: `owed`, `queued`, `driven`, or the status that it reached.

        It is `beside` if the only open gates were already open when this one was decided.
        """
        run, held = self.run, self.services.dispatcher.state(self.run.run_id)
        if gate.status is GateStatus.DONE:
            before = [one.opened_at <= (gate.closed_at or "") for one in self.open_gates]
            if run.status is RunStatus.SUSPENDED and before and all(before):
                return "beside"
            kind = self.standing.kind
            return kind if kind in ("lost", "cannot_tell", "held") else run.status.value
        if held is not None:
            return held
        return self.standing.driving or "owed"

    def values_of(self, gate: GateRecord) -> dict[str, Any]:
        """Return the values that a gate of this run shows, or showed."""
        whole = self.store.load_gate(self.run.run_id, gate.node_id, gate.visit)
        return whole.values if whole is not None else {}

    def page_of_values(self, of: GateRecord | str = "context") -> rendering.Page:
        """Return a new budget for rendering values: those of the context, the inputs, or a gate."""
        what = of if isinstance(of, str) else anchor("gate", of.node_id, of.visit)
        return rendering.Page(more=run_url(self.run.run_id, "download", what))

    def _panel(self, gate: GateRecord) -> Panel:
        values = self.values_of(gate)
        last: LastApproved | None = _or_none(lambda: last_approved(self.run.run_id, gate.node_id, self.store))
        before = last.gate.values if last is not None else {}
        typed = self.typed if self.typed and (self.typed.gate, self.typed.visit) == (gate.node_id, gate.visit) else None
        looked: list[diff.Change] = []
        work = Work()
        if self.typed is not None and typed is None and self.typed.gate == gate.node_id:
            typed = self.typed
        if typed is not None and typed.digest and typed.digest != gate.digest:
            old = next((one for one in self.gates if one.digest == typed.digest), None)
            if old is not None:
                before, after = self.values_of(old), values
                looked = diff.changes({"message": old.message, **before}, {"message": gate.message, **after}, work=work)
        whole_at = run_url(self.run.run_id, "download", anchor("gate", gate.node_id, gate.visit))
        budget = max(LEAST_WHOLE, MOST_WHOLE // max(1, len(self.open_gates)))
        shown = [Shown(key=key, value=value, before=before.get(key, diff.GONE)) for key, value in values.items()]
        beside = {one.key for one in shown if one.beside}
        return Panel(
            gate=gate,
            id=anchor("gate", gate.node_id, gate.visit),
            page=rendering.Page(budget=budget, more=whole_at, whole=True),
            whole_at=whole_at,
            values=shown,
            outlook=_or_none(lambda: preview(self.run.run_id, self.store, gate=gate.node_id, visit=gate.visit)),
            last=last,
            differences=diff.changes(_without(beside, before), _without(beside, values), work=work) if last else [],
            same=last is not None and before == values,
            typed=typed,
            since_looked=looked,
            rules=rules_of(gate, self.run, self.store, reversed(self.events)),
        )

    # ---------------------------------------------------------------- tabs

    @cached_property
    def whole(self) -> RunRecord:
        """Return the run with its wide columns, for tabs that show them."""
        return self.store.load_run(self.run.run_id) or self.run

    @cached_property
    def context(self) -> list[tuple[str, Any, int]]:
        """Return the committed context: key, value, size in bytes."""
        return [(key, codec.restore(data), len(data)) for key, data in self.store.load_context(self.run.run_id).items()]

    @property
    def file(self) -> str:
        """Return the path of the blueprint when the run started: relative inside the project, else as recorded."""
        return (self.run.blueprint_path or "").removeprefix(f"{self.services.config.project_root}{os.sep}")

    @cached_property
    def source(self) -> str:
        """Return the blueprint as it was written, or the stored definition as YAML, with secrets masked."""
        source, document = masked_definition(self.whole.blueprint_snapshot, self.services.schema_of)
        if source is not None:
            return source
        import yaml

        return yaml.safe_dump(document, sort_keys=False, allow_unicode=True)


# -------------------------------------------------------------------- helpers


class _Loader:
    """Loads a run's definition if the cache does not have it. All loaders are equal, because the hash is the key."""

    def __init__(self, run_id: str, services: Services) -> None:
        self.run_id = run_id
        self.services = services

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Loader) and other.services is self.services

    def __hash__(self) -> int:
        return 0


@lru_cache(maxsize=200)
def _plan(key: str, loader: _Loader) -> Plan:
    run = loader.services.store.load_run(loader.run_id)
    if run is None:
        raise LookupError(key)
    return plan_of(Blueprint.from_snapshot(run.blueprint_snapshot), loader.services.registry)


def _without(keys: set[str], values: dict[str, Any]) -> dict[str, Any]:
    """Return the values without the figures that are already shown side by side."""
    return {key: value for key, value in values.items() if key not in keys}


def _or_none(ask: Any) -> Any:
    """Return what `ask` returns, or None if it raises: an error in extra information must not prevent a decision."""
    try:
        return ask()
    except NeuroCoreError as error:  # for example a definition that cannot be read any more
        _log.info("A part of a decision panel is left out: %s", error)
    except Exception:
        _log.exception("A part of a decision panel could not be computed.")
    return None
