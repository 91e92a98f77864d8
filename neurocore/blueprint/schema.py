"""The JSON Schema of a blueprint, made from the model, so that editors complete and check as one writes."""

from __future__ import annotations

from typing import Any

import msgspec

from neurocore.blueprint.load import GATE_KEYS
from neurocore.blueprint.model import Blueprint

_GATE: dict[str, Any] = {
    "name": {"type": "string", "description": "The gate's name, and its node in the flow."},
    "message": {"type": "string", "description": "What is asked; a template over the context."},
    "show": {"type": "array", "items": {"type": "string"}, "description": "Context keys to show and to freeze."},
    "require": {"type": "boolean", "description": "Whether a rejection ends the run (the default)."},
    "on_reject": {"type": "string", "description": "The node a rejection goes to instead."},
    "note": {"enum": ["optional", "required", "on_reject"], "description": "When the answer needs a note."},
}


def blueprint_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a blueprint file, the gate's short form included."""
    schema = msgspec.json.schema(Blueprint)
    definitions = schema["$defs"]
    definitions["Blueprint"]["properties"].pop("source", None)
    definitions["Blueprint"]["required"] = ["name", "flow"]  # gates in short form bring their own components
    gate = {"type": "object", "properties": {key: _GATE[key] for key in GATE_KEYS}, "additionalProperties": False}
    definitions["Gate"] = {**gate, "title": "Gate", "description": "A person decides here whether the run goes on."}
    for name in ("Step", "Node"):
        long_form = definitions[name]
        rest = {
            key: value for key, value in long_form["properties"].items() if key not in ("component", "id")
        }  # fmt: skip
        short = {
            "type": "object", "title": f"Gate as {name.lower()}", "additionalProperties": False,
            "properties": {"approval": {"$ref": "#/$defs/Gate"}, **rest}, "required": ["approval"],
        }  # fmt: skip
        definitions[name] = {"anyOf": [long_form, short]}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "NeuroCore blueprint", **schema}
