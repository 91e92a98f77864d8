"""The only way to decide a gate, for web, command line, API and library: record the answer, then submit the run."""

from __future__ import annotations

from typing import Any, Protocol

from msgspec import Struct, structs

from neurocore.access.actor import Actor, Face, KnownBy, acting, called
from neurocore.access.permission import Action, Resource, require
from neurocore.errors import DeadlinePassed, Forbidden, InputError, NoOpenGate
from neurocore.failpoints import failpoint
from neurocore.gates.answer import MAX_NOTE, check_form, choose, late_answer, note_problem, refuse_if_changed
from neurocore.gates.evidence import groups_of
from neurocore.gates.facts import State, Verb, Verdict
from neurocore.gates.ruling import AnswerRule, GateNow, Repeated, settle
from neurocore.persistence.base import RunStore
from neurocore.persistence.ownership import owner_label
from neurocore.persistence.projections import refuse_if_held
from neurocore.persistence.records import Answer, GateRecord, GateStatus, RunRecord, RunStatus, event_of
from neurocore.readable import visible
from neurocore.runs.find import load_summary

#: The fewest characters of a reason to break the glass.
LEAST_REASON = 20


class Submits(Protocol):
    """The part of a dispatcher that deciding needs."""

    def submit(self, run_id: str) -> None:
        """Drive the run, now or later, here or elsewhere."""


class Decision(Struct, frozen=True, kw_only=True):
    """The result of an answer.

    `effect` is `took_effect`; `recorded` if the gate waits for more answers, or for the time to withdraw to be over;
    `repeated` if the same person gave the same answer before. `verdict` is what the gate's rules give with it, where it
    has rules. `driven_by` names the process that drove the run when the answer was recorded, and that will consume it;
    `dispatched` says that the run was submitted to a dispatcher.
    """

    answer: Answer
    gate: GateRecord
    effect: str
    dispatched: bool = False
    driven_by: str | None = None
    verdict: Verdict | None = None


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
    break_glass: str | None = None,
) -> Decision:
    """Record one person's answer at an open gate, durably, and only then submit the run to `dispatch`.

    `gate` and `visit` name the occurrence (they may be left out while only one is open); `digest` is the one that the
    answer was given on. Without `dispatch` the run stays owed: any resume, or the sweep, continues it.

    Where the gate needs several answers, this may be one of them: it is recorded, and the run goes on waiting.
    `break_glass` is the reason for which an admin, or the user who owns the files, decides whatever the rules say about
    who and how many; it stands with the answer for ever.

    Raises InputError (name or note), RunHeld, AlreadyDecided, GateChanged, GateAmbiguous, NoOpenGate, RunNotFound, and
    Forbidden or DeadlinePassed where the rules of the gate refuse the answer.
    """
    if not isinstance(approved, bool):
        raise TypeError("approved must be True or False.")
    if actor is None:
        actor = called(by, face=Face.LIBRARY)
    actor = structs.replace(actor, groups=groups_of(actor, run_store))
    while True:
        run = load_summary(run_id, run_store)
        refuse_if_held(run_id, run.held)
        if break_glass is not None:
            check_glass(break_glass, actor)
        else:
            refuse_unless_signed_in(actor, run_store.auth_mode)
            require(actor, Action.ANSWER, Resource(blueprint=run.blueprint_name, run_id=run_id, gate=gate))
        gates = run_store.load_gates(run_id)
        found = choose(run, gates, gate, visit)
        if found is not None:
            if break_glass is None:
                refuse_unless_signed_in(actor, found.auth_mode, since="since this gate opened")
            decision = _answer(run, found, approved, actor, note, digest, data or {}, run_store, break_glass)
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


def check_glass(reason: str, actor: Actor) -> None:
    """Raise InputError for a reason that says too little, Forbidden for somebody who may not break the glass."""
    if len(reason.strip()) < LEAST_REASON or note_problem(reason) is not None or not visible(reason):
        sentence = f"Say why, in {LEAST_REASON} to {MAX_NOTE:,} characters; it stands on the run for ever."
        raise InputError(sentence, {"break_glass": sentence})
    if actor.known_by is not KnownBy.OS:
        require(actor, Action.ADMINISTER)


