"""What an operation is, and what happens around each: read and check what was sent, act once, answer as JSON."""

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

#: What may stand in an address: its converter there, its JSON Schema and what it is.
IN_PATH: dict[str, tuple[str, dict[str, Any], str]] = {
    "run_id": ("string", {"type": "string"}, "A run's id, or any beginning of it that no other run has."),
    "other_id": ("string", {"type": "string"}, "The id of another run, or its beginning."),
    "index": ("int(max=2147483647)", {"type": "integer", "minimum": 0}, "The step's place in the order, from 0."),
    "name": ("path", {"type": "string"}, "A blueprint's name."),
}

#: What any request may be answered with, and beside it what one may that changes something.
ALWAYS = (400, 414, 503)
ON_POST = (403, 409, 413, 415, 422)


class Operation(Struct, frozen=True, kw_only=True):
    """One verb at one address. `answers` are the statuses of its own, the first is that of a success."""

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
        """The operation's id."""
        return self.view.__name__

    @property
    def statuses(self) -> tuple[int, ...]:
        """Every status it may answer with."""
        found = {*self.answers, *ALWAYS, *(ON_POST if self.method == "POST" else ())}
        return tuple(sorted(found | ({422} if self.query else set())))

    @property
    def rule(self) -> str:
        """The address as the router has it."""
        return "/".join(
            f"<{IN_PATH[part[1:-1]][0]}:{part[1:-1]}>" if part.startswith("{") else part
            for part in self.path.split("/")
        )


OPERATIONS: list[Operation] = []

View = Callable[..., Any]


def get(path: str, *answers: int) -> Callable[[View], View]:
    """Declare an operation that looks. What it takes and answers is read off the function's annotations."""
    return _declare("GET", path, (200, *answers), None)


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
    """The view that the router calls."""

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


# -------------------------------------------------------------------- what was sent


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
    """The query as `kind`; an empty text is as none given, as forms send it.

    Raises InputError for a parameter that is not known or cannot be used.
    """
    fields = {field.name: field for field in msgspec.structs.fields(kind)}
    if set(request.args) - set(fields):
        _refuse_query(set(fields), ", ".join(fields))
    types = get_type_hints(kind)
    given: dict[str, Any] = {}
    for name in request.args:
        values = [value for value in request.args.getlist(name) if value or types[name] not in (str, list[str])]
        if values:
            given[name] = values if types[name] == list[str] else values[-1]
    return _converted(given, kind, strict=False)


def _refuse_query(known: set[str], names: str) -> None:
    unknown = sorted(set(request.args) - known)
    sentences = {name[:100]: f"There is no parameter {name[:100]!r}; this takes {names}." for name in unknown}
    raise InputError(" ".join(sentences.values()), sentences)


def _json() -> Any:
    """The body as plain data, whatever it holds; refused (400, 415, 422) where it is no JSON or nested too deeply."""
    if request.mimetype != "application/json":
        abort(415, "Send the body as application/json.")
    raw = request.get_data()
    try:
        plain = msgspec.json.decode(raw)
    except RecursionError:
        plain = None
        deep = True
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        abort(400, f"The body is no JSON: {error}.")
    else:
        deep = too_deep(plain)
    if deep:
        abort(422, f"The body is nested deeper than {MAX_JSON_DEPTH} levels; put such data into a file.")
    json.loads(raw, object_pairs_hook=_refuse_twice)
    return plain


def _refuse_twice(pairs: list[tuple[str, Any]]) -> None:
    """Of two values under one key, JSON's readers take either: nobody can say which was meant."""
    seen = set()
    for key, _ in pairs:
        if key in seen:
            abort(422, f"{key[:100]!r} stands twice in one object of the body; keep one of them.")
        seen.add(key)


def read_body(kind: type[Struct], plain: Any) -> Any:
    """The body as `kind`. Raises InputError naming the field that is missing, unknown or of another type."""
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


# -------------------------------------------------------------------- what is answered


def answer(document: Any, status: int) -> Response:
    """A document as an answer, written before it begins. What was made is named by `Location`."""
    response = written(pieces(document), status=status)
    if status == 201:
        response.headers["Location"] = f"{request.script_root}{PREFIX}/runs/{document.run_id}"
    if "api_etag" in g:
        response.set_etag(g.api_etag, weak=True)
        response.headers["Cache-Control"] = "no-cache"
    return response


def unless_seen(version: str) -> None:
    """Name the version that is answered; who has it already gets 304 and no body."""
    g.api_etag = version
    if request.if_none_match.contains_weak(version):
        unchanged = Response(status=304, headers={"Cache-Control": "no-cache"})
        unchanged.set_etag(version, weak=True)
        abort(unchanged)
