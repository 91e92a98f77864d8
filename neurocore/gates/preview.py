"""Determine from the plan what each answer at a gate leads to, so that a person knows before deciding.

Conditions will see a context that does not exist yet; only the answer itself is known. What depends on anything else,
or on the port that a step will choose, is therefore called possible, not certain.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from neurocore.blueprint import graph
from neurocore.blueprint.conditions import Condition
from neurocore.blueprint.plan import APPROVED, REJECTED, Carry, Plan, PlanEdge, PlanNode
from neurocore.blueprint.progress import Progress
from neurocore.blueprint.stored import stored_blueprint, stored_plan
from neurocore.errors import ConditionError, NoOpenGate, RunNotFound
from neurocore.gates.history import outcomes
from neurocore.persistence.base import RunStore
from neurocore.persistence.records import GateRecord, GateStatus
from neurocore.readable import listed

_NO, _MAYBE, _YES = 0, 1, 2


class Outlook(Struct, frozen=True, kw_only=True):
    """What one answer leads to: the nodes that will run, that may run, and that are skipped because of it.

    `ends` is `completed`, `failed`, `waits at <gate>` or `goes back to <node>`; `sentence` describes it all.
    """

    runs: list[str]
    maybe: list[str]
    skips: list[str]
    ends: str
    sentence: str


class Preview(Struct, frozen=True, kw_only=True):
    """The outlooks of both answers at one gate occurrence."""

    approve: Outlook
    reject: Outlook


def preview(run_id: str, run_store: RunStore, gate: str | None = None, visit: int | None = None) -> Preview:
    """Return what approving and rejecting an open occurrence lead to. Raises RunNotFound or NoOpenGate."""
    definition, gates = run_store.load_definition(run_id), run_store.load_gates(run_id, narrow=True)
    if not definition:
        raise RunNotFound(f"There is no run {run_id}.", run_id=run_id)
    found = [
        one
        for one in gates
        if one.status is GateStatus.OPEN and gate in (None, one.node_id) and visit in (None, one.visit)
    ]
    if not found:
        raise NoOpenGate(f"Run {run_id} has no open gate{f' {gate}' if gate else ''}.")
    plan = stored_plan(definition)
    progress = Progress(plan)
    progress.restore(outcomes(run_store.load_ended(run_id), gates))
    needed = [name for name, spec in stored_blueprint(definition).outputs.items() if spec.is_required]
    set_already = run_store.load_values(run_id, needed)
    return outlooks(plan, found[0], progress, unset=[name for name in needed if name not in set_already])


def outlooks(plan: Plan, gate: GateRecord, progress: Progress, unset: Sequence[str] = ()) -> Preview:
    """Return both outlooks of a gate, given the run's progress and the required outputs that are still `unset`."""
    node = plan.by_id.get(gate.node_id)
    if gate.kind == "input" or node is None:
        sentence = f"{gate.node_id} continues with the data that it receives"
        same = Outlook(runs=[gate.node_id], maybe=[], skips=[], ends="completed", sentence=sentence)
        return Preview(approve=same, reject=same)
    approve = _outlook(plan, node, APPROVED, progress, unset)
    if gate.policy.require:
        waiting = [one for one in _spread(plan, node, APPROVED, progress) if one != node.id]
        sentence = "the run ends failed" + (f"; {_every(waiting)} will not run" if waiting else "")
        return Preview(
            approve=approve,
            reject=Outlook(runs=[], maybe=[], skips=waiting, ends="failed", sentence=sentence),
        )
    return Preview(approve=approve, reject=_outlook(plan, node, REJECTED, progress, unset))


def _spread(plan: Plan, gate: PlanNode, port: str, progress: Progress, *, answered: bool = True) -> dict[str, int]:
    """Return how certain it is that each node behind the gate runs, in the order of the plan.

    This holds when every gate on the way has its answer; with `answered=False`, before any of them has.
    """
    comes = {gate.index: _YES}
    runs = {gate.index: _YES}  # less certain than being reached: a step's own condition may skip it
    waits: dict[int, int] = {}  # for a further gate, itself included
    forward = [index for index in _forward(plan, gate.index) if progress.is_open(plan.nodes[index])]
    foreseen = _Foreseen(plan, gate, port, forward, progress)
    for index in forward:
        node = plan.nodes[index]
        best = _YES if progress.is_called(node) else _NO
        for edge in plan.incoming[index]:
            if edge.source in runs:
                chance = _chance(edge, port if edge.source == gate.index else None, comes, runs, foreseen)
                best = max(best, min(chance, _YES - waits.get(edge.source, _NO)))
        if any(edge.source not in runs and _hangs(plan, edge, progress) for edge in plan.incoming[index]):
            best = _MAYBE
        wait = max((waits.get(edge.source, _NO) for edge in plan.incoming[index]), default=_NO)
        wait = min(wait, _YES - best) if node.join_any else wait
        best = min(best, _YES - wait)
        comes[index] = best
        runs[index] = min(best, foreseen.chance(node.condition, index))
        if not answered:
            waits[index] = max(wait, runs[index] if node.is_gate else _NO)
    return {plan.nodes[index].id: one for index, one in runs.items()}


