"""Load a `Blueprint` from YAML: all problems at once, each with file, line, column and path."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from neurocore.blueprint.consistency import check_consistency
from neurocore.blueprint.gate_rules import written_out
from neurocore.blueprint.model import Blueprint, Definition, Gate
from neurocore.errors import BlueprintError
from neurocore.yamlcheck import check
from neurocore.yamlfile import Document, Place, in_order, parse, read_file


def load_blueprint(path: Path | str) -> Blueprint:
    """Load the blueprint in a file. Raises BlueprintError, whose `problems` and message list every problem."""
    path = Path(path)
    text, problem = read_file(path)
    if problem is not None or text is None:
        raise BlueprintError(str(problem), [problem])
    return parse_blueprint(text, name=str(path))


def parse_blueprint(text: str, *, name: str = "<string>") -> Blueprint:
    """Load the blueprint in a YAML text; messages call it `name`. Raises BlueprintError like `load_blueprint`."""
    document = parse(text, file=name)
    definition: Definition | None = None
    if isinstance(document.data, dict):
        data = _written_out(document, document.data)
        definition = check(document, data, Definition)
        check_consistency(document, data)
    elif not document.problems:
        document.add((), "A blueprint is a mapping with name, components and flow.")
    if document.problems or definition is None:
        problems = sorted(dict.fromkeys(document.problems), key=in_order)
        raise BlueprintError("\n".join(map(str, problems)), problems)
    fields = {field: getattr(definition, field) for field in Definition.__struct_fields__}
    return Blueprint(**fields, source=text)


def document_of(blueprint: Blueprint) -> Document:
    """Return the text a blueprint was read from, as a document with each value's position; empty if there is none."""
    document = parse(blueprint.source) if blueprint.source is not None else Document(None, [], {})
    if isinstance(document.data, dict):
        _written_out(document, document.data)
    document.problems.clear()
    return document


def _written_out(document: Document, data: dict[Any, Any]) -> dict[Any, Any]:
    """Return the same data with every short form expanded."""
    for kind in ("inputs", "outputs"):
        if isinstance(data.get(kind), dict):
            data = {**data, kind: {key: written_out(spec) for key, spec in data[kind].items()}}
    flow, components = data.get("flow"), data.get("components")
    if isinstance(flow, dict) and isinstance(components, (list, type(None))):
        gates = _Gates(document, list(components or []))
        places = {kind: gates.written_out(kind, flow[kind]) for kind in ("steps", "nodes") if kind in flow}
        data = {**data, "flow": {**flow, **places}}
        if gates.components or "components" in data:
            data["components"] = gates.components
    return data


class _Gates:
    """Expands places written `approval: {…}` to a component of type `approval` and a place that names it.

    The same gate may be at several places; two different gates need two names.
    """

    def __init__(self, document: Document, components: list[Any]) -> None:
        self.document = document
        self.components = components
        self.types = {one["name"]: one.get("type") for one in components if _is_named(one)}
        self.gates: dict[str, dict[str, Any]] = {}

    def written_out(self, kind: str, places: Any) -> Any:
        if not isinstance(places, list):
            return places
        return [
            self._place(item, ("flow", kind, index)) if isinstance(item, dict) and "approval" in item else item
            for index, item in enumerate(places)
        ]

    def _place(self, item: dict[Any, Any], path: Place) -> dict[Any, Any]:
        here = (*path, "approval")
        spec = {} if item["approval"] is None else item["approval"]
        gate = check(self.document, spec, Gate, at=here)
        name = spec.get("name") if isinstance(spec, dict) else None
        name = name if isinstance(name, str) and name else "approval"
        if isinstance(gate, Gate):
            self._refuse_clash(here, name, spec)
        if name not in self.gates and name not in self.types:
            config = {} if gate is None else _config(spec)
            self.document.aliases[("components", len(self.components))] = here
            self.document.aliases[("components", len(self.components), "config")] = here
            self.components.append({"name": name, "type": "approval", **({"config": config} if config else {})})
            self.gates[name] = config
        rest = {key: value for key, value in item.items() if key != "approval"}
        if "component" in rest:
            self.document.add((*path, "component"), "A place has a component or an approval, not both.")
            del rest["component"]
        if path[1] == "steps":
            return {"component": name, **rest}
        if "id" not in rest:
            self.document.aliases[(*path, "id")] = (*here, "name")
        return {"id": name, "component": name, **rest}

    def _refuse_clash(self, here: Place, name: str, spec: dict[str, Any]) -> None:
        config = _config(spec)
        if name in self.gates and self.gates[name] != config:
            self.document.add(here, f"Another gate is called {name!r}; give this one another name.")
        elif name in self.types and (config or self.types[name] != "approval"):
            self.document.add(
                here, f"There is a component {name!r} already; rename the gate, or write `component: {name}`."
            )


def _config(spec: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in spec.items() if key != "name" and value is not None}


def _is_named(component: Any) -> bool:
    return isinstance(component, dict) and isinstance(component.get("name"), str)
