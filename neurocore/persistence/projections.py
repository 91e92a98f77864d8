"""Derive from records: the folded context, the result of a commit, whether a run passes a filter."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import product

import msgspec

from neurocore import codec, numerals
from neurocore.errors import ClaimLost, InputError, RefusedError, RunExists, RunHeld
from neurocore.forms import form, same, spelled, spellings
from neurocore.persistence.records import (
    DayCount,
    Ended,
    Event,
    FailureKind,
    GateEntry,
    GateRecord,
    GateStatus,
    Owed,
    RunFilter,
    RunRecord,
    RunStatus,
    StepRecord,
    StepStatus,
    Transition,
)


def merged(stored: RunRecord | None, transition: Transition) -> RunRecord | None:
    """Return the run's record after a transition, or None if `unless_decided` prevents it. Raises ClaimLost."""
    if stored is None or (stored.epoch, stored.owner) != transition.claim:
        raise claim_lost(transition.run.run_id)
    if transition.epoch is not None:
        refuse_if_held(stored.run_id, stored.held)
    if transition.is_held_back_by(
        (gate.node_id, gate.visit) for gate in stored.gates if gate.status == GateStatus.DECIDED
    ):
        return None
    written = {name: getattr(transition.run, name) for name in _WRITTEN}
    if transition.run.blueprint_hash != stored.blueprint_hash:
        written |= {name: getattr(transition.run, name) for name in _REDEFINED}
    run = msgspec.structs.replace(
        stored,
        **written,
        gates=merge_gates(stored.gates, transition.gates),
        events=with_events(stored, *transition.events),
        version=stored.version + 1,
    )
    if not run.status.ended and any(gate.status == GateStatus.DECIDED for gate in run.gates):
        run.owed = Owed.DECISION
    return run


#: The fields of a run that a transition writes, and those that it also writes for another definition.
_WRITTEN = (
    "status", "updated_at", "finished_at", "duration_ms", "suspended_at_node", "suspension_reason", "current_nodes",
    "nodes_done", "epoch", "owner", "lease_until", "owed", "deaths", "error", "failure",
)  # fmt: skip
_REDEFINED = ("blueprint_snapshot", "blueprint_hash", "blueprint_version", "nodes_total")


def progress_of(steps: Iterable[StepRecord]) -> tuple[list[Ended], list[StepRecord]]:
    """Return the steps that ended their visit, in the order of commits, and the other steps."""
    ended, others = [], []
    for step in sorted(steps, key=lambda step: step.commit_index):
        if step.edges_taken is None:
            others.append(step)
            continue
        ended.append(
            Ended(
                step.step_index, step.commit_index, step.node_id or step.component, step.visit,
                step.status is StepStatus.COMPLETED, tuple(step.edges_taken), step.output_keys, step.skill_version,
            )
        )  # fmt: skip
    return ended, others


def fold(initial: Mapping[str, bytes], steps: Iterable[StepRecord]) -> dict[str, bytes]:
    """Return the context after these steps, as encoded values by key; failed steps changed nothing."""
    context = dict(initial)
    for step in sorted(steps, key=lambda step: step.commit_index):
        for key in step.changes.deleted:
            context.pop(key, None)
        context.update(step.changes.set)
    return context


def completed_nodes(steps: Iterable[StepRecord]) -> list[str]:
    """Return the node of every completed visit, in the order of commits."""
    done = sorted((step for step in steps if step.status is StepStatus.COMPLETED), key=lambda step: step.commit_index)
    return [step.node_id or step.component for step in done]


def complete(run: RunRecord, steps: Sequence[StepRecord]) -> RunRecord:
    """Fill in the fields derived from steps: `completed_nodes`, and `final_context` as data and metadata."""
    run.completed_nodes = completed_nodes(steps)
    initial = {key: codec.encode(value) for key, value in run.initial_data.items()}
    data = {key: codec.restore(value) for key, value in fold(initial, steps).items()}
    run.final_context = {
        "data": data,
        "metadata": {
            "run_id": run.run_id,
            "status": run.status.value,
            "suspended": run.status is RunStatus.SUSPENDED,
            "suspended_at_node": run.suspended_at_node,
            "suspension_reason": run.suspension_reason,
            "completed_nodes": run.completed_nodes,
        },
    }
    return run


