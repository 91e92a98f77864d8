"""What differs between two runs: what they were given, what each step did, how they ended, and what ran."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from neurocore.cli import views
from neurocore.cli.documents import DiffDocument, DifferenceDocument, StepDifferenceDocument

if TYPE_CHECKING:
    from neurocore.config import NeuroCoreConfig
    from neurocore.persistence.base import RunRecord, RunStore, StepRecord

MOST_DEPTH = 12


def compare(
    before: RunRecord, after: RunRecord, store: RunStore, config: NeuroCoreConfig, schema_of: Callable[[str], Any]
) -> DiffDocument:
    """Everything that differs from one run to the other, masked; `schema_of` as in `views.definition`."""
    same = before.blueprint_hash == after.blueprint_hash
    return DiffDocument(
        before=views.summary(before, store, config),
        after=views.summary(after, store, config),
        same_blueprint=same,
        inputs=list(differing(views.shown(before.initial_data), views.shown(after.initial_data))),
        steps=list(_steps(store.load_steps(before.run_id), store.load_steps(after.run_id))),
        context=list(differing(views.context_of(before, store), views.context_of(after, store))),
        blueprint=[] if same else _definitions(before, after, schema_of),
    )


def differing(before: Any, after: Any, path: str = "", depth: int = 0) -> Iterator[DifferenceDocument]:
    """The values that differ, as deep as mappings and lists of one length go."""
    if type(before) is type(after) and before == after:
        return
    if isinstance(before, dict) and isinstance(after, dict) and depth < MOST_DEPTH:
        for key in dict.fromkeys([*before, *after]):
            place = f"{path}.{key}" if path else str(key)
            if key not in after:
                yield DifferenceDocument(key=place, kind="removed", before=before[key])
            elif key not in before:
                yield DifferenceDocument(key=place, kind="added", after=after[key])
            else:
                yield from differing(before[key], after[key], place, depth + 1)
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after) and depth < MOST_DEPTH:
        for index, (old, new) in enumerate(zip(before, after, strict=True)):
            yield from differing(old, new, f"{path}[{index}]", depth + 1)
    else:
        yield DifferenceDocument(key=path, kind="changed", before=before, after=after)


def _steps(before: list[StepRecord], after: list[StepRecord]) -> Iterator[StepDifferenceDocument]:
    old, new = _last_attempts(before), _last_attempts(after)
    for node, visit in dict.fromkeys([*old, *new]):
        one, other = old.get((node, visit)), new.get((node, visit))
        yield StepDifferenceDocument(
            node=node,
            visit=visit,
            before_status=one.status.value if one else None,
            after_status=other.status.value if other else None,
            before_ms=one.duration_ms if one else None,
            after_ms=other.duration_ms if other else None,
            differences=list(
                differing(views.changes(one.changes) if one else {}, views.changes(other.changes) if other else {})
            ),
        )


def _last_attempts(steps: list[StepRecord]) -> dict[tuple[str, int], StepRecord]:
    return {(step.node_id or step.component, step.visit): step for step in steps}


def _definitions(before: RunRecord, after: RunRecord, schema_of: Callable[[str], Any]) -> list[str]:
    """The lines that differ in what ran; of the definitions where one has no YAML (0.4 kept none)."""
    import difflib
    import json

    found = [views.definition(run, schema_of) for run in (before, after)]
    if all(source is not None for source, _ in found):
        old, new = (str(source).splitlines() for source, _ in found)
    else:
        old, new = (json.dumps(document, indent=2, ensure_ascii=False).splitlines() for _, document in found)
    one, other = (f"{run.run_id} ({run.blueprint_name} {run.blueprint_version})" for run in (before, after))
    return list(difflib.unified_diff(old, new, one, other, lineterm=""))
