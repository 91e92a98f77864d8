"""A text that says when: one time on every face, on the clock of the project."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest

from neurocore.moments import Clock, age

#: 17:30 in Berlin, on the day after the clocks went forward there.
NOW = datetime(2026, 3, 30, 15, 30, tzinfo=UTC)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Clock]]:
    """Lets the machine be in a zone, and gives its clock."""

    def move(zone: str) -> Clock:
        monkeypatch.setenv("TZ", zone)
        time.tzset()
        return Clock()

    yield move
    monkeypatch.undo()
    time.tzset()


@pytest.fixture(params=["named in neurocore.yaml", "the machine's"])
def clock_of(request: pytest.FixtureRequest, machine: Callable[[str], Clock]) -> Callable[[str], Clock]:
    """The clock of a zone, both ways that a project can have it."""
    return Clock if request.param.startswith("named") else machine


def read(clock: Clock, text: str, *, end: bool = False) -> str:
    return clock.read(text, now=NOW, end=end).removesuffix(":00.000000+00:00")


@pytest.mark.parametrize(
    ("text", "since", "until"),
    [
        ("2026-03-31", "2026-03-30T22:00", "2026-03-31T22:00"),
        ("today", "2026-03-29T22:00", "2026-03-30T22:00"),
        ("Yesterday", "2026-03-28T23:00", "2026-03-29T22:00"),  # 23 hours
        ("2026-03-31T14:00", "2026-03-31T12:00", "2026-03-31T12:00"),
        ("2026-03-31 14:00", "2026-03-31T12:00", "2026-03-31T12:00"),
        ("2026-03-31T14:00Z", "2026-03-31T14:00", "2026-03-31T14:00"),
        ("2026-03-31T14:00-03:00", "2026-03-31T17:00", "2026-03-31T17:00"),
        ("2026-03-31T14:00 02:00", "2026-03-31T12:00", "2026-03-31T12:00"),  # a + in an address
        ("10m", "2026-03-30T15:20", "2026-03-30T15:20"),
        ("10 min", "2026-03-30T15:20", "2026-03-30T15:20"),
        ("2h", "2026-03-30T13:30", "2026-03-30T13:30"),
        ("1.5h", "2026-03-30T14:00", "2026-03-30T14:00"),
        ("7d", "2026-03-23T15:30", "2026-03-23T15:30"),
        ("1w", "2026-03-23T15:30", "2026-03-23T15:30"),
    ],
)
def test_a_text_means_a_time_on_the_projects_clock(
    clock_of: Callable[[str], Clock], text: str, since: str, until: str
) -> None:
    clock = clock_of("Europe/Berlin")
    assert (read(clock, text), read(clock, text, end=True)) == (since, until)


@pytest.mark.parametrize(
    ("zone", "text", "found"),
    [
        ("Europe/Berlin", "2026-03-29T01:59", "2026-03-29T00:59"),
        ("Europe/Berlin", "2026-03-29T02:30", "2026-03-29T01:30"),  # left out: as much later, 03:30
        ("Europe/Berlin", "2026-03-29T03:00", "2026-03-29T01:00"),
        ("Europe/Berlin", "2026-10-25T02:30", "2026-10-25T00:30"),  # comes twice: the first
        ("Europe/Berlin", "2026-10-25T03:00", "2026-10-25T02:00"),
        ("Australia/Lord_Howe", "2026-10-04T02:15", "2026-10-03T15:45"),  # half an hour is left out
        ("America/Havana", "2026-03-08", "2026-03-08T05:00"),  # a day that begins at 1 o'clock
        ("Asia/Kathmandu", "2026-03-29T12:00", "2026-03-29T06:15"),
    ],
)
def test_where_clocks_are_changed_a_time_is_still_one_time(
    clock_of: Callable[[str], Clock], zone: str, text: str, found: str
) -> None:
    assert read(clock_of(zone), text) == found


@pytest.mark.parametrize(
    ("day", "hours"), [("2026-03-29", 23), ("2026-10-25", 25), ("2026-06-01", 24)],
)  # fmt: skip
def test_a_day_is_as_long_as_it_is_on_that_clock(clock_of: Callable[[str], Clock], day: str, hours: int) -> None:
    clock = clock_of("Europe/Berlin")
    begins, ends = (datetime.fromisoformat(clock.read(day, end=end)) for end in (False, True))
    assert (ends - begins).total_seconds() == hours * 3600


@pytest.mark.parametrize(
    "text",
    ["", "soon", "2026-02-30", "2026-03-31T25:00", "9999-12-31", "999999999w", "٣d", "-2h", "0001-01-01T00:00+23:00"],
)
def test_what_is_no_time_is_refused_with_what_is_taken(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a time; give a date .* an age"):
        Clock("Europe/Berlin").read(text, end=True)


def test_a_machine_says_its_zone_by_name_or_by_its_distance_to_utc(machine: Callable[[str], Clock]) -> None:
    assert machine("Asia/Tokyo").name == "Asia/Tokyo"
    assert machine(":Asia/Tokyo").name == "Asia/Tokyo"
    assert machine("XYZ-3").name == "UTC+03:00"
    assert Clock("Europe/Berlin").name == "Europe/Berlin"


def test_a_range_is_told_on_the_clock_that_it_was_read_on() -> None:
    clock = Clock("Asia/Tokyo")
    since, until = clock.read("2026-03-31T14:00"), clock.read("2026-03-31T15:00:30")
    assert clock.range(since, until) == "from 2026-03-31 14:00 until 2026-03-31 15:00:30 (Asia/Tokyo)"
    assert clock.range(None, until) == "until 2026-03-31 15:00:30 (Asia/Tokyo)"


def test_an_age_without_end_is_told_from_no_age() -> None:
    assert age("soon") is None
    with pytest.raises(OverflowError):
        age("999999999w")
