"""The environment of templates: Jinja2's, in which every operation that could do much work is checked first."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from jinja2 import StrictUndefined, nodes
from jinja2.exceptions import UndefinedError
from jinja2.filters import _GroupTuple
from jinja2.runtime import BlockReference, Context, LoopContext, Macro, TemplateReference, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Cycler, Joiner, Namespace, pass_context
from jinja2.visitor import NodeTransformer

from neurocore.skills.sandbox import filters
from neurocore.skills.sandbox.budget import Refused, current, number
from neurocore.skills.sandbox.methods import MISSING, Method, attribute, percent, written

#: Stands for a name that a template cannot use.
_EACH, _CONCAT, _COMPARE, _SLICE = " each", " concat", " compare", " slice"

_NUMBER = (int, float, Decimal, timedelta)
_CALCULATED = (date, Undefined)
_WITH_ITEMS = (str, dict, list, tuple, range)


class TemplateEnvironment(ImmutableSandboxedEnvironment):
    """Templates see plain data; loops, operators, calls and filters use the budget of their rendering."""

    intercepted_binops = frozenset({"+", "-", "*", "/", "//", "%", "**"})

    def __init__(self) -> None:
        super().__init__(
            undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True, optimized=False, finalize=_shown
        )
        self.globals = {"cycler": Cycler, "dict": dict, "joiner": Joiner, "namespace": Namespace, "range": _range}
        self.filters = {**filters.filters(), _EACH: _each, _CONCAT: _concat, _COMPARE: _compare, _SLICE: _slice}
        self.tests = filters.tests()
        self.policies["json.dumps_function"] = filters.dumps

    def _generate(self, source: nodes.Template, *args: Any, **kwargs: Any) -> str:
        return super()._generate(_Watched().visit(source), *args, **kwargs)

    @staticmethod
    def concat(parts: Iterable[str]) -> str:
        """Join what a macro, a block or a call has rendered."""
        texts = list(parts)
        current().room(sum(map(len, texts)))
        return "".join(texts)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Calculate, or join two texts or lists."""
        budget = current()
        budget.spend(1)
        if operator == "**":
            raise Refused("a template cannot raise to a power")
        if operator == "%" and isinstance(left, str):
            return percent(budget, left, right)
        if isinstance(left, _NUMBER) and isinstance(right, _NUMBER):
            return number(self.binop_table[operator](number(left), number(right)))
        if operator == "+" and isinstance(left, (str, list, tuple)) and isinstance(right, (str, list, tuple)):
            budget.room(len(left) + len(right))
        elif operator == "*":
            raise Refused("a template can multiply numbers only")
        elif not isinstance(left, _CALCULATED) and not isinstance(right, _CALCULATED):
            raise Refused(f"{type(left).__name__} {operator} {type(right).__name__} cannot be computed in a template")
        return self.binop_table[operator](left, right)

    def getattr(self, obj: Any, name: str) -> Any:
        """Return the attribute, the method or the item of this name."""
        if isinstance(obj, Namespace) and not name.startswith("_"):
            return getattr(obj, name, None) if hasattr(obj, name) else self.undefined(obj=obj, name=name)
        if isinstance(obj, TemplateReference):
            return obj[name]
        if isinstance(obj, Undefined):
            return getattr(obj, name)  # raises, and names what is missing
        if isinstance(obj, _GroupTuple) and name in ("grouper", "list"):
            return getattr(obj, name)
        found = attribute(obj, name)
        return self.undefined(obj=obj, name=name) if found is MISSING else _seen(found)

    def getitem(self, obj: Any, key: Any) -> Any:
        """Return the item at a place or under a key, else the attribute of this name."""
        if isinstance(obj, _WITH_ITEMS):
            try:
                return _seen(obj[key])
            except (TypeError, LookupError):
                pass
        return self.getattr(obj, key) if isinstance(key, str) else self.undefined(obj=obj, name=key)

    def call(self, context: Context, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Call a method of a value, a macro, or one of the few functions."""
        budget = current()
        budget.spend(5)
        if type(obj) is Method:
            for name in ("_loop_vars", "_block_vars"):  # what Jinja2 passes to functions that ask for the context
                kwargs.pop(name, None)
            return obj.call(self, budget, args, kwargs)
        if isinstance(obj, LoopContext):
            args = (budget.each(args[0]), *args[1:]) if args else args
        elif obj in (dict, Namespace):
            for one in args:
                budget.each(one)
        elif not isinstance(obj, _CALLED) and obj not in _FUNCTIONS:
            raise Refused(f"a value of type {type(obj).__name__} cannot be called")
        return _seen(context.call(obj, *args, **kwargs))


_CALLED = (Macro, BlockReference, Joiner, Undefined)


class _Watched(NodeTransformer):
    """Puts one of our filters where Jinja2 would write an operator of Python."""

    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        node.iter = _filtered(node.iter, _EACH)
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        return _filtered(nodes.List(node.nodes, lineno=node.lineno), _CONCAT)

    def visit_Compare(self, node: nodes.Compare) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        names = [nodes.Const(one.op, lineno=node.lineno) for one in node.ops]
        values = nodes.List([node.expr, *(one.expr for one in node.ops)], lineno=node.lineno)
        return _filtered(values, _COMPARE, *names)

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        if not isinstance(node.arg, nodes.Slice):
            return node
        parts = (node.arg.start, node.arg.stop, node.arg.step)
        return _filtered(node.node, _SLICE, *(one or nodes.Const(None, lineno=node.lineno) for one in parts))


def _filtered(node: Any, name: str, *args: nodes.Expr) -> nodes.Filter:
    return nodes.Filter(node, name, list(args), [], None, None, lineno=node.lineno)


# -------------------------------------------------------------------- what templates call


@pass_context  # keeps Jinja2 from calling it while it compiles a template
def _shown(context: Context, value: Any) -> str:  # noqa: ARG001
    return written(current(), value)


def _seen(value: Any) -> Any:
    if isinstance(value, str):
        current().spend(1 + len(value) // 256)
    return value


def _range(*limits: int) -> range:
    counted = range(*limits)
    current().count(len(counted))
    return counted


_FUNCTIONS = (Cycler, Joiner, _range)


def _each(value: Any) -> Any:
    return current().each(value)


def _concat(values: list[Any]) -> str:
    budget = current()
    texts = [written(budget, one) for one in values]
    budget.room(sum(map(len, texts)))
    return "".join(texts)


_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "eq": operator.eq, "ne": operator.ne, "gt": operator.gt, "gteq": operator.ge, "lt": operator.lt,
    "lteq": operator.le, "in": lambda one, other: one in other, "notin": lambda one, other: one not in other,
}  # fmt: skip


def _compare(values: list[Any], *names: str) -> Any:
    """Evaluate `a < b <= c` as Python does."""
    budget = current()
    result: Any = True
    for name, one, other in zip(names, values, values[1:], strict=False):
        budget.searched(one, other) if name in ("in", "notin") else budget.compared(one, other)
        result = _OPERATORS[name](one, other)
        if not result:
            break
    return result


def _slice(value: Any, start: Any, stop: Any, step: Any) -> Any:
    if isinstance(value, Undefined):
        raise UndefinedError(value._undefined_message)
    found = value[slice(start, stop, step)]
    current().spend(1 + len(found) // 16)
    return found
