"""What people read, in a terminal and on a page: text that cannot control or mislead, times, durations, counts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache

# Controls and escapes (except tab and newline), C1, soft hyphen, bidirectional controls (they reorder text), zero width
# and invisible characters, line and paragraph separators, fillers that look empty, tags, and lone surrogates. The zero
# width (non-)joiner stays if it follows a letter of a script, or an emoji, that needs it.
_UNSAFE = (
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u2028-\u202e"
    "\u2060-\u206f\u3164\ufeff\uffa0\ufff0-\ufffb\ud800-\udfff\U000e0000-\U000e0fff]"
    "|(?<![\u0600-\u1cff\u2600-\ufaff\U0001f000-\U0001faff])[\u200c\u200d]"
)


@cache
def unsafe() -> re.Pattern[str]:
    """Return a pattern for each character that controls, hides or cannot be encoded."""
    return re.compile(_UNSAFE)


def _written_out(match: re.Match[str]) -> str:
    code = ord(match.group())
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def safe(text: str) -> str:
    r"""Return the text with controlling, hiding and unencodable characters (except tab and newline) as `\u202e`."""
    if text.isascii() and text.isprintable():
        return text
    if "\r" in text:
        text = text.replace("\r\n", "\n")
    return unsafe().sub(_written_out, text)


def one_line(text: str) -> str:
    r"""Return the text on one line: like `safe`, with line breaks and tabs written out too (`\n`)."""
    return safe(text).replace("\n", "\\n").replace("\t", "\\t")


def safe_json(text: str) -> str:
    """Return JSON text in which those characters are JSON escapes; they occur only inside its strings."""

    def escaped(match: re.Match[str]) -> str:
        code = ord(match.group())
        if code < 0x10000:
            return f"\\u{code:04x}"
        code -= 0x10000
        return f"\\u{0xD800 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"

    return unsafe().sub(escaped, text)


#: Blank, although Unicode counts them as letters and symbols.
_BLANK = frozenset("\u115f\u1160\u2800\u3164\uffa0\U0001d159")


def visible(text: str) -> bool:
    """Return whether a reader sees anything of the text."""
    from unicodedata import category

    return any(category(one)[0] in "LNPS" and one not in _BLANK for one in text)


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """Return `1 run`, `1,204 runs`."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def listed(names: Sequence[str], most: int = 6) -> str:
    """Return `a, b and c`; if there are more than `most` names, how many more."""
    shown = [*names[:most], *([f"{len(names) - most} more"] if len(names) > most else [])]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def moment(iso: str | None) -> datetime | None:
    """Return a recorded time; None if it is invalid. One without a zone is UTC, as 0.4 wrote them."""
    if not iso:
        return None
    try:
        at = datetime.fromisoformat(iso)
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def ago(at: datetime, now: datetime | None = None) -> str | None:
    """Return how long ago, in a word or two; None for the future and after two weeks, when a date says more."""
    seconds = ((now or datetime.now(UTC)) - at).total_seconds()
    if -5 < seconds < 5:
        return "just now"
    for limit, size, unit in ((60, 1, "s"), (3600, 60, "min"), (86400, 3600, "h"), (14 * 86400, 86400, "d")):
        if 0 < seconds < limit:
            return f"{int(seconds // size)} {unit} ago"
    return None


def took(milliseconds: float | None) -> str:
    """Return a duration: `0.4 ms`, `12 ms`, `1.3 s`, `2 min 5 s`, `3 h 12 min`, `2 d 3 h`."""
    if milliseconds is None:
        return "–"
    if milliseconds < 1000:
        return f"{milliseconds:.1f} ms" if milliseconds < 9.95 else f"{milliseconds:.0f} ms"
    seconds = milliseconds / 1000
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = int(seconds + 0.5)
    for size, unit, below, smaller in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // below
            return f"{whole // size} {unit} {rest} {smaller}" if rest else f"{whole // size} {unit}"
    return f"{whole} s"


def size(length: int) -> str:
    """Return a number of bytes for people: `3.4 MiB`."""
    for unit, factor in (("GiB", 1024**3), ("MiB", 1024**2), ("KiB", 1024)):
        if length >= factor:
            return f"{length / factor:.1f} {unit}"
    return counted(length, "byte")
