"""A person looks for runs: the address says it all, so it can be shared, and back and forward work."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect

from e2e.people import People
from e2e.site import Site

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def site(new_site: Callable[..., Site]) -> Site:
    """A history that is known: sixty greetings, some letters, by several people, with tags."""
    site = new_site()
    for number in range(60):
        site.run("greeting", name=f"N{number:02}", by="ann" if number % 2 else "bob")
    site.run("letters", name="Ada", by="carla", tags=("urgent",))
    site.run("letters", name="Bob", by="carla")
    return site


def rows(page: Page) -> Locator:
    """The rows of the list."""
    return page.locator("table.runs tbody tr")


def test_filters_stand_in_the_address_and_a_shared_link_shows_the_same(site: Site, people: People, page: Page) -> None:
    page.goto(f"{site.address}/runs")
    expect(rows(page)).to_have_count(50)
    page.locator("#filter-counts").get_by_role("link", name="suspended 2").click()
    expect(page).to_have_url(re.compile(r"status=suspended"))
    expect(rows(page)).to_have_count(2)
    page.get_by_label("Title or id begins with").fill("A letter to A")
    page.get_by_label("Blueprint").select_option("letters")
    page.get_by_text("more filters").click()
    page.get_by_label("Since").fill("7d")
    page.get_by_label("Tag").fill("urgent")
    page.get_by_label("Started by").fill("carla")
    page.get_by_role("button", name="Filter", exact=True).click()
    for part in ("status=suspended", "blueprint=letters", r"q=A\+letter\+to\+A", "since=7d", "tag=urgent", "by=carla"):
        expect(page).to_have_url(re.compile(part))
    expect(rows(page)).to_have_count(1)
    expect(rows(page)).to_contain_text("A letter to Ada")

    shared = people.person(phone=True)
    shared.goto(page.url)
    expect(rows(shared)).to_have_count(1)
    expect(rows(shared)).to_contain_text("A letter to Ada")
    expect(shared.get_by_label("Started by")).to_have_value("carla")
    expect(shared.locator("#filter-counts [aria-current]")).to_contain_text("suspended")

    page.go_back()
    expect(rows(page)).to_have_count(2)
    expect(page.get_by_label("Title or id begins with")).to_have_value("")
    page.go_back()
    expect(rows(page)).to_have_count(50)
    page.go_forward()
    page.go_forward()
    expect(rows(page)).to_have_count(1)
    expect(page.get_by_label("Tag")).to_have_value("urgent")
    page.get_by_role("link", name="clear").click()
    expect(rows(page)).to_have_count(50)


def test_each_filter_narrows_the_list(site: Site, page: Page) -> None:
    run_id = site.run("greeting", name="Prefix", by="dora")
    for query, count in (
        ("by=ann&limit=100", 30), ("blueprint=letters", 2), ("tag=urgent", 1), ("q=Greeting+N1", 10),
        (f"q={run_id[:12]}", 1), ("until=2020-01-01", 0), ("status=completed&by=dora", 1), ("waiting=true", 2),
    ):  # fmt: skip
        page.goto(f"{site.address}/runs?{query}")
        expect(rows(page)).to_have_count(count)


def test_a_filter_that_cannot_be_read_says_so_beside_its_field(site: Site, page: Page) -> None:
    page.goto(f"{site.address}/runs?since=yesterday-ish&by=ann")
    expect(page.get_by_label("Since")).to_have_value("yesterday-ish")
    expect(page.get_by_label("Since")).to_have_accessible_description(re.compile("takes a date"))
    expect(page.get_by_text("This filter is not valid")).to_be_visible()
    page.get_by_label("Since").fill("7d")
    page.get_by_role("button", name="Filter", exact=True).click()
    expect(rows(page)).to_have_count(30)


def test_older_and_newer_go_through_the_history_and_keep_the_filter(site: Site, page: Page) -> None:
    page.goto(f"{site.address}/runs?q=Greeting+N")
    expect(rows(page).first).to_contain_text("Greeting N59")
    page.get_by_role("link", name="older").click()
    expect(rows(page)).to_have_count(10)
    expect(rows(page).first).to_contain_text("Greeting N09")
    expect(page).to_have_url(re.compile(r"q=Greeting\+N.*before="))
    page.get_by_role("link", name="newer").click()
    expect(rows(page)).to_have_count(50)
    expect(rows(page).first).to_contain_text("Greeting N59")
    page.go_back()
    expect(rows(page)).to_have_count(10)


def test_keys_walk_the_list_and_open_a_run(site: Site, page: Page) -> None:
    page.goto(f"{site.address}/runs?blueprint=letters")
    for key in "jjk":
        page.keyboard.press(key)
    expect(page.get_by_role("link", name="A letter to Bob")).to_be_focused()
    page.keyboard.press("j")
    expect(page.get_by_role("link", name="A letter to Ada")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="A letter to Ada")).to_be_visible()
    page.go_back()
    expect(rows(page)).to_have_count(2)
