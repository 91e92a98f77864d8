"""Text, times and durations for reading: every character that could mislead the reader is written out.

Everything a template prints goes through `safe` (it is Jinja's `finalize`), so forgetting it is not possible. What
stands in a field to be sent back is the exception (`field`): a note or a name must not come back as another one.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from markupsafe import Markup, escape

from neurocore import readable
from neurocore.readable import moment, safe, took


def finalize(value: Any) -> Any:
    """What Jinja does with every printed value: None is nothing, text is made safe, markup of ours stays."""
    if type(value) is str:
        return value if value.isascii() and value.isprintable() else safe(value)
    if value is None:
        return ""
    return value if isinstance(value, (Markup, int, float)) else safe(str(value))


def field(value: object) -> Markup:
    """What stands in a form's field, as it is, since it is sent back so; written out is only what no form carries."""
    whole = str(value)
    return escape(safe(whole) if _NEVER_CARRIED.search(whole) else whole)


_NEVER_CARRIED = re.compile("[\x00\ud800-\udfff]")


def html(form: str, *values: object) -> Markup:
    """HTML with values put into its `{}`: text made safe and escaped, markup as it is."""
    return Markup(form).format(*(finalize(value) for value in values))  # noqa: S704 - `form` is a literal everywhere


def line(text: object, limit: int = 200) -> str:
    """The text on one line of at most `limit` characters, cut between two words where there is such a place near."""
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
    """How long ago, in a word or two; in the future and after two weeks the date."""
    future = at > (now or datetime.now(UTC))
    return readable.ago(at, now) or _written(at)[1][: 16 if future else 10]


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


def size(count: int) -> str:
    """A number of bytes or characters for people: `812 B`, `4.2 KB`, `5.1 MB`."""
    if count < 1000:
        return f"{count} B"
    return f"{count / 1000:.1f} KB" if count < 999_950 else f"{count / 1_000_000:.1f} MB"