def claim_lost(run_id: str) -> ClaimLost:
    """Return the error of a writer that has lost its claim on the run."""
    return ClaimLost(f"Run {run_id} was taken over by another process; nothing was written.")


def unfinished(run: RunRecord) -> bool:
    """Return whether anything may still happen to a run: it runs, waits, is owed, or has failed and can be retried."""
    rejected = run.failure is not None and run.failure.kind is FailureKind.REJECTED
    failed = run.status is RunStatus.FAILED and not run.replay_only and not rejected
    return run.owed is not None or failed or not run.status.ended


def refuse_if_held(run_id: str, held: str | None) -> None:
    """Raise RunHeld for a held run."""
    if held is not None:
        raise RunHeld(still(run_id, held))


def still(run_id: str, held: str) -> str:
    """Return the sentence for a held run."""
    return f"Run {run_id} is held: {held}; `neurocore db adopt {run_id}` lets it continue here."


def is_there(run_id: str) -> RunExists:
    """Return the error for a new run whose id is taken."""
    return RunExists(f"A run with the id {run_id} exists already; use another id, or leave it out to get a new one.")


def was_deleted(run_id: str) -> RunExists:
    """Return the error for a new run that has the id of a deleted run."""
    return RunExists(f"A run with the id {run_id} was deleted, and its id is not used again; use another id.")


def goes_on(run_id: str) -> RefusedError:
    """Return the error for a run that somebody resumes while it is to be deleted."""
    return RefusedError(f"Run {run_id} was resumed; only ended runs can be deleted, so cancel it first.")


def cancelled(by: str, events: Sequence[Event]) -> str:
    """Return why a cancelled run ended: by whom, and with which note."""
    asked = next((event for event in reversed(events) if event.kind == "cancelled" and event.who == by), None)
    note = asked.data.get("note") if asked is not None else None
    return f"Cancelled by {by}: {note}" if note else f"Cancelled by {by}."


def last_hash(gates: Iterable[GateRecord]) -> str:
    """Return the end of a run's chain of answers: the hash that no other answer names as its predecessor."""
    answers = [answer for gate in gates for answer in gate.answers]
    named = {answer.prev_hash for answer in answers}
    return next((answer.hash for answer in answers if answer.hash not in named), "")


def with_events(run: RunRecord, *events: Event) -> list[Event]:
    """Return the activity of a run with further events, each at its place in the run's chain."""
    known = list(run.events)
    for event in events:
        last = known[-1].hash if known and known[-1].hash else last_hash(run.gates)
        known.append(event if event.hash else event.sealed(run.run_id, last))
    return known


def single_filters(wanted: RunFilter) -> list[RunFilter]:
    """Split the filter into several, each for at most one status and for names in one Unicode form."""
    each = product(
        dict.fromkeys(wanted.status) or (None,), spellings(wanted.blueprint), spellings(wanted.tag),
        spellings(wanted.started_by),
    )  # fmt: skip
    return [
        msgspec.structs.replace(
            wanted, status=(status,) if status else (), blueprint=blueprint, tag=tag, started_by=started_by
        )
        for status, blueprint, tag, started_by in each
    ]


def summed(counts: Iterable[DayCount]) -> list[DayCount]:
    """Add up the counts of the same day and status, sorted by day and status."""
    sums: dict[tuple[str, RunStatus], int] = {}
    for one in counts:
        sums[one.day, one.status] = sums.get((one.day, one.status), 0) + one.count
    return [DayCount(day=day, status=status, count=count) for (day, status), count in sorted(sums.items())]


