"""Conditions: expressions over the context, parsed once and compiled to closures (`expressions`).

simpleeval was the first choice and is not used. It reads attributes with getattr and a list of what is forbidden (ours
lists what is allowed), its limits belong to the module and not to one evaluator, and it takes 25 times as long, which
is a quarter of a durable step. With names, attributes, calls, subscripts and operators overridden, nothing of it would
be left.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from neurocore import forks
from neurocore.blueprint.expressions import Evaluate, Unknown, View, compile_node, is_context, is_data
from neurocore.errors import ConditionError, said

MAX_CHARACTERS = 1_000
MAX_DEPTH = 40


class Condition:
    """A parsed expression.

    `keys` are the context keys that it reads by name. `optional` are those of them whose absence it handles, because it
    also asks about them (`has`, a default, a comparison with None).
    """

    __slots__ = ("_evaluate", "keys", "optional", "text")

    def __init__(self, text: str, keys: frozenset[str], optional: frozenset[str], evaluate: Evaluate) -> None:
        self.text = text
        self.keys = keys
        self.optional = optional
        self._evaluate = evaluate

    def evaluate(self, view: View) -> bool:
        """Return whether the condition holds. Raises ConditionError if it cannot be evaluated."""
        try:
            return bool(self._evaluate(view))
        except Exception as error:  # a value's own methods (==, len, bool) may raise anything
            raise self._failed(error, view) from error

    def value(self, view: View) -> Any:
        """Return the value of the expression. Raises ConditionError if it cannot be evaluated."""
        try:
            return self._evaluate(view)
        except Exception as error:
            raise self._failed(error, view) from error

    def _failed(self, error: Exception, view: View) -> ConditionError:
        missing = sorted(key for key in self.keys if _is_missing(key, view))
        hint = f" (nothing has set {', '.join(missing)})" if missing else ""
        what = said(error)[:200].rstrip(".") or type(error).__name__
        return ConditionError(f"The condition `{_short(self.text)}` cannot be evaluated: {what}{hint}.")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Condition) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __repr__(self) -> str:
        return f"Condition({self.text!r})"


def _is_missing(key: str, view: View) -> bool:
    try:
        return view.get(key) is None
    except Exception:  # it exists, but cannot be read
        return False


def compile_condition(text: str) -> Condition:
    """Parse an expression. Raises ConditionError, with the column, for anything that conditions do not support."""
    if not isinstance(text, str):
        raise ConditionError(f"A condition is text, not {type(text).__name__}; put it in quotes.")
    return _compiled(text)


@lru_cache(maxsize=4096)
def _compiled(text: str) -> Condition:
    if len(text) > MAX_CHARACTERS:
        raise ConditionError(f"A condition has at most {MAX_CHARACTERS:,} characters; this one has {len(text):,}.")
    if not text.strip():
        raise ConditionError("A condition cannot be empty; leave it out.")
    braced = re.fullmatch(r"\s*\{\{(.*)\}\}\s*", text, re.DOTALL)
    if braced:
        raise ConditionError(f"A condition is not a template; remove the braces: `{_short(braced[1].strip())}`.")
    tree = _parse(text)
    _check_depth(tree, text)
    try:
        evaluate = compile_node(tree)
    except Unknown as unknown:
        column = _column(text, unknown.node)
        raise ConditionError(
            f"The condition `{_short(text)}` uses {unknown.what} at column {column}; {unknown.advice}.", column=column
        ) from None
    optional = frozenset(_optional_keys(tree))
    return Condition(text, frozenset(_keys(tree)) | optional, optional, evaluate)


_quietly = forks.lock()


def _parse(text: str) -> ast.expr:
    flat = text.replace("\r", " ").replace("\n", " ").lstrip()
    try:
        if "\\" not in flat:
            return ast.parse(flat, mode="eval").body
        with _quietly, warnings.catch_warnings():  # Python would warn about an unknown escape
            warnings.simplefilter("ignore")
            return ast.parse(flat, mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        column = where = None
        if isinstance(error, SyntaxError) and error.offset:
            column = error.offset + len(text) - len(text.lstrip())
            where = f" at column {column}: {error.msg}{_advice(flat)}"
        raise ConditionError(f"The condition `{_short(text)}` cannot be parsed{where or ''}.", column=column) from None


_OTHER_LANGUAGES = (
    (r"&&", "write and for &&"),
    (r"\|\|", "write or for ||"),
    (r"!(?!=)", "write not for !"),
    (r"(?<![=!<>:])=(?!=)", "to compare, write =="),
)


def _advice(text: str) -> str:
    """Return advice for syntax from other languages."""
    return next((f" ({advice})" for pattern, advice in _OTHER_LANGUAGES if re.search(pattern, text)), "")


def _short(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:77]}…"


def _column(text: str, node: ast.AST) -> int:
    """Return the column in characters, from 1, in the given text: Python's columns count bytes."""
    stripped = text.lstrip()
    before = stripped.encode()[: getattr(node, "col_offset", 0)].decode(errors="ignore")
    return len(text) - len(stripped) + len(before) + 1


def _check_depth(tree: ast.AST, text: str) -> None:
    level: list[ast.AST] = [tree]
    for _ in range(MAX_DEPTH):
        level = [child for node in level for child in ast.iter_child_nodes(node)]
        if not level:
            return
    raise ConditionError(f"The condition `{_short(text)}` is nested more than {MAX_DEPTH} deep.")


def _is_none(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _keys(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        key = _key_read(node)
        if key is not None:
            yield key


def _key_read(node: ast.AST) -> str | None:
    """Return the context key that this node itself reads by name."""
    if isinstance(node, ast.Attribute) and is_data(node.value) and node.attr not in ("get", "has"):
        return node.attr
    if isinstance(node, ast.Subscript) and is_data(node.value):
        return _text(node.slice)
    return _argument(node, "get")


def _argument(node: ast.AST, method: str) -> str | None:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == method and node.args:
        holder = node.func.value
        return _text(node.args[0]) if is_context(holder) or is_data(holder) else None
    return None


def _text(node: ast.AST) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def _optional_keys(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        asked: list[str | None] = [_argument(node, "has")]
        if isinstance(node, ast.Call) and len(node.args) == 2:
            asked.append(_argument(node, "get"))
        if isinstance(node, ast.Compare):
            sides = (node.left, *node.comparators)
            if any(map(_is_none, sides)):
                asked.extend(map(_key_read, sides))
            if any(map(is_data, node.comparators)):
                asked.append(_text(node.left))
        yield from (key for key in asked if key is not None)
