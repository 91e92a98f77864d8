"""Find differences: between what a gate shows and what was last approved, and between two runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct

from neurocore import codec
from neurocore.blueprint.stored import stored_snapshot
from neurocore.differences import MOST, Difference, Work, compare
from neurocore.errors import RunNotFound
from neurocore.forms import form, same
from neurocore.persistence.base import RunStore
from neurocore.persistence.records import GateRecord, GateStatus, RunRecord, StepRecord

#: How many decided gates are searched for a matching one.
MAX_LOOKED_AT = 200


class LastApproved(Struct, frozen=True, kw_only=True):
    """The last approved occurrence of the same gate in another run, and the values that this occurrence shows now."""

    run: RunRecord
    gate: GateRecord
    values: dict[str, Any]

    @property
    def differences(self) -> list[Difference]:
        """List what this occurrence shows differently."""
        return compare(self.gate.values, self.values)


class StepPair(Struct, frozen=True, kw_only=True):
    """The same visit of a node in two runs; None if a run has none. `differences` are in the values that they set."""

    node_id: str
    visit: int
    first: StepRecord | None
    second: StepRecord | None
    differences: list[Difference] = []


class Comparison(Struct, frozen=True, kw_only=True):
    """Two runs side by side."""

    first: RunRecord
    second: RunRecord
    inputs: list[Difference]
    blueprint: list[Difference]
    steps: list[StepPair]


def last_approved(run_id: str, node_id: str, run_store: RunStore) -> LastApproved | None:
    """Return the last approved occurrence of this gate in another run of the same blueprint; None if there is none."""
    run = run_store.load_summary(run_id)
    if run is None:
        raise RunNotFound(f"There is no run {run_id}.", run_id=run_id)
    gates = run_store.load_gates(run_id, narrow=True)
    here = [gate for gate in gates if same(gate.node_id, node_id) and gate.kind == "gate"]
    decided = run_store.list_gates(
        status=(GateStatus.DONE,), blueprint=run.blueprint_name, limit=MAX_LOOKED_AT, narrow=True
    )  # fmt: skip
    for entry in decided:
        answer = entry.gate.decision
        fits = entry.run.run_id != run_id and same(entry.gate.node_id, node_id) and entry.gate.kind == "gate"
        if fits and answer is not None and answer.approved:
            mine = run_store.load_gate(run_id, here[-1].node_id, here[-1].visit) if here else None
            values = mine.values if mine is not None else {}
            gate = run_store.load_gate(entry.run.run_id, entry.gate.node_id, entry.gate.visit) or entry.gate
            return LastApproved(run=entry.run, gate=gate, values=values)
    return None


def compare_runs(
    first: str, second: str, run_store: RunStore, *, work: Work | None = None, most: int = MOST
) -> Comparison:
    """Compare two runs: inputs, definition, and what each step set. Raises RunNotFound."""
    runs = []
    for run_id in (first, second):
        run = run_store.load_summary(run_id)
        if run is None:
            raise RunNotFound(f"There is no run {run_id}.", run_id=run_id)
        run.blueprint_snapshot = stored_snapshot(run_store.load_definition(run_id))
        runs.append(run)
    one, other = runs
    work = work or Work()
    definitions = [{k: v for k, v in run.blueprint_snapshot.items() if k != "source"} for run in runs]
    inputs = differing(run_store.load_inputs(first), run_store.load_inputs(second))
    return Comparison(
        first=one,
        second=other,
        inputs=compare(*inputs, work=work, most=most),
        blueprint=compare(*definitions, work=work, most=most),
        steps=_pairs(work, most, run_store.load_steps(first), run_store.load_steps(second)),
    )


NodeVisit = tuple[str, int]


def paired(
    first: Iterable[StepRecord], second: Iterable[StepRecord]
) -> dict[NodeVisit, tuple[StepRecord | None, StepRecord | None]]:
    """Return the last attempt of each visit in both runs, by (node, visit), in the order of the first run."""
    one, other = ({(form(step.node_id or step.component), step.visit): step for step in run} for run in (first, second))
    return {visit: (one.get(visit), other.get(visit)) for visit in [*one, *(key for key in other if key not in one)]}


def _pairs(work: Work, most: int, first: list[StepRecord], second: list[StepRecord]) -> list[StepPair]:
    pairs = []
    for (node, visit), (one, other) in paired(first, second).items():
        found = compare(*_outputs(one, other), work=work, most=most) if one is not None and other is not None else []
        pairs.append(StepPair(node_id=node, visit=visit, first=one, second=other, differences=found))
    return pairs


def _outputs(one: StepRecord, other: StepRecord) -> list[dict[str, Any]]:
    """List the differences between what two steps set."""
    return differing(one.changes.set, other.changes.set)


def differing(mine: Mapping[str, bytes], theirs: Mapping[str, bytes]) -> list[dict[str, Any]]:
    """Restore both, without the keys that have the same bytes in both."""
    same = {key for key, data in mine.items() if theirs.get(key) == data}
    return [{key: codec.restore(data) for key, data in found.items() if key not in same} for found in (mine, theirs)]
