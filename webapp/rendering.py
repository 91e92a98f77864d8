"""Values of a run for reading: text as text, records as a table, the rest as a tree. Never as HTML, never without end.

A `Page` of values has a budget; what goes beyond it is named with its size, and a link (`more`) leads to the whole.
Values under keys that are called like credentials are masked (promise 10).
"""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import enum
import math
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec
from markupsafe import Markup, escape

from neurocore import codec
from neurocore.codec import SecretRef
from neurocore.readable import counted, safe
from neurocore.secrets import looks_secret, mask
from webapp.text import html, line, size

LONG_TEXT = 400
LONG_LINES = 8
MOST_TEXT = 20_000
ROWS_SHOWN = 20
ROWS_FOLDED = 200
COLUMNS = 14
ITEMS_SHOWN = 50
OPEN_DEPTH = 2
FOLDED_FROM = 700
MOST_DEPTH = 40

_TABLE = '<table class="records"><thead><tr>{}</tr></thead><tbody>{}</tbody></table>'
NONE = Markup('<span class="none">none</span>')


class Rows(msgspec.Struct, frozen=True):
    """A list of records as a table: its columns and each row's cells (`ABSENT` where a record has no such key)."""

    columns: list[str]
    cells: list[list[Any]]
    numeric: list[bool]


ABSENT: Any = object()


