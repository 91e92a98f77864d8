"""While the page keeps itself up to date, what a person is doing there stays as it is."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from e2e.parts import fill_in, panel, press, row
from e2e.people import People
from e2e.site import Site

pytestmark = pytest.mark.e2e


def work_goes_on(site: Site, page: Page, run_id: str, number: int) -> None:
    """Let a step beside the gate end, and see it end on the page: the page was refreshed with something new."""
    site.begun(run_id, f"beat{number}")
    site.go(run_id, f"beat{number}")
    expect(row(page, f"beat{number}")).to_have_class(re.compile("completed"))


def test_a_note_being_typed_keeps_its_text_focus_caret_and_selection(site: Site, page: Page) -> None:
    run_id = site.start_run("beside")
    page.goto(site.url(run_id))
    note = panel(page, "review").get_by_label("Note")
    note.fill("one two three")
    note.evaluate("(element) => element.setSelectionRange(4, 7, 'backward')")
    note.evaluate("(element) => { window.note = element }")
    for number in (1, 2):
        work_goes_on(site, page, run_id, number)
        expect(note).to_be_focused()
        assert note.evaluate("(one) => [one.value, one.selectionStart, one.selectionEnd, one.selectionDirection]") == [
            "one two three", 4, 7, "backward",
        ]  # fmt: skip
    note.press("Delete")
    page.keyboard.type("2")
    work_goes_on(site, page, run_id, 3)
    page.keyboard.type("!")
    assert note.input_value() == "one 2! three"
    assert note.evaluate("(element) => element === window.note"), "the field was replaced"
    site.go(run_id, "beat4")


def test_opened_steps_a_text_selection_and_the_place_on_the_page_stay(site: Site, page: Page) -> None:
    page.set_viewport_size({"width": 1000, "height": 420})
    run_id = site.start_run("beside")
    page.goto(site.url(run_id))
    site.begun(run_id, "beat1")
    begin = row(page, "begin")
    begin.locator("> summary").click()
    expect(begin.locator(".step-body")).to_be_visible()
    begin.locator(".step-body details > summary").first.click()  # a fold within the opened step
    page.get_by_text("and a third").first.evaluate("(element) => getSelection().selectAllChildren(element)")
    selected = page.evaluate("getSelection().toString()")
    assert "and a third" in selected
    begin.scroll_into_view_if_needed()
    page.mouse.wheel(0, 40)
    page.wait_for_function("() => scrollY > 0")
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    top = begin.evaluate("(element) => element.getBoundingClientRect().top")
    for number in (1, 2, 3):
        work_goes_on(site, page, run_id, number)
        expect(begin).to_have_attribute("open", "")
        expect(begin.locator(".step-body details").first).to_have_attribute("open", "")
        assert page.evaluate("getSelection().toString()") == selected
        assert begin.evaluate("(element) => element.getBoundingClientRect().top") == pytest.approx(top, abs=1)
    site.go(run_id, "beat4")


def test_a_menu_that_is_open_and_the_tab_that_is_read_stay(site: Site, page: Page) -> None:
    run_id = site.start_run("beside")
    page.goto(site.url(run_id))
    page.get_by_role("link", name="Context").click()
    expect(page).to_have_url(re.compile("tab=context"))
    expect(page.locator("#tab")).to_contain_text("Download as JSON")
    page.get_by_text("Cancel …").click()
    reason = page.get_by_label("Reason")
    reason.fill("not needed any more")
    work_goes_on(site, page, run_id, 1)
    expect(reason).to_be_focused()
    expect(reason).to_have_value("not needed any more")
    expect(page.get_by_role("link", name="Context")).to_have_attribute("aria-current", "true")
    expect(page.locator("#tab")).to_contain_text("Download as JSON")
    page.reload()
    expect(page.get_by_role("link", name="Context")).to_have_attribute("aria-current", "true")
    site.go(run_id, "beat2", "beat3", "beat4")


def test_a_row_walked_to_by_keys_keeps_the_focus(site: Site, page: Page) -> None:
    run_id = site.start_run("beside")
    page.goto(site.url(run_id))
    site.begun(run_id, "beat1")
    expect(row(page, "beat1")).to_be_visible()
    for _ in range(3):
        page.keyboard.press("j")
    at = page.evaluate("document.activeElement.querySelector('.name b').textContent")
    work_goes_on(site, page, run_id, 1)
    assert page.evaluate("document.activeElement.querySelector('.name b')?.textContent") == at
    site.go(run_id, "beat2", "beat3", "beat4")


def test_a_note_survives_a_reload_but_not_a_decision(site: Site, people: People, page: Page) -> None:
    run_id = site.waiting_run("Rey")
    page.goto(site.url(run_id))
    page.get_by_label("Note").fill("half a thought")
    page.reload()
    expect(page.get_by_label("Note")).to_have_value("half a thought")
    page.get_by_label("Approver").fill("ann")
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_label("Decision at review").locator("blockquote")).to_have_text("half a thought")
    expect(page.locator("#kept")).to_be_empty()
    assert page.evaluate("sessionStorage.length") == 0


def test_a_gate_that_opens_while_one_looks_appears_without_a_reload(site: Site, page: Page) -> None:
    run_id = site.start_run("changing")
    page.goto(site.url(run_id))
    expect(panel(page, "review")).to_be_visible()
    again = site.start_run("later")
    page.goto(site.url(again))
    site.begun(again, "prepare")
    expect(page.get_by_role("button", name="Approve")).to_have_count(0)
    site.go(again, "prepare")
    expect(panel(page, "review")).to_contain_text("Ready?")
    expect(page.locator("#announce")).to_have_text("The run is now: waiting")
    site.go(run_id, "market")


def test_what_was_written_at_one_gate_stays_while_another_is_decided(site: Site, page: Page) -> None:
    run_id = site.run("parallel")
    page.goto(site.url(run_id))
    beside = page.context.new_page()
    beside.goto(site.url(run_id))
    fill_in(panel(page, "legal"), by="annabel", note="a thought")
    page.get_by_role("heading", level=1).click()
    press(panel(beside, "money"), "Approve", by="bob")
    expect(panel(page, "money")).to_have_count(0)
    expect(panel(page, "legal").get_by_label("Approver")).to_have_value("annabel")
    expect(panel(page, "legal").get_by_label("Note")).to_have_value("a thought")
    panel(page, "legal").get_by_role("button", name="Approve").click()
    expect(page.get_by_label("Decision at legal")).to_contain_text("Approved by annabel")


def test_a_note_that_came_back_with_a_refused_form_stays_while_another_gate_is_decided(site: Site, page: Page) -> None:
    run_id = site.run("parallel")
    page.goto(site.url(run_id))
    press(panel(page, "legal"), "Approve", by="   ", note="a thought")
    expect(panel(page, "legal").get_by_role("alert")).to_have_text(re.compile("Say who you are"))
    page.get_by_role("heading", level=1).click()
    site.cli("runs", "approve", run_id, "--gate", "money", "--by", "bob")
    expect(panel(page, "money")).to_have_count(0)
    expect(panel(page, "legal").get_by_label("Note")).to_have_value("a thought")
    expect(panel(page, "legal").get_by_role("alert")).to_have_text(re.compile("Say who you are"))


def test_what_was_written_at_one_gate_does_not_come_to_the_next(site: Site, page: Page) -> None:
    run_id = site.run("two-in-a-row")
    page.goto(site.url(run_id))
    fill_in(panel(page, "first"), by="ann", note="for the first")
    site.cli("runs", "approve", run_id, "--by", "bob")
    expect(panel(page, "second").get_by_label("Note")).to_have_value("")
    expect(panel(page, "second").get_by_label("Approver")).to_have_value("")
    expect(page.locator("#kept blockquote")).to_have_text("for the first")
