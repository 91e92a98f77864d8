"""Withdraw one's own answer, and comment on a gate."""

from __future__ import annotations

from neurocore.access.actor import Actor, acting
from neurocore.access.permission import Action, Resource, require
from neurocore.errors import InputError, NoOpenGate, TooLate
from neurocore.failpoints import failpoint
from neurocore.gates.answer import choose, note_problem, own_answer, refuse_if_changed
from neurocore.gates.evidence import COMMENTED
from neurocore.gates.facts import Verb, Verdict
from neurocore.gates.ruling import AnswerRule
from neurocore.persistence.base import RunStore
from neurocore.persistence.projections import refuse_if_held
from neurocore.persistence.records import WITHDRAW, Answer, GateRecord, RunRecord, event_of
from neurocore.readable import visible
from neurocore.runs.decide import answer_of, refuse_unless_signed_in
from neurocore.runs.find import load_summary


def withdraw_answer(
    run_id: str,
    *,
    actor: Actor,
    run_store: RunStore,
    gate: str | None = None,
    visit: int | None = None,
    digest: str | None = None,
) -> Verdict | None:
    """Take one's own answer back: while the gate is undecided, or while its decision is still held.

    Returns what the gate's rules give without it. Raises TooLate, NoOpenGate, GateChanged, GateAmbiguous, Forbidden.
    """
    run = load_summary(run_id, run_store)
    refuse_if_held(run_id, run.held)
    refuse_unless_signed_in(actor, run_store.auth_mode)
    actor = acting(None, actor)
    require(actor, Action.ANSWER, Resource(blueprint=run.blueprint_name, run_id=run_id, gate=gate))
    gates = run_store.load_gates(run_id)
    found = choose(run, gates, gate, visit)
    if found is None:
        raise TooLate(f"Run {run_id} has no open gate at which an answer could be withdrawn: it is decided.")
    refuse_unless_signed_in(actor, found.auth_mode, since="since this gate opened")
    refuse_if_changed(run, found, digest, run_store)
    own = own_answer(found, actor)
    if own is None:
        raise NoOpenGate(f"You have given no answer at gate {found.node_id} of run {run_id} that could be withdrawn.")
    return _withdraw(run, found, own, actor, run_store)


def _withdraw(run: RunRecord, gate: GateRecord, own: Answer, actor: Actor, store: RunStore) -> Verdict | None:
    answer = answer_of(
        gate, actor, approved=None, at=store.clock.now(), digest=gate.digest, answer=WITHDRAW,
        facts={"withdraws": own.hash},
    )  # fmt: skip
    event = event_of(actor, "withdrawn", {"gate": gate.node_id, "visit": gate.visit}, at=answer.at)
    rule = AnswerRule(actor, run, Verb.WITHDRAW, answer, store)
    failpoint("withdrawal.before_commit")
    recorded = store.answer_gate(run.run_id, answer, event=event, digest=gate.digest, rule=rule)
    failpoint("withdrawal.after_commit")
    if recorded is None:
        raise TooLate(f"Gate {gate.node_id} of run {run.run_id} was decided at the same moment.")
    return rule.verdict


def comment(run_id: str, text: str, *, actor: Actor, run_store: RunStore, gate: str | None = None) -> None:
    """Say something about a gate that waits; it decides nothing. Raises InputError, NoOpenGate, GateAmbiguous."""
    run = load_summary(run_id, run_store)
    refuse_if_held(run_id, run.held)
    refuse_unless_signed_in(actor, run_store.auth_mode)
    actor = acting(None, actor)
    require(actor, Action.COMMENT, Resource(blueprint=run.blueprint_name, run_id=run_id, gate=gate))
    problem = note_problem(text) or (None if visible(text) else "Write something.")
    if problem is not None:
        raise InputError(problem, {"text": problem})
    found = choose(run, run_store.load_gates(run_id, narrow=True), gate, None)
    if found is None:
        raise NoOpenGate(f"Run {run_id} has no open gate to comment on.")
    said = {"gate": found.node_id, "visit": found.visit, "text": text.strip()}
    run_store.add_event(run_id, event_of(actor, COMMENTED, said, at=run_store.clock.now()))