class Page:
    """Renders values one after another within one budget of characters. `more` is where a whole value can be had."""

    def __init__(self, *, budget: int = 120_000, more: str | None = None) -> None:
        self.left = budget
        self.more = more

    def value(self, value: Any, depth: int = 0) -> Markup:
        """The value as HTML."""
        value = plain_types(value)
        if self.left <= 0 or depth > MOST_DEPTH:
            return self._elsewhere(value)
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, dict):
            return self._mapping(value, depth)
        if isinstance(value, list):
            return self._list(value, depth)
        return self._spend(scalar(value))

    def mapping(self, values: Mapping[Any, Any]) -> Markup:
        """A mapping's entries, masked, each with its key as a term."""
        return self._mapping(dict(values), 0)

    def entry(self, key: str, value: Any) -> Markup:
        """The value of a mapping's entry: masked if its key is called like a credential."""
        return self.value(veiled({key: value})[key])

    def beside(self, now: Any, before: Any) -> Markup:
        """Two sets of named figures side by side: this run's and the last approved one's."""
        heads = ("this run", "last approved")
        return self._spend(figures(veiled(plain_types(now)), veiled(plain_types(before)), heads))

    # ---------------------------------------------------------------- text

    def _text(self, text: str) -> Markup:
        if not text:
            return Markup('<span class="none">empty text</span>')
        lines = text.count("\n") + 1
        if len(text) <= LONG_TEXT and lines <= LONG_LINES:
            tag = "div" if lines > 1 else "span"
            return self._spend(html('<{0} class="text">{1}</{0}>', tag, safe(text)))
        shown = text[: min(MOST_TEXT, max(self.left, LONG_TEXT))]
        what = f"{lines:,} lines, {size(len(text))}" if lines > 1 else size(len(text))
        rest = Markup("")
        if len(shown) < len(text):
            rest = html('<p class="rest">… {} more. {}</p>', size(len(text) - len(shown)), self._link())
        return self._spend(
            html(
                '<details class="fold"><summary><span class="text">{}…</span> <span class="dim">{}</span></summary>'
                '<div class="text">{}</div>{}</details>',
                line(text[:LONG_TEXT], 160).removesuffix("…"),
                what,
                safe(shown),
                rest,
            )
        )

    # ---------------------------------------------------------------- lists

    def _list(self, items: list[Any], depth: int) -> Markup:
        if not items:
            return Markup('<span class="none">empty list</span>')
        rows = records(items)
        if rows is not None:
            return self._table(rows, depth)
        if all(is_scalar(item) for item in items) and len(items) <= 30:
            parts = [short(item, 60) for item in items]
            if sum(map(len, parts)) < 160:
                return self._spend(html('<span class="text">{}</span>', ", ".join(parts)))
        shown = [html("<li>{}</li>", self.value(item, depth + 1)) for item in self._while_budget(items, ITEMS_SHOWN)]
        body = html('<ol class="items">{}</ol>', Markup("").join(shown))
        body += self._rest(len(items) - len(shown), "item")
        return self._folded(body, counted(len(items), "item"), depth)

    def _table(self, rows: Rows, depth: int) -> Markup:
        head = Markup("").join(
            html('<th scope="col"{}>{}</th>', _num(numeric), line(column, 60))
            for column, numeric in zip(rows.columns, rows.numeric, strict=True)
        )
        first = self._rows(rows, rows.cells[:ROWS_SHOWN], depth)
        whole = html(
            '<div class="scroll" tabindex="0" role="group" aria-label="Table">{}</div>',
            html(_TABLE, head, Markup("").join(first)),
        )
        further = rows.cells[ROWS_SHOWN:]
        if further and len(first) == ROWS_SHOWN:
            more = self._rows(rows, further[:ROWS_FOLDED], depth)
            whole += html(
                '<details class="fold"><summary>{} more</summary><div class="scroll" tabindex="0" role="group" '
                'aria-label="More rows">{}</div>{}</details>',
                counted(len(further), "row"),
                html(_TABLE, head, Markup("").join(more)),
                self._rest(len(further) - len(more), "row"),
            )
        else:
            whole += self._rest(len(rows.cells) - len(first), "row")
        return whole

    def _rows(self, rows: Rows, cells: list[list[Any]], depth: int) -> list[Markup]:
        done = []
        for row in self._while_budget(cells, len(cells)):
            parts = []
            for cell, numeric in zip(row, rows.numeric, strict=True):
                shown = Markup("") if cell is ABSENT else self.value(cell, max(depth, OPEN_DEPTH) + 1)
                parts.append(html("<td{}>{}</td>", _num(numeric), shown))
            done.append(html("<tr>{}</tr>", Markup("").join(parts)))
        return done

    # ---------------------------------------------------------------- mappings

    def _mapping(self, values: dict[Any, Any], depth: int) -> Markup:
        if not values:
            return Markup('<span class="none">empty</span>')
        values = veiled(values)
        if is_figures(values):
            return self._spend(figures(values))
        entries = []
        for key, item in self._while_budget(list(values.items()), 500):
            entries.append(html("<div><dt>{}</dt><dd>{}</dd></div>", key_text(key), self.value(item, depth + 1)))
        body = html('<dl class="tree">{}</dl>', Markup("").join(entries))
        body += self._rest(len(values) - len(entries), "key")
        return self._folded(body, counted(len(values), "key"), depth)

    # ---------------------------------------------------------------- the budget

    def _spend(self, html: Markup) -> Markup:
        self.left -= len(html)
        return html

    def _while_budget(self, items: Sequence[Any], most: int) -> Iterable[Any]:
        for item in items[:most]:
            if self.left <= 0:
                return
            self.left -= 20
            yield item

    def _folded(self, body: Markup, what: str, depth: int) -> Markup:
        if depth < OPEN_DEPTH or len(body) < FOLDED_FROM:
            return body
        return html('<details class="fold"><summary class="dim">{}</summary>{}</details>', what, body)

    def _rest(self, count: int, noun: str) -> Markup:
        if count <= 0:
            return Markup("")
        return html('<p class="rest">… {} more. {}</p>', counted(count, noun), self._link())

    def _elsewhere(self, value: Any) -> Markup:
        return html('<span class="rest">{} {}</span>', short(value, 60), self._link())

    def _link(self) -> Markup:
        return html('<a href="{}">Download the whole</a>', self.more) if self.more else Markup("")


# -------------------------------------------------------------------- single values


