"""The activity of a run as sentences: who did what, how their identity is known, and what they gave."""

from __future__ import annotations

from collections.abc import Callable

from markupsafe import Markup

from neurocore.persistence.records import Event
from webapp.html.helpers import MOST_OF_A_TEXT, run_url, short_id
from webapp.html.rendering import Page
from webapp.html.text import html, line

#: How the identity of a person is known; it follows the name.
KNOWN = {
    "typed": "typed, not verified",
    "claimed": "as claimed",
    "system": "",
    "os": "the user of this machine",
    "session": "signed in",
    "passkey": "signed in by passkey",
    "proxy": "named by the proxy",
    "token": "by token",
    "application": "named by the application",
}


def who(name: str | None, known_by: str | None) -> Markup:
    """Return a name and how the identity is known."""
    if not name:
        return Markup("an unknown person")
    how = KNOWN.get(known_by or "", line(known_by or "", 40))
    told = html("<b>{}</b>", line(name, 200))
    return told + html(' <span class="dim">({})</span>', how) if how else told


def sentence(event: Event) -> Markup:
    """Return what happened, as HTML."""
    tell = _SENTENCES.get(event.kind)
    body = tell(event) if tell is not None else html("{} by {}", line(event.kind.replace("_", " ")), _who(event))
    return body + _rest(event)


def _who(event: Event) -> Markup:
    return who(event.who, event.known_by)


def _replayed(event: Event) -> Markup:
    source = str(event.data.get("from", ""))
    link = html('<a href="{}" class="mono">{}</a>', run_url(source), short_id(source)) if source else Markup("a run")
    return html("replayed by {} from {}", _who(event), link)


def _answered(event: Event) -> Markup:
    approved = event.data.get("approved")
    word = (
        {True: "approved", False: "rejected"}.get(approved, "gave data to")
        if isinstance(approved, bool)
        else "gave data to"
    )
    visit = event.data.get("visit", 1)
    gate = html("<b>{}</b>", line(event.data.get("gate", "?"), 100))
    if isinstance(visit, int) and visit > 1:
        gate += html(" (visit {})", visit)
    told = html("{} {} {}", _who(event), word, gate)
    if event.data.get("break_glass"):
        told += html(", <b>breaking the glass</b>: {}", line(event.data["break_glass"], 500))
    note = event.data.get("note")
    if note:
        told += _note(note)
    digest = str(event.data.get("digest") or "")
    if digest and digest != "as it stood":
        return told + html(
            ' <span class="dim mono" title="the digest of what was shown">#{}</span>', digest.rpartition(":")[2][:8]
        )
    return told + Markup(' <span class="dim">on what it showed at that time</span>') if digest else told


def _note(note: object) -> Markup:
    return html('<blockquote class="text">{}</blockquote>', _whole(note, 10_000))


def _whole(text: object, at_once: int) -> Markup:
    return Page(budget=MOST_OF_A_TEXT, whole=True).text(str(text), at_once)


def _cancelled(event: Event) -> Markup:
    note = event.data.get("note")
    told = html("cancelled by {}", _who(event))
    return told + _note(note) if note else told


def _taken_over(event: Event) -> Markup:
    why = "which had died" if event.data.get("because") == "it died" else "with --take-over"
    return html("taken over from {}, {}", line(event.data.get("from", "its owner")), why)


_SENTENCES: dict[str, Callable[[Event], Markup]] = {
    "started": lambda event: html("started by {}", _who(event)),
    "replayed": _replayed,
    "resumed": lambda event: html("resumed by {}", _who(event)),
    "answered": _answered,
    "cancelled": _cancelled,
    "taken_over": _taken_over,
    "voided": lambda event: html(
        "gate <b>{}</b> was voided, because its values changed", line(event.data.get("gate", "?"), 100)
    ),
    "lost": lambda event: html("lost: {} died", line(event.data.get("from", "its process"))),
    "held": lambda event: html("held here: {}", line(event.data.get("because", "it came with a copy"), 300)),
    "adopted": lambda event: html("adopted by {}: it may continue here", _who(event)),
    "warning": lambda event: html("warning: {}", _whole(event.data.get("message", ""), 1000)),
    "latest": lambda event: html("{} switched to the current blueprint file", _who(event)),
}

#: The facts that a sentence already contains.
_TOLD = {
    "replayed": {"from"},
    "answered": {"gate", "visit", "approved", "note", "digest"},
    "cancelled": {"note"},
    "taken_over": {"from", "because"},
    "voided": {"gate"},
    "lost": {"from"},
    "held": {"because"},
    "warning": {"message"},
}


def _rest(event: Event) -> Markup:
    """Return the other facts, folded."""
    rest = {key: value for key, value in event.facts.items() if key not in _TOLD.get(event.kind, ())}
    if not rest:
        return Markup("")
    return html(
        '<details class="fold"><summary class="dim">what was given</summary>{}</details>',
        Page(budget=20_000).mapping(rest),
    )
