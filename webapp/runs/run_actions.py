"""The actions on a run. Each view handles one POST: it finds the run, acts, and redirects with a sentence."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from flask import Blueprint as Area
from flask import flash, make_response, redirect, render_template, request
from werkzeug.wrappers import Response as AnyResponse

from neurocore import numerals
from neurocore.access.actor import name_problem
from neurocore.access.permission import Action
from neurocore.errors import (
    AlreadyDecided,
    DecisionRefused,
    GateChanged,
    InputError,
    NeuroCoreError,
    NoOpenGate,
    NotResumable,
    RefusedError,
    RunExists,
    UsageError,
)
from neurocore.persistence.records import RunRecord
from neurocore.readable import moment
from neurocore.runs.actions import STOPS
from neurocore.runs.cancel import cancel_run
from neurocore.runs.decide import Decision, decide_gate
from neurocore.runs.delete import delete_run
from neurocore.runs.find import load_run
from neurocore.runs.replay import create_replay
from neurocore.runs.resume import refuse_to_resume, request_resume
from neurocore.runs.withdraw import comment, withdraw_answer
from webapp.html.helpers import anchor, run_url
from webapp.runs.run_page import RunPage, Typed
from webapp.runs.run_state import NOT_FROM_HERE
from webapp.runs.views import whole_page
from webapp.security import actors, form_tokens
from webapp.security.identity import signed_in
from webapp.security.permissions import action
from webapp.security.quotas import one_more_run
from webapp.security.sessions import remember, remembered
from webapp.services import Services, services

area = Area("run_actions", __name__)

MAX_DATA = 100_000

CHANGED = "It changed since you opened the page, so nothing was decided. Look at what is different, then decide."


@area.post("/runs/<run_id>/decision")
@action(Action.ANSWER)
def decision(run_id: str) -> AnyResponse:
    """Record one answer at one gate occurrence, on the digest that was shown (promises 4 to 6)."""
    here, form = services(), request.form
    typed = Typed(
        gate=form.get("gate", ""), visit=_number(form.get("visit")), digest=form.get("digest", ""),
        by=form.get("by", "").strip(), note=_lines(form.get("note", "")), data=_lines(form.get("data", "")),
    )  # fmt: skip
    try:
        typed.gate = _node_of(run_id, typed.gate, here)
        approved = _approved(form.get("decision"))
        done = decide_gate(
            run_id, approved=approved, actor=actors.typed(typed.by), note=typed.note or None, gate=typed.gate,
            visit=typed.visit, digest=_given_digest(typed), run_store=here.store, dispatch=here.dispatcher,
            data=_data(typed.data),
        )  # fmt: skip
    except (InputError, DecisionRefused, UsageError) as error:
        return _refused(run_id, typed, error, here)
    if signed_in() is None:
        remember(typed.by)
    flash(_told(done, approved=approved), "ok" if approved else "rejected")
    if done.effect != "took_effect" and done.verdict is not None:
        return redirect(f"{run_url(run_id)}#{anchor('gate', done.gate.node_id, done.gate.visit)}", 303)
    return redirect(f"{run_url(run_id)}#{anchor('decided', done.gate.node_id, done.gate.visit)}", 303)


def _told(done: Decision, *, approved: bool) -> str:
    """Return what became of an answer, for people."""
    word, node = "Approved" if approved else "Rejected", done.gate.node_id
    if done.effect == "repeated":
        return f"{word} at {node}. You had already given this answer; nothing changed."
    if done.effect == "recorded" and done.verdict is not None:
        if done.verdict.held_until is not None:
            return f"{word} at {node}. You can withdraw it for {done.gate.policy.undo}; then the run continues."
        return f"Your approval at {node} is recorded; {done.verdict.missing or 'more'} is needed."
    return f"{word} at {node}."


@area.post("/runs/<run_id>/break-glass")
@action(Action.COMMENT)
def break_glass(run_id: str) -> AnyResponse:
    """Let an admin decide whatever the rules say about who and how many, for a reason that stays on the run.

    Who sees the run learns that it takes an admin, which `decide_gate` asks for; for others there is no such run.
    """
    here, form = services(), request.form
    if signed_in() is None:
        raise RefusedError(
            "Nobody signs in here, so nobody can break a glass; use `neurocore runs approve --break-glass`."
        )
    approved, node = _approved(form.get("decision")), _node_of(run_id, form.get("gate", ""), here)
    reason = _lines(form.get("reason", ""))
    decide_gate(
        run_id, approved=approved, actor=actors.sender(), gate=node, visit=_number(form.get("visit")),
        digest=form.get("digest") or "none given", note=reason, break_glass=reason, run_store=here.store,
        dispatch=here.dispatcher,
    )  # fmt: skip
    flash(f"{'Approved' if approved else 'Rejected'} at {node}, breaking the glass.", "ok" if approved else "rejected")
    return redirect(run_url(run_id), 303)


@area.post("/runs/<run_id>/withdrawal")
@action(Action.ANSWER)
def withdrawal(run_id: str) -> AnyResponse:
    """Take one's own answer back, while that is possible."""
    here, form = services(), request.form
    node = _node_of(run_id, form.get("gate", ""), here)
    withdraw_answer(
        run_id, actor=actors.typed(form.get("by", "").strip()), run_store=here.store, gate=node,
        visit=_number(form.get("visit")), digest=form.get("digest") or "none given",
    )  # fmt: skip
    flash(f"Your answer at {node} is withdrawn.", "ok")
    return redirect(run_url(run_id), 303)


