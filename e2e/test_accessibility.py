"""Everybody can read and work every page: axe finds nothing, in the light and in the dark, with everything opened."""

from __future__ import annotations

from typing import Any

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Page, expect

from e2e.gallery import PLACES, STATUS, pages
from e2e.people import People
from e2e.site import Site

pytestmark = pytest.mark.e2e

#: The pages are looked at in so many tests, so that each ends in time on a busy machine.
PARTS = 6

ALL = {"resultTypes": ["violations"], "rules": {"target-size": {"enabled": True}}}
COLOURS = {"resultTypes": ["violations"], "runOnly": ["color-contrast", "link-in-text-block"]}

OPEN = """() => { for (const one of document.querySelectorAll("details:not(.menu)")) one.open = true; }"""
FILLED = """() => [...document.querySelectorAll("details.step .body[data-src]")].every(
  (body) => body.querySelector(".step-body"))"""
OPEN_MENUS = """() => {
  const menus = [...document.querySelectorAll("details.menu")];
  for (const menu of menus) menu.open = true;
  return menus.length;
}"""


def axe(page: Page, options: dict[str, Any], within: str = "body") -> list[str]:
    """What axe finds on the page as it is now, a line for each element."""
    ask = "async ([within, options]) => (await axe.run(within === 'body' ? document : within, options)).violations"
    found = page.evaluate(ask, [within, options])
    return [f"{rule['id']}: {node['target']} {node['failureSummary']}" for rule in found for node in rule["nodes"]]


def look(page: Page, address: str, status: int) -> list[str]:
    """What axe finds at an address with all details opened, in the light, in the dark, and then in its menus."""
    page.emulate_media(color_scheme="light")
    answer = page.goto(address)
    assert answer is not None
    assert answer.status == status, address
    assert page.locator("h1").count() == 1, address
    assert page.title().endswith(" · NeuroCore"), address
    page.evaluate(AXE_SCRIPT)
    page.evaluate(OPEN)
    page.wait_for_function(FILLED)
    found = axe(page, ALL)
    page.emulate_media(color_scheme="dark")
    found += [f"in the dark, {text}" for text in axe(page, COLOURS)]
    if page.evaluate(OPEN_MENUS):
        found += [f"in a menu, {text}" for text in axe(page, COLOURS, "details.menu")]
    return found


@pytest.mark.parametrize("part", range(PARTS))
def test_axe_finds_nothing_on_any_page_in_either_theme(site: Site, people: People, part: int) -> None:
    page = people.person(traced=False)
    some = list(pages(site).items())[part::PARTS]
    found = {name: look(page, site.address + path, STATUS.get(name, 200)) for name, path in some}
    assert not {name: problems for name, problems in found.items() if problems}


def test_axe_finds_nothing_in_a_project_where_nothing_has_run(new_site: Any, page: Page) -> None:
    fresh = new_site()
    found = {name: look(page, fresh.address + path, 200) for name, path in PLACES.items()}
    assert not {name: problems for name, problems in found.items() if problems}


def test_axe_finds_nothing_in_what_a_refused_form_says(site: Site, page: Page) -> None:
    page.goto(site.url(site.waiting_run("Fay")))
    page.get_by_label("Approver").fill("ann")
    page.get_by_role("button", name="Reject").click()
    expect(page.get_by_text("A rejection here needs a note")).to_be_visible()
    page.evaluate(AXE_SCRIPT)
    assert axe(page, ALL) == []
    page.emulate_media(color_scheme="dark")
    assert axe(page, COLOURS) == []


def test_the_list_of_keys_is_a_dialog_that_axe_accepts(site: Site, page: Page) -> None:
    page.goto(f"{site.address}/runs")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    page.evaluate(AXE_SCRIPT)
    assert axe(page, ALL) == []


def test_a_change_of_status_is_told_to_those_who_listen(site: Site, page: Page) -> None:
    run_id = site.waiting_run("Gus")
    page.goto(site.url(run_id))
    told = page.locator("#announce[role=status]")
    expect(told).to_be_empty()
    site.cli("runs", "approve", run_id, "--by", "bob")
    expect(told).to_have_text("The run is now: completed")
