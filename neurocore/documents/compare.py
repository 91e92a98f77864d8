"""The differences between two runs, as the `--json` document: masked first, then compared by the rules of the gates."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from neurocore import differences
from neurocore.documents import make
from neurocore.documents.runs import DiffDocument, StepDifferenceDocument
from neurocore.gates.compare import compare_runs, differing

if TYPE_CHECKING:
    from neurocore.config import NeuroCoreConfig
    from neurocore.gates.compare import StepPair
    from neurocore.persistence.base import RunStore
    from neurocore.persistence.records import RunRecord
from neurocore.documents.masking import masked, masked_definition


def compare(
    before: RunRecord,
    after: RunRecord,
    store: RunStore,
    config: NeuroCoreConfig,
    schema_of: Callable[[str], Any],
    *,
    work: differences.Work | None = None,
    most: int = differences.MOST,
) -> DiffDocument:
    """Return the differences from one run to the other, within `work` and `most`; `schema_of` as in `definition`."""
    work = work or differences.Work()
    found = compare_runs(before.run_id, after.run_id, store, work=work, most=most)
    same = before.blueprint_hash == after.blueprint_hash
    contexts = [masked(one) for one in differing(*(store.load_context(run.run_id) for run in (before, after)))]
    return DiffDocument(
        before=make.summary(before, store, config),
        after=make.summary(after, store, config),
        same_blueprint=same,
        inputs=make.differences(found.inputs),
        steps=[_step(pair) for pair in found.steps],
        context=make.differences(differences.compare(*contexts, work=work, most=most)),
        blueprint=[] if same else _definitions(found.first, found.second, schema_of),
    )


def _step(pair: StepPair) -> StepDifferenceDocument:
    one, other = pair.first, pair.second
    return StepDifferenceDocument(
        node=pair.node_id,
        visit=pair.visit,
        before_status=one.outcome if one else None,
        after_status=other.outcome if other else None,
        before_ms=one.duration_ms if one else None,
        after_ms=other.duration_ms if other else None,
        differences=make.differences(pair.differences),
    )


def _definitions(before: RunRecord, after: RunRecord, schema_of: Callable[[str], Any]) -> list[str]:
    """Return the lines that differ between the YAML files; or the definitions if one has none (as in 0.4)."""
    import json

    found = [masked_definition(run.blueprint_snapshot, schema_of) for run in (before, after)]
    if all(source is not None for source, _ in found):
        old, new = (str(source) for source, _ in found)
    else:
        old, new = (json.dumps(document, indent=2, ensure_ascii=False) for _, document in found)
    one, other = (f"{run.run_id} ({run.blueprint_name} {run.blueprint_version})" for run in (before, after))
    return differences.unified(old, new, (one, other))
