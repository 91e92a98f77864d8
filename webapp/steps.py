"""One step of a run in full: what it changed (before → after), its outputs, error, configuration, logs."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from neurocore import codec
from neurocore.context import idempotency_key
from neurocore.errors import NeuroCoreError
from neurocore.persistence.base import GateRecord, RunRecord, StepRecord, fold
from neurocore.secrets import mask
from webapp import diff
from webapp.marks import run_url
from webapp.rendering import Page, veiled
from webapp.services import Services

#: A key whose old and new value are larger than this together is told by size, not gone through.
LARGEST_COMPARED = 2_000_000


class KeyChange(Struct, kw_only=True):
    """What a step did to one key: `added`, `changed`, `deleted` or `unchanged` (set to what it was)."""

    key: str
    kind: str
    before: Any = None
    after: Any = None
    differences: list[diff.Change] = []
    size: int = 0


class StepView(Struct, kw_only=True):
    """Everything about one step."""

    run: RunRecord
    step: StepRecord
    changes: list[KeyChange]
    config: dict[str, Any]
    idempotency_key: str
    gate: GateRecord | None
    page: Page

    @property
    def url(self) -> str:
        """Its own page."""
        return run_url(self.run.run_id, "steps", str(self.step.step_index))


def view(run: RunRecord, step: StepRecord, services: Services) -> StepView:
    """Gather one step; what its keys were before is folded from the steps committed before it."""
    node = step.node_id or step.component
    gates = services.store.load_gates(run.run_id)
    skill = services.registry.get(step.skill_type or "")
    schema = skill.skill_meta.config_schema if skill is not None else None
    return StepView(
        run=run,
        step=step,
        changes=_changes(run, step, services),
        config=mask(step.config, schema),
        idempotency_key=idempotency_key(run.run_id, node, step.visit),
        gate=next((gate for gate in gates if (gate.node_id, gate.visit) == (node, step.visit)), None),
        page=Page(more=run_url(run.run_id, "download", f"step-{step.step_index}")),
    )


def _changes(run: RunRecord, step: StepRecord, services: Services) -> list[KeyChange]:
    keys = {*step.changes.set, *step.changes.deleted}
    if not keys:
        return []
    before = _before(run, step, services, keys)
    found = []
    for key, data in step.changes.set.items():
        found.append(_set(key, before.get(key), data))
    deleted = (key for key in step.changes.deleted if key in before)
    return found + [KeyChange(key=key, kind="deleted", before=_masked(key, decoded(before[key]))) for key in deleted]


def _set(key: str, old: bytes | None, new: bytes) -> KeyChange:
    after = _masked(key, decoded(new))
    if old is None:
        return KeyChange(key=key, kind="added", after=after, size=len(new))
    if old == new:
        return KeyChange(key=key, kind="unchanged", after=after, size=len(new))
    if len(old) + len(new) > LARGEST_COMPARED:
        return KeyChange(key=key, kind="changed", after=after, size=len(new))
    before = _masked(key, decoded(old))
    differences = diff.changes(before, after, key)
    return KeyChange(key=key, kind="changed", before=before, after=after, differences=differences, size=len(new))


def _before(run: RunRecord, step: StepRecord, services: Services, keys: set[str]) -> dict[str, bytes]:
    """What these keys were just before the step's commit."""
    earlier = [one for one in services.store.load_steps(run.run_id) if one.commit_index < step.commit_index]
    touched = {key for one in earlier for key in (*one.changes.set, *one.changes.deleted)}
    initial: dict[str, bytes] = {}
    if keys - touched:  # only then the wide row is read
        whole = services.store.load_run(run.run_id) or run
        initial = {key: codec.encode(value) for key, value in whole.initial_data.items() if key in keys}
    return {key: data for key, data in fold(initial, earlier).items() if key in keys}


def decoded(data: bytes) -> Any:
    """The value, or the sentence why it cannot be read any more."""
    try:
        return codec.decode(data)
    except NeuroCoreError as error:
        return f"This value cannot be read any more: {error}"


def _masked(key: str, value: Any) -> Any:
    return veiled({key: value})[key]
