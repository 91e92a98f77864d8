"""The differences between two values for a page (`neurocore.differences`): one line each, text line by line."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from markupsafe import Markup

from neurocore.differences import TOO_DIFFERENT_LINES, Difference, Work, compare, first_difference, lines
from neurocore.readable import safe
from webapp.html.rendering import masked_values, short
from webapp.html.scalars import whole_text
from webapp.html.text import html, line

MOST_CHANGES = 200
MOST_LINES = 80
LONGEST_LINE = 400

GONE: Any = type("Gone", (), {"__repr__": lambda self: "GONE"})()


@dataclass
class Change:
    """One difference. `before` or `after` is `GONE` if there is no such value; `note` says what was not compared."""

    path: str
    before: Any
    after: Any
    note: str | None = None
    work: Work = field(default_factory=Work)

    @property
    def kind(self) -> str:
        """Return `added`, `removed`, `changed`, or `cut` (further differences are not listed)."""
        if self.before is GONE and self.after is GONE:
            return "cut"
        if self.before is GONE:
            return "added"
        return "removed" if self.after is GONE else "changed"

    @cached_property
    def lines(self) -> list[tuple[str, str]]:
        """Return the lines near the differences of multi-line text as ("+"/"-"/" ", line); empty for other values."""
        before, after = self.before, self.after
        if not (isinstance(before, str) and isinstance(after, str) and ("\n" in before or "\n" in after)):
            return []
        found = lines(before, after, work=self.work)
        if found is None:
            self.note = TOO_DIFFERENT_LINES
            return []
        told = [(sign, safe(_cut(text))) for sign, text in found[:MOST_LINES]]
        return told + ([(" ", f"… {len(found) - MOST_LINES:,} more lines")] if len(found) > MOST_LINES else [])

    @property
    def is_cut(self) -> bool:
        """Return whether `lines`, or `html` if there are no lines, leaves out a part of the values."""
        sides = [one for one in (self.before, self.after) if one is not GONE]
        if not self.lines:
            return any(isinstance(one, (list, dict)) or len(whole_text(one) or "") > 140 for one in sides)
        return len(self.lines) > MOST_LINES or any(len(text) > LONGEST_LINE for _, text in self.lines)

    @property
    def html(self) -> Markup:
        """Return `before → after` on one line."""
        if self.kind == "cut":
            return html('<span class="dim">{}</span>', self.note)
        if self.before is GONE:
            return html("<ins>{}</ins>", short(self.after, 160))
        if self.after is GONE:
            return html("<del>{}</del>", short(self.before, 160))
        before, after = _around(self.before, self.after)
        told = html('<del>{}</del> <span aria-hidden="true">→</span> <ins>{}</ins>', before, after)
        return told + html(' <span class="dim">({})</span>', self.note) if self.note else told


def changes(before: Any, after: Any, path: str = "", work: Work | None = None) -> list[Change]:
    """Return at most `MOST_CHANGES` differences, within the work limit. Values of secret-looking keys are masked."""
    work = work or Work()
    return [
        _told(one, work) for one in compare(before, after, path=path, most=MOST_CHANGES, work=work, mask=masked_values)
    ]


def _told(one: Difference, work: Work) -> Change:
    before = GONE if one.kind in ("added", "cut") else one.before
    after = GONE if one.kind in ("removed", "cut") else one.after
    return Change(one.key, before, after, one.note, work)


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_LINE else f"{text[:LONGEST_LINE]}…"


def _around(before: Any, after: Any) -> tuple[str, str]:
    """Return both values on one line; of long text, the part around the first difference."""
    if isinstance(before, str) and isinstance(after, str) and max(len(before), len(after)) > 160:
        start = max(0, first_difference(before, after) - 40)
        lead = "…" if start else ""
        return lead + line(before[start : start + 300], 140), lead + line(after[start : start + 300], 140)
    return short(before, 160), short(after, 160)
