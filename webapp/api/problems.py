"""Refusals for programs: RFC 9457 problems, with the facts that the sentence tells as fields beside it."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import msgspec
from flask import Response, request
from msgspec import Struct
from werkzeug.exceptions import MethodNotAllowed, NotFound

from neurocore import errors
from neurocore.documents import make
from neurocore.documents.runs import AnswerDocument, DeletedDocument, GateDocument
from webapp.api.idempotency import KeyInFlight, KeyUsed
from webapp.failures import status_of
from webapp.streaming import encoded

#: Where each kind is explained; a kind's address is this one and `#<kind>`.
ADDRESS = "/api/v1/problems"


class FieldProblem(Struct, kw_only=True):
    """What is wrong with one field of the body, one parameter, one input or one header."""

    field: str
    detail: str


class Problem(Struct, kw_only=True, omit_defaults=True):
    """RFC 9457. `type` is about:blank, or one of those that `/problems` explains; `detail` is one sentence.

    `errors` are the fields that are wrong. `candidates` are the ids that an ambiguous beginning fits, `gates` the open
    gates of which one must be named, `gate` what the gate shows now, `decision` the answer that was faster, `deleted`
    what is left of a deleted run, `driven_by` the process that holds it, `who_can` people who may do what is forbidden.
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
    who_can: list[str] = []


class Kind(Struct, frozen=True):
    """A kind of problem: its status, its title, and what to do about it."""

    status: int
    title: str
    meaning: str


KINDS = {
    "ambiguous": Kind(409, "Several runs begin like this", "Give more of the id; `candidates` are the first ten."),
    "deleted": Kind(410, "The run was deleted", "`deleted` says when and by whom; its id is never given again."),
    "not-found": Kind(404, "Not found", "No run, step or blueprint has this name."),
    "already-decided": Kind(409, "Decided before", "Another answer took effect; `decision` is that answer."),
    "changed": Kind(409, "It changed since you looked", "Look at what `gate` shows now, and answer on its digest."),
    "gate-ambiguous": Kind(409, "Several gates are open", "Name one of `gates` by `gate` and `visit`."),
    "no-open-gate": Kind(409, "No open gate", "The run has no open gate of this name and visit."),
    "busy": Kind(409, "Somebody drives this run", "`driven_by` names the process; wait until it stops."),
    "not-resumable": Kind(409, "The run does not go on", "The sentence says what does instead."),
    "forbidden": Kind(403, "Forbidden", "`detail` says why; `who_can` names people who may do it."),
    "refused": Kind(409, "Not in this state", "Understood, and not done in the state in which the run is."),
    "in-flight": Kind(409, "Being answered", "A request with this Idempotency-Key is not done yet; ask again."),
    "key-used": Kind(422, "The key was used", "This Idempotency-Key came with another request; take a new one."),
    "invalid": Kind(422, "Something is wrong in what was sent", "`errors` names each field with its sentence."),
    "blueprint": Kind(422, "The blueprint cannot run", "`errors` has every finding, by file and line."),
    "store": Kind(503, "The history cannot be read or written", "Nothing was half written; try again later."),
}

#: The first that fits counts.
_KIND_OF: tuple[tuple[type[errors.NeuroCoreError], str], ...] = (
    (errors.RunAmbiguous, "ambiguous"),
    (errors.NotFoundError, "not-found"),
    (errors.AlreadyDecided, "already-decided"),
    (errors.GateChanged, "changed"),
    (errors.GateAmbiguous, "gate-ambiguous"),
    (errors.NoOpenGate, "no-open-gate"),
    (errors.RunBusyError, "busy"),
    (errors.NotResumable, "not-resumable"),
    (KeyInFlight, "in-flight"),
    (errors.Forbidden, "forbidden"),
    (errors.RefusedError, "refused"),
    (KeyUsed, "key-used"),
    (errors.BlueprintError, "blueprint"),
    (errors.UsageError, "invalid"),
    (errors.StoreError, "store"),
)


def with_facts(error: errors.NeuroCoreError, **facts: Any) -> errors.NeuroCoreError:
    """The error, with fields of its `Problem` that only the operation knows."""
    error.__dict__["problem_facts"] = facts
    return error


def answer(status: int, sentence: str, error: Exception | None = None) -> Response:
    """A refusal as an answer; what `webapp.failures` calls below /api/."""
    kind = kind_of(error) if isinstance(error, errors.NeuroCoreError) else None
    if kind is not None:
        status = KINDS[kind].status
    if isinstance(error, (NotFound, MethodNotAllowed)):
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
    """The name of the error's kind; None for what is no fault of the request."""
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
        facts["who_can"] = list(error.who_can)
    elif isinstance(error, errors.RunBusyError):
        facts["driven_by"] = error.owner or None
    return facts


def _no_operation(error: NotFound | MethodNotAllowed) -> str:
    """The sentence for an address or a method that is no operation of ours."""
    where = f"{request.path[:200]}; /api/v1/openapi.json says what there is."
    if isinstance(error, MethodNotAllowed):
        takes = ", ".join(sorted(error.valid_methods or ()))
        return f"{request.method[:20]} is not taken (but {takes}) at {where}"
    return f"There is nothing at {where}"


#: The phrases of RFC 9110, where Python changed its own from one version to the next.
_PHRASES = {413: "Content Too Large", 414: "URI Too Long", 416: "Range Not Satisfiable", 422: "Unprocessable Content"}


def phrase(status: int) -> str:
    """What a status code means, in the words of HTTP."""
    if status in _PHRASES:
        return _PHRASES[status]
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Not done"
