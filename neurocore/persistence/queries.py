"""The named queries of `sql/queries`. Parameters have names in the files, and positions when they are executed.

SQLite binds by position faster than by name, so each query is rewritten once, and keeps the names in their order.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, TypeVar

_Function = TypeVar("_Function", bound=Callable[..., Any])
_Made = TypeVar("_Made")

#: A string literal, which may contain a colon, or a parameter.
_PARAMETER = re.compile(r"'(?:[^']|'')*'|:([a-z_]+)")


class Query:
    """A query with its name in its file. `filled` replaces the names in braces in `text`."""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.text = text

    @cached_property
    def parameters(self) -> tuple[str, ...]:
        """Return the name of each parameter, in the order of positions; one that is used twice appears twice."""
        return tuple(match[1] for match in _PARAMETER.finditer(self.text) if match[1])

    @cached_property
    def sql(self) -> str:
        """Return the statement with a position for each parameter."""
        return _PARAMETER.sub(lambda match: "?" if match[1] else match[0], self.text)

    def bind(self, values: Mapping[str, Any]) -> tuple[str, tuple[Any, ...]]:
        """Return what to execute: the statement, and a value for each position.

        Raises TypeError if a parameter has no value, or a value no parameter.
        """
        try:
            in_order = self._in_order(values)
        except KeyError:
            in_order = None
        if in_order is None or len(values) != self._count:
            raise TypeError(f"The query {self.name} takes {sorted({*self.parameters})}, not {sorted(values)}.")
        return self.sql, in_order

    def bind_some(self, values: Mapping[str, Any]) -> tuple[str, tuple[Any, ...]]:
        """Return what to execute, from values of which the query uses some."""
        return self.sql, self._in_order(values)

    def filled(self, **pieces: str) -> Query:
        """Return the query with a piece of SQL for each name in braces."""
        text = self.text
        for name, piece in pieces.items():
            text = text.replace(f"{{{name}}}", piece)
        return Query(self.name, text)

    @cached_property
    def _count(self) -> int:
        return len(set(self.parameters))

    @cached_property
    def _in_order(self) -> Callable[[Mapping[str, Any]], tuple[Any, ...]]:
        names = self.parameters
        if len(names) > 1:
            return operator.itemgetter(*names)
        if not names:
            return lambda values: ()
        (name,) = names
        return lambda values: (values[name],)


@lru_cache(maxsize=1)
def queries() -> dict[str, Query]:
    """Return every query by its name, with the column lists filled in."""
    columns, texts = _columns(), _texts()
    return {name: Query(name, text).filled(**columns) for name, text in texts.items() if name not in columns}


@lru_cache(maxsize=1)
def _columns() -> dict[str, str]:
    """Return the column lists that queries name in braces."""
    return {name: text for name, text in _texts().items() if name.startswith("narrow")}


@lru_cache(maxsize=1)
def _texts() -> dict[str, str]:
    folder = Path(__file__).parent / "sql" / "queries"  # importlib.resources is slow to start
    found: dict[str, list[str]] = {}
    name = None
    for line in "".join(file.read_text("utf-8") for file in sorted(folder.iterdir())).splitlines():
        if line.startswith("-- ") and ": " in line and " " not in line[3 : line.index(": ")]:
            name = line[3 : line.index(": ")]
            found[name] = []
        elif name is not None and line.strip() and not line.startswith("--"):
            found[name].append(line)
    return {name: "\n".join(lines) for name, lines in found.items()}


def takes(name: str, *parameters: str) -> Callable[[_Function], _Function]:
    """Decorate a function that returns the values of a query in their order, which is the fastest way.

    Raises TypeError, when the module is loaded, unless these are the query's parameters in their order.
    """
    wanted = queries()[name].parameters
    if wanted != parameters:
        raise TypeError(f"The query {name} takes {wanted}, not {parameters}.")
    return lambda function: function


def column_names(name: str) -> tuple[str, ...]:
    """Return the names of the columns in a list that queries begin with."""
    return tuple(re.split(r"[.\s]", column.strip())[-1] for column in _columns()[name].split(","))


def picker(name: str, *wanted: str) -> Callable[[Any], tuple[Any, ...]]:
    """Return a function that gets the columns with these names from a row that begins with a column list.

    Positions are determined once, so that no name is looked up per row. Raises LookupError for a name that is not in
    the list.
    """
    names = column_names(name)
    unknown = set(wanted) - set(names)
    if unknown:
        raise LookupError(f"The columns {name} have no {sorted(unknown)}.")
    places = [names.index(one) for one in wanted]
    first = places[0]
    if places == list(range(first, first + len(places))):
        return operator.itemgetter(slice(first, first + len(places)))
    return operator.itemgetter(*places)


def by_column(name: str, *, first: str | None = None) -> Callable[[Callable[..., _Made]], Callable[..., _Made]]:
    """Decorate a function whose parameters are columns of a list: it then takes a row that begins with that list.

    `first` names a parameter before the columns; it stays a parameter before the row.
    """

    def decorate(function: Callable[..., _Made]) -> Callable[..., _Made]:
        names = function.__code__.co_varnames[: function.__code__.co_argcount]
        if first is None:
            pick = picker(name, *names)
            return lambda row: function(*pick(row))
        if names[0] != first:
            raise TypeError(f"{function.__name__} begins with {names[0]}, not with {first}.")
        pick = picker(name, *names[1:])
        return lambda before, row: function(before, *pick(row))

    return decorate
