"""From YAML to a `Blueprint`: all problems at once, each with file, line, column and path."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from msgspec import structs

from neurocore.blueprint.conditions import compile_condition
from neurocore.blueprint.model import PLACEHOLDER, Blueprint
from neurocore.errors import BlueprintError, ConditionError
from neurocore.yamlfile import Document, Place, Problem, check, nearest, parse, read_file

GATE_KEYS = ("name", "message", "show", "require", "on_reject", "note")
STEP_KEYS = ("condition", "description")


def load_blueprint(path: Path | str) -> Blueprint:
    """The blueprint in a file. Raises BlueprintError whose `problems` name every finding."""
    path = Path(path)
    text, problem = read_file(path)
    if problem is not None or text is None:
        raise BlueprintError(str(problem), [problem])
    return parse_blueprint(text, name=str(path))


def parse_blueprint(text: str, *, name: str = "<string>") -> Blueprint:
    """The blueprint in a YAML text; `name` stands in messages. Raises BlueprintError."""
    document = parse(text, file=name)
    blueprint: Blueprint | None = None
    if not document.problems:
        if isinstance(document.data, dict):
            data = _desugared(document, document.data)
            blueprint = check(document, data, Blueprint)
            if blueprint is not None:
                _check_whole(document, blueprint)
        else:
            document.problems.append(
                Problem(message="A blueprint is a mapping with name, components and flow.", line=1, column=1, file=name)
            )
    if document.problems or blueprint is None:
        lines = [str(problem) for problem in document.problems]
        raise BlueprintError("\n".join(lines), document.problems)
    return structs.replace(blueprint, source=text)


def _desugared(document: Document, data: dict[Any, Any]) -> dict[Any, Any]:
    """Steps and nodes written `approval: {name: …}` become a component of type approval and a step that names it."""
    flow = data.get("flow")
    if not isinstance(flow, dict):
        return data
    components = list(data.get("components") or []) if isinstance(data.get("components"), (list, type(None))) else None
    if components is None:
        return data
    new_flow = dict(flow)
    for kind in ("steps", "nodes"):
        if isinstance(flow.get(kind), list):
            new_flow[kind] = [
                _gate(document, item, ("flow", kind, place), components)
                if isinstance(item, dict) and "approval" in item
                else item
                for place, item in enumerate(flow[kind])
            ]
    return {**data, "components": components, "flow": new_flow}


def _gate(document: Document, item: dict[Any, Any], path: Place, components: list[Any]) -> dict[Any, Any]:
    gate = item["approval"]
    here = (*path, "approval")
    if gate is None:
        gate = {}
    if not isinstance(gate, dict) or not isinstance(gate.get("name", "approval"), str):
        document.problems.append(document.problem(here, "Expected a mapping such as {name: review, message: …}."))
        return {"component": "?"}
    for key in gate:
        if key not in GATE_KEYS:
            document.problems.append(
                document.problem((*here, key), f"A gate has no key {str(key)[:80]!r}{nearest(key, GATE_KEYS)}")
            )
    name = gate.get("name", "approval")
    config = {key: value for key, value in gate.items() if key != "name"}
    document.marks[("components", len(components))] = document.marks.get(here, (1, 1))
    components.append({"name": name, "type": "approval", "config": config})
    rest = {key: value for key, value in item.items() if key != "approval"}
    if path[1] == "nodes":
        return {"id": name, "component": name, **rest}
    return {"component": name, **rest}


def _check_whole(document: Document, blueprint: Blueprint) -> None:
    def problem(path: Place, message: str) -> None:
        document.problems.append(document.problem(path, message))

    names = [component.name for component in blueprint.components]
    for place, name in enumerate(names):
        if name in names[:place]:
            problem(("components", place), f"Two components are called {name!r}; give each a name of its own.")
        if _has_control(name):
            problem(("components", place), "A name has no control characters.")
    _check_flow(document, blueprint, names)
    for place, text, path in _conditions(blueprint):
        try:
            compile_condition(text)
        except ConditionError as error:
            problem(path, str(error))
        del place
    if blueprint.title:
        _check_title(document, blueprint)
    if not blueprint.components:
        problem(("components",), "A blueprint needs at least one component.")
    if _has_control(blueprint.name):
        problem(("name",), "A name has no control characters.")


def _check_flow(document: Document, blueprint: Blueprint, names: list[str]) -> None:
    flow = blueprint.flow

    def problem(path: Place, message: str) -> None:
        document.problems.append(document.problem(("flow", *path), message))

    if flow.type == "graph":
        if not flow.nodes:
            problem((), "A graph needs nodes (and edges between them).")
        if flow.steps is not None:
            problem(("steps",), "A graph has nodes and edges, no steps.")
        ids = [node.id for node in flow.nodes or ()]
        for place, node in enumerate(flow.nodes or ()):
            if node.id in ids[:place]:
                problem(("nodes", place, "id"), f"Two nodes have the id {node.id!r}.")
            if node.component not in names:
                problem(("nodes", place, "component"), f"There is no component {node.component!r}{nearest(node.component, names)}")
        for place, edge in enumerate(flow.edges or ()):
            for end in ("source", "target"):
                if getattr(edge, end) not in ids:
                    wrong = getattr(edge, end)
                    problem(("edges", place, end), f"There is no node {wrong!r}{nearest(wrong, ids)}")
        return
    if not flow.steps:
        problem((), f"A {flow.type} flow needs steps.")
    for kind in ("nodes", "edges"):
        if getattr(flow, kind) is not None:
            problem((kind,), f"A {flow.type} flow has steps, no {kind}; set type: graph if you mean a graph.")
    for place, step in enumerate(flow.steps or ()):
        if step.component not in names:
            problem(("steps", place, "component"), f"There is no component {step.component!r}{nearest(step.component, names)}")


def _conditions(blueprint: Blueprint) -> list[tuple[int, str, Place]]:
    steps: Any = enumerate(blueprint.flow.steps or ())
    edges: Any = enumerate(blueprint.flow.edges or ())
    found = [(place, one.condition, ("flow", "steps", place, "condition")) for place, one in steps]
    found += [(place, one.condition, ("flow", "edges", place, "condition")) for place, one in edges]
    return [one for one in found if one[1] is not None]


def _check_title(document: Document, blueprint: Blueprint) -> None:
    title = blueprint.title or ""
    rest = PLACEHOLDER.sub("", title)
    if "{{" in rest or "}}" in rest or "{%" in rest:
        document.problems.append(document.problem(("title",), "A title is text with {{ input }} in it, nothing more."))
    for match in PLACEHOLDER.finditer(title):
        name = match.group(1).split(".")[0]
        spec = blueprint.inputs.get(name)
        if blueprint.inputs and spec is None:
            document.problems.append(
                document.problem(("title",), f"The title names the input {name!r}, which is not declared{nearest(name, blueprint.inputs)}")
            )
        if spec is not None and spec.secret:
            document.problems.append(document.problem(("title",), f"The title cannot show {name!r}: it is secret."))


def _has_control(text: str) -> bool:
    return bool(re.search(r"[\x00-\x1f\x7f]", text))
