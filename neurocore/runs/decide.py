"""The only way to decide a gate, for web, command line, API and library: record the answer, then submit the run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from msgspec import Struct, structs

from neurocore.access.actor import Actor, Face, KnownBy, acting, called
from neurocore.access.permission import Action, Resource, require
from neurocore.errors import Forbidden, NoOpenGate
from neurocore.failpoints import failpoint
from neurocore.gates.answer import check_form, choose, late_answer, refuse_if_changed
from neurocore.persistence.base import RunStore
from neurocore.persistence.contract.accounts import Accounts
from neurocore.persistence.contract.decisions import Rule
from neurocore.persistence.ownership import owner_label
from neurocore.persistence.projections import refuse_if_held
from neurocore.persistence.records import Answer, GateRecord, GateStatus, Ruling, RunRecord, RunStatus, event_of
from neurocore.runs.find import load_summary


class Submits(Protocol):
    """The part of a dispatcher that deciding needs."""

    def submit(self, run_id: str) -> None:
        """Drive the run, now or later, here or elsewhere."""


class Decision(Struct, frozen=True, kw_only=True):
    """The result of an answer. `effect`: `took_effect`, or `repeated` if the same person gave the same answer before.

    `driven_by` names the process that drove the run when the answer was recorded, and that will consume it;
    `dispatched` says that the run was submitted to a dispatcher.
    """

    answer: Answer
    gate: GateRecord
    effect: str
    dispatched: bool = False
    driven_by: str | None = None


def decide_gate(
    run_id: str,
    *,
    approved: bool,
    by: str | None = None,
    actor: Actor | None = None,
    note: str | None = None,
    gate: str | None = None,
    visit: int | None = None,
    digest: str | None = None,
    run_store: RunStore,
    dispatch: Submits | None = None,
    data: dict[str, Any] | None = None,
) -> Decision:
    """Record one person's answer at an open gate, durably, and only then submit the run to `dispatch`.

    `gate` and `visit` name the occurrence (they may be left out while only one is open); `digest` is the one that the
    answer was given on. Without `dispatch` the run stays owed: any resume, or the sweep, continues it.

    Raises InputError (name or note), RunHeld, AlreadyDecided, GateChanged, GateAmbiguous, NoOpenGate, RunNotFound.
    """
    if not isinstance(approved, bool):
        raise TypeError("approved must be True or False.")
    if actor is None:
        actor = called(by, face=Face.LIBRARY)
    while True:
        run = load_summary(run_id, run_store)
        refuse_if_held(run_id, run.held)
        refuse_unless_signed_in(actor, run_store.auth_mode)
        require(actor, Action.ANSWER, Resource(blueprint=run.blueprint_name, run_id=run_id, gate=gate))
        gates = run_store.load_gates(run_id)
        found = choose(run, gates, gate, visit)
        if found is not None:
            refuse_unless_signed_in(actor, found.auth_mode, since="since this gate opened")
            decision = _answer(run, found, approved, actor, note, digest, data or {}, run_store)
        else:
            late = late_answer(run, gates, gate, visit, approved=approved, actor=actor)
            decision = Decision(answer=late.answers[-1], gate=late, effect="repeated")
        if decision is not None:
            break
    return _hand_on(decision, run, run_store, dispatch)


def refuse_unless_signed_in(actor: Actor, mode: str, *, since: str = "") -> None:
    """Raise Forbidden for an answer in a name that nobody verified, where people sign in.

    A gate keeps the mode in which it opened: whoever changes the configuration later makes it no easier.
    """
    if mode != "open" and actor.known_by in (KnownBy.CLAIMED, KnownBy.TYPED, KnownBy.OS):
        raise Forbidden(
            f"Only somebody who signed in can answer a gate here (auth.mode: {f'{mode}, {since}' if since else mode}); "
            "open the run's page in the dashboard, or send a token to the API."
        )


def _rule(actor: Actor, run: RunRecord, gate: GateRecord) -> Rule | None:
    """Return what the store asks within the transaction of an answer; None where there is nothing to ask."""
    allowed = still_allowed(actor, run, gate)
    if allowed is None:
        return None

    def rule(_gate: GateRecord, accounts: Accounts) -> Ruling:
        allowed(accounts)
        return Ruling()

    return rule


def still_allowed(actor: Actor, run: RunRecord, gate: GateRecord) -> Callable[[Accounts], None] | None:
    """Return a check within the transaction of an answer: whether the actor may still give it.

    Between the request and its transaction an account may be disabled, a role taken away, a token revoked. The check
    raises Forbidden then. None stands for those who need no account.
    """
    rights, who = actor.rights, actor.person
    if rights is None or who is None:
        return None
    resource = Resource(blueprint=run.blueprint_name, run_id=run.run_id, gate=gate.node_id)

    def check(accounts: Accounts) -> None:
        person = accounts.load_person(id=who)
        if person is None or person.disabled_at is not None:
            raise Forbidden(f"The account {actor.label} is disabled; ask an admin.")
        if actor.token is not None:
            token = next((one for one in accounts.list_tokens(who) if one.id == actor.token), None)
            if token is None or token.revoked_at is not None:
                raise Forbidden("This token is revoked; make a new one.")
        now = structs.replace(rights, grants=rights.now(person)) if rights.now is not None else rights
        require(structs.replace(actor, rights=now), Action.ANSWER, resource)

    return check


def answer_of(gate: GateRecord, actor: Actor, *, approved: bool | None, at: str, **given: Any) -> Answer:
    """Return somebody's answer at an occurrence, with who they are at this moment."""
    return Answer(
        node_id=gate.node_id, visit=gate.visit, approved=approved, by=actor.label, known_by=actor.known_by.value, at=at,
        person=actor.person, face=actor.face.value, token=actor.token, groups=actor.groups, **given,
    )  # fmt: skip


