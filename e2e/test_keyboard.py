"""By keyboard alone: every control is reached, seen, and worked; the keys do what `?` says."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from e2e.site import Site

pytestmark = pytest.mark.e2e

#: What Tab should come by: everything that a mouse could work and that is on the page now.
REACHABLE = """() => [...document.querySelectorAll("a[href], button, input, select, textarea, summary, [tabindex='0']")]
  .filter((one) => one.checkVisibility({ visibilityProperty: true }) && !one.disabled && one.tabIndex >= 0
    && one.type !== "hidden")
  .map((one, at) => { one.dataset.tabbed = at; return at; }).length"""

#: Where the focus is, and how it is shown there.
FOCUS = """() => {
  const one = document.activeElement;
  const style = getComputedStyle(one);
  return [one.dataset.tabbed ?? null, style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2,
    one.outerHTML.slice(0, 80)];
}"""


def focused(page: Page) -> str:
    return str(page.evaluate("document.activeElement.textContent.trim() || document.activeElement.name"))


@pytest.mark.parametrize("path", ["/runs", "run"])
def test_tab_reaches_every_control_and_shows_where_it_is(site: Site, page: Page, path: str) -> None:
    run_id = site.waiting_run("Ora")
    page.goto(site.url(run_id) if path == "run" else site.address + path)
    expected = page.evaluate(REACHABLE)
    assert expected > 10
    seen: list[int] = []
    for _ in range(expected):
        page.keyboard.press("Tab")
        number, visible, html = page.evaluate(FOCUS)
        assert visible, f"nothing shows the focus on {html}"
        assert number is not None, html
        seen.append(int(number))
    assert seen == list(range(expected)), "every control once, in the order of the page"


def test_the_first_tab_skips_to_the_content(site: Site, page: Page) -> None:
    page.goto(f"{site.address}/runs")
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to content")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('main') !== null")


def test_a_person_decides_without_a_mouse(site: Site, page: Page) -> None:
    run_id = site.waiting_run("Pia")
    page.goto(site.url(run_id))
    page.get_by_label("Approver").focus()
    page.keyboard.type("ann")
    page.keyboard.press("Tab")
    page.keyboard.type("two\nlines")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Approve")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Reject")).to_be_focused()
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Space")
    expect(page.locator("#status")).to_contain_text("completed")
    assert site.record(run_id).status.value == "completed"


def test_j_and_k_walk_the_list_and_enter_opens(site: Site, page: Page) -> None:
    names = ("Ron", "Sue", "Tom")
    for name in names:
        site.waiting_run(name)
    page.goto(f"{site.address}/runs")
    page.keyboard.press("j")
    assert focused(page) == f"A letter to {names[2]}"
    page.keyboard.press("j")
    page.keyboard.press("j")
    assert focused(page) == f"A letter to {names[0]}"
    page.keyboard.press("k")
    assert focused(page) == f"A letter to {names[1]}"
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name=f"A letter to {names[1]}")).to_be_visible()


def test_j_and_k_walk_the_timeline_and_enter_opens_a_step(site: Site, page: Page) -> None:
    page.goto(site.url(site.waiting_run("Una")))
    page.keyboard.press("j")
    assert "write" in focused(page)
    page.keyboard.press("Enter")
    expect(page.get_by_text("What it changed")).to_be_visible()
    page.keyboard.press("j")
    assert "review" in focused(page)


def test_slash_searches_and_typed_letters_stay_letters(site: Site, page: Page) -> None:
    run_id = site.waiting_run("Vic")
    page.goto(f"{site.address}/runs")
    page.keyboard.press("/")
    field = page.get_by_label("Title or id begins with")
    expect(field).to_be_focused()
    page.keyboard.type("A letter to Vic")
    expect(field).to_have_value("A letter to Vic")
    page.keyboard.press("Enter")
    expect(page.locator(f'a[href$="{run_id}"]')).to_be_visible()
    assert "q=A+letter+to+Vic" in page.url


def test_slash_on_a_page_without_a_search_leads_into_that_of_the_runs(site: Site, page: Page) -> None:
    page.goto(f"{site.address}/about")
    page.keyboard.press("/")
    field = page.get_by_label("Title or id begins with")
    expect(field).to_be_focused()
    page.keyboard.type("at once")
    expect(field).to_have_value("at once")


def test_g_and_a_letter_go_places(site: Site, page: Page) -> None:
    page.goto(f"{site.address}/about")
    for letter, path in (("r", "/runs"), ("a", "/approvals"), ("b", "/blueprints"), ("h", "/")):
        page.keyboard.press("g")
        page.keyboard.press(letter)
        page.wait_for_url(site.address + path)


def test_the_question_mark_shows_the_keys_and_escape_puts_them_away(site: Site, page: Page) -> None:
    page.goto(f"{site.address}/runs")
    page.keyboard.press("?")
    dialog = page.get_by_role("dialog", name="Keys")
    expect(dialog).to_be_visible()
    for name in ("/", "j", "k", "g", "r", "a", "?"):
        expect(dialog.locator("kbd", has_text=name).first).to_be_visible()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()


def test_a_menu_opens_by_enter_closes_by_escape_and_gives_the_focus_back(site: Site, page: Page) -> None:
    page.goto(site.url(site.waiting_run("Wes")))
    menu = page.get_by_text("Cancel …")
    menu.focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Cancel the run")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Cancel the run")).to_be_hidden()
    expect(menu).to_be_focused()


def test_wide_tables_scroll_by_the_arrow_keys(site: Site, page: Page) -> None:
    page.goto(f"{site.address}/blueprints/parallel")
    page.set_viewport_size({"width": 360, "height": 700})
    flow = page.get_by_role("group", name="Flow", exact=True)
    flow.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function("() => document.querySelector('.picture').scrollLeft > 0")


def test_the_keys_can_be_switched_off_and_on_again(site: Site, page: Page) -> None:
    page.goto(f"{site.address}/about")
    page.get_by_role("button", name="Keys").click()
    page.get_by_label("Use these keys").uncheck()
    page.keyboard.press("Escape")
    page.reload()
    for key in "?gr/":
        page.keyboard.press(key)
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(page).to_have_url(f"{site.address}/about")
    page.get_by_role("button", name="Keys").click()
    page.get_by_label("Use these keys").check()
    page.get_by_role("button", name="Close").click()
    page.keyboard.press("g")
    page.keyboard.press("r")
    expect(page).to_have_url(f"{site.address}/runs")