def search_key(title: str) -> str:
    """Return the part of a title that searches compare: lower case, one Unicode form, as long as anybody types."""
    return form(form(title)[:100].casefold())


def matches(run: RunRecord, wanted: RunFilter) -> bool:
    """Return whether `run` passes the filter; SQL stores say the same in a WHERE."""
    text = wanted.text
    return (
        (not wanted.status or run.status in wanted.status)
        and (wanted.blueprint is None or same(run.blueprint_name, wanted.blueprint))
        and (text is None or run.run_id.startswith(text) or search_key(run.title).startswith(search_key(text)))
        and (wanted.since is None or run.created_at >= wanted.since)
        and (wanted.until is None or run.created_at < wanted.until)
        and (wanted.tag is None or spelled(run.tags, wanted.tag) is not None)
        and (wanted.blueprints is None or run.blueprint_name in wanted.blueprints)
        and (wanted.started_by is None or same(run.started_by, wanted.started_by))
        and (not wanted.waiting or (run.held is None and any(gate.status == GateStatus.OPEN for gate in run.gates)))
    )


def cursor(run: RunRecord) -> str:
    """Return the place of a run in a list, as text that sorts like the list."""
    return f"{run.created_at}~{run.run_id}"


def check_cursor(name: str, text: str | None) -> None:
    """Raise InputError for a text that `cursor` did not make."""
    if text is None:
        return
    created, _, run_id = text.partition("~")
    try:
        datetime.fromisoformat(created)
    except ValueError:
        run_id = ""
    if not run_id:
        raise no_cursor(name, text)


#: No values, encoded.
_NOTHING_SHOWN = b"\x80"


def without_shown(gate: GateRecord) -> GateRecord:
    """Return the occurrence without the values that it shows: what lists need."""
    return msgspec.structs.replace(gate, shown=_NOTHING_SHOWN)


def gate_entries(
    found: Iterable[tuple[RunRecord, GateRecord]],
    *,
    oldest_first: bool,
    before: str | None,
    after: str | None,
    narrow: bool,
) -> list[GateEntry]:
    """Return occurrences of all runs in the order of `RunStore.list_gates`. Raises InputError for an unknown cursor."""
    start = None if after is None else _gate_place_of(after)
    placed = [
        (
            (gate.opened_at if oldest_first else gate.closed_at or "", f"{gate.run_id}~{gate.node_id}", gate.visit),
            run,
            gate,
        )
        for run, gate in found
        if before is None or (gate.closed_at or "") < before
    ]
    placed.sort(key=lambda one: one[0], reverse=not oldest_first)
    return [
        GateEntry(
            run=run,
            gate=without_shown(gate) if narrow else gate,
            cursor=f"{place[0]}~{place[2]}~{place[1]}",
        )
        for place, run, gate in placed
        if start is None or (place > start if oldest_first else place < start)
    ]


def _gate_place_of(cursor: str) -> tuple[str, str, int]:
    at, _, rest = cursor.partition("~")
    visit, _, name = rest.partition("~")
    number = numerals.whole(visit)
    try:
        datetime.fromisoformat(at)
    except ValueError:
        number = None
    if number is None or not name:
        raise no_cursor("after", cursor)
    return (at, name, number)


def no_cursor(name: str, text: str) -> InputError:
    """Return the error for a cursor that no page returned; `name` is before or after."""
    sentence = f"{name} takes a cursor that another page of this list returned, not {text[:50]!r}."
    return InputError(sentence, {name: sentence})


def merge_gates(stored: list[GateRecord], new: list[GateRecord]) -> list[GateRecord]:
    """Merge `new` over `stored` by (node, visit). A stored answer is never lost to a writer that had not seen it."""
    both = {(gate.node_id, gate.visit): gate for gate in stored}
    for gate in new:
        key = (gate.node_id, gate.visit)
        before = both.get(key)
        keeps = before is not None and before.answers and not gate.answers
        both[key] = msgspec.structs.replace(gate, answers=before.answers) if keeps and before else gate
    return list(both.values())
