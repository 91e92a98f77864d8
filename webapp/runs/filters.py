"""The filter of runs: it turns the parameters of an address into a `RunFilter` and links. The API uses it too."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from msgspec import Struct, field

from neurocore import numerals
from neurocore.errors import InputError
from neurocore.moments import TAKEN, Clock
from neurocore.persistence.records import RunFilter, RunStatus

DEFAULT_LIMIT = 50
MAX_LIMIT = 200
MAX_TEXT = 500

#: The parameters, in their order in links.
NAMES = ("status", "blueprint", "q", "since", "until", "tag", "by", "waiting", "before", "after", "limit")


class Filter(Struct, kw_only=True):
    """What a list shows.

    `given` is the text from the address, for form fields and links. `problems` maps a parameter that is not valid to a
    sentence.
    """

    runs: RunFilter = RunFilter()
    before: str | None = None
    after: str | None = None
    limit: int = DEFAULT_LIMIT
    given: dict[str, list[str]] = {}
    clock: Clock = Clock()
    problems: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, parameters: Mapping[str, Iterable[str]], clock: Clock, *, now: datetime | None = None) -> Filter:
        """Read the parameters of an address.

        They are `status` (repeated, or separated by commas), `blueprint`, `q`, `since`, `until`, `tag`, `by`,
        `waiting`, `before` or `after` (cursors) and `limit`. Times are read by `neurocore.moments` in the zone of
        `clock`.
        """
        given = {name: _texts(parameters.get(name, ())) for name in NAMES}
        given = {name: texts for name, texts in given.items() if texts}
        problems: dict[str, str] = {}
        one = {name: texts[-1] for name, texts in given.items()}
        for name, text in one.items():
            if len(text) > MAX_TEXT:
                problems[name] = f"{name} has at most {MAX_TEXT} characters."
        runs = RunFilter(
            status=_statuses(given.get("status", []), problems),
            blueprint=one.get("blueprint"),
            text=one.get("q", "").strip() or None,
            since=_time("since", one.get("since"), problems, clock, now),
            until=_time("until", one.get("until"), problems, clock, now),
            tag=one.get("tag"),
            started_by=one.get("by"),
            waiting=_boolean("waiting", one.get("waiting"), problems),
        )
        if "before" in one and "after" in one:
            problems["before"] = "Give either before or after, not both."
        limit = _limit(one.get("limit"), problems)
        return cls(
            runs=runs, before=one.get("before"), after=one.get("after"), limit=limit, given=given, clock=clock,
            problems=problems,
        )  # fmt: skip

    def check(self) -> None:
        """Raise InputError if a parameter is not valid."""
        if self.problems:
            raise InputError(" ".join(self.problems.values()), self.problems)

    @property
    def narrows(self) -> bool:
        """Return whether the filter leaves out any runs."""
        return self.runs != RunFilter()

    @property
    def range(self) -> str:
        """Return the period of the list with its zone, or "" if the list has no period."""
        runs = self.runs
        return self.clock.range(runs.since, runs.until) if runs.since or runs.until else ""

    @property
    def unfolded(self) -> bool:
        """Return whether one of the rarer filters is used, or is not valid."""
        return bool(self.problems or self.given.keys() & {"since", "until", "tag", "by"})

    def one(self, name: str) -> str:
        """Return what was given for a parameter, for its form field."""
        return self.given.get(name, [""])[-1]

    def query(self, **changes: Any) -> str:
        """Return the query of a link: this filter with some parameters changed (None removes one), from the newest."""
        fields: dict[str, Any] = {name: given for name, given in self.given.items() if name not in ("before", "after")}
        fields.update(changes)
        pairs = []
        for name in NAMES:
            values = fields.get(name)
            if values:
                pairs += [(name, value) for value in (values if isinstance(values, list) else [values]) if value]
        return urlencode(pairs, errors="replace") if pairs else ""


def _texts(values: Iterable[str]) -> list[str]:
    return [text for value in ([values] if isinstance(values, str) else values) if (text := str(value).strip())]


def _statuses(given: list[str], problems: dict[str, str]) -> tuple[RunStatus, ...]:
    found = []
    for name in [part.strip() for text in given for part in text.split(",")]:
        if name in RunStatus.__members__.values():
            found.append(RunStatus(name))
        elif name:
            known = ", ".join(status.value for status in RunStatus)
            problems["status"] = f"There is no status {name[:50]!r}; there are {known}."
    return tuple(dict.fromkeys(found))


def _time(name: str, text: str | None, problems: dict[str, str], clock: Clock, now: datetime | None) -> str | None:
    if text is None:
        return None
    try:
        return clock.read(text, now=now, end=name == "until")
    except ValueError:
        problems[name] = f"{name} takes {TAKEN}, not {text[:50]!r}."
        return None


def _boolean(name: str, text: str | None, problems: dict[str, str]) -> bool:
    words = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
    if text is not None and text.lower() not in words:
        problems[name] = f"{name} takes true or false, not {text[:50]!r}."
    return words.get((text or "").lower(), False)


def _limit(text: str | None, problems: dict[str, str]) -> int:
    if text is None:
        return DEFAULT_LIMIT
    found = numerals.whole(text)
    if found is not None and 1 <= found <= MAX_LIMIT:
        return found
    problems["limit"] = f"limit takes a number from 1 to {MAX_LIMIT}, not {text[:50]!r}."
    return DEFAULT_LIMIT
