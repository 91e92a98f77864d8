"""A configuration against a skill's JSON Schema, in sentences.

jsonschema does the checking (imported when there is a schema to check); a value that is a `${NAME}` reference fits any
type, since what it stands for is known only when a step starts.
"""

from __future__ import annotations

from typing import Any

from neurocore.secrets import find_references
from neurocore.yamlfile import nearest


def config_problems(schema: dict[str, Any], config: dict[str, Any]) -> list[str]:
    """One sentence per misfit; an empty list means the configuration fits (or there is no schema)."""
    if not schema:
        return []
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError

    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        return [f"its config_schema is no JSON Schema: {error.message}."]
    validator = Draft202012Validator({"type": "object", **schema})
    return [_sentence(error) for error in validator.iter_errors(config) if not _is_reference(error)]


def _is_reference(error: Any) -> bool:
    return error.validator in ("type", "enum", "format", "pattern", "minLength", "minimum") and bool(
        find_references(error.instance)
    )


def _sentence(error: Any) -> str:
    where = ".".join(str(part) for part in error.absolute_path)
    if error.validator == "required":
        missing = next((name for name in error.validator_value if name not in error.instance), "?")
        return f"the config key {missing!r} is missing."
    if error.validator == "additionalProperties" and isinstance(error.instance, dict):
        known = error.schema.get("properties", {})
        extra = next((key for key in error.instance if key not in known), "?")
        return f"there is no config key {extra!r}{nearest(extra, known)}"
    return f"the config key {where!r}: {error.message[:300]}."
