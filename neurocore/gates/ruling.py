"""The rule of a gate, which a store asks within the transaction that records an answer."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from msgspec import structs

from neurocore.access.actor import Actor, Face, KnownBy
from neurocore.access.permission import Action, Resource, require
from neurocore.errors import DeadlinePassed, DecisionRefused, Forbidden, NeedsPasskey, NeedsSignIn, TooLate
from neurocore.gates import policy
from neurocore.gates.evidence import answers_of, content_of, facts_of, who_asks
from neurocore.gates.facts import Allowed, Cause, Choice, Given, State, Verb, Verdict, Who
from neurocore.persistence.base import RunStore
from neurocore.persistence.contract.accounts import Accounts
from neurocore.persistence.contract.decisions import Rule
from neurocore.persistence.records import Answer, GateRecord, Ruling, RunRecord, own_event

#: How an answer that nobody gave is signed: the deadline rejects.
DEADLINE = "the deadline"


class Repeated(Exception):
    """Somebody gave the same answer before. It ends the transaction, and nothing changes."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.answer = answer


class GateNow:
    """An occurrence at this moment, with everything that its rules are applied to, read once.

    It is read from the whole history: who is behind a run counts even for somebody who may not see that run.
    """

    def __init__(self, gate: GateRecord, run: RunRecord, store: RunStore, actor: Actor | None = None) -> None:
        self._run, self._store, self._actor = run, store.whole, actor
        self.policy, self.now = gate.policy, store.clock.now()
        self.facts = facts_of(gate, run, actor, self._store)
        self.given = answers_of(gate, self._store)

    @cached_property
    def who(self) -> Who:
        """Return who asks."""
        assert self._actor is not None, "nobody asks"
        return who_asks(self._actor, self._run, self._store)

    @cached_property
    def verdict(self) -> Verdict:
        """Return what the rules give."""
        return self.verdict_with(self.given)

    def verdict_with(self, given: Sequence[Given]) -> Verdict:
        """Return what the rules would give with these answers."""
        return policy.evaluate(self.policy, given, self.facts, self.now)

    def may(self, verb: Verb) -> Allowed:
        """Return whether who asks may do this, and if not, why."""
        return policy.may_answer(self.policy, self.given, self.facts, self.who, verb, self.now)

    @property
    def waits(self) -> bool:
        """Return whether the occurrence waits for who asks."""
        return policy.waits_for(self.policy, self.given, self.facts, self.who, self.now)

    def due_with(self, given: Sequence[Given]) -> str | None:
        """Return when the occurrence must be looked at next, with these answers."""
        due = policy.next_due(self.policy, given, self.facts, self.now)
        return None if due is None else due.at


class AnswerRule:
    """The rule for one answer: whether it is allowed now, repeats an earlier one, or decides.

    After the store has asked it, `verdict` is what holds with the answer, or None at a gate without such rules.
    """

    def __init__(self, actor: Actor, run: RunRecord, verb: Verb, answer: Answer, store: RunStore) -> None:
        self._actor, self._run, self._verb, self._answer, self._store = actor, run, verb, answer, store
        self.verdict: Verdict | None = None

    def __call__(self, gate: GateRecord, accounts: Accounts) -> Ruling:
        """Return what the answer does. Raises Forbidden and DecisionRefused, and Repeated."""
        broken = bool(self._answer.facts.get("break_glass"))
        action = Action.ADMINISTER if broken else Action.ANSWER
        actor = still_allowed(self._actor, self._run, gate, accounts, action)
        if not broken and (gate.kind != "gate" or not gate.policy.is_ruled):
            return Ruling()
        now = GateNow(gate, self._run, self._store, actor)
        given = self._withdrawn(now) if self._verb is Verb.WITHDRAW else self._added(now, gate)
        self.verdict = now.verdict_with(given)
        return Ruling(decides=self.verdict.state is State.DECIDED, due_at=now.due_with(given))

    def _withdrawn(self, now: GateNow) -> list[Given]:
        """Return the answers without the one that this one withdraws, if that is allowed."""
        _refuse_unless(now.may(Verb.WITHDRAW))
        answer = self._answer
        gone = answer.facts.get("withdraws")
        return [structs.replace(one, withdrawn_at=answer.at) if one.id == gone else one for one in now.given]

    def _added(self, now: GateNow, gate: GateRecord) -> list[Given]:
        """Return the answers with this one, which has no hash yet, if it is allowed. Raises Repeated."""
        answer, choice = self._answer, Choice(self._verb.value)
        content = content_of(answer.note, answer.data)
        before = policy.repeated(now.policy, now.given, now.facts, now.who, choice, content, now.now)
        if before is not None:
            raise Repeated(next(one for one in gate.answers if one.hash == before.id))
        new = Given(
            id="new", who=now.who, answer=choice, at=answer.at, digest=answer.digest, visit=gate.visit,
            content=content, break_glass=bool(answer.facts.get("break_glass")),
        )  # fmt: skip
        _refuse_unless(policy.may_give(now.policy, now.given, now.facts, new, now.now))
        return [*now.given, new]


