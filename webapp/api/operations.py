"""Operations, and what happens around each of them: read and check the request, act once, answer as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Literal, get_type_hints

import msgspec
from flask import Blueprint, Response, abort, g, request
from msgspec import Struct

from neurocore import typed
from neurocore.access.permission import Action
from neurocore.errors import InputError
from webapp.api import idempotency
from webapp.security.identity import signed_in
from webapp.security.limits import MAX_JSON_DEPTH, too_deep
from webapp.security.permissions import action
from webapp.services import services
from webapp.streaming import pieces, written

PREFIX = "/api/v1"

#: The parameters of addresses: converter, JSON Schema and description.
IN_PATH: dict[str, tuple[str, dict[str, Any], str]] = {
    "run_id": ("string", {"type": "string"}, "The id of a run, or a unique prefix of it."),
    "other_id": ("string", {"type": "string"}, "The id of another run, or a unique prefix of it."),
    "index": (
        "int(max=2147483647)",
        {"type": "integer", "minimum": 0},
        "The position of the step in the order, from 0.",
    ),
    "name": ("path", {"type": "string"}, "The name of a blueprint."),
}

#: The error statuses of every request, and the further ones of requests that change something.
ALWAYS = (400, 414, 503)
ON_POST = (403, 409, 413, 415, 422)


class Operation(Struct, frozen=True, kw_only=True):
    """One verb at one address. `answers` are its own statuses; the first is the status of success."""

    method: Literal["GET", "POST"]
    path: str
    answers: tuple[int, ...]
    action: Action | None
    tag: str
    view: Callable[..., Any]
    query: type[Struct] | None
    body: type[Struct] | None
    returns: Any
    asks_for: frozenset[str]

    @property
    def name(self) -> str:
        """Return the id of the operation."""
        return self.view.__name__

    @property
    def statuses(self) -> tuple[int, ...]:
        """Return every status that it may answer with."""
        found = {*self.answers, *ALWAYS, *(ON_POST if self.method == "POST" else ())}
        return tuple(sorted(found | ({422} if self.query else set())))

    @property
    def rule(self) -> str:
        """Return the address in the form of the router."""
        return "/".join(
            f"<{IN_PATH[part[1:-1]][0]}:{part[1:-1]}>" if part.startswith("{") else part
            for part in self.path.split("/")
        )


OPERATIONS: list[Operation] = []

View = Callable[..., Any]


def get(path: str, *answers: int, action: Action | None = None) -> Callable[[View], View]:
    """Declare an operation that reads. Its input and output come from the annotations of the function.

    Without `action`, it needs the right to view.
    """
    return _declare("GET", path, (200, *answers), action)


def post(path: str, action: Action, *answers: int) -> Callable[[View], View]:
    """Declare an operation that changes something."""
    return _declare("POST", path, answers, action)


def _declare(
    method: Literal["GET", "POST"], path: str, answers: tuple[int, ...], action: Action | None
) -> Callable[[View], View]:
    def declare(view: View) -> View:
        hints = get_type_hints(view, include_extras=True)
        OPERATIONS.append(
            Operation(
                method=method, path=path, answers=answers, action=action, tag=view.__module__.rpartition(".")[2],
                view=view, query=hints.get("query"), body=hints.get("body"), returns=hints["return"],
                asks_for=frozenset(hints) & {"here", "begun"},
            )
        )  # fmt: skip
        return view

    return declare


def register(area: Blueprint) -> None:
    """Add every declared operation to the area."""
    for operation in OPERATIONS:
        view = _handler(operation)
        area.add_url_rule(
            operation.rule, operation.name, action(operation.action)(view) if operation.action else view,
            methods=[operation.method], provide_automatic_options=False,
        )  # fmt: skip


def _handler(operation: Operation) -> Callable[..., Response]:
    """Return the view that the router calls."""

    def handle(**path: Any) -> Response:
        here = services()
        given: dict[str, Any] = {**path, "here": here} if "here" in operation.asks_for else dict(path)
        if operation.query is not None:
            given["query"] = read_query(operation.query)
        elif request.args:
            _refuse_query(set(), "nothing")
        if operation.body is None:
            return answer(operation.view(**given), operation.answers[0])
        plain = _as_sender(_json())
        given["body"] = read_body(operation.body, plain)

        def act(begun: idempotency.Begun) -> Response:
            more = {"begun": begun} if "begun" in operation.asks_for else {}
            return answer(operation.view(**given, **more), operation.answers[0])

        return idempotency.answered(here.store, plain, act)

    handle.__doc__ = operation.view.__doc__
    return handle


# -------------------------------------------------------------------- the request


def _as_sender(plain: Any) -> Any:
    """The body with who sends it, where people sign in: a token says that, and `by` may not."""
    actor = signed_in()
    if actor is None or not isinstance(plain, dict):
        return plain
    if "by" in plain:
        sentence = "Leave `by` out: the token says who you are."
        raise InputError(sentence, {"by": sentence})
    return {**plain, "by": actor.label}


def read_query(kind: type[Struct]) -> Any:
    """Return the query as `kind`. An empty parameter counts as not given, because forms send it so.

    Raises InputError for a parameter that is unknown or not valid.
    """
    fields = {field.encode_name: field.name for field in msgspec.structs.fields(kind)}
    if set(request.args) - set(fields):
        _refuse_query(set(fields), ", ".join(fields))
    types = get_type_hints(kind)
    given: dict[str, Any] = {}
    for name in request.args:
        wanted = types[fields[name]]
        values = [value for value in request.args.getlist(name) if value or wanted not in (str, list[str])]
        if values:
            given[name] = values if wanted == list[str] else values[-1]
    return _converted(given, kind, strict=False)


def _refuse_query(known: set[str], names: str) -> None:
    unknown = sorted(set(request.args) - known)
    sentences = {name[:100]: f"There is no parameter {name[:100]!r}; this address takes {names}." for name in unknown}
    raise InputError(" ".join(sentences.values()), sentences)


def _json() -> Any:
    """Return the body as plain data. Refuse it (400, 415, 422) if it is not JSON or is nested too deeply."""
    if request.mimetype != "application/json":
        abort(415, "Send the body as application/json.")
    raw = request.get_data()
    try:
        plain = msgspec.json.decode(raw)
    except RecursionError:
        plain = None
        deep = True
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        abort(400, f"The body is not valid JSON: {error}.")
    else:
        deep = too_deep(plain)
    if deep:
        abort(422, f"The body is nested deeper than {MAX_JSON_DEPTH} levels; put such data into a file.")
    json.loads(raw, object_pairs_hook=_refuse_twice)
    return plain


def _refuse_twice(pairs: list[tuple[str, Any]]) -> None:
    """Refuse a repeated key: JSON parsers take one of the two values, and nobody can know which was meant."""
    seen = set()
    for key, _ in pairs:
        if key in seen:
            abort(422, f"The key {key[:100]!r} occurs twice in one object of the body; keep one of them.")
        seen.add(key)


def read_body(kind: type[Struct], plain: Any) -> Any:
    """Return the body as `kind`. Raises InputError, which names a field that is missing, unknown or of another type."""
    return _converted(plain, kind, strict=True)


def _converted(plain: Any, kind: type[Struct], *, strict: bool) -> Any:
    try:
        return typed.convert(plain, kind, strict=strict)
    except msgspec.ValidationError as error:
        sentence, _, place = str(error).partition(" - at `")
        field = place.rstrip("`").removeprefix("$").removeprefix(".")
        if not field and "`" in sentence and "field" in sentence:
            field = sentence.split("`")[1]
        where = f"{field}: " if place and field else ""
        raise InputError(f"{where}{sentence[:500]}.", {field: f"{sentence[:500]}."} if field else {}) from error


# -------------------------------------------------------------------- the answer


def answer(document: Any, status: int) -> Response:
    """Return a document as an answer, complete before it is sent. `Location` names a run that was made."""
    response = written(pieces(document), status=status)
    if status == 201:
        response.headers["Location"] = f"{request.script_root}{PREFIX}/runs/{document.run_id}"
    if "api_etag" in g:
        response.set_etag(g.api_etag, weak=True)
        response.headers["Cache-Control"] = "no-cache"
    return response


def unless_seen(version: str) -> None:
    """Set the version of the answer. A client that already has this version gets 304 without a body."""
    g.api_etag = version
    if request.if_none_match.contains_weak(version):
        unchanged = Response(status=304, headers={"Cache-Control": "no-cache"})
        unchanged.set_etag(version, weak=True)
        abort(unchanged)
