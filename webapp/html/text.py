"""Text, times and durations for reading: characters that could mislead the reader are escaped.

Everything that a template prints passes through `safe` (it is Jinja's `finalize`), so that nobody can forget it. The
content of form fields is the exception (`field`): a note or a name must come back unchanged.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from markupsafe import Markup, escape

from neurocore import readable
from neurocore.readable import moment, safe, took


def finalize(value: Any) -> Any:
    """Prepare a value that Jinja prints: None prints nothing, text is made safe, our markup stays unchanged."""
    if type(value) is str:
        return value if value.isascii() and value.isprintable() else safe(value)
    if value is None:
        return ""
    return value if isinstance(value, (Markup, int, float)) else safe(str(value))


def field(value: object) -> Markup:
    """Return the content of a form field unchanged, because it is sent back. Escape only what forms cannot send."""
    whole = str(value)
    return escape(safe(whole) if _NEVER_CARRIED.search(whole) else whole)


_NEVER_CARRIED = re.compile("[\x00\ud800-\udfff]")


def html(form: str, *values: object) -> Markup:
    """Return HTML with values in place of `{}`: text is made safe and escaped, markup stays unchanged."""
    return Markup(form).format(*(finalize(value) for value in values))  # noqa: S704 - `form` is a literal everywhere


def line(text: object, limit: int = 200) -> str:
    """Return the text on one line of at most `limit` characters, cut between two words if possible."""
    whole = text if type(text) is str else str(text)
    if len(whole) <= limit and whole.isascii() and whole.isprintable():
        return whole
    cut = " ".join(safe(whole[: limit * 2]).split())
    if len(cut) <= limit and len(whole) <= limit * 2:
        return cut
    words, blank, _ = cut[:limit].rpartition(" ")
    return f"{words if blank and len(words) >= limit * 2 // 3 else cut[: limit - 1]}…"


# ---------------------------------------------------------------- times


def ago(at: datetime, now: datetime | None = None) -> str:
    """Return how long ago a time is, in a word or two; for the future, and after two weeks, return the date."""
    future = at > (now or datetime.now(UTC))
    return readable.ago(at, now) or _written(at)[1][: 16 if future else 10]


def time_ago(iso: str | None, now: datetime | None = None) -> Markup:
    """Return a `<time>` that shows how long ago, and the exact time on hover. The script of the page updates it."""
    at = moment(iso)
    if at is None:
        return escape(line(iso or "–"))
    stamp, exact = _written(at)
    return _trusted(f'<time datetime="{stamp}" title="{exact} UTC" data-ago>{ago(at, now)}</time>')


def time_exact(iso: str | None, form: str = "%Y-%m-%d %H:%M:%S") -> Markup:
    """Return a `<time>` with the exact time in UTC. The script of the page converts it to the reader's time zone."""
    at = moment(iso)
    if at is None:
        return escape(line(iso or "–"))
    stamp, exact = _written(at)
    kind, shown = ("clock", exact[11:]) if form == CLOCK else ("exact", exact)
    return _trusted(f'<time datetime="{stamp}" title="{exact} UTC" data-{kind}>{shown}</time>')


CLOCK = "%H:%M:%S"


def time_since(iso: str | None, now: datetime | None = None) -> Markup:
    """Return a duration that began at `iso` and continues. The script of the page counts it up."""
    at = moment(iso)
    if at is None:
        return Markup("–")
    elapsed = max(0.0, ((now or datetime.now(UTC)) - at).total_seconds() * 1000)
    return _trusted(f'<time datetime="{_written(at)[0]}" data-since>{took(elapsed)}</time>')


def time_until(iso: str | None) -> Markup:
    """Return a `<time>` that the script of the page counts down: `in 5 h`. Without the script it is the exact time."""
    at = moment(iso)
    if at is None:
        return escape(line(iso or "–"))
    stamp, exact = _written(at)
    return _trusted(f'<time datetime="{stamp}" title="{exact} UTC" data-until>at {exact}</time>')


def _written(at: datetime) -> tuple[str, str]:
    """Return the time in UTC twice: for the attribute (milliseconds, zone) and for people (seconds)."""
    stamp = at.isoformat(timespec="milliseconds")
    if not stamp.endswith("+00:00"):
        stamp = at.astimezone(UTC).isoformat(timespec="milliseconds")
    return stamp, f"{stamp[:10]} {stamp[11:19]}"


def _trusted(html: str) -> Markup:
    """Mark HTML as safe that consists of our own numbers and words. It is faster than `Markup.format`, for lists."""
    return Markup(html)  # noqa: S704


def size(count: int) -> str:
    """Return a number of bytes or characters for people: `812 B`, `4.2 KB`, `5.1 MB`."""
    if count < 1000:
        return f"{count} B"
    return f"{count / 1000:.1f} KB" if count < 999_950 else f"{count / 1_000_000:.1f} MB"
