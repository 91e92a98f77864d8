"""Values of a run for reading: text as text, records as a table, the rest as a tree. Never as HTML, always limited.

A `Page` of values has a budget. If values exceed it, the page shows their size and a link (`more`) to all of them.
Values whose keys look like secrets are masked (promise 10).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec
from markupsafe import Markup

from neurocore.readable import counted, safe
from webapp.html.scalars import (
    LONG_TEXT,
    is_scalar,
    key_text,
    masked_values,
    number,
    plain_key,
    plain_types,
    scalar,
    short,
    whole_text,
)  # fmt: skip
from webapp.html.text import html, line, size

__all__ = ["Page", "Rows", "figures", "is_figures", "masked_values", "number", "plain_types", "records", "short"]

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


class Rows(msgspec.Struct, frozen=True):
    """A list of records as a table: the columns and the cells of each row (`ABSENT` if a record lacks the key)."""

    columns: list[str]
    cells: list[list[Any]]
    numeric: list[bool]


ABSENT: Any = object()


class Page:
    """Renders values one after another within one budget of characters. `more` is the address of the whole values.

    A `whole` page shows everything that fits the budget: long values are folded, and `cut` says whether something is
    missing.
    """

    def __init__(self, *, budget: int = 120_000, more: str | None = None, whole: bool = False) -> None:
        self.left = budget
        self.more = more
        self.whole = whole
        self.cut = False

    def value(self, value: Any, depth: int = 0) -> Markup:
        """Return the value as HTML."""
        value = plain_types(value)
        if self.left <= 0 or depth > MOST_DEPTH:
            return self._elsewhere(value)
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, dict):
            return self._mapping(value, depth)
        if isinstance(value, list):
            return self._list(value, depth)
        return self._spend(self._scalar(value))

    def text(self, text: str, at_once: int = LONG_TEXT) -> Markup:
        """Return a text: the first `at_once` characters, and the rest folded."""
        head, rest = self.parts(text, at_once)
        return head + rest

    def parts(self, text: str, at_once: int) -> tuple[Markup, Markup]:
        """Return the first part of a text and its folded rest, separately: a heading must not contain the rest."""
        head, further = text[:at_once], text[at_once : max(self.left, at_once)]
        rest = Markup("")
        if further:
            form = '<details class="fold"><summary class="dim">… {} more</summary><div class="text">{}</div></details>'
            rest = html(form, size(len(text) - at_once), safe(further))
        if len(head) + len(further) < len(text):
            rest += self._missing(size(len(text) - len(head) - len(further)))
        return self._spend(html("{}", safe(head))), self._spend(rest)

    def mapping(self, values: Mapping[Any, Any]) -> Markup:
        """Return the entries of a mapping, masked, each with its key as a term."""
        return self._mapping(dict(values), 0)

    def entry(self, key: str, value: Any) -> Markup:
        """Return the value of one entry of a mapping, masked if its key looks like a secret."""
        return self.value(masked_values({key: value})[key])

    def beside(self, now: Any, before: Any) -> Markup:
        """Return the figures of this run and of the last approved run, side by side."""
        heads = ("this run", "last approved")
        now, before = masked_values(plain_types(now)), masked_values(plain_types(before))
        return self._spend(figures(now, before, heads, length=self._key_length(120)))

    # ---------------------------------------------------------------- text

    def _text(self, text: str) -> Markup:
        if not text:
            return Markup('<span class="none">empty text</span>')
        lines = text.count("\n") + 1
        if len(text) <= LONG_TEXT and lines <= LONG_LINES:
            tag = "div" if lines > 1 else "span"
            return self._spend(html('<{0} class="text">{1}</{0}>', tag, safe(text)))
        most = max(self.left, LONG_TEXT)
        shown = text[: most if self.whole else min(MOST_TEXT, most)]
        what = f"{lines:,} lines, {size(len(text))}" if lines > 1 else size(len(text))
        rest = self._missing(size(len(text) - len(shown))) if len(shown) < len(text) else Markup("")
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
        rows = records(items, len(items) if self.whole else ROWS_SHOWN + ROWS_FOLDED)
        if rows is not None:
            return self._table(rows, depth)
        if len(items) <= 30 and all(is_scalar(item) for item in items):
            parts = [short(item, 160) for item in items]
            if sum(map(len, parts)) < 160:
                return self._spend(html('<span class="text">{}</span>', ", ".join(parts)))
        shown = self._items(items[:ITEMS_SHOWN], depth)
        body = html('<ol class="items">{}</ol>', Markup("").join(shown))
        further = items[ITEMS_SHOWN:]
        if self.whole and further and len(shown) == ITEMS_SHOWN:
            more = self._items(further, depth)
            body += html(
                '<details class="fold"><summary class="dim">{} more</summary>'
                '<ol class="items" start="{}">{}</ol></details>',
                counted(len(further), "item"), ITEMS_SHOWN + 1, Markup("").join(more),
            )  # fmt: skip
            shown += more
        body += self._rest(len(items) - len(shown), "item")
        return self._folded(body, counted(len(items), "item"), depth)

    def _items(self, items: list[Any], depth: int) -> list[Markup]:
        return [html("<li>{}</li>", self.value(item, depth + 1)) for item in self._while_budget(items, len(items))]

    def _table(self, rows: Rows, depth: int) -> Markup:
        head = Markup("").join(
            html('<th scope="col"{}>{}</th>', _num(numeric), line(column, self._key_length(60)))
            for column, numeric in zip(rows.columns, rows.numeric, strict=True)
        )
        first = self._rows(rows, rows.cells[:ROWS_SHOWN], depth)
        whole = html(
            '<div class="scroll" tabindex="0" role="group" aria-label="Table">{}</div>',
            html(_TABLE, head, Markup("").join(first)),
        )
        further = rows.cells[ROWS_SHOWN:]
        if further and len(first) == ROWS_SHOWN:
            more = self._rows(rows, further if self.whole else further[:ROWS_FOLDED], depth)
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
        values = masked_values(values)
        if is_figures(values):
            return self._spend(figures(values, length=self._key_length(120)))
        entries = []
        for key, item in self._while_budget(list(values.items()), len(values) if self.whole else 500):
            name = key_text(key, self._key_length(120))
            entries.append(html("<div><dt>{}</dt><dd>{}</dd></div>", name, self.value(item, depth + 1)))
        body = html('<dl class="tree">{}</dl>', Markup("").join(entries))
        body += self._rest(len(values) - len(entries), "key")
        return self._folded(body, counted(len(values), "key"), depth)

    # ---------------------------------------------------------------- the budget

    def _key_length(self, most: int) -> int:
        return max(most, self.left) if self.whole else most

    def _scalar(self, value: Any) -> Markup:
        """Return a scalar. On a `whole` page, long ones are folded like text."""
        told = whole_text(value) if self.whole else None
        return self._text(told) if told is not None and len(told) > LONG_TEXT else scalar(value)

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
        return self._missing(counted(count, noun)) if count > 0 else Markup("")

    def _missing(self, what: str) -> Markup:
        self.cut = True
        return html('<p class="rest">… {} more. {}</p>', what, self._link())

    def _elsewhere(self, value: Any) -> Markup:
        self.cut = True
        return html('<span class="rest">{} {}</span>', short(value, 60), self._link())

    def _link(self) -> Markup:
        return html('<a href="{}">Download all</a>', self.more) if self.more else Markup("")


# -------------------------------------------------------------------- figures and records


def is_figures(values: dict[Any, Any]) -> bool:
    """Return whether a mapping consists of a few named figures: short values, most of them numbers."""
    items = list(values.values())
    numbers = sum(isinstance(item, (int, float, Decimal)) and not isinstance(item, bool) for item in items)
    fits = all(is_scalar(item) and len(short(item, 40)) < 32 for item in items)
    return 2 <= len(items) <= 40 and numbers * 2 >= len(items) and fits


def figures(
    values: dict[Any, Any], before: dict[Any, Any] | None = None, heads: tuple[str, str] = ("", ""), length: int = 120
) -> Markup:
    """Return named figures in an aligned column. With `before`, those are beside them, and differences are marked."""
    keys = list(dict.fromkeys([*values, *(before or ())]))
    rows = []
    for key in keys:
        now, then = values.get(key, ABSENT), (before or {}).get(key, ABSENT)
        differs = before is not None and not (now is then or (type(now) is type(then) and now == then))
        cells = [_figure(now, "ins" if differs else "")]
        if before is not None:
            cells.append(_figure(then, "del" if differs else "dim"))
        rows.append(html('<tr><th scope="row">{}</th>{}</tr>', key_text(key, length), Markup("").join(cells)))
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


def records(items: list[Any], most: int = ROWS_SHOWN + ROWS_FOLDED) -> Rows | None:
    """Return a list as a table, or None if it is not a list of mappings that share most of a few keys.

    Only the first `most` items are read.
    """
    rows = [masked_values(plain) if isinstance(plain := plain_types(item), dict) else None for item in items[:most]]
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


def _all_numbers(values: Iterable[Any]) -> bool:
    found = [value for value in values if value is not None and value is not ABSENT]
    return bool(found) and all(
        isinstance(value, (int, float, Decimal)) and not isinstance(value, bool) for value in found
    )


def _num(numeric: bool) -> Markup:
    return Markup(' class="num"') if numeric else Markup("")