def _answer(
    run: RunRecord,
    gate: GateRecord,
    approved: bool,
    actor: Actor,
    note: str | None,
    digest: str | None,
    data: dict[str, Any],
    store: RunStore,
) -> Decision | None:
    """Try to make the answer take effect; return None if the occurrence was decided or voided at the same moment."""
    note = check_form(gate, approved=approved, actor=actor, note=note)
    refuse_if_changed(run, gate, digest, store)
    given = {"approved": approved, "by": actor.label, "note": note, **data} if gate.kind == "input" else data
    answer = answer_of(gate, actor, approved=approved, at=store.clock.now(), note=note, digest=digest, data=given)
    return _record(run, gate, answer, actor, store)


def answer_input(
    run: RunRecord, gate: GateRecord, data: dict[str, Any], store: RunStore, *, actor: Actor
) -> Decision:  # fmt: skip
    """Record the data for a waiting step. Raises NoOpenGate when somebody else gave it data first."""
    actor = acting(None, actor)
    refuse_unless_signed_in(actor, store.auth_mode)
    refuse_unless_signed_in(actor, gate.auth_mode, since="since it opened")
    require(actor, Action.ANSWER, Resource(blueprint=run.blueprint_name, run_id=run.run_id, gate=gate.node_id))
    approved = data.get("approved")
    given = approved if isinstance(approved, bool) else None
    answer = answer_of(gate, actor, approved=given, at=store.clock.now(), data=data)
    decision = _record(run, gate, answer, actor, store)
    if decision is None:
        raise NoOpenGate(f"Run {run.run_id} has just received its data at {gate.node_id} from somebody else.")
    return decision


def _record(run: RunRecord, gate: GateRecord, answer: Answer, actor: Actor, store: RunStore) -> Decision | None:
    facts = {
        "gate": answer.node_id, "visit": answer.visit, "approved": answer.approved, "note": answer.note,
        "digest": answer.digest or "as it stood",
    }  # fmt: skip
    event = event_of(actor, "answered", facts, at=answer.at)
    failpoint("answer.before_commit")
    rule = _rule(actor, run, gate)
    more = {} if rule is None else {"rule": rule}  # a store from before knows no rules
    recorded = store.answer_gate(run.run_id, answer, event=event, digest=gate.digest, **more)
    failpoint("answer.after_commit")
    if recorded is None:
        return None
    driver = owner_label(run.owner) if run.status is RunStatus.RUNNING and run.owner else None
    decided = structs.replace(
        gate, status=GateStatus.DECIDED, closed_at=answer.at, answers=[*gate.answers, recorded]
    )  # fmt: skip
    return Decision(answer=recorded, gate=decided, effect="took_effect", driven_by=driver)


def _hand_on(decision: Decision, run: RunRecord, store: RunStore, dispatch: Submits | None) -> Decision:
    """Submit the run if it is owed, which it is if it waited when the answer took effect."""
    if dispatch is None:
        return decision
    if run.status is not RunStatus.SUSPENDED or decision.effect != "took_effect":
        now = store.load_summary(run.run_id)
        if now is None or now.owed is None:
            return decision
    dispatch.submit(run.run_id)
    return structs.replace(decision, dispatched=True)
