"""The differences between two values, path by path, and between two texts, line by line.

The work is limited: it is linear where necessary, and two lists or texts with too little in common to be aligned within
the limit are reported as a whole. A result that was cut says so.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct

from neurocore import codec
from neurocore.codec import Unreadable

#: How many differences are reported at most, and how deep values are compared.
MOST = 500
MAX_DEPTH = 30
#: Units of work, each well below a microsecond: one compared item, or 256 compared bytes.
MAX_WORK = 1_000_000
#: The work that a command may do while a person waits for it, and how many differences it reports.
COMMAND_WORK, COMMAND_MOST = 20_000_000, 100_000
#: How many names of parts that were not compared a sentence lists.
NAMED = 20
#: How many insertions and deletions two lists may have and still be aligned.
MAX_EDITS = 400
#: More items than these, inserted or deleted in one place, are reported together.
ONE_BY_ONE = 6

TOO_DIFFERENT = "too different to compare item by item"
TOO_DIFFERENT_LINES = "too different to compare line by line"
CUT = "more may differ; the rest was not compared"

#: ("equal", "replace", "insert" or "delete", from and to in the first, from and to in the second), as in difflib.
Opcode = tuple[str, int, int, int, int]
Mask = Callable[[dict[Any, Any]], dict[Any, Any]]


class Difference(Struct, frozen=True, kw_only=True):
    """One value that differs, by its path (`user.name`, `rows[3].iban`; `rows[3–80]` for many items in one place).

    `kind` is added, removed or changed; or cut, which comes last and says in `note` that there may be more differences.
    """

    key: str
    before: Any = None
    after: Any = None
    kind: str = "changed"
    note: str | None = None


class Work:
    """What is left of the work that one comparison, or several for one page, may do."""

    def __init__(self, units: int = MAX_WORK) -> None:
        self.left = units

    def spend(self, units: int) -> bool:
        """Subtract the work that was done; return whether any is left."""
        self.left -= units
        return self.left > 0


def compare(
    before: Any, after: Any, *, path: str = "", most: int = MOST, work: Work | None = None, mask: Mask | None = None
) -> list[Difference]:
    """Return the differences. `mask` is applied to each mapping before it is compared and reported."""
    comparing = _Comparing(most, work or Work(), mask)
    try:
        comparing.values(path, before, after, 0)
    except _Enough:
        comparing.found.append(Difference(key=path, kind="cut", note=_cut(comparing.left[::-1])))
    return comparing.found


def _cut(left: list[str]) -> str:
    """Return the note of an incomplete comparison, with the names of what was not compared."""
    if not left:
        return CUT
    more = f" and {len(left) - NAMED:,} more" if len(left) > NAMED else ""
    return f"{CUT}: {', '.join(left[:NAMED])}{more}"


def lines(before: str, after: str, *, context: int = 1, work: Work | None = None) -> list[tuple[str, str]] | None:
    """Return ("+", "-" or " ", line) near differences, and ("@", "") for omitted lines; None: too different."""
    old, new = before.splitlines(), after.splitlines()
    codes = align(old, new, work or Work())
    if codes is None:
        return None
    found: list[tuple[str, str]] = []
    for hunk in _hunks(codes, context):
        if found or (hunk[0][1], hunk[0][3]) != (0, 0):
            found.append(("@", ""))
        found += _signed(hunk, old, new)
    return found


def unified(before: str, after: str, names: tuple[str, str]) -> list[str]:
    """Return the lines of a unified diff of two texts; none if they are the same."""
    old, new = before.splitlines(), after.splitlines()
    if old == new:
        return []
    head = [f"--- {names[0]}", f"+++ {names[1]}"]
    codes = align(old, new, Work())
    if codes is None:
        return [*head, f"@@ {TOO_DIFFERENT_LINES} @@"]
    for hunk in _hunks(codes, 3):
        spans = ((hunk[0][1], hunk[-1][2]), (hunk[0][3], hunk[-1][4]))
        head.append("@@ -{} +{} @@".format(*(_span(start, end) for start, end in spans)))
        head += [f"{sign}{text}" for sign, text in _signed(hunk, old, new)]
    return head


def first_difference(before: str, after: str) -> int:
    """Return the position at which two texts differ first."""
    shorter, step = min(len(before), len(after)), 65_536
    start = 0
    while start < shorter and before[start : start + step] == after[start : start + step]:
        start += step
    rest = zip(before[start : start + step], after[start : start + step], strict=False)
    return next((start + place for place, (old, new) in enumerate(rest) if old != new), shorter)


# -------------------------------------------------------------------- aligning


def align(before: Sequence[Hashable], after: Sequence[Hashable], work: Work) -> list[Opcode] | None:
    """Return how one sequence becomes the other; None if finding that out takes too much work."""
    start, end = 0, 0
    shorter = min(len(before), len(after))
    while start < shorter and before[start] == after[start]:
        start += 1
    while end < shorter - start and before[-1 - end] == after[-1 - end]:
        end += 1
    if not work.spend((len(before) + len(after)) // 4):
        return None
    one, other = before[start : len(before) - end], after[start : len(after) - end]
    runs = _common(one, other, work) if one and other else []
    if runs is None:
        return None
    codes: list[Opcode] = [("equal", 0, start, 0, start)] if start else []
    a = b = 0
    for x, y, size in [*runs, (len(one), len(other), 0)]:
        if x > a or y > b:
            kind = "replace" if x > a and y > b else "delete" if x > a else "insert"
            codes.append((kind, start + a, start + x, start + b, start + y))
        if size:
            codes.append(("equal", start + x, start + x + size, start + y, start + y + size))
        a, b = x + size, y + size
    if end:
        codes.append(("equal", len(before) - end, len(before), len(after) - end, len(after)))
    return codes


def _common(before: Sequence[Hashable], after: Sequence[Hashable], work: Work) -> list[tuple[int, int, int]] | None:
    """Return the runs that both have in common, by the shortest edit path (E. Myers, 1986)."""
    ids: dict[Hashable, int] = {}
    one, other = ([ids.setdefault(item, len(ids)) for item in items] for items in (before, after))
    reached = {1: 0}
    trace: list[dict[int, int]] = []
    for edits in range(min(len(one) + len(other), MAX_EDITS) + 1):
        trace.append(dict(reached))
        steps = 0
        for diagonal in range(-edits, edits + 1, 2):
            x = _step(reached, diagonal, edits)
            begun, y = x, x - diagonal
            while x < len(one) and y < len(other) and one[x] == other[y]:
                x, y = x + 1, y + 1
            reached[diagonal] = x
            steps += 1 + x - begun
            if x >= len(one) and y >= len(other):
                return _runs(trace, len(one), len(other))
        if not work.spend(steps):
            return None
    return None


def _step(reached: dict[int, int], diagonal: int, edits: int) -> int:
    """Return how far one more edit leads on a diagonal: down from the one above, or right from the one below."""
    down = diagonal == -edits or (diagonal != edits and reached[diagonal - 1] < reached[diagonal + 1])
    return reached[diagonal + 1] if down else reached[diagonal - 1] + 1


def _runs(trace: list[dict[int, int]], x: int, y: int) -> list[tuple[int, int, int]]:
    found: list[tuple[int, int, int]] = []
    for edits in range(len(trace) - 1, -1, -1):
        reached, diagonal = trace[edits], x - y
        begun = _step(reached, diagonal, edits) if edits else 0
        if x > begun:
            found.append((begun, begun - diagonal, x - begun))
        if edits:
            down = diagonal == -edits or (diagonal != edits and reached[diagonal - 1] < reached[diagonal + 1])
            above = diagonal + 1 if down else diagonal - 1
            x = reached[above]
            y = x - above
    return found[::-1]


def _hunks(codes: list[Opcode], context: int) -> Iterator[list[Opcode]]:
    matcher: Any = difflib.SequenceMatcher()
    matcher.opcodes = codes
    yield from matcher.get_grouped_opcodes(context)


def _signed(hunk: list[Opcode], old: list[str], new: list[str]) -> Iterator[tuple[str, str]]:
    for kind, a, b, c, d in hunk:
        if kind == "equal":
            yield from ((" ", text) for text in old[a:b])
        else:
            yield from (("-", text) for text in old[a:b])
            yield from (("+", text) for text in new[c:d])


def _span(start: int, end: int) -> str:
    size = end - start
    return f"{start + 1 if size else start},{size}" if size != 1 else f"{start + 1}"


# -------------------------------------------------------------------- values


class _Enough(Exception):
    """There are enough differences, or no work is left."""


class _Comparing:
    def __init__(self, most: int, work: Work, mask: Mask | None) -> None:
        self.found: list[Difference] = []
        #: The top-level names that have not been fully compared.
        self.left: list[str] = []
        self._most = most
        self._work = work
        self._mask = mask

    def values(self, path: str, before: Any, after: Any, depth: int) -> None:
        """Compare two values at a path. Raises _Enough."""
        if not self._work.spend(4):
            raise _Enough
        before, after = _seen(before), _seen(after)
        if depth < MAX_DEPTH and isinstance(before, dict) and isinstance(after, dict):
            self._mappings(path, before, after, depth)
        elif depth < MAX_DEPTH and isinstance(before, list) and isinstance(after, list):
            self._lists(path, before, after, depth)
        elif not _is_same(before, after):
            self._tell(Difference(key=path or "value", before=before, after=after))

    def _tell(self, difference: Difference) -> None:
        if len(self.found) >= self._most:
            raise _Enough
        self.found.append(difference)

    def _mappings(self, path: str, before: dict[Any, Any], after: dict[Any, Any], depth: int) -> None:
        if self._mask is not None:
            before, after = self._mask(before), self._mask(after)
        keys = [*before, *(key for key in after if key not in before)]
        if depth == 0:
            self.left = [_joined(path, key) for key in reversed(keys)]
        for key in keys:
            here = _joined(path, key)
            if key not in after:
                self._tell(Difference(key=here, before=before[key], kind="removed"))
            elif key not in before:
                self._tell(Difference(key=here, after=after[key], kind="added"))
            elif self._differ(before[key], after[key]):
                self.values(here, before[key], after[key], depth + 1)
            if depth == 0:
                self.left.pop()

    def _differ(self, before: Any, after: Any) -> bool:
        """Return whether these two are worth comparing in detail."""
        return not self._work.spend(1) or self._mark(before) != self._mark(after)

    def _mark(self, value: Any) -> Hashable:
        """Return a mark that is equal for equal values, and fast to compare."""
        if value is None or isinstance(value, (bool, int, float)):
            return type(value), repr(value) if isinstance(value, float) else value
        try:
            data = codec.encode(value)
        except codec.CodecError:
            data = repr(value).encode("utf-8", "replace")
        self._work.spend(len(data) // 256)
        return data

    def _lists(self, path: str, before: list[Any], after: list[Any], depth: int) -> None:
        codes = align([self._mark(item) for item in before], [self._mark(item) for item in after], self._work)
        if codes is None and len(before) == len(after):
            codes = [("replace", 0, len(before), 0, len(after))]
        elif codes is None:
            self._tell(Difference(key=path or "value", before=before, after=after, note=TOO_DIFFERENT))
            return
        for kind, a, b, c, d in codes:
            if kind == "equal":
                continue
            gone, new = before[a:b], after[c:d]
            if len(gone) + len(new) > ONE_BY_ONE and (kind != "replace" or self._are_others(gone, new)):
                self._block(path, gone, new, c if kind == "insert" else a)
            else:
                self._one_by_one(path, gone, new, (a, c), depth)

    def _one_by_one(self, path: str, gone: list[Any], new: list[Any], places: tuple[int, int], depth: int) -> None:
        both = min(len(gone), len(new))
        for offset in range(both):
            self.values(f"{path}[{places[1] + offset}]", gone[offset], new[offset], depth + 1)
        for offset, item in enumerate(gone[both:], places[0] + both):
            self._tell(Difference(key=f"{path}[{offset}]", before=item, kind="removed"))
        for offset, item in enumerate(new[both:], places[1] + both):
            self._tell(Difference(key=f"{path}[{offset}]", after=item, kind="added"))

    def _block(self, path: str, gone: list[Any], new: list[Any], first: int) -> None:
        """Report many items inserted or deleted in one place together."""
        key = f"{path}[{first}–{first + max(len(gone), len(new)) - 1}]"
        kind = "changed" if gone and new else "removed" if gone else "added"
        self._tell(Difference(key=key, before=gone or None, after=new or None, kind=kind))

    def _are_others(self, gone: list[Any], new: list[Any]) -> bool:
        """Return whether these are other items, not the same ones changed: hardly anything is equal at its place."""
        if len(gone) == len(new):
            return False
        shares = [self._share(_seen(old), _seen(now)) for old, now in zip(gone, new, strict=False)]
        return sum(shares) < len(shares) / 2

    def _share(self, old: Any, new: Any) -> float:
        """Return how much of a record stayed, from 0 to 1."""
        if not (isinstance(old, dict) and isinstance(new, dict)):
            return 0.0
        keys = old.keys() | new.keys()
        same = sum(key in old and key in new and not self._differ(old[key], new[key]) for key in keys)
        return same / max(1, len(keys))


def _seen(value: Any) -> Any:
    """Return tuples and sets as lists, objects with fields as mappings; everything else as it is."""
    kind = type(value)
    if kind in (str, dict, list, int, float, bool) or value is None or kind is codec.SecretRef:
        return value
    if kind is Unreadable:
        return codec.plain(value)
    if isinstance(value, (tuple, set, frozenset)) and not hasattr(kind, "_fields"):
        return codec.data(value) if not isinstance(value, tuple) else list(value)
    if isinstance(value, (Struct, tuple)) or dataclasses.is_dataclass(kind) or hasattr(kind, "model_fields"):
        return codec.data(value)
    return dict(value) if isinstance(value, Mapping) else value


def _is_same(before: Any, after: Any) -> bool:
    """Return whether both are equal and of the same type; two NaNs are the same."""
    if type(before) is not type(after):
        return False
    try:
        return bool(before == after) or bool(before != before and after != after)
    except Exception:  # a value's own code may raise anything
        return False


def _joined(path: str, key: Any) -> str:
    if isinstance(key, str) and key and key.replace("_", "").replace("-", "").isalnum() and len(key) <= 80:
        return f"{path}.{key}" if path else key
    shown = repr(key)
    return f"{path}[{shown if len(shown) <= 60 else shown[:59] + '…'}]"
