"""Output to the terminal: data on stdout, messages on stderr, colour only on a terminal, tables, JSON."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple, TextIO

from neurocore import numerals, readable
from neurocore.cli.text import cut, safe, told_apart, width, wrapped
from neurocore.readable import safe_json

__all__ = [
    "Cell",
    "Column",
    "columns",
    "complain",
    "emit",
    "fits",
    "is_terminal",
    "mark",
    "out",
    "paint",
    "say",
    "table",
    "warn",
]

_CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "blue": "34", "cyan": "36"}

#: A sign and a colour for each status of a run or step, so that colour is never the only difference.
MARKS = {
    "completed": ("✓", "green"),
    "failed": ("✗", "red"),
    "suspended": ("◌", "yellow"),
    "running": ("●", "cyan"),
    "cancelled": ("⊘", "dim"),
    "rejected": ("✗", "red"),
    "skipped": ("–", "dim"),
    "lost": ("!", "red"),
    "owed": ("›", "yellow"),
    "pending": ("›", "yellow"),
    "cannot_tell": ("?", "yellow"),
    "held": ("=", "yellow"),
    "voided": ("⊘", "dim"),
    "warning": ("!", "yellow"),
}
#: Matches what `paint` writes.
_PAINTED = re.compile(r"(\x1b\[(?:[0-2]|3[1-6])(?:;(?:[12]|3[1-6]))*m)")
_ASCII = str.maketrans({
    "✓": "+", "✗": "x", "◌": "o", "●": "*", "⊘": "/", "–": "-", "›": ">", "…": "~", "→": ">", "·": "-", "•": "*",
    "“": '"', "”": '"', "’": "'", "×": "x", "↵": "|", "│": "|",
})  # fmt: skip


def is_terminal(stream: TextIO | None = None) -> bool:
    """Return whether this stream (default: stdout) is a terminal."""
    stream = stream if stream is not None else sys.stdout
    try:
        return stream.isatty()
    except (AttributeError, ValueError):
        return False


def colourful(stream: TextIO | None = None) -> bool:
    """Return whether to use colour: only on a terminal that supports it, and not if `NO_COLOR` is set."""
    return is_terminal(stream) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def columns() -> int:
    """Return the width to fill: `COLUMNS` if set, else the width of the terminal, else 80."""
    wish = numerals.whole(os.environ.get("COLUMNS", "").strip())
    if wish is not None and wish > 0:
        return max(20, wish)
    try:
        return max(20, os.get_terminal_size(sys.__stdout__.fileno() if sys.__stdout__ else 1).columns or 80)
    except (OSError, ValueError, AttributeError):
        return 80


def paint(text: str, *styles: str, stream: TextIO | None = None) -> str:
    """Return the text in these styles (`bold`, `dim`, a colour) if the stream shows colour, else unchanged."""
    codes = ";".join(_CODES[style] for style in styles if style)
    return f"\x1b[{codes}m{text}\x1b[0m" if codes and colourful(stream) else text


def mark(status: str, stream: TextIO | None = None) -> str:
    """Return the coloured sign of a status."""
    sign, colour = MARKS.get(status, ("·", ""))
    return paint(sign, colour, stream=stream)


def out(text: str = "") -> None:
    """Print one or more lines of data on stdout. Pass text through `line` first if it must stay on one line."""
    _write(sys.stdout, f"{text}\n")


def say(text: str = "") -> None:
    """Print a message on stderr. A closed stderr does not end the command."""
    try:
        _write(sys.stderr, f"{text}\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        pass


def complain(sentence: str, kind: str = "Error", style: str = "red") -> None:
    """Print an error or a warning on stderr; on a terminal, break lines between words."""
    first, *rest = safe(sentence).split("\n")
    text = "\n".join([f"{kind}: {first}", *(one if one[:1] in ("", " ") else f"  {one}" for one in rest)])
    if is_terminal(sys.stderr):
        text = "\n".join(part for one in text.split("\n") for part in _broken(one))
    say(paint(f"{kind}:", "bold", style, stream=sys.stderr) + text.removeprefix(f"{kind}:"))


def _broken(text: str) -> list[str]:
    indent = text[: len(text) - len(text.lstrip(" "))]
    return wrapped(text.lstrip(" "), columns(), indent, f"{indent}  ")


def warn(sentence: str) -> None:
    """Print a warning on stderr."""
    complain(sentence, "Warning", "yellow")


def emit(document: Any) -> None:
    """Print a `--json` document on stdout: UTF-8, indented, with terminal control characters escaped."""
    import json

    import msgspec

    plain = msgspec.to_builtins(document, str_keys=True)
    ascii_only = "utf" not in (sys.stdout.encoding or "utf-8").lower()
    limit = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)  # a run may contain 10^5000, and it must be printed
    try:
        text = json.dumps(plain, indent=2, ensure_ascii=ascii_only)
    finally:
        sys.set_int_max_str_digits(limit)
    _put(sys.stdout, safe_json(text) + "\n")


def _write(stream: TextIO, text: str) -> None:
    """Write lines. Terminal control characters are escaped, except our own colours."""
    parts = _PAINTED.split(text) if "\x1b" in text and colourful(stream) else [text]
    parts[::2] = [readable.safe(part) for part in parts[::2]]
    _put(stream, "".join(parts))


def _put(stream: TextIO, text: str) -> None:
    try:
        stream.write(text)
    except UnicodeEncodeError:
        encoding = stream.encoding or "ascii"
        stream.write(text.translate(_ASCII).encode(encoding, "backslashreplace").decode(encoding))


class Column(NamedTuple):
    """A column of a table.

    `least` is the width to which it may shrink (0: it never shrinks). `goes` says when it is removed from a table that
    is too wide: `first`, before others shrink, or `last`, if shrinking is not enough.
    """

    name: str
    right: bool = False
    least: int = 0
    goes: str = ""


class Cell(NamedTuple):
    """A text with a style."""

    text: str
    style: str = ""


def table(heads: Sequence[Column], rows: Sequence[Sequence[str | Cell]], *, room: int | None = None) -> str:
    """Return rows in aligned columns that fit the terminal (80 columns in a pipe), cut with `…` where needed."""
    cells = [[cell if isinstance(cell, Cell) else Cell(cell) for cell in row] for row in rows]
    space = room or columns()
    for when in ("first", "last"):
        while _too_wide(heads, cells, space, shrunk=when == "last") and any(head.goes == when for head in heads):
            place = max(i for i, head in enumerate(heads) if head.goes == when)
            heads = [*heads[:place], *heads[place + 1 :]]
            cells = [[*row[:place], *row[place + 1 :]] for row in cells]
    widths = _fit(heads, cells, space)
    for place, size in enumerate(widths):
        shown = told_apart([row[place].text for row in cells], size)
        for row, text in zip(cells, shown, strict=True):
            row[place] = Cell(text, row[place].style)
    lines = [_row(heads, [Cell(head.name.upper(), "dim") for head in heads], widths)]
    lines.extend(_row(heads, row, widths) for row in cells)
    return "\n".join(lines)


def fits(heads: Sequence[Column], rows: Sequence[Sequence[str]], room: int, *, shrunk: bool) -> bool:
    """Return whether the table fits with every column, unchanged or `shrunk` as far as the columns allow."""
    return not _too_wide(heads, [[Cell(cell) for cell in row] for row in rows], room, shrunk=shrunk)


def _too_wide(heads: Sequence[Column], rows: Sequence[Sequence[Cell]], room: int, *, shrunk: bool) -> bool:
    widths = _fit(heads, rows, room) if shrunk else _natural(heads, rows)
    return sum(widths) + 2 * (len(widths) - 1) > room


def _natural(heads: Sequence[Column], rows: Sequence[Sequence[Cell]]) -> list[int]:
    return [max([width(head.name), *(width(row[i].text) for row in rows)]) for i, head in enumerate(heads)]


def _fit(heads: Sequence[Column], rows: Sequence[Sequence[Cell]], room: int) -> list[int]:
    """Return widths that fit the room if possible: the widest column that may shrink does so first."""
    widths = _natural(heads, rows)
    excess = sum(widths) + 2 * (len(widths) - 1) - room
    while excess > 0:
        soft = [i for i, head in enumerate(heads) if head.least and widths[i] > head.least]
        if not soft:
            break
        widest = max(soft, key=lambda i: widths[i])
        widths[widest] -= 1
        excess -= 1
    return widths


def _row(heads: Sequence[Column], cells: Sequence[Cell], widths: Sequence[int]) -> str:
    parts = []
    for place, (head, cell, size) in enumerate(zip(heads, cells, widths, strict=True)):
        text = cut(cell.text, size)
        gap = " " * (size - width(text))
        painted = paint(text, cell.style) if cell.style else text
        last = place == len(heads) - 1
        parts.append(gap + painted if head.right else painted if last else painted + gap)
    return "  ".join(parts).rstrip()
