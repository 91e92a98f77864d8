"""What a browser or an address brings that the page's script does not expect stops none of it."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from e2e.site import Site

pytestmark = pytest.mark.e2e

FORBIDDEN = """for (const name of ["localStorage", "sessionStorage"]) {
  Object.defineProperty(window, name, { get() { throw new DOMException("not allowed", "SecurityError"); } });
}"""


def works(page: Page) -> None:
    """The script has started: keys are heard, times count."""
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()


@pytest.mark.parametrize("fragment", ["#%", "#%E0%A4%A", "#%ff", '#"]', "#constructor"])
def test_whatever_stands_behind_the_hash_of_an_address_the_page_works(site: Site, page: Page, fragment: str) -> None:
    run_id = site.waiting_run("Kay")
    page.goto(site.url(run_id) + fragment)
    works(page)


def test_a_browser_that_keeps_nothing_shows_a_page_that_works(site: Site, page: Page) -> None:
    run_id = site.waiting_run("Lea")
    page.add_init_script(FORBIDDEN)
    page.goto(site.url(run_id))
    page.get_by_label("Note").fill("looked at it")
    page.get_by_label("Approver").fill("carla")
    page.get_by_role("heading", level=1).click()
    works(page)
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Approve").click()
    expect(page.locator("#decided")).to_contain_text("looked at it")
