"""On a phone, down to 320 px: nothing runs off the side, everything can be hit, and a decision can be made."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from e2e.gallery import pages
from e2e.people import PHONE, People
from e2e.site import Site

pytestmark = pytest.mark.e2e

#: What sticks out of the window: the page's own width, or who makes it so.
WIDER = """() => {
  const width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth <= width && visualViewport.scale === 1) return [];
  return [...document.querySelectorAll("body *")].filter((one) => one.getBoundingClientRect().right > width + 1)
    .slice(-3).map((one) => `${one.tagName}.${one.className.baseVal ?? one.className}: ${one.textContent.slice(0, 40)}`)
    .concat([`${document.documentElement.scrollWidth} px`]);
}"""

#: Controls that a finger would miss: lower or narrower than 24 px; a link within a sentence may be as high as its line.
SMALL = """() => [...document.querySelectorAll("a, button, input:not([type=hidden]), select, textarea, summary")]
  .filter((one) => one.checkVisibility({ visibilityProperty: true }) && !one.closest("p, .meta, .crumbs, .rest"))
  .filter((one) => !one.matches(".skip") && getComputedStyle(one).display !== "inline")
  .filter((one) => { const box = one.getBoundingClientRect(); return box.height < 23.5 || box.width < 23.5; })
  .map((one) => `${one.outerHTML.slice(0, 90)} ${one.getBoundingClientRect().height}`)"""


@pytest.mark.parametrize("width", [390, 320])
def test_no_page_scrolls_sideways_and_every_control_can_be_hit(site: Site, people: People, width: int) -> None:
    phone = people.person(phone=True, traced=False, viewport={"width": width, "height": 700})
    faults = {}
    for name, path in pages(site).items():
        phone.goto(site.address + path)
        phone.evaluate("() => { for (const one of document.querySelectorAll('details:not(.menu)')) one.open = true; }")
        if found := phone.evaluate(WIDER) + phone.evaluate(SMALL):
            faults[name] = found
    assert not faults, "\n".join(f"{name}: {one}" for name, found in faults.items() for one in found)


@pytest.mark.parametrize("width", [390, 320])
@pytest.mark.parametrize("status", ["waiting", "running"])
def test_the_menu_with_cancel_stays_within_the_screen(site: Site, people: People, width: int, status: str) -> None:
    phone = people.person(phone=True, viewport={"width": width, "height": 700})
    run_id = site.waiting_run("Hal") if status == "waiting" else site.start_run("slow")
    if status == "running":
        site.begun(run_id, "first")
    phone.goto(site.url(run_id))
    phone.get_by_text("Cancel …").tap()
    box = phone.get_by_role("button", name="Cancel the run").bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= width
    assert phone.evaluate(WIDER) == []
    if status == "running":
        site.go(run_id, "first")


def test_a_person_decides_on_a_phone(site: Site, phone_page: Page) -> None:
    assert PHONE["viewport"] == {"width": 390, "height": 844}
    run_id = site.waiting_run("Ida")
    phone_page.goto(f"{site.address}/runs")
    phone_page.locator(f'a[href$="{run_id}"]').tap()
    phone_page.get_by_label("Approver").fill("ann")
    phone_page.get_by_label("Note").fill("read on the train")
    phone_page.get_by_role("button", name="Approve").tap()
    expect(phone_page.locator("#status")).to_contain_text("completed")
    assert site.record(run_id).status.value == "completed"


def test_a_refused_form_leads_to_the_field_that_is_wrong(site: Site, phone_page: Page) -> None:
    lines = "\n".join(f"line {number}" for number in range(200))
    phone_page.goto(site.url(site.waiting_run(lines)))
    phone_page.get_by_label("Approver").fill("ann")
    phone_page.get_by_role("button", name="Reject", exact=True).tap()
    expect(phone_page.get_by_text("A rejection here needs a note")).to_be_in_viewport()
    expect(phone_page.get_by_label("Note")).to_be_focused()


def test_a_refused_start_leads_to_the_first_input_that_is_wrong(site: Site, phone_page: Page) -> None:
    phone_page.goto(f"{site.address}/blueprints/everything")
    phone_page.get_by_label("text", exact=True).fill("words")
    for name in ("whole", "money"):
        phone_page.get_by_label(name, exact=True).fill("many")
    phone_page.get_by_label("Your name").fill("ann")
    phone_page.get_by_role("button", name="Start", exact=True).tap()
    expect(phone_page.get_by_label("whole", exact=True)).to_be_focused()
    expect(phone_page.get_by_label("whole", exact=True)).to_be_in_viewport()