@area.post("/runs/<run_id>/comments")
@action(Action.COMMENT)
def comments(run_id: str) -> AnyResponse:
    """Say something about a gate that waits; it decides nothing."""
    here, form = services(), request.form
    node = _node_of(run_id, form.get("gate", ""), here)
    actor = actors.typed(form.get("by", "").strip() or remembered())
    comment(run_id, _lines(form.get("text", "")), actor=actor, run_store=here.store, gate=node)
    return redirect(f"{run_url(run_id)}#{anchor('gate', node, _number(form.get('visit')) or 1)}", 303)


def _refused(run_id: str, typed: Typed, error: NeuroCoreError, here: Services) -> AnyResponse:
    """Return the page again, with the form filled in as it was sent and the sentence beside the field."""
    run = load_run(run_id, here.store)
    page = RunPage(run, here)
    typed.problems = error.problems if isinstance(error, InputError) else {}
    if not typed.problems:
        opened_anew = isinstance(error, NoOpenGate) and any(gate.node_id == typed.gate for gate in page.open_gates)
        typed.refused = CHANGED if opened_anew or isinstance(error, GateChanged) else _retold(error, typed, page)
    page.typed = typed
    return whole_page(page, 409 if isinstance(error, DecisionRefused) else 422)


def _node_of(run_id: str, address: str, here: Services) -> str:
    """Return the node that a form names (`Panel.address`)."""
    gates = here.store.load_gates(run_id, narrow=True) if address.startswith("gate-") else []
    found = (gate.node_id for gate in gates if anchor("gate", gate.node_id, gate.visit) == address)
    return next(found, address)


def _retold(error: NeuroCoreError, typed: Typed, page: RunPage) -> str:
    """Return the refusal for people. It writes the time of the faster answer as the page does."""
    faster = next((one for one in page.decided if (one.node_id, one.visit) == (typed.gate, typed.visit)), None)
    if not isinstance(error, AlreadyDecided) or faster is None or faster.decision is None:
        return str(error)
    word = "approved" if faster.decision.approved else "rejected"
    at = moment(faster.decision.at)
    when = f" at {at:%Y-%m-%d %H:%M:%S} UTC" if at else ""
    return (
        f"Somebody was faster. Gate {faster.node_id} was {word} by {faster.decision.by}{when}; "
        "this answer changes nothing."
    )


def _approved(word: str | None) -> bool:
    if word not in ("approve", "reject"):
        raise UsageError("The form does not contain a decision; press Approve or Reject.")
    return word == "approve"


def _given_digest(typed: Typed) -> str:
    """Return the digest that the form names. A form without one is refused as changed (promise 6)."""
    return typed.digest or "none given"


