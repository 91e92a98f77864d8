"""Check a configuration against a skill's JSON Schema, with one sentence per problem.

A configuration that obviously fits is accepted after a check of the common keywords; jsonschema, imported only then,
checks everything else. A value with a `${NAME}` reference fits any type, because its value is known only when a step
starts. That value is text, which `coerced` turns into the required number or boolean.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from neurocore import log, numerals
from neurocore.secrets import MASK, find_references, looks_secret
from neurocore.yamlfile import nearest, said


def config_problems(schema: Mapping[str, Any], config: Mapping[str, Any]) -> list[str]:
    """Return one sentence per problem; an empty list means that the configuration fits (or there is no schema)."""
    if not schema or _plainly_fits({"type": "object", **schema}, config):
        return []
    validator = _validator(schema)
    if isinstance(validator, str):
        return [validator]
    errors = sorted(validator.iter_errors(config), key=lambda error: list(map(str, error.absolute_path)))
    return [sentence for error in errors if not _is_reference(error) for sentence in _sentences(error)]


def coerced(schema: Any, value: Any) -> Any:
    """Return the value with text turned into numbers and booleans if the schema requires them and the text fits."""
    kinds = schema.get("type") if isinstance(schema, Mapping) else None
    if isinstance(value, str):
        kinds = kinds if isinstance(kinds, list) else [kinds]
        return _read(value, kinds) if "string" not in kinds else value
    if isinstance(value, dict):
        properties, others = _part(schema, "properties"), _part(schema, "additionalProperties")
        return {key: coerced(properties.get(key, others), item) for key, item in value.items()}
    if isinstance(value, list):
        return [coerced(_part(schema, "items"), item) for item in value]
    return value


def _part(schema: Any, key: str) -> Mapping[Any, Any]:
    found = schema.get(key) if isinstance(schema, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _read(text: str, kinds: list[Any]) -> Any:
    word = text.strip()
    if "integer" in kinds or "number" in kinds:
        found = numerals.whole(word)
        if found is None and "number" in kinds:
            return text if (number := numerals.number(word)) is None else number
        if found is not None:
            return found
    if "boolean" in kinds and word.lower() in ("true", "false"):
        return word.lower() == "true"
    return text


# -------------------------------------------------------------------- what plainly fits

_SAYS_NOTHING = frozenset(
    ["$schema", "$id", "$comment", "title", "description", "default", "examples", "secret", "writeOnly", "readOnly",
     "deprecated", "properties", "required", "additionalProperties", "items"]
)  # fmt: skip
_TYPES: dict[Any, tuple[type, ...]] = {
    "string": (str,), "integer": (int,), "number": (int, float), "boolean": (bool,), "array": (list,),
    "object": (dict,), "null": (type(None),),
}  # fmt: skip


def _plainly_fits(schema: Any, value: Any) -> bool:
    """Return whether the value certainly fits; False if it does not, or if another keyword matters."""
    if schema is True or (isinstance(value, str) and "${" in value and find_references(value)):
        return True
    if not isinstance(schema, Mapping):
        return False
    if not all(key in _SAYS_NOTHING or _holds(key, limit, value) for key, limit in schema.items()):
        return False
    if isinstance(value, Mapping):
        properties, others = schema.get("properties", {}), schema.get("additionalProperties", True)
        required = schema.get("required", [])
        return (
            isinstance(properties, Mapping)
            and isinstance(required, list)
            and all(name in value for name in required)
            and (others is not False or all(key in properties for key in value))  # a reference makes no key known
            and all(
                isinstance(key, str) and _plainly_fits(properties.get(key, others), one) for key, one in value.items()
            )
        )
    if isinstance(value, list):
        return all(_plainly_fits(schema.get("items", True), one) for one in value)
    return True


def _holds(keyword: str, limit: Any, value: Any) -> bool:
    if keyword == "type":
        kinds = limit if isinstance(limit, list) else [limit]
        return any(
            isinstance(one, str) and isinstance(value, _TYPES.get(one, ())) and _is_number_for(one, value)
            for one in kinds
        )
    if keyword == "enum":
        return isinstance(value, str) and isinstance(limit, list) and value in limit
    if keyword == "pattern" and isinstance(value, str) and isinstance(limit, str):
        with contextlib.suppress(re.error):
            return re.search(limit, value) is not None
    if isinstance(value, (int, float)) and not isinstance(value, bool) and isinstance(limit, (int, float)):
        return {
            "minimum": value >= limit, "maximum": value <= limit,
            "exclusiveMinimum": value > limit, "exclusiveMaximum": value < limit,
        }.get(keyword, False)  # fmt: skip
    if isinstance(value, (str, list)) and isinstance(limit, int):
        kind = "Length" if isinstance(value, str) else "Items"
        return {f"min{kind}": len(value) >= limit, f"max{kind}": len(value) <= limit}.get(keyword, False)
    return False


def _is_number_for(kind: Any, value: Any) -> bool:
    return kind == "boolean" or not isinstance(value, bool)


# -------------------------------------------------------------------- what does not fit

_MAX_KEPT = 256
#: By the identity of the schema, which this cache keeps alive: building one takes milliseconds, checking does not.
_kept: dict[int, tuple[Mapping[str, Any], Any]] = {}


def _validator(schema: Mapping[str, Any]) -> Any:
    """Return the schema's validator, or the sentence that says why there is none."""
    kept = _kept.get(id(schema))
    if kept is None:
        if len(_kept) >= _MAX_KEPT:
            _kept.clear()
        kept = _kept[id(schema)] = (schema, _built(schema))
    return kept[1]


