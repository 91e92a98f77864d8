"""Refusals for programs: RFC 9457 problems. The facts in the sentence are also fields of the problem."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import msgspec
from flask import Response, request
from msgspec import Struct
from werkzeug.exceptions import MethodNotAllowed, NotFound

from neurocore import errors
from neurocore.documents import make
from neurocore.documents.gates import AnswerDocument, GateDocument
from neurocore.documents.runs import DeletedDocument
from webapp.api.idempotency import KeyInFlight, KeyUsed
from webapp.failures import status_of
from webapp.streaming import encoded

#: The address that explains the kinds; the address of one kind is this one and `#<kind>`.
ADDRESS = "/api/v1/problems"


class FieldProblem(Struct, kw_only=True):
    """The problem with one field of the body, one parameter, one input or one header."""

    field: str
    detail: str


class Problem(Struct, kw_only=True, omit_defaults=True):
    """RFC 9457. `type` is about:blank, or one of the kinds that `/problems` explains; `detail` is one sentence.

    `errors` are the fields that are wrong. `candidates` are the ids that an ambiguous prefix fits, `gates` the open
    gates of which one must be named, `gate` what the gate shows now, `decision` the answer that was faster, `deleted`
    what remains of a deleted run, `driven_by` the process that drives the run, `reason` why the request is
    not allowed, `who_can` people who may do it, `page` the address where a person can answer.
    """

    type: str = msgspec.field()
    title: str = msgspec.field()
    status: int = msgspec.field()
    detail: str = msgspec.field()
    instance: str = msgspec.field()
    errors: list[FieldProblem] = []
    candidates: list[str] = []
    gates: list[str] = []
    gate: GateDocument | None = None
    decision: AnswerDocument | None = None
    deleted: DeletedDocument | None = None
    driven_by: str | None = None
    reason: str | None = None
    who_can: list[str] = []
    page: str | None = None


class Kind(Struct, frozen=True):
    """A kind of problem: its status, its title, and what to do about it."""

    status: int
    title: str
    meaning: str


KINDS = {
    "ambiguous": Kind(
        409, "Several runs begin like this", "Give more characters of the id; `candidates` are the first ten."
    ),
    "deleted": Kind(410, "The run was deleted", "`deleted` says when and by whom; its id is never used again."),
    "not-found": Kind(404, "Not found", "No run, step or blueprint has this name."),
    "already-decided": Kind(409, "Already decided", "Another answer took effect; `decision` is that answer."),
    "changed": Kind(409, "It changed since you looked", "Read what `gate` shows now, and answer with its digest."),
    "gate-ambiguous": Kind(409, "Several gates are open", "Name one of `gates` by `gate` and `visit`."),
    "no-open-gate": Kind(409, "No open gate", "The run has no open gate of this name and visit."),
    "busy": Kind(409, "A process drives this run", "`driven_by` names the process; wait until it stops."),
    "not-resumable": Kind(409, "The run cannot be resumed", "`detail` says what to do instead."),
    "forbidden": Kind(403, "Forbidden", "`reason` says why; `who_can` names people who may do it."),
    "needs-sign-in": Kind(
        403, "Needs a fresh sign-in", "Sign in again on `page`, and answer there; a token cannot do that."
    ),
    "needs-passkey": Kind(403, "Needs a passkey", "Answer on `page`, and sign with a passkey; a token cannot do that."),
    "deadline-passed": Kind(409, "The deadline passed", "The deadline decided; `reason` says when it was."),
    "too-late": Kind(409, "Too late", "The gate is decided, or the time to withdraw an answer is over; see `reason`."),
    "refused": Kind(
        409, "Not in this state", "The request is valid, but not possible in the current state of the run."
    ),
    "in-flight": Kind(
        409, "Being answered", "A request with this Idempotency-Key is not done yet; send it again a little later."
    ),
    "key-used": Kind(422, "The key was used", "This Idempotency-Key was used for another request; use a new key."),
    "invalid": Kind(422, "The request is not valid", "`errors` has a sentence for each field."),
    "blueprint": Kind(422, "The blueprint cannot run", "`errors` lists every problem with file and line."),
    "store": Kind(503, "The history cannot be read or written", "Nothing is half done; try again later."),
}

#: The first match counts.
_KIND_OF: tuple[tuple[type[errors.NeuroCoreError], str], ...] = (
    (errors.RunAmbiguous, "ambiguous"),
    (errors.NotFoundError, "not-found"),
    (errors.AlreadyDecided, "already-decided"),
    (errors.DeadlinePassed, "deadline-passed"),
    (errors.TooLate, "too-late"),
    (errors.GateChanged, "changed"),
    (errors.GateAmbiguous, "gate-ambiguous"),
    (errors.NoOpenGate, "no-open-gate"),
    (errors.RunBusyError, "busy"),
    (errors.NotResumable, "not-resumable"),
    (KeyInFlight, "in-flight"),
    (errors.NeedsSignIn, "needs-sign-in"),
    (errors.NeedsPasskey, "needs-passkey"),
    (errors.Forbidden, "forbidden"),
    (errors.RefusedError, "refused"),
    (KeyUsed, "key-used"),
    (errors.BlueprintError, "blueprint"),
    (errors.UsageError, "invalid"),
    (errors.StoreError, "store"),
)


def with_facts(error: errors.NeuroCoreError, **facts: Any) -> errors.NeuroCoreError:
    """Add fields of the `Problem` to an error that only the operation knows, and return the error."""
    error.__dict__["problem_facts"] = facts
    return error


def answer(status: int, sentence: str, error: Exception | None = None) -> Response:
    """Return a refusal as an answer; `webapp.failures` calls it below /api/."""
    kind = kind_of(error) if isinstance(error, errors.NeuroCoreError) else None
    if kind is not None:
        status = KINDS[kind].status
    if isinstance(error, (NotFound, MethodNotAllowed)) and request.endpoint is None:
        sentence = _no_operation(error)
    problem = Problem(
        type=f"{request.script_root}{ADDRESS}#{kind}" if kind else "about:blank",
        title=KINDS[kind].title if kind else phrase(status),
        status=status,
        detail=sentence,
        instance=request.script_root + request.path,
        **(_facts(error) if isinstance(error, errors.NeuroCoreError) else {}),
    )
    return Response(encoded(problem), status, content_type="application/problem+json")


def kind_of(error: errors.NeuroCoreError) -> str | None:
    """Return the name of the error's kind, or None if the request did not cause the error."""
    if isinstance(error, errors.RunNotFound) and error.tombstone is not None:
        return "deleted"
    found = next((kind for family, kind in _KIND_OF if isinstance(error, family)), None)
    return found if status_of(error) != 500 else None


