"""A whole run: its inputs, its steps, gates and activity, and what can be done with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from neurocore.blueprint.stored import stored_snapshot
from neurocore.documents import make, make_gates
from neurocore.documents.masking import masked_definition
from neurocore.documents.run_state import state
from neurocore.documents.runs import InspectDocument
from neurocore.documents.streamed import Streamed
from neurocore.errors import NeuroCoreError
from neurocore.gates import compare
from neurocore.gates import preview as previews
from neurocore.persistence.projections import completed_nodes
from neurocore.runs.actions import actions

if TYPE_CHECKING:
    from neurocore.config import NeuroCoreConfig
    from neurocore.documents.gates import GateDocument
    from neurocore.documents.runs import StepDocument
    from neurocore.gates.compare import LastApproved
    from neurocore.gates.preview import Preview
    from neurocore.persistence.base import RunStore
    from neurocore.persistence.records import GateRecord, RunRecord, StepRecord


def inspect(
    run: RunRecord,
    store: RunStore,
    config: NeuroCoreConfig,
    schema_of: Callable[[str], Any],
    program: str,
    *,
    full: bool = False,
    later: bool = False,
) -> InspectDocument:
    """Return everything about a run; configuration, tracebacks, logs and the YAML only with `full`.

    `schema_of` is as in `definition`; `program` is how the commands of `next` begin. With `later`, the large parts are
    made when the document is written; the run may then be a narrow one.
    """
    gates, steps = store.load_gates(run.run_id, narrow=later), store.load_steps(run.run_id)
    if later:
        run.completed_nodes = completed_nodes(steps)
        run.blueprint_snapshot = stored_snapshot(store.load_definition(run.run_id))
    source, definition = masked_definition(run.blueprint_snapshot, schema_of) if full else (None, None)
    return InspectDocument(
        run=make.details(run, store, config, later=later),
        steps=step_documents(steps, schema_of, full=full, later=later),
        gates=gate_documents(run, gates, store, later=later),
        events=[make.event(event) for event in store.load_events(run.run_id)],
        next=make.next_commands(
            run,
            gates,
            state(run, config, store),
            run.run_id,
            program,
            signs_in=config.auth.mode != "open",
            held=make_gates.held(gates, run, store),
        ),
        refused={verb: reason for verb, reason in actions(run, config, store).items() if reason is not None},
        blueprint_source=source,
        blueprint_definition=definition if source is None else None,
    )


def step_documents(
    steps: Sequence[StepRecord], schema_of: Callable[[str], Any], *, full: bool = False, later: bool = False
) -> Any:
    """Return every step."""

    def items() -> Iterator[StepDocument]:
        for one in steps:
            schema = schema_of(one.skill_type or "") if full else None
            yield make.step(one, full=full, schema=schema, later=later)

    return Streamed(items).unless(later)


def gate_documents(run: RunRecord, gates: Sequence[GateRecord], store: RunStore, *, later: bool = False) -> Any:
    """Return every occurrence; an open one with what each answer leads to and what was approved last.

    With `later`, `gates` may be narrow: the values that each shows are read when they are written.
    """
    waiting = {(gate.node_id, gate.visit) for gate in make.open_gates(gates, run) if gate.kind == "gate"}

    def items() -> Iterator[GateDocument]:
        for gate in gates:
            whole = (store.load_gate(run.run_id, gate.node_id, gate.visit) if later else None) or gate
            if (gate.node_id, gate.visit) in waiting:
                leads, before = outlooks(run, gate, store), last_approved(run, gate, store)
                yield make_gates.gate(whole, run, store, leads, before, later=later)
            else:
                yield make_gates.gate(whole, run, store, later=later)

    return Streamed(items).unless(later)


def outlooks(run: RunRecord, gate: GateRecord, store: RunStore) -> Preview | None:
    """Return what each answer leads to; None if the run's definition can no longer be read."""
    try:
        return previews.preview(run.run_id, store, gate=gate.node_id, visit=gate.visit)
    except NeuroCoreError:
        return None


def last_approved(run: RunRecord, gate: GateRecord, store: RunStore) -> LastApproved | None:
    """Return the last approved occurrence of this gate in another run, with the differences; None if there is none."""
    try:
        return compare.last_approved(run.run_id, gate.node_id, store)
    except NeuroCoreError:
        return None
