"""The filter object: an address in, a `RunFilter` and links out; the same for pages and programs."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from neurocore.errors import InputError
from neurocore.moments import Clock
from neurocore.persistence.records import RunFilter, RunStatus
from webapp.runs.filters import Filter

NOW = datetime(2026, 3, 31, 12, 0, tzinfo=UTC)
UTC_CLOCK = Clock("UTC")


def of(**parameters):
    return Filter.of(
        {name: value if isinstance(value, list) else [value] for name, value in parameters.items()}, UTC_CLOCK, now=NOW
    )


def test_everything_may_be_said_at_once():
    found = of(
        status=["failed", "suspended,running"], blueprint="payout", q="Mar", since="2026-03-01", until="2026-03-31",
        tag="month-end", by="ann", waiting="true",
    )  # fmt: skip
    assert found.runs == RunFilter(
        status=(RunStatus.FAILED, RunStatus.SUSPENDED, RunStatus.RUNNING), blueprint="payout", text="Mar",
        since="2026-03-01T00:00:00.000000+00:00", until="2026-04-01T00:00:00.000000+00:00", tag="month-end",
        started_by="ann", waiting=True,
    )  # fmt: skip
    assert not found.problems


def test_ages_and_times_with_offsets_are_understood():
    assert of(since="7d").runs.since == "2026-03-24T12:00:00.000000+00:00"
    assert of(since="90 min").runs.since == "2026-03-31T10:30:00.000000+00:00"
    assert of(until="2026-03-31T14:00:00+02:00").runs.until == "2026-03-31T12:00:00.000000+00:00"
    pasted = "2026-03-31T14:00:00 02:00"  # what a + becomes in an address
    assert of(until=pasted).runs.until == "2026-03-31T12:00:00.000000+00:00"


def test_nothing_given_is_everything():
    assert of().runs == RunFilter()
    assert of(q="  ", status="").runs == RunFilter()
    assert not of().narrows


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("status", "done", "There is no status 'done'; there are running, completed"),
        ("since", "yesterday-ish", "since takes a date"),
        ("until", "9" * 30 + "d", "until takes a date"),
        ("since", "999999w", "since takes a date"),
        ("waiting", "maybe", "waiting takes true or false"),
        ("limit", "0", "limit takes a number from 1 to 200"),
        ("limit", "²", "limit takes a number"),
        ("limit", "0000029999", "limit takes a number"),
        ("q", "x" * 501, "q has at most 500 characters"),
    ],
)
def test_what_cannot_be_used_has_one_sentence(name, text, said):
    found = of(**{name: text})
    assert said in found.problems[name]
    with pytest.raises(InputError):
        found.check()


@pytest.mark.parametrize(("name", "text"), [
    ("since", "\u0667d"), ("since", "\uff17d"), ("until", "2026-03-\u0663\u0661"),
    ("since", "2026-03-31T12:00 \u0660\u0661:00"),
    ("limit", "\u0663"), ("limit", "\uff13"), ("limit", "1_0"), ("limit", "\u00b2"),
])  # fmt: skip
def test_digits_of_other_scripts_are_no_numbers(name, text):
    assert list(of(**{name: text}).problems) == [name]


def test_links_keep_the_filter_and_go_back_to_the_newest_page():
    found = of(status="failed", q="a b&c", before="cursor~1")
    assert found.query(blueprint="x") == "status=failed&blueprint=x&q=a+b%26c"
    assert found.query(status=None) == "q=a+b%26c"
    assert found.query(before="next") == "status=failed&q=a+b%26c&before=next"


def test_both_cursors_at_once_are_refused():
    assert "not both" in of(before="a", after="b").problems["before"]
