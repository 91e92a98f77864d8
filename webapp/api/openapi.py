"""The OpenAPI 3.1 document. It is made from the same declarations that handle the requests.

`python -m webapp.api` prints it; a test checks that docs/schemas/openapi.json is up to date.
"""

from __future__ import annotations

import inspect
import json
from typing import Any

import msgspec

from neurocore import __version__, typed
from webapp.api.idempotency import HEADER, MAX_KEY
from webapp.api.operations import IN_PATH, OPERATIONS, PREFIX, Operation
from webapp.api.problems import Problem, phrase

_REF = "#/components/schemas/{name}"

TAGS = {
    "runs": "Read runs.",
    "verbs": "Change runs. No operation waits for a run.",
    "approvals": "Gates that wait for a decision, and decided gates.",
    "blueprints": "What can be started.",
    "description": "What this API says about itself.",
    "me": "Who sends the request.",
}

_CONDITION = "The ETag that the caller has. The answer is 304 while the run has not changed."


def document(root: str = "") -> dict[str, Any]:
    """Return the document of an API below the address `root`."""
    kinds = [kind for one in OPERATIONS for kind in (one.body, one.returns) if _is_struct(kind)]
    typed.learn(*kinds, Problem)
    components = typed.described(msgspec.json.schema_components([*kinds, Problem], ref_template=_REF)[1])
    paths: dict[str, dict[str, Any]] = {}
    for operation in sorted(OPERATIONS, key=lambda one: (one.path, one.method)):
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "NeuroCore",
            "version": __version__,
            "description": "Runs of blueprints, the gates at which they wait for people, and the actions on them. "
            "Refusals are problems (RFC 9457).",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": root + PREFIX}],
        "tags": [{"name": name, "description": sentence} for name, sentence in TAGS.items()],
        "paths": paths,
        "components": {"schemas": dict(sorted(components.items()))},
    }


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _operation(operation: Operation) -> dict[str, Any]:
    first, _, rest = inspect.cleandoc(operation.view.__doc__ or "").partition("\n\n")
    found: dict[str, Any] = {
        "operationId": operation.name,
        "tags": [operation.tag],
        "summary": " ".join(first.split()),
        "parameters": _parameters(operation),
        "responses": {str(status): _response(operation, status) for status in operation.statuses},
    }
    if rest:
        found["description"] = " ".join(rest.split())
    if operation.body is not None:
        found["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": {"$ref": _REF.format(name=operation.body.__name__)}}},
        }
    return found


def _parameters(operation: Operation) -> list[dict[str, Any]]:
    found = []
    for part in operation.path.split("/"):
        if part.startswith("{"):
            _, schema, sentence = IN_PATH[part[1:-1]]
            name = {"name": part[1:-1], "in": "path", "required": True}
            found.append({**name, "schema": schema, "description": sentence})
    if operation.query is not None:
        typed.learn(operation.query)
        components = typed.described(msgspec.json.schema_components([operation.query])[1])
        for name, schema in components[operation.query.__name__]["properties"].items():
            plain = {key: value for key, value in schema.items() if key != "description"}
            described = {"description": schema["description"]} if "description" in schema else {}
            found.append({"name": name, "in": "query", "schema": plain, **described})
    if operation.method == "POST":
        sentence = "A key for this request. For a day, the same request with the same key acts once and gets the same "
        sentence += "answer."
        schema = {"type": "string", "minLength": 1, "maxLength": MAX_KEY, "pattern": "^[ -~]+$"}
        found.append({"name": HEADER, "in": "header", "schema": schema, "description": sentence})
    if 304 in operation.answers:
        found.append({"name": "If-None-Match", "in": "header", "schema": {"type": "string"}, "description": _CONDITION})
    return found


def _response(operation: Operation, status: int) -> dict[str, Any]:
    found: dict[str, Any] = {"description": phrase(status)}
    if status == 304:
        return found
    if status >= 400:
        found["content"] = {"application/problem+json": {"schema": {"$ref": _REF.format(name="Problem")}}}
    else:
        struct = _is_struct(operation.returns)
        schema = {"$ref": _REF.format(name=operation.returns.__name__)} if struct else {"type": "object"}
        found["content"] = {"application/json": {"schema": schema}}
    headers = _HEADERS.get(status, {})
    if status == 200 and 304 in operation.answers:
        headers = {"ETag": {"description": "The version of the run.", "schema": {"type": "string"}}}
    return {**found, "headers": headers} if headers else found


_HEADERS: dict[int, dict[str, Any]] = {
    201: {"Location": {"description": "The address of the run.", "schema": {"type": "string"}}},
    503: {"Retry-After": {"description": "Seconds to wait before asking again.", "schema": {"type": "integer"}}},
}


def text() -> str:
    """Return the document as the text of docs/schemas/openapi.json."""
    return json.dumps(document(), indent=2, ensure_ascii=False) + "\n"