def _hangs(plan: Plan, edge: PlanEdge, progress: Progress) -> bool:
    """Return whether it is undecided if an edge is taken: it comes from a parallel branch, or out of an active loop."""
    source, target = plan.nodes[edge.source], plan.nodes[edge.target]
    return not progress.has_ended(source) or (source.loop is not None and source.loop != target.loop)


def _chance(edge: PlanEdge, port: str | None, comes: dict[int, int], runs: dict[int, int], foreseen: _Foreseen) -> int:
    if edge.carry is Carry.MISSED:
        return _NO  # with first match, only one step runs
    if port is not None and edge.port not in (None, port):
        return _NO
    source = (comes if edge.carry is Carry.PASSED else runs).get(edge.source, _NO)
    open_port = _MAYBE if port is None and edge.port is not None else _YES
    return min(source, open_port, foreseen.chance(edge.condition, edge.source))


class _Foreseen:
    """What a condition behind the gate sees, as far as it is known: the answer, until the next gate replaces it."""

    def __init__(self, plan: Plan, gate: PlanNode, port: str, forward: Sequence[int], progress: Progress) -> None:
        gates = [plan.nodes[index].id for index in forward if plan.nodes[index].is_gate]
        self._later = {*gates, *_behind_gates(plan, gates)}
        beside = (one for one in plan.nodes if one.is_gate and one is not gate and one.index not in forward)
        if not all(progress.has_ended(one) for one in beside):  # one may be answered before
            self._later |= {plan.nodes[index].id for index in forward}
        self._plan = plan
        self._answer = _Answer(approved=port == APPROVED)

    def chance(self, condition: Condition | None, index: int) -> int:
        """Return how certain it is that the condition holds when the node at `index` has ended, or is about to run."""
        if condition is None:
            return _YES
        if self._plan.nodes[index].id in self._later:
            return _MAYBE
        try:
            return _YES if condition.evaluate(self) else _NO
        except (ConditionError, LookupError):
            return _MAYBE

    def get(self, key: str, default: Any = None) -> Any:
        """Return the answer; everything else is not known yet."""
        if key != "approval":
            raise LookupError(key)
        return self._answer

    def has(self, key: str) -> bool:
        """Return whether there is an answer; nothing is known about other keys."""
        return self.get(key) is not None


class _Answer(dict[str, Any]):
    """The context's `approval`; only its field `approved` is known before the decision."""

    def get(self, key: str, default: Any = None) -> Any:
        """Like `[key]`: a field that is missing here will exist then."""
        return self[key]


def _forward(plan: Plan, *starts: int) -> list[int]:
    """Return the node indexes that these lead to without closing a cycle, each after all that lead to it."""
    targets = [target for start in starts for target in plan.onward(start)]
    return graph.ordered(graph.reached(targets, plan.onward), plan.onward)


def _outlook(plan: Plan, gate: PlanNode, port: str, progress: Progress, unset: Sequence[str]) -> Outlook:
    back = _back(plan, gate, port, progress)
    turns = [id for id, chance in back.items() if chance is _YES]
    at_bound = gate.loop is not None and bool(turns) and progress.is_at_bound(gate.loop, turns)
    if at_bound and plan.settings.on_max_iterations == "fail":
        return _fails_at_bound(plan, gate, port, progress, turns)
    if at_bound:
        back = {}
    now, ever = (_spread(plan, gate, port, progress, answered=answered) for answered in (False, True))
    for spread in (now, ever):
        spread.pop(gate.id)
        _let_rest(plan, gate, spread, bool(back), progress, at_bound=at_bound)
    runs = [id for id, chance in now.items() if chance is _YES]
    maybe = [id for id, chance in now.items() if chance is _MAYBE]
    skips = [id for id, chance in ever.items() if chance is _NO]  # without those that depend on another gate's answer
    maybe += [id for id, chance in back.items() if chance is _MAYBE and id not in (*runs, *maybe)]
    certain = [id for id, chance in back.items() if chance is _YES]
    gates = {node.id for node in plan.nodes if node.is_gate}
    opened = [id for id in runs if id in gates]
    ends = f"waits at {_every(opened)}" if opened else f"goes back to {_every(certain)}" if certain else "completed"
    if ends == "completed" and unset and not runs and not maybe:
        ends = "failed"
    sentence = _sentence(runs, maybe, skips, gates, ends, unset)
    if at_bound:
        sentence = f"the loop at {_every(turns)} ends, because it has reached its bound; {sentence}"
    return Outlook(runs=runs, maybe=maybe, skips=skips, ends=ends, sentence=sentence)


