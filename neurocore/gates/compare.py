"""What differs: between what a gate shows and what was approved last, and between two runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct

from neurocore import codec
from neurocore.errors import RunNotFound
from neurocore.persistence.base import GateRecord, GateStatus, RunRecord, RunStore, StepRecord

#: How many differences are listed at most, and how deep values are looked into.
MAX_DIFFERENCES = 500
MAX_DEPTH = 8
#: How many decided gates are looked through for one that fits.
MAX_LOOKED_AT = 200


class Difference(Struct, frozen=True, kw_only=True):
    """One value that differs, by its path (`user.name`, `rows[3].iban`). `kind`: added, removed or changed."""

    key: str
    before: Any = None
    after: Any = None
    kind: str = "changed"


class LastApproved(Struct, frozen=True, kw_only=True):
    """The last approved occurrence of the same gate in another run, and what this one shows differently."""

    run: RunRecord
    gate: GateRecord
    differences: list[Difference]


class StepPair(Struct, frozen=True, kw_only=True):
    """The same visit of a node in two runs; None where one has none. `differences` are in what the two set."""

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
    """The newest approved occurrence of this gate in another run of the same blueprint; None where there is none."""
    run = run_store.load_summary(run_id)
    if run is None:
        raise RunNotFound(f"There is no run {run_id}.", run_id=run_id)
    here = [gate for gate in run_store.load_gates(run_id) if gate.node_id == node_id and gate.kind == "gate"]
    decided = run_store.list_gates(
        status=(GateStatus.DONE,), blueprint=run.blueprint_name, limit=MAX_LOOKED_AT
    )  # fmt: skip
    for entry in decided:
        answer = entry.gate.decision
        fits = entry.run.run_id != run_id and entry.gate.node_id == node_id and entry.gate.kind == "gate"
        if fits and answer is not None and answer.approved:
            values = here[-1].values if here else {}
            return LastApproved(run=entry.run, gate=entry.gate, differences=differences(entry.gate.values, values))
    return None


def compare_runs(first: str, second: str, run_store: RunStore) -> Comparison:
    """What differs between two runs: inputs, definition, and step by step what they set. Raises RunNotFound."""
    runs = []
    for run_id in (first, second):
        run = run_store.load_run(run_id)
        if run is None:
            raise RunNotFound(f"There is no run {run_id}.", run_id=run_id)
        runs.append(run)
    one, other = runs
    definitions = [{k: v for k, v in run.blueprint_snapshot.items() if k != "source"} for run in runs]
    return Comparison(
        first=one,
        second=other,
        inputs=differences(one.initial_data, other.initial_data),
        blueprint=differences(*definitions),
        steps=_pairs(run_store.load_steps(first), run_store.load_steps(second)),
    )


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Difference]:
    """What differs between two mappings, nested values looked into, at most 500."""
    found = []
    for difference in _differences("", before, after, 0):
        found.append(difference)
        if len(found) == MAX_DIFFERENCES:
            break
    return found


def _differences(path: str, before: Any, after: Any, depth: int) -> Iterator[Difference]:
    if isinstance(before, Mapping) and isinstance(after, Mapping) and depth < MAX_DEPTH:
        for key in [*before, *(key for key in after if key not in before)]:
            here = f"{path}.{key}" if path else str(key)
            if key not in after:
                yield Difference(key=here, before=before[key], kind="removed")
            elif key not in before:
                yield Difference(key=here, after=after[key], kind="added")
            else:
                yield from _differences(here, before[key], after[key], depth + 1)
    elif isinstance(before, list) and isinstance(after, list) and depth < MAX_DEPTH:
        for place in range(max(len(before), len(after))):
            here = f"{path}[{place}]"
            if place >= len(after):
                yield Difference(key=here, before=before[place], kind="removed")
            elif place >= len(before):
                yield Difference(key=here, after=after[place], kind="added")
            else:
                yield from _differences(here, before[place], after[place], depth + 1)
    elif type(before) is not type(after) or not _same(before, after):
        yield Difference(key=path, before=before, after=after)


def _same(before: Any, after: Any) -> bool:
    try:
        return bool(before == after) or codec.encode(before) == codec.encode(after)
    except codec.CodecError:
        return False


def _pairs(first: list[StepRecord], second: list[StepRecord]) -> list[StepPair]:
    """The last attempt of each visit in both runs, in the order of the first run."""
    mine = {(step.node_id, step.visit): step for step in first}
    theirs = {(step.node_id, step.visit): step for step in second}
    pairs = []
    for key in [*mine, *(key for key in theirs if key not in mine)]:
        one, other = mine.get(key), theirs.get(key)
        found = differences(_outputs(one), _outputs(other)) if one is not None and other is not None else []
        pairs.append(StepPair(node_id=key[0], visit=key[1], first=one, second=other, differences=found))
    return pairs


def _outputs(step: StepRecord | None) -> dict[str, Any]:
    return {key: codec.restore(data) for key, data in (step.changes.set if step is not None else {}).items()}
