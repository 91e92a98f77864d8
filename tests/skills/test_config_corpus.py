"""The quick look at a configuration gives the verdict of jsonschema, over generated schemas and configurations."""

from __future__ import annotations

from typing import Any
from unittest import mock

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neurocore.skills.schema import config_problems

KEYS = st.sampled_from(["a", "b"])
TYPES = st.sampled_from(["string", "integer", "number", "boolean", "array", "object", "null"])
NUMBERS = st.sampled_from([-1, 0, 1, 2, True, False, 0.0, 1.0, 1.5, 10**20, float("nan"), float("inf")])
WORDS = st.sampled_from(["", "a", "ab", "abc", "A1", "\u00e4", "a\nb"])
SCALARS = st.none() | NUMBERS | WORDS | st.sampled_from(["${NAME}", "x-${NAME}"])
LIMITS = st.sampled_from([-1, 0, 1, 1.5, 2, 10**20])
SIZES = st.integers(0, 3)


def _values(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=2)


def _schemas(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Valid schemas of at most three keywords: with more, hardly any value fits."""
    keywords = {
        "type": TYPES | st.lists(TYPES, min_size=1, max_size=3, unique=True),
        "enum": st.lists(SCALARS, min_size=1, max_size=3),
        "const": SCALARS,
        "pattern": st.sampled_from(["^[a-z]+$", "a", "^$", r"\d", "a.b"]),
        **dict.fromkeys(["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"], LIMITS),
        **dict.fromkeys(["minLength", "maxLength", "minItems", "maxItems"], SIZES),
        "uniqueItems": st.booleans(),
        "required": st.lists(KEYS, unique=True, max_size=2),
        **dict.fromkeys(["additionalProperties", "items", "not"], inner),
        "properties": st.dictionaries(KEYS, inner, min_size=1, max_size=2),
        "anyOf": st.lists(inner, min_size=1, max_size=2),
        "default": SCALARS,
        "secret": st.booleans(),
    }
    pairs = [st.tuples(st.just(name), values) for name, values in keywords.items()]
    return st.lists(st.one_of(pairs), min_size=1, max_size=3).map(dict)


INNER = st.recursive(st.booleans() | _schemas(st.booleans()), _schemas, max_leaves=3)
OBJECTS = st.fixed_dictionaries(
    {"properties": st.dictionaries(KEYS, INNER, max_size=2)},
    optional={"additionalProperties": st.just(False) | INNER, "required": st.lists(KEYS, unique=True, max_size=2)},
)
CONFIGS = st.dictionaries(KEYS, st.recursive(SCALARS, _values, max_leaves=3), min_size=1, max_size=2)


@settings(max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(OBJECTS | _schemas(INNER), CONFIGS)
def test_a_quick_look_gives_the_verdict_of_jsonschema(schema: dict[str, Any], config: dict[str, Any]) -> None:
    quick = config_problems(schema, config)
    with mock.patch("neurocore.skills.schema._plainly_fits", return_value=False):
        assert quick == config_problems(schema, config)