def answer_of(gate: GateRecord, actor: Actor, *, approved: bool | None, at: str, **given: Any) -> Answer:
    """Return somebody's answer at an occurrence, with who they are at this moment."""
    known = {"signed_in_at": actor.signed_in_at, "service": actor.service or None}
    word = {True: "approve", False: "reject"}.get(approved) if approved is not None else None
    more = {"answer": word, "facts": {name: value for name, value in known.items() if value is not None}}
    return Answer(
        node_id=gate.node_id, visit=gate.visit, approved=approved, by=actor.label, known_by=actor.known_by.value, at=at,
        person=actor.person, face=actor.face.value, token=actor.token, groups=actor.groups, **{**more, **given},
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
    break_glass: str | None = None,
) -> Decision | None:
    """Try to make the answer take effect; return None if the occurrence was decided or voided at the same moment."""
    note = check_form(gate, approved=approved, actor=actor, note=note)
    refuse_if_changed(run, gate, digest, store)
    given = {"approved": approved, "by": actor.label, "note": note, **data} if gate.kind == "input" else data
    answer = answer_of(gate, actor, approved=approved, at=store.clock.now(), note=note, digest=digest, data=given)
    if break_glass is not None:
        broken = {"break_glass": break_glass.strip(), "admin": actor.known_by is not KnownBy.OS}
        answer = structs.replace(answer, facts={**answer.facts, **broken})
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
    if "break_glass" in answer.facts:
        facts["break_glass"] = answer.facts["break_glass"]
    event = event_of(actor, "answered", facts, at=answer.at)
    verb = Verb.APPROVE if answer.approved else Verb.REJECT
    is_asked = _is_asked(gate, actor) or "break_glass" in answer.facts
    rule = AnswerRule(actor, run, verb, answer, store) if is_asked else None
    more = {} if rule is None else {"rule": rule}  # a store from before knows no rules
    failpoint("answer.before_commit")
    try:
        recorded = store.answer_gate(run.run_id, answer, event=event, digest=gate.digest, **more)
    except Repeated as same:
        return Decision(
            answer=same.answer, gate=gate, effect="repeated", verdict=GateNow(gate, run, store, actor).verdict
        )
    except DeadlinePassed:
        settle(run.run_id, gate.node_id, gate.visit, store)
        raise
    failpoint("answer.after_commit")
    if recorded is None:
        return None
    verdict = None if rule is None else rule.verdict
    decided = verdict is None or verdict.state is State.DECIDED
    driver = owner_label(run.owner) if run.status is RunStatus.RUNNING and run.owner else None
    now = structs.replace(gate, answers=[*gate.answers, recorded])
    if decided:
        now.status, now.closed_at = GateStatus.DECIDED, answer.at
    effect = "took_effect" if decided else "recorded"
    return Decision(answer=recorded, gate=now, effect=effect, driven_by=driver, verdict=verdict)


def _is_asked(gate: GateRecord, actor: Actor) -> bool:
    """Return whether the store must ask something within its transaction: rights, or the rules of the gate."""
    return (gate.kind == "gate" and gate.policy.is_ruled) or (actor.rights is not None and actor.person is not None)


def _hand_on(decision: Decision, run: RunRecord, store: RunStore, dispatch: Submits | None) -> Decision:
    """Submit the run if it is owed, which it is if it waited when the answer took effect."""
    if dispatch is None or decision.effect == "recorded":
        return decision
    if run.status is not RunStatus.SUSPENDED or decision.effect != "took_effect":
        now = store.load_summary(run.run_id)
        if now is None or now.owed is None:
            return decision
    dispatch.submit(run.run_id)
    return structs.replace(decision, dispatched=True)