def scalar(value: Any) -> Markup:
    """A value that is neither text nor has parts."""
    if value is None:
        return NONE
    if isinstance(value, bool):
        return html('<span class="bool">{}</span>', "yes" if value else "no")
    if isinstance(value, (int, float, Decimal)):
        return html('<span class="number">{}</span>', number(value))
    if isinstance(value, SecretRef):
        return html('<code title="taken from the environment when a step starts">{}</code>', safe(value.reference))
    return html('<span class="text">{}</span>', short(value, LONG_TEXT))


def number(value: float | Decimal) -> str:
    """The digits as they are; amounts (decimal fractions) grouped by thousands, whole numbers (they may be ids) not."""
    if isinstance(value, int):
        if value.bit_length() > 2000:
            return f"a number of about {int(value.bit_length() * 0.30103):,} digits"
        return str(value)
    text = str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return {"nan": "not a number", "inf": "∞", "-inf": "−∞"}[text]
    whole, point, fraction = text.partition(".")
    sign, digits = ("-", whole[1:]) if whole.startswith("-") else ("", whole)
    if not digits.isdigit() or len(text) > 60:
        return text[:200]
    return f"{sign}{int(digits):,}{point}{fraction}"


def short(value: Any, limit: int = 80) -> str:
    """A value on one line: text cut, lists and mappings by size. Safe text, not HTML."""
    value = plain_types(value)
    if isinstance(value, str):
        return line(value, limit) if value else "empty text"
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (int, float, Decimal)):
        return number(value)
    if isinstance(value, (list, dict)):
        return _brief(value, limit)
    if isinstance(value, SecretRef):
        return line(value.reference, limit)
    if isinstance(value, (bytes, bytearray, memoryview)):
        data = bytes(value)
        text = base64.b64encode(data[:48]).decode()
        return f"{size(len(data))}: base64 {text}{'…' if len(data) > 48 else ''}"
    if isinstance(value, dt.datetime):
        return value.isoformat(" ")
    if isinstance(value, (dt.date, dt.time)):
        return value.isoformat()
    if isinstance(value, enum.Enum):
        return line(f"{type(value).__name__}.{value.name}", limit)
    try:
        return line(str(value), limit)
    except Exception:  # a class of the project may not be able to say itself
        return line(f"a {type(value).__name__}", limit)


def _brief(value: list[Any] | dict[Any, Any], limit: int) -> str:
    """A small list or mapping with what is in it, a large one by its size."""
    if isinstance(value, list):
        parts = [short(item, 40) for item in value] if 0 < len(value) <= 8 and all(map(is_scalar, value)) else []
        name = counted(len(value), "item")
    else:
        small = 0 < len(value) <= 6 and all(map(is_scalar, value.values()))
        parts = [f"{key_text(key)} {short(item, 40)}" for key, item in veiled(value).items()] if small else []
        name = counted(len(value), "key")
    text = ", ".join(parts)
    return text if parts and len(text) <= limit else name


def plain_types(value: Any) -> Any:
    """Tuples and sets as lists, objects with fields as mappings; everything else as it is."""
    kind = type(value)
    if kind in (str, dict, list, int, float, bool) or value is None or kind is SecretRef:
        return value
    if kind is codec.Unreadable:
        return codec.plain(value)
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, (set, frozenset)):
        return sorted(value, key=lambda item: (type(item).__name__, str(item)))
    if isinstance(value, msgspec.Struct):
        return {name: getattr(value, name, None) for name in value.__struct_fields__}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {one.name: getattr(value, one.name, None) for one in dataclasses.fields(value)}
    if callable(getattr(value, "model_dump", None)):
        return dict(value.model_dump())
    return value


def veiled(values: dict[Any, Any]) -> dict[Any, Any]:
    """The mapping with what is called like a credential masked. What is inside its values, when that is shown."""
    return {key: mask({key: item})[key] if _is_credential(key) else item for key, item in values.items()}


