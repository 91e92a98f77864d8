"""What is true of a gate occurrence and of who answers it, read from the history for `neurocore.gates.policy`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from neurocore import codec
from neurocore.access.actor import Actor, KnownBy, identity_of
from neurocore.access.permission import Action, Resource, allows
from neurocore.access.roles import Holder
from neurocore.gates.facts import Cause, Choice, Decided, Facts, Given, Who
from neurocore.gates.standing import after
from neurocore.persistence.base import RunStore
from neurocore.persistence.records import WITHDRAW, Answer, Event, GateRecord, GateStatus, RunRecord

#: How many runs a chain of replays is followed through.
LONGEST_CHAIN = 100
#: The kind of the event of a comment.
COMMENTED = "commented"
#: What the kinds of events that make somebody an initiator are called in a sentence.
_CLAUSES = {"started": "started this run", "replayed": "replayed this run"}


def groups_of(actor: Actor, store: RunStore) -> tuple[str, ...]:
    """Return the groups of somebody: their own, or, where nobody signs in, those that name them in `auth.groups`."""
    if actor.person is not None or store.auth_mode != "open":
        return actor.groups
    who = identity_of(actor.label)
    return tuple(name for name, members in store.open_groups.items() if who in map(identity_of, members))


def who_asks(actor: Actor, run: RunRecord, store: RunStore) -> Who:
    """Return who wants to answer, as they are now."""
    resource = Resource(blueprint=run.blueprint_name, run_id=run.run_id)
    is_person = actor.person is not None
    return Who(
        id=actor.person or identity_of(actor.label), name=actor.label if is_person else identity_of(actor.label),
        label=actor.label, known_by=actor.known_by.value, groups=groups_of(actor, store), service=actor.service,
        approver=allows(actor, Action.ANSWER, resource), admin=is_person and allows(actor, Action.ADMINISTER),
        signed_in_at=actor.signed_in_at,
    )  # fmt: skip


def content_of(note: str | None, data: Mapping[str, object]) -> str:
    """Return a text that is the same for the same note and form."""
    return codec.canonical([note or "", dict(data)]).hex()


def answers_of(gate: GateRecord, store: RunStore) -> list[Given]:
    """Return the answers of an occurrence, each with when it was withdrawn or its author disabled."""
    withdrawn = gate.withdrawn
    disabled: dict[str, str | None] = {}
    found = []
    for one in gate.answers:
        if one.answer == WITHDRAW or one.known_by == KnownBy.SYSTEM:
            continue
        if one.person is not None and one.person not in disabled:
            disabled[one.person] = store.disabled_since(one.person, after=one.at)
        found.append(_given(one, withdrawn.get(one.hash), disabled.get(one.author)))
    return found


def _given(answer: Answer, withdrawn_at: str | None, disabled_at: str | None) -> Given:
    facts, who = answer.facts, answer.author
    signed_in_at = facts.get("signed_in_at")
    return Given(
        id=answer.hash, answer=_choice(answer), at=answer.at, digest=answer.digest, visit=answer.visit,
        content=content_of(answer.note, answer.data), break_glass=bool(facts.get("break_glass")),
        withdrawn_at=withdrawn_at,
        who=Who(
            id=who, name=answer.by if answer.person else who, label=answer.by, known_by=answer.known_by,
            groups=answer.groups, admin=bool(facts.get("admin")), service=bool(facts.get("service")),
            signed_in_at=signed_in_at if isinstance(signed_in_at, str) else None, disabled_at=disabled_at,
        ),
    )  # fmt: skip


def _choice(answer: Answer) -> Choice | None:
    if answer.answer in tuple(Choice):
        return Choice(answer.answer)
    return None if answer.approved is None else (Choice.APPROVE if answer.approved else Choice.REJECT)


def facts_of(gate: GateRecord, run: RunRecord, actor: Actor | None, store: RunStore) -> Facts:
    """Return what is true of an occurrence now; whose rights are known lets sentences name the people who can."""
    policy, escalated_at = gate.policy, None
    if policy.escalate is not None:
        due = after(gate.opened_at, policy.escalate.after)
        escalated_at = due if due <= store.clock.now() else None
    gates = store.load_gates(gate.run_id, narrow=True) if policy.distinct_from else []
    rights = actor.rights if actor is not None else None
    return Facts(
        opened_at=gate.opened_at, kind=gate.kind, visit=gate.visit, digest=gate.digest, mode=gate.auth_mode,
        store_mode=store.auth_mode, deadline=gate.deadline, escalated_at=escalated_at,
        initiators=initiators_of(gate.run_id, store) if not policy.self_approval else {},
        approved_before={name: _approvers(name, gates) for name in policy.distinct_from},
        last_at=max((one.at for one in gate.answers), default=None), voided=gate.status is GateStatus.VOIDED,
        decision=_decision(gate),
        people=None if rights is None else lambda: people_of(rights.holders(), run.blueprint_name),
    )  # fmt: skip


def _decision(gate: GateRecord) -> Decided | None:
    answer = gate.decision
    if gate.status not in (GateStatus.DECIDED, GateStatus.DONE) or answer is None:
        return None
    cause = Cause.DEADLINE if answer.known_by == KnownBy.SYSTEM else Cause.ANSWERS
    if answer.facts.get("break_glass"):
        cause = Cause.BREAK_GLASS
    given = () if cause is Cause.DEADLINE else (answer.hash,)
    return Decided(outcome=_choice(answer), cause=cause, at=gate.closed_at or answer.at, answers=given)


def _approvers(name: str, gates: Sequence[GateRecord]) -> set[str]:
    """Return the ids of those who approved the latest completed visit of a gate; a skipped gate excludes nobody."""
    done = [one for one in gates if name in (one.node_id, one.name) and one.status is GateStatus.DONE]
    if not done:
        return set()
    latest = max(done, key=lambda one: one.visit)
    withdrawn = latest.withdrawn
    last = {one.author: one for one in latest.answers if one.hash not in withdrawn}
    return {who for who, one in last.items() if _choice(one) is Choice.APPROVE}


def initiators_of(run_id: str, store: RunStore) -> dict[str, str]:
    """Return who is *self* at the gates of a run, by id, each with a clause that says why.

    That is who started or replayed the run, everybody up the chain of replays, who resumed it with data or with another
    definition, and all these of the run whose step started it; not who merely retried it.
    """
    found: dict[str, str] = {}
    seen, todo = set[str](), [(run_id, "")]
    while todo and len(seen) < LONGEST_CHAIN:
        current, link = todo.pop(0)
        if current in seen:
            continue
        seen.add(current)
        for event in store.load_events(current):
            clause = _clause(event, link)
            who = event.person or identity_of(event.who or "")
            if clause is not None and who and event.known_by != KnownBy.SYSTEM:
                found.setdefault(who, clause)
            parent = event.data.get("parent") if event.kind in _CLAUSES else None
            if isinstance(parent, str):
                todo.append((parent, "stood behind the run that started this one"))
        run = store.load_summary(current)
        if run is not None and run.replay_of:
            todo.append((run.replay_of, link or "started the run that this one replays"))
    return found


def _clause(event: Event, link: str) -> str | None:
    """Return why who did this is *self*; `link` says how another run is connected with this one."""
    if event.kind in _CLAUSES:
        return link or _CLAUSES[event.kind]
    if event.kind == "resumed" and ("data" in event.data or event.definition is not None):
        return "gave this run data" if "data" in event.data else "gave this run another blueprint"
    return None


def people_of(holders: Iterable[Holder], blueprint: str) -> list[Who]:
    """Return the people that exist, as the sentence that says who can needs them."""
    return [
        Who(
            id=one.person, name=one.username, label=one.username, groups=one.groups, service=one.service,
            approver=any(grant.allows(Action.ANSWER, blueprint) for grant in one.grants),
            admin=any(grant.allows(Action.ADMINISTER, None) for grant in one.grants),
        )
        for one in holders
    ]  # fmt: skip


def comments_on(gate: GateRecord, events: Iterable[Event]) -> list[Event]:
    """Return what was said about an occurrence, oldest first."""
    place = (gate.node_id, gate.visit)
    return [one for one in events if one.kind == COMMENTED and (one.data.get("gate"), one.data.get("visit")) == place]
