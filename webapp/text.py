"""Text, times and durations for reading: every character that could mislead the reader is written out.

Everything a template prints goes through `safe` (it is Jinja's `finalize`), so forgetting it is not possible.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from markupsafe import Markup, escape

# Controls (tab and newline apart), C1, soft hyphen, bidirectional controls, zero width and invisible characters, line
# and paragraph separators, fillers that look empty, tags, and lone surrogates. The zero width (non-)joiner
# stays where it follows a letter of a script, or an emoji, that needs it.
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u2028-\u202e"
    "\u2060-\u206f\u3164\ufeff\uffa0\ufff0-\ufffb\ud800-\udfff\U000e0000-\U000e0fff]"
    "|(?<![\u0600-\u1cff\u2600-\ufaff\U0001f000-\U0001faff])[\u200c\u200d]"
)


def _written_out(match: re.Match[str]) -> str:
    code = ord(match.group())
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def safe(text: str) -> str:
    r"""The text with what steers, hides or cannot be encoded written out (`\u202e`); tabs and newlines stay."""
    if text.isascii() and text.isprintable():
        return text
    if "\r" in text:
        text = text.replace("\r\n", "\n")
    return _UNSAFE.sub(_written_out, text) if _UNSAFE.search(text) else text


def finalize(value: Any) -> Any:
    """What Jinja does with every printed value: None is nothing, text is made safe, markup of ours stays."""
    if type(value) is str:
        return value if value.isascii() and value.isprintable() else safe(value)
    if value is None:
        return ""
    return value if isinstance(value, (Markup, int, float)) else safe(str(value))


def html(form: str, *values: object) -> Markup:
    """HTML with values put into its `{}`: text made safe and escaped, markup as it is."""
    return Markup(form).format(*(finalize(value) for value in values))  # noqa: S704 - `form` is a literal everywhere


def line(text: object, limit: int = 200) -> str:
    """The text on one line of at most `limit` characters."""
    whole = text if type(text) is str else str(text)
    if len(whole) <= limit and whole.isascii() and whole.isprintable():
        return whole
    cut = " ".join(safe(whole[: limit * 2]).split())
    return cut if len(cut) <= limit and len(whole) <= limit * 2 else f"{cut[: limit - 1]}…"


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """`1 run`, `1,204 runs`."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


# ---------------------------------------------------------------- times


def moment(iso: str | None) -> datetime | None:
    """A recorded time; None for what is none. One without a zone is UTC, as 0.4 wrote them."""
    if not iso:
        return None
    try:
        at = datetime.fromisoformat(iso)
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def ago(at: datetime, now: datetime | None = None) -> str:
    """How long ago, in a word or two; after two weeks the date."""
    seconds = ((now or datetime.now(UTC)) - at).total_seconds()
    if -5 < seconds < 5:
        return "just now"
    if seconds < 0:
        return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M")
    for limit, size, unit in ((60, 1, "s"), (3600, 60, "min"), (86400, 3600, "h"), (14 * 86400, 86400, "d")):
        if seconds < limit:
            return f"{int(seconds // size)} {unit} ago"
    return at.astimezone(UTC).strftime("%Y-%m-%d")


def time_ago(iso: str | None, now: datetime | None = None) -> Markup:
    """A `<time>` that says how long ago, exact on hover; the page's script keeps it going."""
    at = moment(iso)
    if at is None:
        return escape(line(iso or "–"))
    stamp, exact = _written(at)
    return _trusted(f'<time datetime="{stamp}" title="{exact} UTC" data-ago>{ago(at, now)}</time>')


def time_exact(iso: str | None, form: str = "%Y-%m-%d %H:%M:%S") -> Markup:
    """A `<time>` with the time itself, in UTC; the page's script turns it into the reader's own clock."""
    at = moment(iso)
    if at is None:
        return escape(line(iso or "–"))
    stamp, exact = _written(at)
    kind, shown = ("clock", exact[11:]) if form == CLOCK else ("exact", exact)
    return _trusted(f'<time datetime="{stamp}" title="{exact} UTC" data-{kind}>{shown}</time>')


CLOCK = "%H:%M:%S"


def time_since(iso: str | None, now: datetime | None = None) -> Markup:
    """A duration that began then and still goes on; the page's script counts it up."""
    at = moment(iso)
    if at is None:
        return Markup("–")
    elapsed = max(0.0, ((now or datetime.now(UTC)) - at).total_seconds() * 1000)
    return _trusted(f'<time datetime="{_written(at)[0]}" data-since>{took(elapsed)}</time>')


def _written(at: datetime) -> tuple[str, str]:
    """For the attribute, with milliseconds and zone; for people, to the second; both in UTC."""
    stamp = at.isoformat(timespec="milliseconds")
    if not stamp.endswith("+00:00"):
        stamp = at.astimezone(UTC).isoformat(timespec="milliseconds")
    return stamp, f"{stamp[:10]} {stamp[11:19]}"


def _trusted(html: str) -> Markup:
    """HTML put together from numbers and words of ours only. Faster than `Markup.format`, in lists that matters."""
    return Markup(html)  # noqa: S704


def took(milliseconds: float | None) -> str:
    """A duration for people: `0.4 ms`, `12 ms`, `1.3 s`, `2 min 5 s`, `3 h 12 min`, `2 d 3 h`."""
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


def size(count: int) -> str:
    """A number of bytes or characters for people: `812 B`, `4.2 KB`, `5.1 MB`."""
    if count < 1000:
        return f"{count} B"
    return f"{count / 1000:.1f} KB" if count < 999_950 else f"{count / 1_000_000:.1f} MB"
