"""Check the parts of a blueprint against each other: unique names, existing references, text that parses.

This checks plain data, not the model, so that a wrong key in one place does not hide problems elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from neurocore import typed
from neurocore.blueprint.conditions import compile_condition
from neurocore.blueprint.inputs import spec_problems
from neurocore.blueprint.model import PLACEHOLDER, InputSpec, chain_ids, name_problem
from neurocore.errors import ConditionError
from neurocore.yamlfile import Document, Place, nearest


def check_consistency(document: Document, data: dict[Any, Any]) -> None:
    """Add a problem to `document` for everything in `data` that is inconsistent."""
    _check_name(document, ("name",), data.get("name"))
    names = _components(document, data)
    flow = data.get("flow")
    if isinstance(flow, dict):
        kind = flow.get("type", "sequential")
        if kind not in ("sequential", "conditional", "graph"):  # the type check reports it; check the rest
            kind = "graph" if flow.get("nodes") else "sequential" if flow.get("steps") else None
        if kind == "graph":
            _graph(document, flow, names)
        elif kind is not None:
            _chain(document, flow, names, kind)
    for kind in ("inputs", "outputs"):
        _values(document, kind, data.get(kind))
    if isinstance(data.get("title"), str):
        _title(document, data["title"], data.get("inputs"))


def _items(data: Any, key: str) -> Iterator[tuple[int, dict[Any, Any]]]:
    """Yield the mappings in a list, with their places; the type check handles other items."""
    found = data.get(key)
    for place, item in enumerate(found if isinstance(found, list) else ()):
        if isinstance(item, dict):
            yield place, item


def _check_name(document: Document, path: Place, name: Any) -> None:
    problem = name_problem(name) if isinstance(name, str) and name else None
    if path == ("name",) and name in (".", ".."):
        problem = f"A blueprint cannot be called {name!r}, which means a folder in addresses; give it another name."
    if problem:
        document.add(path, problem)


def _components(document: Document, data: dict[Any, Any]) -> list[str]:
    places: dict[str, int] = {}
    for place, component in _items(data, "components"):
        name = component.get("name")
        if not isinstance(name, str):
            continue
        _check_name(document, ("components", place, "name"), name)
        if name in places:
            line, _ = document.marks.get(("components", places[name]), (None, None))
            other = f" (the other is in line {line})" if line else ""
            document.add(
                ("components", place, "name"), f"Two components are called {name!r}{other}; give each its own name."
            )
        places.setdefault(name, place)
    if data.get("components") == []:
        document.add(("components",), "A blueprint needs at least one component.")
    return list(places)


def _reference(document: Document, path: Place, name: Any, known: dict[str, Any], what: str) -> None:
    declared = ("components",) if what == "component" else ("flow", "nodes")
    if isinstance(name, str) and name not in known and not document.full and not document.unsure(declared):
        document.add(path, f"There is no {what} {name[:200]!r}{nearest(name, known)}")


def _chain(document: Document, flow: dict[Any, Any], names: list[str], kind: str) -> None:
    if not flow.get("steps") and not document.unsure(("flow", "steps")):
        document.add(("flow",), f"A {kind} flow needs steps.")
    for other in ("nodes", "edges"):
        if flow.get(other) is not None:
            document.add(
                ("flow", other), f"A {kind} flow has steps, not {other}; set `type: graph` if you mean a graph."
            )
    known = dict.fromkeys(names)
    placed = []
    for place, step in _items(flow, "steps"):
        _reference(document, ("flow", "steps", place, "component"), step.get("component"), known, "component")
        _condition(document, ("flow", "steps", place, "condition"), step.get("condition"))
        if isinstance(step.get("component"), str):
            placed.append((place, step["component"]))
    seen: set[str] = set()
    for (place, _), node_id in zip(placed, chain_ids([name for _, name in placed]), strict=True):
        if node_id in seen:
            document.add(("flow", "steps", place), f"Two steps would be called {node_id!r}; rename the component.")
        seen.add(node_id)


def _graph(document: Document, flow: dict[Any, Any], names: list[str]) -> None:
    if not flow.get("nodes") and not document.unsure(("flow", "nodes")):
        document.add(("flow",), "A graph needs nodes, and edges between them.")
    if flow.get("steps") is not None:
        document.add(("flow", "steps"), "A graph has nodes and edges, not steps.")
    known = dict.fromkeys(names)
    ids: dict[str, int] = {}
    for place, node in _items(flow, "nodes"):
        name = node.get("id")
        _reference(document, ("flow", "nodes", place, "component"), node.get("component"), known, "component")
        if isinstance(name, str):
            _check_name(document, ("flow", "nodes", place, "id"), name)
            if name in ids:
                document.add(("flow", "nodes", place, "id"), f"Two nodes have the id {name!r}; give each its own.")
            ids.setdefault(name, place)
    for place, edge in _items(flow, "edges"):
        for end in ("source", "target"):
            _reference(document, ("flow", "edges", place, end), edge.get(end), ids, "node")
        _check_name(document, ("flow", "edges", place, "port"), edge.get("port"))
        _condition(document, ("flow", "edges", place, "condition"), edge.get("condition"))


def _condition(document: Document, path: Place, text: Any) -> None:
    if isinstance(text, str) and not document.full:
        try:
            compile_condition(text)
        except ConditionError as error:
            document.add(path, str(error))


def _values(document: Document, kind: str, values: Any) -> None:
    for name, spec in values.items() if isinstance(values, dict) else ():
        if not isinstance(name, str) or document.full:
            continue
        problem = name_problem(name)
        if problem:
            document.add((kind, name), problem, key=True)
        try:
            converted = typed.convert(spec, InputSpec)
        except msgspec.ValidationError:
            continue  # the type check has reported it
        for key, sentence in spec_problems(converted, is_output=kind == "outputs"):
            document.add((kind, name, key), sentence)


def _title(document: Document, title: str, inputs: Any) -> None:
    rest = PLACEHOLDER.sub("", title)
    if any(mark in rest for mark in ("{{", "}}", "{%", "{#")):
        document.add(("title",), "A title is text with {{ input }} in it, and nothing else between braces.")
    known = inputs if isinstance(inputs, dict) else {}
    for name in dict.fromkeys(match.group(1).split(".")[0] for match in PLACEHOLDER.finditer(title)):
        if known and name not in known:
            document.add(("title",), f"The title names the input {name!r}, which is not declared{nearest(name, known)}")
        elif isinstance(known.get(name), dict) and known[name].get("secret") is True:
            document.add(("title",), f"The title cannot show {name!r}, which is secret.")