def _is_credential(key: Any) -> bool:
    return isinstance(key, str) and looks_secret(key[:200])


def is_scalar(value: Any) -> bool:
    """Whether a value has no parts and fits a table's cell."""
    value = plain_types(value)
    return not isinstance(value, (dict, list)) and not (isinstance(value, str) and len(value) > LONG_TEXT)


def is_figures(values: dict[Any, Any]) -> bool:
    """Whether a mapping is a few named figures: short values, most of them numbers."""
    items = list(values.values())
    numbers = sum(isinstance(item, (int, float, Decimal)) and not isinstance(item, bool) for item in items)
    fits = all(is_scalar(item) and len(short(item, 40)) < 32 for item in items)
    return 2 <= len(items) <= 40 and numbers * 2 >= len(items) and fits


def figures(values: dict[Any, Any], before: dict[Any, Any] | None = None, heads: tuple[str, str] = ("", "")) -> Markup:
    """Named figures in a column, aligned; with `before`, theirs beside them, and the differences marked."""
    keys = list(dict.fromkeys([*values, *(before or ())]))
    rows = []
    for key in keys:
        now, then = values.get(key, ABSENT), (before or {}).get(key, ABSENT)
        differs = before is not None and not (now is then or (type(now) is type(then) and now == then))
        cells = [_figure(now, "ins" if differs else "")]
        if before is not None:
            cells.append(_figure(then, "del" if differs else "dim"))
        rows.append(html('<tr><th scope="row">{}</th>{}</tr>', key_text(key), Markup("").join(cells)))
    head = Markup("")
    if before is not None:
        head = html(
            '<thead><tr><td></td><th scope="col" class="num">{}</th><th scope="col" class="num">{}</th></tr></thead>',
            *heads,
        )
    return html('<table class="figures">{}<tbody>{}</tbody></table>', head, Markup("").join(rows))


def _figure(value: Any, mark: str) -> Markup:
    if value is ABSENT:
        return Markup('<td class="num"></td>')
    shown = scalar(value) if not isinstance(value, str) else html('<span class="text">{}</span>', safe(value))
    if mark in ("ins", "del"):
        shown = html("<{0}>{1}</{0}>", mark, shown)
    return html('<td class="num{}">{}</td>', Markup(" dim") if mark == "dim" else Markup(""), shown)


def records(items: list[Any]) -> Rows | None:
    """The list as a table when it is one: mappings that share most of a few keys."""
    rows = [
        veiled(plain) if isinstance(plain := plain_types(item), dict) else None
        for item in items[: ROWS_SHOWN + ROWS_FOLDED]
    ]
    if not rows or not all(rows):
        return None
    mappings = [row for row in rows if row is not None]
    columns = list(dict.fromkeys(key for row in mappings for key in row))
    if len(columns) > COLUMNS or sum(map(len, mappings)) < 0.5 * len(columns) * len(mappings):
        return None
    cells = [[row.get(column, ABSENT) for column in columns] for row in mappings]
    cells += [[] for _ in items[len(rows) :]]
    numeric = [_all_numbers(row[place] for row in cells if row) for place in range(len(columns))]
    return Rows(columns=[str(plain_key(column)) for column in columns], cells=cells, numeric=numeric)


def key_text(key: Any) -> str:
    """A mapping's key for people."""
    return line(plain_key(key), 120)


def plain_key(key: Any) -> str:
    """Text as it is, anything else in brackets of its type."""
    return key if isinstance(key, str) else short(key, 100)


def _all_numbers(values: Iterable[Any]) -> bool:
    found = [value for value in values if value is not None and value is not ABSENT]
    return bool(found) and all(
        isinstance(value, (int, float, Decimal)) and not isinstance(value, bool) for value in found
    )


def _num(numeric: bool) -> Markup:
    return Markup(' class="num"') if numeric else Markup("")


def value_text(value: Any) -> Markup:
    """A short value inside a sentence or a difference, escaped."""
    return escape(short(value, 160))