def _built(schema: Mapping[str, Any]) -> Any:
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError

    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        where = ".".join(map(str, error.absolute_path))
        return f"its config_schema is not a JSON Schema: {where + ': ' if where else ''}{error.message[:200]}."
    return Draft202012Validator({"type": "object", **schema})


def _is_reference(error: Any) -> bool:
    if isinstance(error.instance, str):
        return bool(find_references(error.instance))
    return error.validator in ("anyOf", "oneOf", "allOf", "not", "if", "enum", "const") and bool(
        find_references(error.instance)
    )


_AN = {
    "string": "text", "integer": "a whole number", "number": "a number", "boolean": "true or false",
    "array": "a list", "object": "a mapping", "null": "nothing",
}  # fmt: skip
_BOUNDS = {
    "minimum": "at least", "maximum": "at most", "exclusiveMinimum": "more than", "exclusiveMaximum": "less than",
    "minLength": "of at least so many characters:", "maxLength": "of at most so many characters:",
    "minItems": "of at least so many items:", "maxItems": "of at most so many items:",
}  # fmt: skip


def _sentences(error: Any) -> Iterator[str]:
    path = list(error.absolute_path)
    limit = error.validator_value
    if error.validator == "required":
        missing = [name for name in limit if error.message.startswith(repr(name))]
        yield f"the config key {_named([*path, *missing[:1]])} is missing."
        return
    if error.validator in ("additionalProperties", "unevaluatedProperties") and isinstance(error.instance, dict):
        known = error.schema.get("properties", {})
        patterns = error.schema.get("patternProperties", {})
        extra = [
            key for key in error.instance if key not in known and not any(re.search(p, str(key)) for p in patterns)
        ]
        for key in extra:
            yield f"there is no config key {_named([*path, key])}{nearest(key, known)}"
        return
    where = f"the config key {_named(path)}" if path else "the configuration"
    instance = log.redacted(error.instance) if isinstance(error.instance, str) else error.instance
    value = MASK if _hidden(error, path) else said(instance)  # redact first: a value that is cut is not found
    if error.validator == "type":
        kinds = limit if isinstance(limit, list) else [limit]
        yield f"{where} must be {' or '.join(_AN.get(one, str(one)) for one in kinds)}, not {value}."
    elif error.validator == "enum":
        hint = nearest(error.instance, map(str, limit)) if value != MASK else "."
        yield f"{where} must be one of {', '.join(map(str, limit))}, not {value}{hint if 'did you' in hint else '.'}"
    elif error.validator in _BOUNDS:
        yield f"{where} must be {_BOUNDS[error.validator]} {limit}, not {value}."
    elif error.validator == "pattern":
        yield f"{where} must match {limit}, and {value} does not."
    else:
        yield f"{where} does not fit its schema{'' if value == MASK else ': ' + log.redacted(error.message)[:300]}."


def _named(path: list[Any]) -> str:
    return repr(".".join(map(str, path))[:200])


def _hidden(error: Any, path: list[Any]) -> bool:
    """Return whether a sentence must not show the value."""
    marked = isinstance(error.schema, Mapping) and bool(error.schema.get("secret") or error.schema.get("writeOnly"))
    return marked or any(isinstance(part, str) and looks_secret(part) for part in path)