def _data(text: str) -> dict[str, Any]:
    """Parse the data for a step that waits for input: a YAML mapping."""
    if not text.strip():
        return {}
    from neurocore.yamlfile import parse

    if len(text) > MAX_DATA:
        raise InputError("Data is too long.", {"data": f"Data has at most {MAX_DATA:,} characters."})
    document = parse(text)
    if document.problems or not isinstance(document.data, dict):
        sentence = document.problems[0].message if document.problems else "Write it as lines of `key: value`."
        raise InputError(sentence, {"data": sentence})
    return {str(key): value for key, value in document.data.items() if key not in ("approved", "by", "note")}


@area.post("/runs/<run_id>/resumption")
@action(Action.RESUME)
def resumption(run_id: str) -> AnyResponse:
    """Hand a failed, lost or pending run to the dispatcher."""
    here = services()
    run = load_run(run_id, here.store)
    by = _name(run, "resume")
    if not isinstance(by, str):
        return by
    refuse_resume(run, here)
    request_resume(run_id, here.registry, here.config, run_store=here.store, actor=actors.typed(by))
    here.dispatcher.submit(run_id)
    flash("The run continues.", "ok")
    return redirect(run_url(run_id), 303)


def refuse_resume(run: RunRecord, here: Services, *, latest: bool = False) -> None:
    """Raise NotResumable or RunBusyError if the dispatcher could not continue the run (`latest`: with its file)."""
    refuse_to_resume(run, here.config, here.store, latest=latest)
    if not here.drives:
        raise NotResumable(f"Run {run.run_id} cannot be resumed from here: {NOT_FROM_HERE}.")


@area.post("/runs/<run_id>/replay")
@action(Action.REPLAY)
def replay(run_id: str) -> AnyResponse:
    """Start a new run from the same inputs and definition. The form's token allows one new run."""
    here = services()
    run = load_run(run_id, here.store)
    by = _name(run, "replay")
    if not isinstance(by, str):
        return by
    new_id = form_tokens.run_id_of(request.form.get(form_tokens.FIELD, ""), f"replay {run_id}")
    with contextlib.suppress(RunExists):  # the same form was sent before, and its run exists
        with one_more_run(new_id, here):
            create_replay(
                run_id, here.registry, here.config, run_store=here.store, new_id=new_id, actor=actors.typed(by)
            )  # fmt: skip
        here.dispatcher.submit(new_id)
        flash("This is a new run from the same inputs.", "ok")
    return redirect(run_url(new_id), 303)


@area.post("/runs/<run_id>/cancellation")
@action(Action.CANCEL)
def cancellation(run_id: str) -> AnyResponse:
    """Cancel a run: at once if no process drives it, else as `STOPS` says."""
    here = services()
    run = load_run(run_id, here.store)
    by = _name(run, "cancel")
    if not isinstance(by, str):
        return by
    note = _lines(request.form.get("note", "")).strip() or None
    run = cancel_run(run_id, run_store=here.store, actor=actors.typed(by), config=here.config, note=note)
    flash("Cancelled." if run.status.ended else f"The run is being cancelled. {STOPS}", "ok")
    return redirect(run_url(run_id), 303)


@area.post("/runs/<run_id>/deletion")
@action(Action.DELETE)
def deletion(run_id: str) -> AnyResponse:
    """Delete an ended run. A tombstone remains."""
    here = services()
    run = load_run(run_id, here.store)
    by = _name(run, "delete")
    if not isinstance(by, str):
        return by
    delete_run(run_id, run_store=here.store, actor=actors.typed(by))
    flash(f"Run {run_id} was deleted.", "ok")
    return redirect(f"{request.script_root}/runs", 303)


def _name(run: RunRecord, verb: str) -> str | AnyResponse:
    """Return the name: that of the account, or typed now or earlier; else the page that asks for it (422)."""
    if (actor := signed_in()) is not None:
        return actor.label
    name = (request.form.get("by") or remembered()).strip()
    problem = name_problem(name)
    if problem is None:
        remember(name)
        return name
    if run.status.ended and verb == "cancel":
        raise RefusedError(f"Run {run.run_id} is already {run.status.value}; there is nothing to cancel.")
    context: Mapping[str, Any] = {"run": run, "verb": verb, "problem": problem, "by": name}
    return make_response(render_template("runs/who.html", **context), 422)


def _lines(text: str) -> str:
    """Replace the CR LF that browsers send by LF."""
    return text.replace("\r\n", "\n")


def _number(text: str | None) -> int:
    return max(0, numerals.whole((text or "")[:10]) or 0)
