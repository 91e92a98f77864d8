"""Check the rules of gates against the flow, and against the people and the mode of sign-in that a project has.

Every check is a function of the plan and of what is known; what is not known gives no finding.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from msgspec import Struct

from neurocore.blueprint import graph
from neurocore.blueprint.gate_keys import GateKeys
from neurocore.blueprint.gate_rules import duration, keys_of, named_in
from neurocore.blueprint.plan import Plan, PlanNode
from neurocore.readable import counted, listed
from neurocore.yamlfile import Place, nearest

#: The gate, the place below its keys, and the sentence.
GateFinding = tuple[PlanNode, Place, str]

#: The modes of sign-in that cannot give what a rule asks for.
CANNOT = {"signature": ("open",), "fresh_login": ("open", "proxy")}


class Known(Struct, frozen=True, kw_only=True):
    """What is known of those who may answer: the mode of sign-in, the usernames, the members of each group.

    None stands for what is not known.
    """

    mode: str | None = None
    users: Collection[str] | None = None
    groups: Mapping[str, Collection[str]] | None = None


NOTHING_KNOWN = Known()


def gate_errors(plan: Plan, known: Known = NOTHING_KNOWN) -> Iterator[GateFinding]:
    """Yield what prevents a run: nodes that do not exist or cannot be gone back to, and rules that no mode gives."""
    for gate, keys in _ruled(plan):
        yield from _distinct(plan, gate, keys)
        yield from _changes(plan, gate, keys)
        yield from _unavailable(gate, keys, known)


def gate_warnings(plan: Plan, known: Known = NOTHING_KNOWN) -> Iterator[GateFinding]:
    """Yield what is likely a mistake: rules that nobody can satisfy, or only who starts the run; a mere deadline."""
    for gate, keys in _ruled(plan):
        yield from _people(gate, keys, known)
        yield from _time(gate, keys)


def _ruled(plan: Plan) -> Iterator[tuple[PlanNode, GateKeys]]:
    """Yield each gate whose rules are valid, with them."""
    for node in plan.nodes:
        keys = keys_of(node.config) if node.is_gate else None
        if keys is not None:
            yield node, keys


# -------------------------------------------------------------------- the flow


def _distinct(plan: Plan, gate: PlanNode, keys: GateKeys) -> Iterator[GateFinding]:
    gates = [node.id for node in plan.nodes if node.is_gate and node.id != gate.id]
    for number, name in enumerate(keys.distinct_from):
        if name == gate.id:
            sentence = f"The gate {gate.id} cannot be distinct from itself; name another gate."
        elif name not in gates:
            sentence = f"The gate {gate.id} is distinct from {name!r}, which is not a gate{nearest(name, gates)}"
        else:
            continue
        yield gate, ("distinct_from", number), sentence


def _changes(plan: Plan, gate: PlanNode, keys: GateKeys) -> Iterator[GateFinding]:
    if keys.request_changes is None:
        return
    goal = keys.request_changes.to
    place: Place = ("request_changes", "to")
    target = plan.by_id.get(goal)
    if plan.flow_type == "conditional":
        yield gate, place, "In a conditional flow only one step runs, so a request for changes has nowhere to go."
    elif target is None:
        hint = nearest(goal, plan.by_id)
        yield gate, place, f"The gate {gate.id} sends changes to {goal!r}, which is not a node{hint}"
    elif target is gate:
        yield gate, place, f"The gate {gate.id} cannot send changes to itself; name a node before it."
    elif not is_on_every_path(plan, target, gate):
        yield gate, place, f"Not every path to the gate {gate.id} goes through {goal}; name a node that every path has."


def is_on_every_path(plan: Plan, node: PlanNode, goal: PlanNode) -> bool:
    """Return whether every path from a start of the flow to `goal` goes through `node`, and one does."""
    starts = [one.index for one in plan.nodes if not plan.incoming[one.index]]
    if goal.index not in graph.reached([node.index], plan.onward):
        return False
    around = graph.reached(
        [one for one in starts if one != node.index],
        lambda index: [target for target in plan.onward(index) if target != node.index],
    )
    return goal.index not in around


# -------------------------------------------------------------------- people


def _unavailable(gate: PlanNode, keys: GateKeys, known: Known) -> Iterator[GateFinding]:
    wanted = {"signature": keys.signature != "none", "fresh_login": keys.fresh_login is not None}
    for name, modes in CANNOT.items():
        if wanted[name] and known.mode in modes:
            what = f"what `{name}` of the gate {gate.id} asks for; remove it, or choose another mode"
            yield gate, (name,), f"With auth.mode {known.mode} nobody can give {what}."


def _people(gate: PlanNode, keys: GateKeys, known: Known) -> Iterator[GateFinding]:
    more = keys.escalate.to if keys.escalate is not None else []
    stages: list[tuple[set[str], int]] = []
    missing = []
    for place, approvers, required in named_in(keys):
        missing += [(place, name) for name in _missing(approvers, known)]
        found = _who(approvers, known)
        later = None if found is None else _joined(found, _who(more, known) if more and approvers else set())
        if later is not None:
            stages.append((later, required))
    if missing:
        yield from ((gate, place, f"The gate {gate.id} asks {name}.") for place, name in missing)
        return
    at: Place = ("stages",) if keys.stages is not None else ("approvers",)
    total = sum(required for _, required in stages)
    if not is_enough(stages):
        exist = len(set().union(*(people for people, _ in stages)))
        can = f"{counted(exist, 'person', 'people')} can give one" if exist else "nobody can give one"
        sentence = f"The gate {gate.id} needs {counted(total, 'approval')}, and {can}; each person counts once."
        yield gate, at, sentence
    elif not keys.self_approval:
        yield from _needed(gate, stages, total)


def _needed(gate: PlanNode, stages: list[tuple[set[str], int]], total: int) -> Iterator[GateFinding]:
    """Yield whose own run nobody could approve."""
    people = set().union(*(one for one, _ in stages if len(one) <= total))
    needed = [name for name in sorted(people) if not is_enough([(one - {name}, number) for one, number in stages])]
    if needed:
        sentence = (
            f"The gate {gate.id} cannot do without {listed(needed)}, and nobody may approve their own run: if "
            f"{'one of them' if len(needed) > 1 else needed[0]} starts it, nobody can approve it; ask more people."
        )
        yield gate, ("self_approval",), sentence


def is_enough(stages: Sequence[tuple[Collection[str], int]]) -> bool:
    """Return whether as many people as each stage requires can approve, if each person counts once.

    It looks for a matching of people to the places of the stages, a place after the other.
    """
    total = sum(required for _, required in stages)
    narrow = [(sorted(people), required) for people, required in stages if len(people) < total]
    if any(len(people) < required for people, required in narrow):
        return False
    places = [people for people, required in narrow for _ in range(required)]
    taken: dict[str, int] = {}
    return all(_place(number, places, taken, set()) for number in range(len(places)))


def _place(number: int, places: Sequence[Sequence[str]], taken: dict[str, int], tried: set[str]) -> bool:
    """Find somebody for a place; who has another one moves if somebody else can take that."""
    for name in places[number]:
        if name not in tried:
            tried.add(name)
            if name not in taken or _place(taken[name], places, taken, tried):
                taken[name] = number
                return True
    return False


def _joined(some: set[str], others: set[str] | None) -> set[str] | None:
    return None if others is None else some | others


def _who(approvers: Collection[str], known: Known) -> set[str] | None:
    """Return the usernames of those who are asked, or None if that is not known."""
    if not approvers:
        return None if known.users is None else set(known.users)
    found: set[str] = set()
    for one in approvers:
        if not one.startswith("group:"):
            found |= {one} if known.users is None or one in known.users else set()
        elif known.groups is None:
            return None
        else:
            found |= set(known.groups.get(one.removeprefix("group:"), ()))
    return found


def _missing(approvers: Collection[str], known: Known) -> Iterator[str]:
    for one in approvers:
        name = one.removeprefix("group:")
        if one != name and known.groups is not None and not known.groups.get(name):
            yield f"the group {name}, which has no members"
        elif one == name and known.users is not None and name not in known.users:
            yield f"{name}, which is nobody's username"


# -------------------------------------------------------------------- time


def _time(gate: PlanNode, keys: GateKeys) -> Iterator[GateFinding]:
    if keys.deadline is not None and keys.on_deadline == "keep" and not (keys.remind or keys.escalate):
        more = "set `on_deadline: reject`, `remind` or `escalate` if more shall happen"
        yield gate, ("deadline",), f"The deadline of the gate {gate.id} only marks it as overdue; {more}."
    ends = duration(keys.deadline) if keys.deadline is not None and keys.on_deadline == "reject" else None
    if ends is None:
        return
    late: list[tuple[str, str | None, Place]] = [("remind", keys.remind, ("remind",))]
    late += [("escalate", keys.escalate.after, ("escalate", "after"))] if keys.escalate is not None else []
    for name, text, place in late:
        length = duration(text) if text is not None else None
        if length is not None and length >= ends:
            yield gate, place, f"The deadline of the gate {gate.id} comes before `{name}`, which never happens then."
