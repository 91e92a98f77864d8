"""Light and dark: as the system wishes, or as the switch was set, which the browser remembers."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from e2e.people import People
from e2e.site import Site

pytestmark = pytest.mark.e2e

LIGHT, DARK = "rgb(246, 246, 248)", "rgb(15, 16, 19)"


def ground(page: Page) -> str:
    """The colour behind everything."""
    return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))


def switch(page: Page) -> None:
    page.get_by_role("button", name="Switch between light and dark").click()


def test_a_page_is_as_light_or_dark_as_the_system_wishes(site: Site, page: Page, dark_page: Page) -> None:
    for person, colour, other in ((page, LIGHT, DARK), (dark_page, DARK, LIGHT)):
        person.goto(f"{site.address}/runs")
        assert ground(person) == colour
        person.emulate_media(color_scheme="dark" if colour == LIGHT else "light")
        assert ground(person) == other


def test_the_switch_is_remembered_on_every_page_and_before_any_script(site: Site, people: People) -> None:
    page = people.person()
    page.goto(f"{site.address}/runs")
    switch(page)
    assert ground(page) == DARK
    page.goto(f"{site.address}/approvals")
    assert ground(page) == DARK
    page.route("**/*.js", lambda route: route.abort())
    page.goto(f"{site.address}/")
    assert ground(page) == DARK, "the server sends the page dark"
    people.allow("ERR_FAILED")


def test_the_switch_goes_both_ways_whatever_the_system_wishes(site: Site, dark_page: Page) -> None:
    dark_page.goto(f"{site.address}/")
    switch(dark_page)
    assert ground(dark_page) == LIGHT
    switch(dark_page)
    assert ground(dark_page) == DARK


def test_without_javascript_there_is_no_switch_and_the_system_decides(site: Site, people: People) -> None:
    for dark, colour in ((False, LIGHT), (True, DARK)):
        page = people.person(script=False, dark=dark)
        page.goto(f"{site.address}/runs")
        # Playwright evaluates in its own world, where scripts of the page are off.
        assert ground(page) == colour
        expect(page.locator("#theme")).to_be_hidden()


def test_forms_and_scroll_bars_are_dark_in_the_dark_too(site: Site, dark_page: Page) -> None:
    dark_page.goto(site.url(site.waiting_run("Max")))
    assert dark_page.evaluate("getComputedStyle(document.documentElement).colorScheme") == "light dark"
    field = dark_page.get_by_label("Note")
    assert field.evaluate("(one) => getComputedStyle(one).backgroundColor") == "rgb(30, 33, 38)"


def test_paper_is_white_whatever_the_screen_is(site: Site, dark_page: Page) -> None:
    dark_page.goto(site.url(site.waiting_run("Ned")))
    switch(dark_page)
    switch(dark_page)
    dark_page.emulate_media(media="print")
    assert ground(dark_page) == "rgb(255, 255, 255)"
    assert dark_page.evaluate("getComputedStyle(document.querySelector('h1')).color") == "rgb(25, 27, 32)"
