"""The page of approvals: gates that wait for a decision, and decided gates."""

from __future__ import annotations

import contextlib
import hashlib
from enum import StrEnum
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, make_response, render_template, request
from msgspec import Struct, structs
from werkzeug.wrappers import Response as AnyResponse

from neurocore.errors import InputError
from neurocore.forms import folded, spellings
from neurocore.moments import TAKEN, Clock
from neurocore.persistence.base import RunStore
from neurocore.persistence.records import GateEntry, GateStatus
from webapp.html import live
from webapp.security import for_me
from webapp.services import Services, services

area = Blueprint("approvals", __name__)

WAITING = 200
DECIDED = 50


class Whose(StrEnum):
    """Which gates a list has; without one it has all."""

    ME = "me"
    OTHERS = "others"
    DECIDED = "decided"


class Asked(Struct, frozen=True, kw_only=True):
    """What somebody asks a list of gates for."""

    whose: Whose | None = None
    blueprint: str | None = None
    by: str | None = None
    before: str | None = None
    after: str | None = None

    def query(self, **other: str | None) -> str:
        """Return the query of the same list with other values; a cursor is given anew each time."""
        fields = {"for": self.whose, "blueprint": self.blueprint, "by": self.by, **other}
        return urlencode({name: text for name, text in fields.items() if text}, errors="replace")


class Approvals(Struct, frozen=True, kw_only=True):
    """One page of gates, for people and programs, without the values that the gates show.

    `waiting` are those that whoever asks may answer, `others` those that somebody else may. `later` is the `after` of
    the next page of waiting gates (of `others`, where only these are asked for), `older` the `before` of the next page
    of decided gates; each is None on the last page. A later page contains only the kind of gates that was asked for.
    """

    waiting: list[GateEntry]
    others: list[GateEntry]
    later: str | None
    decided: list[GateEntry]
    older: str | None

    @classmethod
    def of(cls, here: Services, asked: Asked) -> Approvals:
        """Read the gates that are asked for. Raises InputError."""
        if asked.before is not None and asked.after is not None:
            sentence = "Give either before or after, not both."
            raise InputError(sentence, {"before": sentence})
        waiting, others, decided = [], [], []
        if asked.before is None and asked.whose in (None, Whose.ME):
            waiting = _open(here, asked, for_me.answerable(), asked.after)
        if asked.before is None and (asked.whose is Whose.OTHERS or (asked.whose is None and asked.after is None)):
            others = _open(here, asked, for_me.of_others(), asked.after)
        if asked.whose is Whose.DECIDED or (asked.whose is None and asked.after is None):
            decided = _decided(here.store, asked.blueprint, asked.by, asked.before, here.config.clock)
        paged = others if asked.whose is Whose.OTHERS else waiting
        return cls(
            waiting=waiting[:WAITING],
            others=others[:WAITING],
            later=paged[WAITING - 1].cursor if len(paged) > WAITING else None,
            decided=decided[:DECIDED],
            older=decided[DECIDED - 1].cursor if len(decided) > DECIDED else None,
        )


def _open(here: Services, asked: Asked, names: tuple[str, ...] | None, after: str | None) -> list[GateEntry]:
    """Read the open gates of these blueprints, or of all that are visible."""
    if names is None:
        return here.store.list_gates(blueprint=asked.blueprint, after=after, limit=WAITING + 1, narrow=True)
    if asked.blueprint is not None:
        names = tuple(name for name in spellings(asked.blueprint) if name in names)
    return here.store.list_gates(blueprints=names, after=after, limit=WAITING + 1, narrow=True)


def _decided(
    store: RunStore, blueprint: str | None, by: str | None, before: str | None, clock: Clock
) -> list[GateEntry]:
    """Read decided gates before a time, or from a cursor on."""
    start = {"after": before}
    with contextlib.suppress(ValueError):
        start = {"before": clock.read(before or "")}
    try:
        return store.list_gates(
            status=(GateStatus.DECIDED, GateStatus.DONE), blueprint=blueprint, by=by, limit=DECIDED + 1, narrow=True,
            **start,
        )  # fmt: skip
    except InputError:
        sentence = f"before takes {TAKEN}, or the `older` of a page, not {before!r:.60}."
        raise InputError(sentence, {"before": sentence}) from None


@area.get("/approvals")
def index() -> AnyResponse:
    """List waiting gates, longest first, and decided gates, newest first; filter by person and blueprint."""
    here, given = services(), request.args
    blueprint, by = (given.get(name, "").strip()[:500] or None for name in ("blueprint", "by"))
    before, after = (given.get(name, "").strip()[:1000] or None for name in ("before", "after"))
    whose = next((one for one in Whose if one.value == given.get("for", "").strip()), None)
    asked = Asked(whose=whose, blueprint=blueprint, by=by, before=before, after=after)
    found = Approvals.of(here, asked)
    token = _token([*found.waiting, *found.others, *found.decided])
    if live.wants_block() and given.get("v") == token:
        return live.unchanged()
    context: dict[str, Any] = {
        "asked": asked,
        "found": found,
        "later": found.later and asked.query(after=found.later),
        "older": found.older and asked.query(before=found.older),
        "first": asked.query(),
        "token": token,
        "query": asked.query(before=before, after=after),
        "blueprints": sorted(folded(here.store.blueprint_counts(), [blueprint] if blueprint else [])),
        "tabs": [(one.value, structs.replace(asked, whose=one).query()) for one in Whose],
    }
    if live.wants_block():
        return live.blocks("approvals/index.html", [], "lists", context)
    return live.varying(make_response(render_template("approvals/index.html", **context)))


def _token(entries: list[GateEntry]) -> str:
    parts = (f"{one.run.run_id}{one.run.version}{one.gate.node_id}{one.gate.visit}{one.gate.status}" for one in entries)
    shows = "|".join(parts).encode("utf-8", "surrogatepass")
    return live.version(hashlib.blake2b(shows, digest_size=9).hexdigest())
