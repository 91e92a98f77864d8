"""Values, times and durations as text that is safe to print: nothing in a run can control the reader's terminal."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from neurocore import numerals, readable
from neurocore.readable import counted, moment, took

#: A width at which no value is cut.
WHOLE = 1_000_000


def safe(text: object) -> str:
    """Escape everything that could control a terminal (`x1b` and similar); keep newlines."""
    return readable.safe(str(text)).replace("\t", "    ")


def line(text: object) -> str:
    """Return the same text on one line."""
    text = safe(text).strip("\n")
    return text if "\n" not in text else re.sub(r"\s*\n\s*", " ↵ ", text)


def width(text: str) -> int:
    """Return how many columns of a terminal the text takes."""
    if text.isascii():
        return len(text)
    return sum(_columns(character) for character in text)


@cache
def _columns(character: str) -> int:
    import unicodedata

    if unicodedata.combining(character) or character in "\u200c\u200d\ufe0e\ufe0f":
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def cut(text: str, columns: int) -> str:
    """Return the text in at most so many columns, with `…` where something is left out."""
    if width(text) <= columns:
        return text
    if columns <= 1:
        return "…"[:columns]
    taken, kept = 0, []
    for character in text:
        taken += _columns(character)
        if taken > columns - 1:
            break
        kept.append(character)
    return "".join(kept).rstrip() + "…"


def told_apart(texts: Sequence[str], columns: int) -> list[str]:
    """Cut the texts of a column to at most so many columns, so that different texts remain different.

    Texts that would be equal with their ends cut off lose a part of what they have in common instead.
    """
    found = [cut(text, columns) for text in texts]
    alike: dict[str, list[int]] = {}
    for place, text in enumerate(found):
        if text != texts[place]:
            alike.setdefault(text, []).append(place)
    for places in alike.values():
        whole = sorted({texts[place] for place in places})
        if len(whole) == 1 or columns < LEAST_APART:
            continue
        pairs = enumerate(zip(whole[0], whole[-1], strict=False))
        common = next((place for place, (one, other) in pairs if one != other), len(whole[0]))  # sorted, so of all
        head = _beginning(whole[0], columns // 3)
        room = columns - width(head) - 1
        start = max(len(head), _word(whole[0], common))
        while start > len(head) and all(width(one[start - 1 :]) <= room for one in whole):
            start -= 1
        rests = [texts[place][start:] for place in places]
        for place, rest in zip(places, told_apart(rests, room), strict=True):
            found[place] = f"{head}…{rest}"
    return found


#: In a narrower column, texts are cut at the end.
LEAST_APART = 9


def _word(text: str, place: int) -> int:
    """Return where the word at a position begins, unless that is far before it."""
    begin = max((text.rfind(one, 0, place) for one in " /_-.:"), default=-1) + 1
    return begin if place - begin <= 6 else place


def wrapped(text: str, columns: int, indent: str = "", hanging: str | None = None) -> list[str]:
    """Break the text into lines of at most so many columns, each after `indent` (after the first line: `hanging`).

    Lines break between words, or inside a word that is wider than a line.
    """
    lines: list[str] = []
    later = indent if hanging is None else hanging
    for paragraph in text.split("\n"):
        prefix = later if lines else indent
        current = ""
        for word in paragraph.split(" "):
            candidate = f"{current} {word}" if current else word
            if current and width(prefix) + width(candidate) > columns:
                lines.append(prefix + current)
                current, prefix = word, later
            else:
                current = candidate
            while width(current) > max(1, columns - width(prefix)):
                piece = _beginning(current, max(1, columns - width(prefix)))
                lines.append(prefix + piece)
                current, prefix = current[len(piece) :], later
        lines.append(f"{prefix}{current}".rstrip())
    return lines


def _beginning(text: str, columns: int) -> str:
    """Return as much of the text as fits into so many columns, but at least one character."""
    taken = 0
    for place, character in enumerate(text):
        taken += _columns(character)
        if taken > columns:
            return text[: max(1, place)]
    return text


# ---------------------------------------------------------------- times


def ago(iso: str | None, now: datetime | None = None) -> str:
    """Return how long ago, in one or two words; for the future the time, after two weeks the local date."""
    at = moment(iso)
    if at is None:
        return safe(iso) if iso else "–"
    future = at > (now or datetime.now(UTC))
    return readable.ago(at, now) or at.astimezone().strftime("%Y-%m-%d %H:%M:%S" if future else "%Y-%m-%d")


def since(iso: str | None, now: datetime | None = None) -> str:
    """Return the time since then as a duration."""
    at = moment(iso)
    return took(max(0.0, ((now or datetime.now(UTC)) - at).total_seconds() * 1000)) if at else "–"


def when(iso: str | None) -> str:
    """Return the time in the reader's time zone, to the second."""
    at = moment(iso)
    return at.astimezone().strftime("%Y-%m-%d %H:%M:%S") if at else safe(iso or "–")


# ---------------------------------------------------------------- values


def short(value: Any, columns: int = 60) -> str:
    """Return a value (in the form of `codec.plain`) on one line: small lists and mappings whole, large ones by size."""
    if isinstance(value, str):
        return cut(line(value), columns)
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    if isinstance(value, (list, tuple)):
        flat = all(not isinstance(item, (list, dict)) for item in value)
        text = ", ".join(short(item, columns) for item in value[:50]) if flat else ""
        return text if flat and value and len(value) <= 50 and width(text) <= columns else counted(len(value), "item")
    if isinstance(value, dict):
        flat = all(not isinstance(item, (list, dict)) for item in value.values())
        for most in (columns, 20) if flat else (20,):
            text = ", ".join(f"{line(key)} {short(item, most)}" for key, item in list(value.items())[:12])
            if value and len(value) <= 12 and width(text) <= columns:
                return text
        return counted(len(value), "key")
    return cut(number(value), columns)


def number(value: Any) -> str:
    """Return a number with all its digits, or the size of a number that is too large."""
    if isinstance(value, int) and value.bit_length() > 14_000:  # Python refuses to write more than 4,300 digits
        return f"a number of about {int(value.bit_length() * 0.30103) + 1:,} digits (--json has them)"
    return line(numerals.written(value) if isinstance(value, float) else value)


def near(path: Path) -> str:
    """Return a path relative to the current folder if it is below it, else unchanged."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except (ValueError, OSError):
        return str(path)
