"""The JSON Schema of a blueprint, made from the model, so that editors complete and check while one writes."""

from __future__ import annotations

from typing import Any

import msgspec

from neurocore import typed
from neurocore.blueprint.model import TYPE_ALIASES, Definition, Gate

_PLACE_OF_GATE = "A gate in its short form: a person decides here whether the run continues."


def blueprint_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a blueprint file, with every short form that the loader accepts."""
    (_, _), made = msgspec.json.schema_components([Definition, Gate], ref_template="#/$defs/{name}")
    definitions = typed.described(made)
    blueprint = definitions["Blueprint"] = definitions.pop("Definition")
    blueprint["title"] = "Blueprint"
    blueprint["required"] = ["name", "flow"]  # gates in short form bring their own components
    types = [*definitions["InputSpec"]["properties"]["type"]["enum"], *TYPE_ALIASES]
    definitions["InputSpec"]["properties"]["type"]["enum"] = types
    for kind in ("inputs", "outputs"):
        blueprint["properties"][kind]["additionalProperties"] = {
            "anyOf": [{"$ref": "#/$defs/InputSpec"}, {"enum": [*types, None]}]
        }
    definitions["Gate"]["properties"]["form"] = {
        "description": definitions["Gate"]["properties"]["form"]["description"],
        "anyOf": [{"type": "object", "additionalProperties": blueprint["properties"]["inputs"]["additionalProperties"]},
                  {"type": "null"}],
    }  # fmt: skip
    for name in ("Step", "Node"):
        definitions[name] = {"anyOf": [definitions[name], _gate_at(definitions[name])]}
    definitions["Flow"].update(_PLACES_BY_TYPE)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "NeuroCore blueprint",
        "$ref": "#/$defs/Blueprint",
        "$defs": definitions,
    }


def _gate_at(place: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of the same place with a gate in its short form."""
    rest = {key: value for key, value in place["properties"].items() if key != "component"}
    return {
        "title": f"Gate as {place['title'].lower()}",
        "description": _PLACE_OF_GATE,
        "type": "object",
        "properties": {"approval": {"anyOf": [{"$ref": "#/$defs/Gate"}, {"type": "null"}]}, **rest},
        "required": ["approval"],
        "additionalProperties": False,
    }


_PLACES_BY_TYPE: dict[str, Any] = {
    "if": {"properties": {"type": {"const": "graph"}}, "required": ["type"]},
    "then": {"required": ["nodes"], "properties": {"steps": {"type": "null"}}},
    "else": {"required": ["steps"], "properties": {"nodes": {"type": "null"}, "edges": {"type": "null"}}},
}
