"""Compile the nodes of an expression to closures: the list of what is allowed.

Nothing here calls anything but `get`, `has` and `len`, and attributes only look up keys of mappings. Exceptions from a
value's own methods pass through; `conditions` turns them into sentences.
"""

from __future__ import annotations

import ast
import datetime as dt
import operator
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Protocol

MAX_NUMBER = 2**256
MAX_LENGTH = 100_000


class View(Protocol):
    """What a condition reads: a context, or anything with its two methods."""

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value at `key`, or `default`."""

    def has(self, key: str) -> bool:
        """Return whether `key` is set."""


Evaluate = Callable[[View], Any]


class Unknown(Exception):
    """A node that is not allowed: the node, its name for people, and what to write instead."""

    def __init__(self, node: ast.AST, what: str, advice: str = "") -> None:
        super().__init__(what)
        self.node = node
        self.what = what
        self.advice = advice or (
            "conditions know context.data.<key>, context.get, context.has, literals, comparison, arithmetic, "
            "and, or, not, in, is, subscripts and len"
        )


def compile_node(node: ast.AST) -> Evaluate:
    """Return the closure that evaluates a node over a view. Raises Unknown for what is not allowed."""
    compiler = _COMPILERS.get(type(node))
    if compiler is None:
        raise Unknown(node, _WORDS.get(type(node), type(node).__name__))
    return compiler(node)


def is_context(node: ast.AST) -> bool:
    """Return whether a node is the name `context`."""
    return isinstance(node, ast.Name) and node.id == "context"


def is_data(node: ast.AST) -> bool:
    """Return whether a node is `context.data`."""
    return isinstance(node, ast.Attribute) and node.attr == "data" and is_context(node.value)


def _constant(node: Any) -> Evaluate:
    value = node.value
    if not (value is None or type(value) in (bool, int, float, str)):
        raise Unknown(node, f"a {type(value).__name__} literal")
    if type(value) is int and value > MAX_NUMBER:
        raise Unknown(node, "a number larger than 2**256", "write a smaller one")
    return lambda _: value


def _name(node: Any) -> Evaluate:
    name = node.id[:40]
    meant = {"true": "True", "false": "False", "null": "None", "none": "None", "data": "context.data"}.get(name.lower())
    raise Unknown(node, f"the name {name!r}", f"write {meant or f'context.data.{name}'}")


def _attribute(node: Any) -> Evaluate:
    key = node.attr
    if key.startswith("_"):
        raise Unknown(node, f"the attribute {key[:40]!r}")
    if is_data(node.value):
        return lambda view: view.get(key)
    if is_context(node.value):
        raise Unknown(node, f"context.{key[:40]}")
    inner = compile_node(node.value)

    def look(view: View) -> Any:
        value = inner(view)
        return value.get(key) if isinstance(value, dict) else _nothing(value, key)

    return look


def _nothing(value: Any, key: Any) -> None:
    if value is not None:
        raise TypeError(f"{type(value).__name__} has no {str(key)[:80]!r}; only mappings have keys")


def _subscript(node: Any) -> Evaluate:
    if isinstance(node.slice, ast.Slice):
        return _slice(node)
    index = compile_node(node.slice)
    if is_data(node.value):
        return lambda view: view.get(_key(index(view)))
    inner = compile_node(node.value)

    def look(view: View) -> Any:
        value, place = inner(view), index(view)
        if isinstance(value, dict):
            return value.get(place)
        if isinstance(value, (list, tuple, str)):
            return value[place] if -len(value) <= place < len(value) else None
        return _nothing(value, place)

    return look


def _slice(node: Any) -> Evaluate:
    inner = compile_node(node.value)
    bounds = [one and compile_node(one) for one in (node.slice.lower, node.slice.upper, node.slice.step)]

    def look(view: View) -> Any:
        value = inner(view)
        if not isinstance(value, (list, tuple, str)):
            return _nothing(value, "slice")
        return value[slice(*(bound and bound(view) for bound in bounds))]

    return look


def _key(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"a context key is text, not {type(value).__name__}")
    return value


def _call(node: Any) -> Evaluate:
    function = node.func
    if node.keywords or any(isinstance(one, ast.Starred) for one in node.args):
        raise Unknown(node, "a keyword or starred argument")
    arguments = [compile_node(one) for one in node.args]
    if isinstance(function, ast.Name) and function.id == "len" and len(arguments) == 1:
        (measured,) = arguments
        return lambda view: _length(measured(view))
    if isinstance(function, ast.Attribute) and function.attr == "get" and len(arguments) in (1, 2):
        return _get(function.value, *arguments)
    asked = isinstance(function, ast.Attribute) and function.attr == "has" and len(arguments) == 1
    if asked and (is_context(function.value) or is_data(function.value)):
        (named,) = arguments
        return lambda view: view.has(_key(named(view)))
    raise Unknown(node, "a call")


def _get(holder: ast.AST, key: Evaluate, default: Evaluate = lambda _: None) -> Evaluate:
    if is_context(holder) or is_data(holder):
        return lambda view: view.get(_key(key(view)), default(view))
    inner = compile_node(holder)

    def look(view: View) -> Any:
        value = inner(view)
        if isinstance(value, dict):
            return value.get(key(view), default(view))
        _nothing(value, "get")
        return default(view)

    return look


def _length(value: Any) -> int:
    return 0 if value is None else len(value)


def _boolean(node: Any) -> Evaluate:
    parts = [compile_node(one) for one in node.values]
    stop_at = isinstance(node.op, ast.Or)

    def evaluate(view: View) -> Any:
        value: Any = None
        for part in parts:
            value = part(view)
            if bool(value) is stop_at:
                return value
        return value

    return evaluate


def _unary(node: Any) -> Evaluate:
    apply = _UNARY.get(type(node.op))
    if apply is None:
        raise Unknown(node, "the operator ~")
    inner = compile_node(node.operand)
    return lambda view: apply(inner(view))


def _binary(node: Any) -> Evaluate:
    apply = _BINARY.get(type(node.op))
    if apply is None:
        raise Unknown(node, _WORDS.get(type(node.op), "this operator"))
    left, right = compile_node(node.left), compile_node(node.right)

    def evaluate(view: View) -> Any:
        one, other = left(view), right(view)
        if type(one) is not float or type(other) is not float:
            _check_operands(apply, one, other)
        return apply(one, other)

    return evaluate


_NUMBERS = (int, float, Decimal)
_TIMES = (dt.date, dt.datetime, dt.timedelta)
_SEQUENCES = (str, list, tuple)


def _check_operands(apply: Any, one: Any, other: Any) -> None:
    """Check operands: arithmetic is for numbers and times; text and lists can be joined. Limits keep it fast."""
    kinds = (type(one), type(other))
    if bool not in kinds and isinstance(one, _NUMBERS) and isinstance(other, _NUMBERS):
        for value in (one, other):
            if type(value) is int and not -MAX_NUMBER <= value <= MAX_NUMBER:
                raise ValueError("a number in it is larger than 2**256")
    elif apply is operator.add and isinstance(one, _SEQUENCES) and isinstance(other, _SEQUENCES):
        if len(one) + len(other) > MAX_LENGTH:
            raise ValueError(f"it joins to more than {MAX_LENGTH:,} characters or items")
    elif not (isinstance(one, (*_NUMBERS, *_TIMES)) and isinstance(other, (*_NUMBERS, *_TIMES))) or bool in kinds:
        raise TypeError(f"{kinds[0].__name__} and {kinds[1].__name__} cannot be combined in arithmetic")


def _compare(node: Any) -> Evaluate:
    steps: list[tuple[Callable[[Any, Any], Any], Evaluate]] = []
    for kind, right in zip(node.ops, node.comparators, strict=True):
        if isinstance(kind, (ast.In, ast.NotIn)) and is_data(right):
            steps.append((_COMPARE[type(kind)], _Keys))
        else:
            steps.append((_COMPARE[type(kind)], compile_node(right)))
    first = compile_node(node.left)
    if len(steps) == 1:
        ((apply, second),) = steps
        return lambda view: apply(first(view), second(view))

    def evaluate(view: View) -> Any:
        value = first(view)
        result: Any = True
        for apply, part in steps:
            following = part(view)
            result = apply(value, following)
            if not result:
                break
            value = following
        return result

    return evaluate


class _Keys:
    """`'key' in context.data`."""

    def __init__(self, view: View) -> None:
        self.view = view

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and self.view.has(key)


def _list(node: Any) -> Evaluate:
    parts = [compile_node(one) for one in node.elts]
    return lambda view: [part(view) for part in parts]


def _tuple(node: Any) -> Evaluate:
    parts = [compile_node(one) for one in node.elts]
    return lambda view: tuple(part(view) for part in parts)


def _set(node: Any) -> Evaluate:
    parts = [compile_node(one) for one in node.elts]
    return lambda view: {part(view) for part in parts}


def _dict(node: Any) -> Evaluate:
    if None in node.keys:
        raise Unknown(node, "a star")
    pairs = [(compile_node(key), compile_node(value)) for key, value in zip(node.keys, node.values, strict=True)]
    return lambda view: {key(view): value(view) for key, value in pairs}


def _choice(node: Any) -> Evaluate:
    test, body, otherwise = compile_node(node.test), compile_node(node.body), compile_node(node.orelse)
    return lambda view: body(view) if test(view) else otherwise(view)


def _inside(value: Any, container: Any) -> bool:
    return container is not None and value in container


def _is(one: Any, other: Any) -> bool:
    """Compare identity; equal values of one type count as identical: two equal strings may be two objects."""
    return one is other or (type(one) is type(other) and bool(one == other))


_UNARY: dict[type, Callable[[Any], Any]] = {ast.Not: operator.not_, ast.USub: operator.neg, ast.UAdd: operator.pos}
_BINARY: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod,
}  # fmt: skip
_COMPARE: dict[type, Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt,
    ast.GtE: operator.ge, ast.Is: _is, ast.IsNot: lambda one, other: not _is(one, other), ast.In: _inside,
    ast.NotIn: lambda value, container: not _inside(value, container),
}  # fmt: skip
_COMPILERS: dict[type, Callable[[Any], Evaluate]] = {
    ast.Constant: _constant, ast.Name: _name, ast.Attribute: _attribute, ast.Subscript: _subscript, ast.Call: _call,
    ast.BoolOp: _boolean, ast.UnaryOp: _unary, ast.BinOp: _binary, ast.Compare: _compare, ast.List: _list,
    ast.Tuple: _tuple, ast.Set: _set, ast.Dict: _dict, ast.IfExp: _choice,
}  # fmt: skip
_WORDS: dict[type, str] = {
    ast.Lambda: "a lambda", ast.ListComp: "a comprehension", ast.SetComp: "a comprehension",
    ast.DictComp: "a comprehension", ast.GeneratorExp: "a comprehension", ast.JoinedStr: "an f-string",
    ast.NamedExpr: "an assignment", ast.Await: "await", ast.Starred: "a star", ast.Slice: "a slice",
    ast.Pow: "a power", ast.LShift: "the operator <<", ast.RShift: "the operator >>", ast.BitOr: "the operator |",
    ast.BitAnd: "the operator &", ast.BitXor: "the operator ^", ast.MatMult: "the operator @",
}  # fmt: skip