def _fails_at_bound(plan: Plan, gate: PlanNode, port: str, progress: Progress, turns: list[str]) -> Outlook:
    """Return the outlook at the bound of a loop: the rest of this round runs, then the run fails."""
    inside: frozenset[int] = frozenset() if gate.loop is None else plan.loops[gate.loop]
    spread = {id: chance for id, chance in _spread(plan, gate, port, progress).items() if id != gate.id}
    stays = {id: chance for id, chance in spread.items() if plan.by_id[id].index in inside}
    runs = [id for id, chance in stays.items() if chance is _YES]
    maybe = [id for id, chance in stays.items() if chance is _MAYBE]
    why = f"the run fails, because the loop at {_every(turns)} has reached its bound"
    parts = [f"{words} {_every(ids)}" for words, ids in (("runs", runs), ("may run", maybe)) if ids]
    skips = [id for id in spread if id not in (*runs, *maybe)]
    return Outlook(runs=runs, maybe=maybe, skips=skips, ends="failed", sentence=", then ".join([*parts, why]))


def _let_rest(
    plan: Plan, gate: PlanNode, spread: dict[str, int], goes_back: bool, progress: Progress, *, at_bound: bool
) -> None:
    """Adjust the nodes behind the gate's loop: they run when the loop has ended, whichever of its nodes leads there."""
    inside: frozenset[int] = frozenset() if gate.loop is None else plan.loops[gate.loop]
    exits = [edge.target for index in inside for edge in plan.outgoing[index] if edge.target not in inside]
    others = any(edge.back for index in inside - {gate.index} for edge in plan.outgoing[index])
    turns = goes_back or (others and not at_bound)
    for index in sorted({*exits, *_forward(plan, *exits)}):
        node = plan.nodes[index]
        if progress.is_open(node):
            chance = spread.get(node.id, _MAYBE)
            spread[node.id] = min(chance, _MAYBE) if turns else chance


def _back(plan: Plan, gate: PlanNode, port: str, progress: Progress) -> dict[str, int]:
    """Return how certain it is that the run goes back to each node that an edge from the gate leads back to."""
    foreseen = _Foreseen(plan, gate, port, (), progress)
    ways = [edge for edge in plan.outgoing[gate.index] if edge.back and edge.port in (None, port)]
    chances = {plan.nodes[edge.target].id: foreseen.chance(edge.condition, gate.index) for edge in ways}
    return {id: chance for id, chance in chances.items() if chance is not _NO}


def _behind_gates(plan: Plan, gates: Sequence[str]) -> set[str]:
    """Return the nodes behind the next gate: its own answer determines what follows."""
    return {plan.nodes[index].id for index in _forward(plan, *(plan.by_id[id].index for id in gates))}


def _every(ids: Sequence[str]) -> str:
    """Name all of them: nobody can decide on "and 3 more"."""
    return listed(ids, len(ids))


def _sentence(
    runs: list[str], maybe: list[str], skips: list[str], gates: set[str], ends: str, unset: Sequence[str]
) -> str:
    said = {
        "runs": [id for id in runs if id not in gates],
        "may run": [id for id in maybe if id not in gates],
        "may wait at": [id for id in maybe if id in gates],
        "skips": skips,
    }
    parts = [f"{words} {_every(ids)}" for words, ids in said.items() if ids]
    if ends == "failed":
        return ", ".join([*parts, f"then the run fails: nothing sets its output {_every(unset)}"])
    if ends == "completed" and unset:
        return ", ".join([*parts, f"then completed if {_every(unset)} is set by then"])
    if parts or ends.startswith("waits"):
        parts.append(f"then {ends}")
    else:
        parts.append("the run completes" if ends == "completed" else ends)
    return ", ".join(parts)