def _facts(error: errors.NeuroCoreError) -> dict[str, Any]:
    facts: dict[str, Any] = dict(error.__dict__.get("problem_facts", {}))
    if isinstance(error, errors.InputError):
        facts["errors"] = [FieldProblem(field=field, detail=detail) for field, detail in error.problems.items()]
    elif isinstance(error, errors.BlueprintError):
        facts["errors"] = [FieldProblem(field=one.path, detail=str(one)) for one in error.problems]
    elif isinstance(error, errors.RunAmbiguous):
        facts["candidates"] = error.candidates
    elif isinstance(error, errors.RunNotFound) and error.tombstone is not None:
        facts["deleted"] = make.deleted(error.tombstone)
    elif isinstance(error, errors.GateAmbiguous):
        facts["gates"] = error.gates
    elif isinstance(error, errors.Forbidden):
        facts["reason"], facts["who_can"] = str(error), list(error.who_can)
    elif isinstance(error, (errors.DeadlinePassed, errors.TooLate)):
        facts["reason"] = str(error)
    elif isinstance(error, errors.RunBusyError):
        facts["driven_by"] = error.owner or None
    return facts


def _no_operation(error: NotFound | MethodNotAllowed) -> str:
    """Return the sentence for an address or method that is not an operation."""
    where = f"{request.path[:200]}; /api/v1/openapi.json lists all operations."
    if isinstance(error, MethodNotAllowed):
        takes = ", ".join(sorted(error.valid_methods or ()))
        return f"{request.method[:20]} is not allowed (only {takes}) at {where}"
    return f"There is nothing at {where}"


#: The phrases of RFC 9110 for statuses whose phrases differ between versions of Python.
_PHRASES = {413: "Content Too Large", 414: "URI Too Long", 416: "Range Not Satisfiable", 422: "Unprocessable Content"}


def phrase(status: int) -> str:
    """Return the HTTP phrase of a status code."""
    if status in _PHRASES:
        return _PHRASES[status]
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Not done"
