"""What each answer at a gate leads to: read off the plan, so that a person knows before pressing.

Conditions are not evaluated here: they will look at a context that does not exist yet. What hangs on one, or on the
port that a step will choose, is therefore named as possible and not as certain.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from neurocore.blueprint.model import Blueprint
from neurocore.blueprint.plan import APPROVED, REJECTED, Carry, Plan, PlanEdge, PlanNode, compile_plan
from neurocore.errors import NoOpenGate, RunNotFound
from neurocore.persistence.base import GateRecord, GateStatus, RunStore, StepStatus

_NO, _MAYBE, _YES = 0, 1, 2


class Outlook(Struct, frozen=True, kw_only=True):
    """What one answer leads to: ids of nodes that will run, that may run, that are skipped because of it.

    `ends` is `completed`, `failed`, or `waits at <gate>`; `sentence` says it all for a person.
    """

    runs: list[str]
    maybe: list[str]
    skips: list[str]
    ends: str
    sentence: str


class Preview(Struct, frozen=True, kw_only=True):
    """Both outlooks of one gate occurrence."""

    approve: Outlook
    reject: Outlook


def preview(run_id: str, run_store: RunStore, gate: str | None = None, visit: int | None = None) -> Preview:
    """What approving and rejecting an open occurrence lead to. Raises RunNotFound or NoOpenGate."""
    run = run_store.load_run(run_id)
    if run is None:
        raise RunNotFound(f"There is no run {run_id}.", run_id=run_id)
    found = [
        one
        for one in run_store.load_gates(run_id)
        if one.status is GateStatus.OPEN and gate in (None, one.node_id) and visit in (None, one.visit)
    ]
    if not found:
        raise NoOpenGate(f"Run {run_id} has no open gate{f' {gate}' if gate else ''}.")
    plan = compile_plan(Blueprint.from_snapshot(run.blueprint_snapshot))
    ended = (StepStatus.COMPLETED, StepStatus.SKIPPED)
    done = {step.node_id for step in run_store.step_summaries(run_id) if step.status in ended}
    return outlooks(plan, found[0], done)


def outlooks(plan: Plan, gate: GateRecord, done: set[str]) -> Preview:
    """Both outlooks of a gate in a plan, given the ids of the nodes that have come to their end."""
    node = plan.by_id.get(gate.node_id)
    if gate.kind == "input" or node is None:
        sentence = f"{gate.node_id} goes on with what it is given"
        same = Outlook(runs=[gate.node_id], maybe=[], skips=[], ends="completed", sentence=sentence)
        return Preview(approve=same, reject=same)
    approve = _outlook(plan, node, APPROVED, done)
    if gate.policy.require:
        waiting = [one for one in _spread(plan, node, APPROVED, done) if one != node.id]
        sentence = "the run ends failed" + (f"; {_and(waiting)} will not run" if waiting else "")
        return Preview(
            approve=approve,
            reject=Outlook(runs=[], maybe=[], skips=waiting, ends="failed", sentence=sentence),
        )
    return Preview(approve=approve, reject=_outlook(plan, node, REJECTED, done))


def _spread(plan: Plan, gate: PlanNode, port: str, done: set[str]) -> dict[str, int]:
    """How certain it is that each node behind the gate runs, in the order of the plan."""
    chance = {gate.index: _YES}
    for index in _forward(plan, gate.index):
        into = [
            _chance(edge, port if edge.source == gate.index else None, chance.get(edge.source, _NO), plan)
            for edge in plan.incoming[index]
            if edge.source in chance or plan.nodes[edge.source].id not in done
        ]
        best = max(into, default=_NO)
        others = [plan.nodes[edge.source] for edge in plan.incoming[index] if edge.source not in chance]
        if best is _YES and (plan.nodes[index].condition is not None or any(one.id not in done for one in others)):
            best = _MAYBE
        chance[index] = best
    return {plan.nodes[index].id: one for index, one in chance.items()}


def _chance(edge: PlanEdge, port: str | None, source: int, plan: Plan) -> int:
    if edge.carry is Carry.MISSED:
        return _NO  # of a first match only one step runs
    if port is not None and edge.port not in (None, port):
        return _NO
    open_port = port is None and edge.port is not None
    if source is _YES and plan.nodes[edge.source].on_error != "fail":
        open_port = open_port or edge.port is not None
    if edge.carry is Carry.PASSED and source is _MAYBE and port is None and not _dead_source(plan, edge):
        source = _YES  # a step whose condition is false is passed over, and what follows it runs all the same
    return min(source, _MAYBE) if edge.condition is not None or open_port else source


def _dead_source(plan: Plan, edge: PlanEdge) -> bool:
    """Whether the source may be skipped because no way led to it (not only because of its own condition)."""
    return plan.nodes[edge.source].condition is None


def _forward(plan: Plan, start: int) -> list[int]:
    """Node indexes reachable from `start` without closing a cycle, each after all that lead to it."""
    reached: set[int] = set()
    todo = [start]
    while todo:
        for edge in plan.outgoing[todo.pop()]:
            if not edge.back and edge.target not in reached:
                reached.add(edge.target)
                todo.append(edge.target)
    ordered: list[int] = []
    left = set(reached)
    while left:
        ready = sorted(i for i in left if not any(edge.source in left for edge in plan.incoming[i]))
        ordered += ready
        left -= set(ready)
    return ordered


def _outlook(plan: Plan, gate: PlanNode, port: str, done: set[str]) -> Outlook:
    spread = _spread(plan, gate, port, done)
    spread.pop(gate.id)
    behind_gates = _behind_gates(plan, [id for id in spread if plan.by_id[id].is_gate and spread[id] is not _NO])
    runs = [id for id, chance in spread.items() if chance is _YES and id not in behind_gates]
    maybe = [id for id, chance in spread.items() if chance is _MAYBE and id not in behind_gates]
    skips = [id for id, chance in spread.items() if chance is _NO]
    gates = [id for id in runs if plan.by_id[id].is_gate]
    again = [e for e in plan.outgoing[gate.index] if e.back and e.port in (None, port)]
    if again:
        maybe += [plan.nodes[edge.target].id for edge in again if plan.nodes[edge.target].id not in (*runs, *maybe)]
    ends = f"waits at {gates[0]}" if gates else "completed"
    return Outlook(runs=runs, maybe=maybe, skips=skips, ends=ends, sentence=_sentence(runs, maybe, skips, gates))


def _behind_gates(plan: Plan, gates: Sequence[str]) -> set[str]:
    """What a further gate stands before: that is for its own answer to say."""
    return {plan.nodes[index].id for id in gates for index in _forward(plan, plan.by_id[id].index)}


def _sentence(runs: list[str], maybe: list[str], skips: list[str], gates: list[str]) -> str:
    work = [id for id in runs if id not in gates]
    parts = []
    if work:
        parts.append(f"runs {_and(work)}")
    if maybe:
        parts.append(f"may run {_and(maybe)}")
    if skips:
        parts.append(f"skips {_and(skips)}")
    parts.append(f"then waits at {gates[0]}" if gates else "then completed" if parts else "the run completes")
    return ", ".join(parts)


def _and(ids: Sequence[str]) -> str:
    shown = list(ids[:6]) + ([f"{len(ids) - 6} more"] if len(ids) > 6 else [])
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"
