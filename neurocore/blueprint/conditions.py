"""Conditions: expressions over the context, parsed once, evaluated by walking a short list of allowed nodes.

simpleeval was the first choice and is not used: it evaluates attributes by getattr with a deny-list, and a context needs
attributes that only ever look keys up; what would be left of it after overriding names, attributes, calls, powers and
lengths is less than this walk. Nothing here calls anything but `context.get`, `context.has` and `len`.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from neurocore.errors import ConditionError

MAX_CHARACTERS = 1_000
MAX_DEPTH = 40
MAX_NUMBER = 2**256
MAX_LENGTH = 100_000


class View(Protocol):
    """What a condition looks at: a context, or anything with its two methods."""

    def get(self, key: str, default: Any = None) -> Any:
        """The value at `key`, or `default`."""

    def has(self, key: str) -> bool:
        """Whether `key` is set."""


class Condition:
    """A parsed expression. `keys` are the context keys it names outright."""

    __slots__ = ("text", "keys", "_evaluate")

    def __init__(self, text: str, keys: frozenset[str], evaluate: Callable[[View], Any]) -> None:
        self.text = text
        self.keys = keys
        self._evaluate = evaluate

    def value(self, view: View) -> Any:
        """What the expression comes to. Raises ConditionError where it cannot be evaluated."""
        try:
            return self._evaluate(view)
        except ConditionError:
            raise
        except (TypeError, ValueError, ArithmeticError, LookupError, AttributeError, RecursionError) as error:
            raise ConditionError(f"The condition `{self.text}` cannot be evaluated: {error}.") from error

    def evaluate(self, view: View) -> bool:
        """Whether the condition holds."""
        return bool(self.value(view))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Condition) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __repr__(self) -> str:
        return f"Condition({self.text!r})"


def compile_condition(text: str) -> Condition:
    """Parse an expression. Raises ConditionError, with the column, for what conditions have no word for."""
    if not isinstance(text, str):
        raise ConditionError(f"A condition is text, not {type(text).__name__}; quote it.")
    if len(text) > MAX_CHARACTERS:
        raise ConditionError(f"A condition has at most {MAX_CHARACTERS} characters; this one has {len(text):,}.")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        column = f" at column {error.offset}" if isinstance(error, SyntaxError) and error.offset else ""
        raise ConditionError(f"The condition `{_short(text)}` cannot be parsed{column}.") from None
    _check_depth(tree, text)
    try:
        evaluate = _compile(tree)
    except _Unknown as unknown:
        column = getattr(unknown.node, "col_offset", 0) + 1
        raise ConditionError(
            f"The condition `{_short(text)}` uses {unknown.what} at column {column}; conditions know context.data.<key>, "
            "context.get, context.has, literals, comparison, arithmetic, and/or/not/in/is, subscripts and len."
        ) from None
    return Condition(text, frozenset(_keys(tree)), evaluate)


class _Unknown(Exception):
    def __init__(self, node: ast.AST, what: str) -> None:
        self.node = node
        self.what = what


def _short(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:77]}…"


def _check_depth(tree: ast.AST, text: str) -> None:
    level: list[ast.AST] = [tree]
    for _ in range(MAX_DEPTH):
        level = [child for node in level for child in ast.iter_child_nodes(node)]
        if not level:
            return
    raise ConditionError(f"The condition `{_short(text)}` is nested more than {MAX_DEPTH} deep.")


def _compile(node: ast.AST) -> Callable[[View], Any]:
    compiler = _COMPILERS.get(type(node))
    if compiler is None:
        raise _Unknown(node, _WORDS.get(type(node), type(node).__name__))
    return compiler(node)


def _constant(node: Any) -> Callable[[View], Any]:
    value = node.value
    if type(value) is int:
        _checked(value)
    elif not (value is None or type(value) in (bool, float, str)):
        raise _Unknown(node, f"a {type(value).__name__} literal")
    return lambda view: value


def _name(node: Any) -> Callable[[View], Any]:
    raise _Unknown(node, f"the name {node.id[:40]!r}")


def _attribute(node: Any) -> Callable[[View], Any]:
    if node.attr.startswith("_"):
        raise _Unknown(node, f"the attribute {node.attr[:40]!r}")
    key = node.attr
    if _is_data(node.value):
        return lambda view: view.get(key)
    if _is_context(node.value):
        raise _Unknown(node, f"context.{key[:40]}")
    inner = _compile(node.value)

    def look(view: View) -> Any:
        value = inner(view)
        return value.get(key) if isinstance(value, dict) else _missing(value, key)

    return look


def _missing(value: Any, key: Any) -> None:
    if value is None:
        return None
    raise TypeError(f"{type(value).__name__} has no {key!r}")


def _subscript(node: Any) -> Callable[[View], Any]:
    index = _compile(node.slice)
    if _is_data(node.value):
        return lambda view: view.get(_key(index(view)))
    inner = _compile(node.value)

    def look(view: View) -> Any:
        value, place = inner(view), index(view)
        if isinstance(value, dict):
            return value.get(place)
        if value is None:
            return None
        if isinstance(value, (list, tuple, str)):
            return value[place] if -len(value) <= place < len(value) else None
        return _missing(value, place)

    return look


def _key(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"a context key is text, not {type(value).__name__}")
    return value


def _call(node: Any) -> Callable[[View], Any]:
    if node.keywords or any(isinstance(one, ast.Starred) for one in node.args):
        raise _Unknown(node, "a keyword or starred argument")
    arguments = [_compile(one) for one in node.args]
    function = node.func
    if isinstance(function, ast.Name) and function.id == "len" and len(arguments) == 1:
        return lambda view: _length(arguments[0](view))
    if isinstance(function, ast.Attribute) and (_is_context(function.value) or _is_data(function.value)):
        if function.attr == "get" and len(arguments) in (1, 2):
            default = arguments[1] if len(arguments) == 2 else lambda view: None
            return lambda view: view.get(_key(arguments[0](view)), default(view))
        if function.attr == "has" and len(arguments) == 1:
            return lambda view: view.has(_key(arguments[0](view)))
    raise _Unknown(node, "a call")


def _length(value: Any) -> int:
    return 0 if value is None else len(value)


def _boolean(node: Any) -> Callable[[View], Any]:
    parts = [_compile(one) for one in node.values]
    stop_at = isinstance(node.op, ast.Or)

    def evaluate(view: View) -> Any:
        value: Any = None
        for part in parts:
            value = part(view)
            if bool(value) is stop_at:
                return value
        return value

    return evaluate


def _unary(node: Any) -> Callable[[View], Any]:
    apply = _UNARY.get(type(node.op))
    if apply is None:
        raise _Unknown(node, "this operator")
    inner = _compile(node.operand)
    return lambda view: apply(inner(view))


def _binary(node: Any) -> Callable[[View], Any]:
    apply = _BINARY.get(type(node.op))
    if apply is None:
        raise _Unknown(node, "a power" if isinstance(node.op, ast.Pow) else "this operator")
    left, right = _compile(node.left), _compile(node.right)

    def evaluate(view: View) -> Any:
        one, other = left(view), right(view)
        for value in (one, other):
            if not isinstance(value, (int, float, str, list, tuple)) or isinstance(value, bool):
                if not hasattr(type(value), "as_tuple") and not hasattr(type(value), "total_seconds"):
                    if type(value).__module__ != "datetime":
                        raise TypeError(f"arithmetic with {type(value).__name__}")
        if apply is operator.mul and not all(isinstance(value, (int, float)) or hasattr(value, "as_tuple") for value in (one, other)):
            raise TypeError("only numbers can be multiplied")
        if apply is operator.mod and isinstance(one, str):
            raise TypeError("only numbers have a remainder")
        return _checked(apply(one, other))

    return evaluate


def _checked(value: Any) -> Any:
    if isinstance(value, int) and abs(value) > MAX_NUMBER:
        raise ConditionError("A number in a condition is larger than 2**256.")
    if isinstance(value, (str, list, tuple)) and len(value) > MAX_LENGTH:
        raise ConditionError(f"A value in a condition is longer than {MAX_LENGTH:,}.")
    return value


def _compare(node: Any) -> Callable[[View], Any]:
    operators = [_COMPARE[type(one)] for one in node.ops]
    parts = [_compile(one) for one in (node.left, *node.comparators)]
    if len(parts) == 2:
        left, right, (apply,) = parts[0], parts[1], operators
        return lambda view: apply(left(view), right(view))

    def evaluate(view: View) -> bool:
        value = parts[0](view)
        for apply, part in zip(operators, parts[1:], strict=True):
            following = part(view)
            if not apply(value, following):
                return False
            value = following
        return True

    return evaluate


def _list(node: Any) -> Callable[[View], Any]:
    parts = [_compile(one) for one in node.elts]
    return lambda view: [part(view) for part in parts]


def _choice(node: Any) -> Callable[[View], Any]:
    test, body, otherwise = _compile(node.test), _compile(node.body), _compile(node.orelse)
    return lambda view: body(view) if test(view) else otherwise(view)


def _is_context(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and node.id == "context"


def _is_data(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and node.attr == "data" and _is_context(node.value)


def _keys(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and _is_data(node.value) and node.attr not in ("get", "has"):
            yield node.attr
        elif isinstance(node, ast.Subscript) and _is_data(node.value) and isinstance(node.slice, ast.Constant):
            yield str(node.slice.value)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
            first = node.args[0]
            if node.func.attr == "get" and isinstance(first, ast.Constant) and isinstance(first.value, str):
                yield first.value


def _inside(value: Any, container: Any) -> bool:
    return container is not None and value in container


_UNARY: dict[type, Callable[[Any], Any]] = {ast.Not: operator.not_, ast.USub: operator.neg, ast.UAdd: operator.pos}
_BINARY: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod,
}  # fmt: skip
_COMPARE: dict[type, Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt,
    ast.GtE: operator.ge, ast.Is: operator.is_, ast.IsNot: operator.is_not, ast.In: _inside,
    ast.NotIn: lambda value, container: not _inside(value, container),
}  # fmt: skip
_COMPILERS: dict[type, Callable[[Any], Callable[[View], Any]]] = {
    ast.Constant: _constant, ast.Name: _name, ast.Attribute: _attribute, ast.Subscript: _subscript, ast.Call: _call,
    ast.BoolOp: _boolean, ast.UnaryOp: _unary, ast.BinOp: _binary, ast.Compare: _compare, ast.List: _list,
    ast.Tuple: _list, ast.IfExp: _choice,
}  # fmt: skip
_WORDS: dict[type, str] = {
    ast.Lambda: "a lambda", ast.ListComp: "a comprehension", ast.GeneratorExp: "a comprehension",
    ast.JoinedStr: "an f-string", ast.NamedExpr: "an assignment", ast.Dict: "a dict", ast.Set: "a set",
    ast.Await: "await", ast.Slice: "a slice", ast.Starred: "a star",
}  # fmt: skip
