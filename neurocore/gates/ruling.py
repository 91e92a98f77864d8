"""The rule of a gate, which a store asks within the transaction that records an answer."""

from __future__ import annotations

from msgspec import structs

from neurocore.access.actor import Actor, Face, KnownBy
from neurocore.access.permission import Action, Resource, require
from neurocore.errors import DeadlinePassed, Forbidden, NeedsPasskey, NeedsSignIn, NeuroCoreError, TooLate
from neurocore.gates import policy
from neurocore.gates.evidence import answers_of, content_of, facts_of, people_of, who_asks
from neurocore.gates.facts import Allowed, Cause, Choice, Facts, Given, State, Verb, Verdict, Who
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
        now, who = self._store.clock.now(), who_asks(actor, self._run, self._store)
        facts = known_facts(gate, self._run, actor, self._store)
        given = answers_of(gate, self._store)
        content = content_of(self._answer.note, self._answer.data)
        choice = Choice(self._verb.value) if self._verb is not Verb.WITHDRAW else None
        if choice is not None:
            before = policy.repeated(gate.policy, given, facts, who, choice, content, now)
            if before is not None:
                raise Repeated(next(one for one in gate.answers if one.hash == before.id))
        with_it = self._with(given, who, choice, content, gate)
        if choice is None:
            allowed = policy.may_answer(gate.policy, given, facts, who, self._verb, now)
        else:
            allowed = policy.may_give(gate.policy, given, facts, with_it[-1], now)
        if not allowed.allowed:
            raise refusal(allowed)
        given = with_it
        self.verdict = policy.evaluate(gate.policy, given, facts, now)
        due = policy.next_due(gate.policy, given, facts, now)
        return Ruling(decides=self.verdict.state is State.DECIDED, due_at=due.at if due is not None else None)

    def _with(self, given: list[Given], who: Who, choice: Choice | None, content: str, gate: GateRecord) -> list[Given]:
        """Return the answers with this one, which has no hash yet, or without the one that it withdraws."""
        answer = self._answer
        if choice is None:
            gone = answer.facts.get("withdraws")
            return [structs.replace(one, withdrawn_at=answer.at) if one.id == gone else one for one in given]
        new = Given(
            id="new", who=who, answer=choice, at=answer.at, digest=answer.digest, visit=gate.visit, content=content,
            break_glass=bool(answer.facts.get("break_glass")),
        )  # fmt: skip
        return [*given, new]


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


def known_facts(gate: GateRecord, run: RunRecord, actor: Actor | None, store: RunStore) -> Facts:
    """Return what is true of an occurrence, with the people that a sentence may name."""
    rights = actor.rights if actor is not None else None
    people = None if rights is None else lambda: people_of(rights.holders(), run.blueprint_name)
    gates = store.load_gates(gate.run_id, narrow=True) if gate.policy.distinct_from else []
    return facts_of(gate, gates, store, people=people)


def verdict_of(gate: GateRecord, run: RunRecord, store: RunStore, actor: Actor | None = None) -> Verdict:
    """Return what the rules of an occurrence give now."""
    given = answers_of(gate, store)
    return policy.evaluate(gate.policy, given, known_facts(gate, run, actor, store), store.clock.now())


def choices_of(gate: GateRecord, run: RunRecord, store: RunStore, actor: Actor) -> dict[Verb, Allowed]:
    """Return for each thing that somebody may want to do at a gate whether they may, and if not, why."""
    given, facts = answers_of(gate, store), known_facts(gate, run, actor, store)
    who, now = who_asks(actor, run, store), store.clock.now()
    return {verb: policy.may_answer(gate.policy, given, facts, who, verb, now) for verb in Verb}


def refusal(allowed: Allowed) -> NeuroCoreError:
    """Return the exception for what somebody may not do at a gate."""
    reason = allowed.reason or "You may not do this here."
    if allowed.problem == "needs-sign-in":
        return NeedsSignIn(reason, who_can=allowed.who_can)
    if allowed.problem == "needs-passkey":
        return NeedsPasskey(reason, who_can=allowed.who_can)
    if allowed.problem == "deadline-passed":
        return DeadlinePassed(reason)
    if allowed.problem == "too-late":
        return TooLate(reason)
    return Forbidden(reason, who_can=allowed.who_can)


def when_due(run: RunRecord, store: RunStore) -> Rule:
    """Return the rule by which time decides: the deadline rejects, and what was held takes effect."""

    def rule(gate: GateRecord, _accounts: Accounts) -> Ruling | None:
        now, facts, given = store.clock.now(), known_facts(gate, run, None, store), answers_of(gate, store)
        verdict = policy.evaluate(gate.policy, given, facts, now)
        if verdict.state is not State.DECIDED or verdict.decision is None:
            due = policy.next_due(gate.policy, given, facts, now)
            due_at = due.at if due is not None else None
            return None if due_at == gate.due_at else Ruling(decides=False, due_at=due_at)
        if verdict.cause is not Cause.DEADLINE:
            return Ruling()
        at = verdict.decision.at
        answer = Answer(
            node_id=gate.node_id, visit=gate.visit, approved=False, by=DEADLINE, known_by=KnownBy.SYSTEM.value,
            at=max(at, now), face=Face.SYSTEM.value, answer=Choice.REJECT.value,
            note="Nobody decided in time.",
        )  # fmt: skip
        return Ruling(answer=answer, event=own_event("expired", {"gate": gate.node_id, "visit": gate.visit}, at=now))

    return rule


def settle(run_id: str, node_id: str, visit: int, store: RunStore) -> Ruling | None:
    """Let time decide an occurrence if it does. Returns what happened, None if nothing did."""
    run = store.load_summary(run_id)
    return None if run is None else store.settle_gate(run_id, node_id, visit, rule=when_due(run, store))
