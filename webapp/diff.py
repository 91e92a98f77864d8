"""What differs between two values, path by path: mappings and lists are gone into, text is compared by line."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from typing import Any

from markupsafe import Markup
from msgspec import Struct

from neurocore.readable import safe
from webapp.rendering import plain_types, short, veiled
from webapp.text import html, line

MOST_CHANGES = 200
MOST_DEPTH = 30
MOST_ALIGNED = 2_000
MOST_LINES = 80
TOLD_ONE_BY_ONE = 6

GONE: Any = type("Gone", (), {"__repr__": lambda self: "GONE"})()

_FROM_THE_TOP = re.compile(r"@@ -[01][, ]")


class Change(Struct, frozen=True):
    """One difference. `before` or `after` is `GONE` where there is none."""

    path: str
    before: Any
    after: Any

    @property
    def kind(self) -> str:
        """`added`, `removed` or `changed`."""
        if self.before is GONE:
            return "added"
        return "removed" if self.after is GONE else "changed"

    @property
    def lines(self) -> list[tuple[str, str]]:
        """For text over several lines: ("+"/"-"/" ", line), near the differences only; empty for everything else."""
        before, after = self.before, self.after
        if not (isinstance(before, str) and isinstance(after, str) and "\n" in before + after):
            return []
        old, new = before[:200_000].splitlines(), after[:200_000].splitlines()
        if len(old) * len(new) > 4_000_000:
            return []
        texts = list(difflib.unified_diff(old, new, "", "", n=1, lineterm=""))[2:]
        if texts and _FROM_THE_TOP.match(texts[0]):
            texts = texts[1:]  # nothing is left out before it
        found = [(text[:1], safe(text[1:400])) for text in texts]
        return found[:MOST_LINES] + ([(" ", "…")] if len(found) > MOST_LINES else [])

    @property
    def html(self) -> Markup:
        """`before → after` on one line."""
        if self.before is GONE:
            return html("<ins>{}</ins>", short(self.after, 160))
        if self.after is GONE:
            return html("<del>{}</del>", short(self.before, 160))
        before, after = _around(self.before, self.after)
        return html('<del>{}</del> <span aria-hidden="true">→</span> <ins>{}</ins>', before, after)


def changes(before: Any, after: Any, path: str = "") -> list[Change]:
    """Every difference, at most `MOST_CHANGES` of them. Values under keys like credentials are masked."""
    found: list[Change] = []
    for change in _walk(before, after, path, 0):
        found.append(change)
        if len(found) == MOST_CHANGES:
            break
    return found


def _walk(before: Any, after: Any, path: str, depth: int) -> Iterator[Change]:
    before, after = plain_types(before), plain_types(after)
    if _same(before, after):
        return
    if depth < MOST_DEPTH:
        if isinstance(before, dict) and isinstance(after, dict):
            yield from _mappings(before, after, path, depth)
            return
        if isinstance(before, list) and isinstance(after, list):
            yield from _lists(before, after, path, depth)
            return
    yield Change(path or "value", before, after)


def _mappings(before: dict[Any, Any], after: dict[Any, Any], path: str, depth: int) -> Iterator[Change]:
    before, after = veiled(before), veiled(after)
    for key in (*before, *(key for key in after if key not in before)):
        place = _joined(path, key)
        if key not in after:
            yield Change(place, before[key], GONE)
        elif key not in before:
            yield Change(place, GONE, after[key])
        else:
            yield from _walk(before[key], after[key], place, depth + 1)


def _lists(before: list[Any], after: list[Any], path: str, depth: int) -> Iterator[Change]:
    if len(before) == len(after) or max(len(before), len(after)) > MOST_ALIGNED:
        for place in range(max(len(before), len(after))):
            old = before[place] if place < len(before) else GONE
            new = after[place] if place < len(after) else GONE
            yield from _item(old, new, f"{path}[{place}]", depth)
        return
    matcher = difflib.SequenceMatcher(
        None, [_key(item) for item in before], [_key(item) for item in after], autojunk=False
    )
    for kind, a, b, c, d in matcher.get_opcodes():
        if kind == "equal":
            continue
        if b - a + d - c > TOLD_ONE_BY_ONE and (kind != "replace" or _unlike(before[a:b], after[c:d])):
            yield _block(before[a:b], after[c:d], path, c if kind == "insert" else a)
            continue
        for offset in range(max(b - a, d - c)):
            old = before[a + offset] if a + offset < b else GONE
            new = after[c + offset] if c + offset < d else GONE
            yield from _item(old, new, f"{path}[{c + offset if new is not GONE else a + offset}]", depth)


def _unlike(gone: list[Any], new: list[Any]) -> bool:
    """Whether these are other items rather than the same ones changed: hardly anything is equal, place by place."""
    shares = [_share(old, now) for old, now in zip(gone, new, strict=False)]
    return len(gone) != len(new) and sum(shares) < len(shares) / 2


def _share(old: Any, new: Any) -> float:
    """How much of a record stayed, from 0 to 1."""
    old, new = plain_types(old), plain_types(new)
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return 0.0
    keys = old.keys() | new.keys()
    return sum(_key(old.get(key, GONE)) == _key(new.get(key, GONE)) for key in keys) / max(1, len(keys))


def _block(gone: list[Any], new: list[Any], path: str, first: int) -> Change:
    """Many items put in or taken out in one place, told together."""
    last = first + max(len(gone), len(new)) - 1
    return Change(f"{path}[{first}–{last}]", gone or GONE, new or GONE)


def _item(old: Any, new: Any, path: str, depth: int) -> Iterator[Change]:
    if old is GONE or new is GONE:
        yield Change(path, old, new)
    else:
        yield from _walk(old, new, path, depth + 1)


def _same(before: Any, after: Any) -> bool:
    """Equal and of the same type; two NaNs are the same."""
    if type(before) is not type(after):
        return False
    if isinstance(before, (dict, list)):
        return False  # gone into, so that 1 and True inside are told apart
    return bool(before == after) or (before != before and after != after)


def _key(item: Any) -> str:
    return f"{type(item).__name__}:{item!r}"[:2000]


def _joined(path: str, key: Any) -> str:
    if isinstance(key, str) and key and key.replace("_", "").replace("-", "").isalnum() and len(key) <= 80:
        return f"{path}.{key}" if path else key
    return f"{path}[{line(repr(key), 60)}]"


def _around(before: Any, after: Any) -> tuple[str, str]:
    """Both on one line; of long text the part around the first difference, so that it is seen."""
    if isinstance(before, str) and isinstance(after, str) and max(len(before), len(after)) > 160:
        place = next(
            (i for i, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), min(len(before), len(after))
        )
        start = max(0, place - 40)
        lead = "…" if start else ""
        return lead + line(before[start : start + 300], 140), lead + line(after[start : start + 300], 140)
    return short(before, 160), short(after, 160)
