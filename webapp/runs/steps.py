"""All data of one step of a run: what it changed (before → after), its outputs, error, configuration and logs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from neurocore import codec
from neurocore.context import idempotency_key
from neurocore.differences import Work
from neurocore.persistence.records import GateRecord, RunRecord, StepRecord
from neurocore.secrets import mask
from webapp.html import diff
from webapp.html.helpers import run_url
from webapp.html.rendering import Page, masked_values
from webapp.services import Services

#: If the old and new value of a key are larger than this together, they are not compared; the page shows the size.
LARGEST_COMPARED = 2_000_000


class KeyChange(Struct, kw_only=True):
    """What a step did to one key: `added`, `changed`, `deleted` or `unchanged` (set to the same value)."""

    key: str
    kind: str
    before: Any = None
    after: Any = None
    differences: list[diff.Change] = []
    size: int = 0


class StepView(Struct, kw_only=True):
    """All data of one step."""

    run: RunRecord
    step: StepRecord
    changes: list[KeyChange]
    config: dict[str, Any]
    idempotency_key: str
    gate: GateRecord | None
    page: Page

    @property
    def url(self) -> str:
        """Return the address of the step's page."""
        return run_url(self.run.run_id, "steps", str(self.step.step_index))


def view(run: RunRecord, step: StepRecord, services: Services) -> StepView:
    """Gather the data of one step. The earlier values of its keys come from the steps committed before it."""
    steps = services.store.load_steps(run.run_id)
    found = views(run, steps, services, only=step.step_index)
    return found[0] if found else _view(run, step, {}, [], services, None)


def views(
    run: RunRecord,
    steps: Sequence[StepRecord],
    services: Services,
    *,
    only: int | None = None,
    limit: int | None = None,
    page: Page | None = None,
) -> list[StepView]:
    """Gather the steps (or only one, or the first `limit`) in order, in one pass; `page` is a shared budget."""
    gates = services.store.load_gates(run.run_id, narrow=True)
    context = _Context(run, services)
    found = {}
    last = sorted(one.step_index for one in steps)[: limit or None]
    shown = set(last) if only is None else {only}
    for step in sorted(steps, key=lambda one: one.commit_index):
        if step.step_index in shown:
            keys = (*step.changes.set, *step.changes.deleted)
            before = {key: value for key in keys if (value := context.get(key)) is not None}
            found[step.step_index] = _view(run, step, before, gates, services, page)
        context.apply(step)
    return [found[index] for index in sorted(found)]


class _Context:
    """The encoded context while the steps are applied to it. The initial data are read only if they are needed."""

    def __init__(self, run: RunRecord, services: Services) -> None:
        self._run = run
        self._services = services
        self._values: dict[str, bytes | None] = {}
        self._initial: dict[str, Any] | None = None

    def get(self, key: str) -> bytes | None:
        if key in self._values:
            return self._values[key]
        if self._initial is None:
            self._initial = (self._services.store.load_run(self._run.run_id) or self._run).initial_data
        return codec.encode(self._initial[key]) if key in self._initial else None

    def apply(self, step: StepRecord) -> None:
        self._values.update(dict.fromkeys(step.changes.deleted))
        self._values.update(step.changes.set)


def _view(
    run: RunRecord,
    step: StepRecord,
    before: dict[str, bytes],
    gates: list[GateRecord],
    services: Services,
    page: Page | None,
) -> StepView:
    node = step.node_id or step.component
    return StepView(
        run=run,
        step=step,
        changes=_changes(step, before),
        config=mask(step.config, services.schema_of(step.skill_type or "")),
        idempotency_key=idempotency_key(run.run_id, node, step.visit),
        gate=next((gate for gate in gates if (gate.node_id, gate.visit) == (node, step.visit)), None),
        page=page or Page(more=run_url(run.run_id, "download", f"step-{step.step_index}")),
    )


def _changes(step: StepRecord, before: dict[str, bytes]) -> list[KeyChange]:
    work = Work()
    found = [_set(key, before.get(key), data, work) for key, data in step.changes.set.items()]
    deleted = (key for key in step.changes.deleted if key in before)
    return found + [KeyChange(key=key, kind="deleted", before=_masked(key, decoded(before[key]))) for key in deleted]


def _set(key: str, old: bytes | None, new: bytes, work: Work) -> KeyChange:
    after = _masked(key, decoded(new))
    if old is None:
        return KeyChange(key=key, kind="added", after=after, size=len(new))
    if old == new:
        return KeyChange(key=key, kind="unchanged", after=after, size=len(new))
    if len(old) + len(new) > LARGEST_COMPARED:
        return KeyChange(key=key, kind="changed", after=after, size=len(new))
    before = _masked(key, decoded(old))
    differences = diff.changes(before, after, key, work)
    return KeyChange(key=key, kind="changed", before=before, after=after, differences=differences, size=len(new))


def decoded(data: bytes) -> Any:
    """Decode a value. Parts that cannot be restored here are returned as plain data."""
    return codec.restore(data)


def _masked(key: str, value: Any) -> Any:
    return masked_values({key: value})[key]
