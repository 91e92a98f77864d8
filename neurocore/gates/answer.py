"""The rules of an answer: which occurrence it means, whether its form is valid, whether it is too late."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import structs

from neurocore.access.actor import Actor, identity_of, name_problem
from neurocore.blueprint.stored import stored_plan
from neurocore.errors import AlreadyDecided, GateAmbiguous, GateChanged, InputError, NoOpenGate, said
from neurocore.forms import same
from neurocore.gates import occurrence
from neurocore.persistence.base import RunStore
from neurocore.persistence.records import WITHDRAW, Answer, GateRecord, GateStatus, RunRecord, own_event
from neurocore.readable import visible

MAX_NOTE = 10_000


def choose(run: RunRecord, gates: Sequence[GateRecord], gate: str | None, visit: int | None) -> GateRecord | None:
    """Return the open occurrence that an answer means, or None when there is none.

    Raises GateAmbiguous when the answer names none and several are open.
    """
    if run.status.ended:
        return None
    fitting = [one for one in gates if one.status is GateStatus.OPEN and _named(one, gate, visit)]
    if len(fitting) > 1:
        names = [f"{one.node_id} (visit {one.visit})" for one in fitting]
        raise GateAmbiguous(f"Several gates of run {run.run_id} are open: {', '.join(names)}; say which one.", names)
    return fitting[0] if fitting else None


def late_answer(
    run: RunRecord,
    gates: Sequence[GateRecord],
    gate: str | None,
    visit: int | None,
    *,
    approved: bool,
    actor: Actor,
) -> GateRecord:
    """Return the decided occurrence if the same person gave the same answer before: nothing changes (promise 4).

    Raises AlreadyDecided, which names who decided what and when, or NoOpenGate.
    """
    closed = [one for one in gates if one.status is not GateStatus.OPEN and _named(one, gate, visit)]
    last = max(closed, key=lambda one: one.closed_at or "", default=None)
    name = (f"gate {gate}" if gate else "a gate") + (f" at visit {visit}" if visit is not None else "")
    if last is None:
        raise NoOpenGate(f"Run {run.run_id} is {run.status.value} and has no open occurrence of {name}.")
    answer = last.decision
    if answer is None or last.status is GateStatus.VOIDED:
        raise NoOpenGate(f"Gate {last.node_id} of run {run.run_id} was voided: {last.void_reason or 'it is closed'}.")
    if is_by(answer, actor) and answer.approved == approved:
        return last
    word = "approved" if answer.approved else "rejected"
    raise AlreadyDecided(
        f"Gate {last.node_id} of run {run.run_id} was {word} by {answer.by} at {answer.at}; "
        "this answer changes nothing."
    )


def is_by(answer: Answer, actor: Actor) -> bool:
    """Return whether the actor gave this answer: the same person, or, where nobody signs in, the same name."""
    if answer.person is not None or actor.person is not None:
        return answer.person == actor.person
    return identity_of(answer.by) == identity_of(actor.label)


def own_answer(gate: GateRecord, actor: Actor) -> Answer | None:
    """Return the actor's own last answer at an occurrence that was not withdrawn, or None."""
    withdrawn = gate.withdrawn
    given = [one for one in gate.answers if one.answer != WITHDRAW and one.hash not in withdrawn]
    return next((one for one in reversed(given) if is_by(one, actor)), None)


def note_problem(note: object) -> str | None:
    """Return why this is not a valid note, else None."""
    if not isinstance(note, str):
        return f"A note is text, not {type(note).__name__}."
    return None if len(note) <= MAX_NOTE else f"A note has at most {MAX_NOTE:,} characters; this one has {len(note):,}."


def check_form(gate: GateRecord, *, approved: bool, actor: Actor, note: object) -> str | None:
    """Return the note, stripped. Raises InputError with a sentence per field, including the person's name."""
    note = note.strip() if isinstance(note, str) else note
    problems = {}
    if (problem := name_problem(actor.label)) is not None:
        problems["by"] = problem
    if note is not None and (problem := note_problem(note)) is not None:
        problems["note"] = problem
    needed = gate.policy.note == "required" or (gate.policy.note == "on_reject" and not approved)
    if gate.kind == "gate" and needed and not (isinstance(note, str) and visible(note)):
        problems["note"] = "This gate asks for a note." if approved else "A rejection here needs a note: say why."
    if problems:
        raise InputError(" ".join(problems.values()), problems)
    return note if isinstance(note, str) and note else None


def refuse_if_changed(run: RunRecord, gate: GateRecord, digest: str | None, store: RunStore) -> None:
    """Raise GateChanged if the answer was given on another digest, or the context no longer gives this one.

    In the second case the occurrence is voided and another opens over the current context (promise 6).
    """
    if digest is not None and digest != gate.digest:
        raise GateChanged(f"What gate {gate.node_id} shows has changed since you looked; look again, then decide.")
    if gate.kind != "gate":
        return
    node = stored_plan(store.load_definition(run.run_id)).by_id.get(gate.node_id)
    if node is None:
        return
    context = store.load_values(run.run_id, occurrence.keys_of(gate, node))
    if not occurrence.still_shows(gate, node, context):
        try:
            now = occurrence.as_of(structs.replace(gate, visit=gate.visit + 1), node, context)
        except Exception as error:  # any error of a template or a value
            raise GateChanged(
                f"What gate {gate.node_id} would approve has changed, and it cannot open again: {said(error)}"
            ) from error
        _replace(run, gate, now, store)
        raise GateChanged(f"What gate {gate.node_id} would approve has changed; look at the new values, then decide.")


def _replace(run: RunRecord, gate: GateRecord, now: GateRecord, store: RunStore) -> None:
    """Replace the occurrence, in a run that no process drives; a driver does that with its next step."""
    at = store.clock.now()
    step = store.load_step(gate.run_id, gate.step_index)
    if step is None:
        return
    steps = store.step_summaries(gate.run_id)
    last = max((one.step_index for one in steps), default=0)
    commits = max((one.commit_index for one in steps), default=0)
    reason = "what it shows has changed"
    voided = structs.replace(gate, status=GateStatus.VOIDED, closed_at=at, void_reason=reason)
    new = structs.replace(now, opened_at=at, step_index=last + 1, answers=[], auth_mode=store.auth_mode)
    new.due_at = occurrence.due_of(new, store.auth_mode)
    row = structs.replace(step, step_index=last + 1, visit=new.visit, started_at=at, commit_index=commits + 1)
    event = own_event("voided", {"gate": gate.node_id}, at=at)
    rows = occurrence.voided_step(step, reason), row
    store.replace_gate(gate.run_id, voided, new, *rows, event=event, expected_epoch=run.epoch)


def _named(gate: GateRecord, name: str | None, visit: int | None) -> bool:
    fits = name is None or same(name, gate.node_id) or same(name, gate.name)
    return fits and (visit is None or visit == gate.visit)