def still_allowed(
    actor: Actor, run: RunRecord, gate: GateRecord, accounts: Accounts, action: Action = Action.ANSWER
) -> Actor:
    """Return the actor with the rights of this moment. Raises Forbidden where they are gone.

    Between the request and its transaction an account may be disabled, a role taken away, a token revoked.
    """
    rights, who = actor.rights, actor.person
    if rights is None or who is None:
        return actor
    person = accounts.load_person(id=who)
    if person is None or person.disabled_at is not None:
        raise Forbidden(f"The account {actor.label} is disabled; ask an admin.")
    if actor.token is not None:
        token = next((one for one in accounts.list_tokens(who) if one.id == actor.token), None)
        if token is None or token.revoked_at is not None:
            raise Forbidden("This token is revoked; make a new one.")
    now = structs.replace(rights, grants=rights.now(person)) if rights.now is not None else rights
    renewed = structs.replace(actor, rights=now)
    require(renewed, action, Resource(blueprint=run.blueprint_name, run_id=run.run_id, gate=gate.node_id))
    return renewed


def _refuse_unless(allowed: Allowed) -> None:
    """Raise the exception for what somebody may not do at a gate."""
    if allowed.allowed:
        return
    reason = allowed.reason or "You may not do this here."
    late = _LATE.get(allowed.problem or "")
    if late is not None:
        raise late(reason)
    raise _REFUSALS.get(allowed.problem or "", Forbidden)(reason, who_can=allowed.who_can)


_LATE: dict[str, type[DecisionRefused]] = {"deadline-passed": DeadlinePassed, "too-late": TooLate}
_REFUSALS: dict[str, type[Forbidden]] = {"needs-sign-in": NeedsSignIn, "needs-passkey": NeedsPasskey}


def when_due(run: RunRecord, store: RunStore) -> Rule:
    """Return the rule by which time decides: the deadline rejects, and what was held takes effect."""

    def rule(gate: GateRecord, _accounts: Accounts) -> Ruling | None:
        now = GateNow(gate, run, store)
        verdict = now.verdict
        if verdict.state is not State.DECIDED or verdict.decision is None:
            due_at = now.due_with(now.given)
            return None if due_at == gate.due_at else Ruling(decides=False, due_at=due_at)
        if verdict.cause is not Cause.DEADLINE:
            return Ruling()
        answer = Answer(
            node_id=gate.node_id, visit=gate.visit, approved=False, by=DEADLINE, known_by=KnownBy.SYSTEM.value,
            at=max(verdict.decision.at, now.now), face=Face.SYSTEM.value, answer=Choice.REJECT.value,
            note="Nobody decided in time.",
        )  # fmt: skip
        event = own_event("expired", {"gate": gate.node_id, "visit": gate.visit}, at=now.now)
        return Ruling(answer=answer, event=event)

    return rule


def settle(run_id: str, node_id: str, visit: int, store: RunStore) -> Ruling | None:
    """Let time decide an occurrence if it does. Returns what happened, None if nothing did."""
    run = store.load_summary(run_id)
    return None if run is None else store.settle_gate(run_id, node_id, visit, rule=when_due(run, store))
