"""Small parts of HTML for many templates. They are made in Python, because a list prints them hundreds of times."""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from urllib.parse import quote

from flask import Flask, request
from markupsafe import Markup

from neurocore import readable
from neurocore.persistence.records import StepRecord
from webapp.html import rendering, text
from webapp.html.text import html

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,40}")

#: Names in addresses are cut to this length; no real name is as long.
MOST_OF_A_NAME = 300

#: How many characters of a text a page contains, folded; a link leads to the rest.
MOST_OF_A_TEXT = 40_000

#: The word for the status of a step.
STEP_WORDS = {
    "completed": "completed", "failed": "failed", "skipped": "skipped", "suspended": "waiting", "running": "running",
    "cancelled": "cancelled", "rejected": "rejected",
}  # fmt: skip


def icon(name: str) -> Markup:
    """Return an icon from the sprite of the page; it is only decoration."""
    return html('<svg class="icon" aria-hidden="true"><use href="#i-{}"/></svg>', name)


_CHIP = Markup('<span class="chip {0}"><svg class="icon" aria-hidden="true"><use href="#i-{0}"/></svg>{1}</span>')


@lru_cache(maxsize=200)
def chip(kind: str, label: str) -> Markup:
    """Return a status as icon, word and colour."""
    return _CHIP.format(kind, label)


def step_chip(step: StepRecord) -> Markup:
    """Return how a step ended, as icon, word and colour."""
    return chip(step.outcome, STEP_WORDS[step.outcome])


def run_url(run_id: str, *more: str) -> str:
    """Return the address of a run's page, or of a page below it. It does not use the router: lists print hundreds."""
    return "/".join([f"{request.script_root}/runs", *(_quoted(part) for part in (run_id, *more))])


def api_url(run_id: str, *more: str) -> str:
    """Return the address in the API of a run, or of a part of it."""
    path = run_url(run_id, *more).removeprefix(request.script_root)
    return f"{request.script_root}/api/v1{path}"


def all_of(text: str, at_once: int, where: str) -> Markup:
    """Return a text: the first `at_once` characters, and the rest folded. A very long one gets a link to `where`."""
    return rendering.Page(budget=MOST_OF_A_TEXT, more=where, whole=True).text(text, at_once)


def blueprint_url(name: str) -> str:
    """Return the address of a blueprint's page, or of its runs if an address cannot contain the name (`.`, `..`)."""
    if name in (".", ".."):
        return f"{request.script_root}/runs?blueprint={name}"
    return f"{request.script_root}/blueprints/{_quoted(name)}"


def _quoted(part: str) -> str:
    return quote(part[:MOST_OF_A_NAME].encode("utf-8", "surrogatepass"), safe="")


def anchor(*parts: object) -> str:
    """Return an element id for these names; it is readable if the names are plain."""
    names = [str(part) for part in parts]
    if all(_PLAIN.fullmatch(name) or name.isdigit() for name in names):
        return "-".join(names)
    digest = hashlib.sha256("\x00".join(names).encode("utf-8", "surrogatepass")).hexdigest()[:12]
    return f"{names[0] if _PLAIN.fullmatch(names[0]) else 'x'}-{digest}"


def step_anchor(node_id: str, visit: int, attempt: int) -> str:
    """Return the id of a timeline row. It is the same while the step runs and afterwards, so an open row stays open."""
    return anchor("step", node_id, visit, attempt)


def short_id(run_id: str) -> str:
    """Return the first characters of an id, for people."""
    return run_id[:8]


def init_app(app: Flask) -> None:
    """Give these functions and those of `webapp.html.text` to every template, and make every printed text safe."""
    app.jinja_env.finalize = text.finalize
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.globals.update(
        icon=icon, chip=chip, step_chip=step_chip, run_url=run_url, api_url=api_url, all_of=all_of,
        blueprint_url=blueprint_url, anchor=anchor, step_anchor=step_anchor,
        short_id=short_id, time_ago=text.time_ago, time_exact=text.time_exact, time_since=text.time_since,
        time_until=text.time_until,
        CLOCK=text.CLOCK, took=readable.took, counted=readable.counted, STEP_WORDS=STEP_WORDS,
        short_value=rendering.short,
    )  # fmt: skip
    app.jinja_env.filters["field"] = text.field
    app.jinja_env.filters["line"] = text.line
    app.jinja_env.filters["size"] = text.size
