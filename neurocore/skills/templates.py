"""Templates over the context: Jinja2, sandboxed, strict about names, and bounded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from functools import lru_cache
from typing import Any

from neurocore.errors import SkillError
from neurocore.secrets import find_references
from neurocore.yamlfile import dotted

MAX_TEMPLATE = 64 * 1024
MAX_OUTPUT = 1024 * 1024
#: How far all `range(…)` of one rendering may count together: loops within loops go on without a word otherwise.
MAX_COUNTED = 100_000

#: What the making of a template raises beside Jinja2's own errors: it is nested too deeply, a number is too long, …
_BEYOND_PYTHON = (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError)

_counted: ContextVar[int] = ContextVar("neurocore_template_counted", default=0)


def render(template: str, data: Mapping[str, Any], *, what: str) -> str:
    """The template filled in; `what` is said in errors. Raises SkillError."""
    from jinja2 import TemplateError

    compiled = _compiled(template, what)
    parts, size = [], 0
    _counted.set(0)
    try:
        for part in compiled.generate(dict(data)):
            size += len(part)
            if size > MAX_OUTPUT:
                raise SkillError(f"{_cap(what)} comes to more than 1 MiB of text; show less of it.")
            parts.append(part)
    except TemplateError as error:
        raise SkillError(f"{_cap(what)} cannot be rendered: {error}.") from error
    except (TypeError, ValueError, ArithmeticError, LookupError, AttributeError, MemoryError, RecursionError) as error:
        raise SkillError(f"{_cap(what)} cannot be rendered: {type(error).__name__}: {error}.") from error
    return "".join(parts)


def names(template: str) -> set[str]:
    """The context keys a template reads; empty for one that does not parse (rendering says why)."""
    from jinja2 import TemplateSyntaxError, meta

    try:
        return set(meta.find_undeclared_variables(_environment().parse(template)))
    except (TemplateSyntaxError, *_BEYOND_PYTHON):
        return set()


def problems(config: Mapping[str, Any], *keys: str) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """A place in the configuration and a sentence for each template at `keys` (texts, or lists of them) that is none.

    One with a `${NAME}` reference is passed over: what it will be is known only when its step starts.
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
    from jinja2 import StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Bounded(ImmutableSandboxedEnvironment):
        """Powers and repetition are where a short template makes a long computation."""

        intercepted_binops = frozenset(["**", "*"])

        def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
            if operator == "**":
                raise SkillError("A template cannot raise to a power.")
            if not isinstance(left, (int, float)) or not isinstance(right, (int, float)):
                raise SkillError("A template can multiply numbers only.")
            return super().call_binop(context, operator, left, right)

    def bounded_range(*limits: int) -> range:
        counted = range(*limits)
        _counted.set(_counted.get() + len(counted) + 1)
        if _counted.get() > MAX_COUNTED:
            raise SkillError(f"A template can count to {MAX_COUNTED:,} in all.")
        return counted

    environment = Bounded(undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True)
    environment.globals["range"] = bounded_range
    environment.filters["money"] = lambda value: f"{value:,.2f}"
    return environment


@lru_cache(maxsize=256)
def _compiled(template: str, what: str) -> Any:
    from jinja2 import TemplateSyntaxError

    if len(template) > MAX_TEMPLATE:
        raise SkillError(f"{_cap(what)} is a template of more than 64 KiB.")
    try:
        return _environment().from_string(template)
    except TemplateSyntaxError as error:
        why = (error.message or "it cannot be parsed").rstrip(".")
        raise SkillError(f"{_cap(what)} is no template: {why} (line {error.lineno}).") from error
    except _BEYOND_PYTHON as error:
        why = str(getattr(error, "msg", None) or error)
        raise SkillError(f"{_cap(what)} cannot be made a program of Python: {why}.") from error


def _cap(what: str) -> str:
    return what[:1].upper() + what[1:]
