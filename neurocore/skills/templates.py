"""Templates over the context: Jinja2, sandboxed, strict about names, and limited."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from neurocore import codec
from neurocore.errors import SkillError, said
from neurocore.secrets import find_references
from neurocore.yamlfile import dotted

MAX_TEMPLATE = 64 * 1024
#: What compiling a template raises besides Jinja2's own errors: it is too deeply nested, a number is too long, …
_BEYOND_PYTHON = (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError)


def render(template: str, data: Mapping[str, Any], *, what: str) -> str:
    """Render a template; errors mention `what`. Raises SkillError for anything that the template or a value raises.

    Values are seen as plain data (`codec.data`), and the work is limited (`neurocore.skills.sandbox.budget`).
    """
    from jinja2 import TemplateError

    from neurocore.skills.sandbox.budget import begin

    compiled = _compiled(template, what)
    budget = begin()
    parts, size = [], 0
    try:
        seen = {key: codec.data(value) for key, value in data.items()}
        budget.look_at_clock()
        for part in compiled.generate(seen):
            size += len(part)
            budget.room(size)
            parts.append(part)
    except TemplateError as error:
        raise SkillError(f"{_cap(what)} cannot be rendered: {str(error).rstrip('.')}.") from error
    except (Exception, SystemExit) as error:  # a value's own code may raise anything
        why = f"{type(error).__name__}: {said(error)}".rstrip(".: ")
        raise SkillError(f"{_cap(what)} cannot be rendered: {why}.") from error
    return "".join(parts)


def names(template: str) -> set[str]:
    """Return the context keys that a template reads; empty if it does not parse (rendering reports that)."""
    return set(_names(template))


@lru_cache(maxsize=256)
def _names(template: str) -> frozenset[str]:
    from jinja2 import TemplateSyntaxError, meta

    if len(template) > MAX_TEMPLATE:
        return frozenset()
    try:
        return frozenset(meta.find_undeclared_variables(_environment().parse(template)))
    except (TemplateSyntaxError, *_BEYOND_PYTHON):
        return frozenset()


def needed(template: str) -> frozenset[str]:
    """Return the context keys that a template requires: neither tested by `is defined` nor given a default."""
    return _needed(template)


def needed_by(config: Mapping[str, Any], *keys: str) -> set[str]:
    """Return the context keys that the templates at these keys of a configuration (texts, or lists of them) require."""
    values = [config.get(key) for key in keys]
    texts = [text for value in values for text in (value if isinstance(value, list) else [value])]
    return {name for text in texts if isinstance(text, str) and "{" in text for name in needed(text)}


@lru_cache(maxsize=256)
def _needed(template: str) -> frozenset[str]:
    from jinja2 import nodes

    found = _names(template)
    if not found:
        return found
    environment = _environment()
    tree = environment.parse(template)
    asked = {
        one.node.name
        for one in tree.find_all((nodes.Filter, nodes.Test))
        if one.name in ("default", "d", "defined", "undefined") and isinstance(one.node, nodes.Name)
    }
    return frozenset(found - asked - environment.globals.keys())


def problems(config: Mapping[str, Any], *keys: str) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Yield a place and a sentence for each invalid template at `keys` (texts, or lists of them) of a configuration.

    A template with a `${NAME}` reference is not checked: its text is known only when its step starts.
    """
    for key in keys:
        value = config.get(key)
        listed = value if isinstance(value, list) else ()
        for place, text in ((key,), value), *(((key, index), item) for index, item in enumerate(listed)):
            if isinstance(text, str) and "{" in text and not find_references(text):
                try:
                    _compiled(text, f"its {dotted(place)}")
                except SkillError as error:
                    sentence = str(error)
                    yield place, sentence[:1].lower() + sentence[1:]


@lru_cache(maxsize=1)
def _environment() -> Any:
    from neurocore.skills.sandbox.environment import TemplateEnvironment

    return TemplateEnvironment()


@lru_cache(maxsize=256)
def _compiled(template: str, what: str) -> Any:
    from jinja2 import TemplateSyntaxError

    if len(template) > MAX_TEMPLATE:
        raise SkillError(f"{_cap(what)} is a template of more than 64 KiB.")
    try:
        return _environment().from_string(template)
    except TemplateSyntaxError as error:
        why = (error.message or "it cannot be parsed").rstrip(".")
        raise SkillError(f"{_cap(what)} is not a template: {why} (line {error.lineno}).") from error
    except _BEYOND_PYTHON as error:
        why = str(getattr(error, "msg", None) or error)
        raise SkillError(f"{_cap(what)} cannot be compiled: {why}.") from error


def _cap(what: str) -> str:
    return what[:1].upper() + what[1:]
