"""Recorded values and definitions for people, with secrets masked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from neurocore import codec
from neurocore.secrets import Redactor, mask


def masked(value: Any, schema: Any = None) -> Any:
    """Return a recorded value as JSON data for people, with credentials masked by their names."""
    return mask(codec.plain(value), schema)


def masked_under(key: str, value: Any, schema: Any = None) -> Any:
    """Return `masked` of a value under this key, whose name may require a mask."""
    (found,) = masked({key: value}, schema).values()  # not by the key: one that is not text has changed
    return found


def masked_definition(
    snapshot: Mapping[str, Any], schema_of: Callable[[str], Any]
) -> tuple[str | None, dict[str, Any]]:
    """Return the YAML of a blueprint's snapshot (None if it was not stored) and the definition, with secrets masked.

    `schema_of` returns the configuration schema of a skill, which marks secrets.
    """
    rest = {key: value for key, value in snapshot.items() if key != "source"}
    source = snapshot.get("source")
    secrets: set[str] = set()
    components = []
    for component in rest.get("components") or []:
        plain = codec.plain(component.get("config") or {})
        safe = masked(plain, schema_of(str(component.get("type"))))
        secrets.update(_taken_away(plain, safe))
        components.append({**component, **({"config": safe} if plain else {})})
    document = {**masked(rest), "components": components}
    return (Redactor(secrets).text(source) if isinstance(source, str) else None), document


def _taken_away(plain: Any, masked: Any) -> Iterator[str]:
    """Yield the texts of the values that masking has removed."""
    if isinstance(plain, dict) and isinstance(masked, dict):
        for key, value in plain.items():
            yield from _taken_away(value, masked.get(key))
    elif isinstance(plain, list) and isinstance(masked, list):
        for value, other in zip(plain, masked, strict=False):
            yield from _taken_away(value, other)
    elif plain != masked:
        yield from _texts(plain)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif value is not None and not isinstance(value, bool):
        yield str(value)
