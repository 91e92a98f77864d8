"""A page that was left open while things changed: nothing is decided that was not seen, and the page says why."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from e2e.parts import fill_in, panel, press
from e2e.people import People
from e2e.site import Site

pytestmark = pytest.mark.e2e


def test_values_that_changed_since_one_looked_are_shown_as_a_difference_and_nothing_is_decided(
    site: Site, plain_page: Page
) -> None:
    page = plain_page  # without script a page stays as it was when it was opened
    run_id = site.start_run("changing")
    site.begun(run_id, "market")
    page.goto(site.url(run_id))
    expect(panel(page, "review")).to_contain_text("Buy at 100 EUR?")
    site.go(run_id, "market")
    site.settled(run_id)
    with page.expect_response(lambda response: response.request.method == "POST") as refused:
        press(page, "Approve", note="a good price")
    assert refused.value.status == 409
    expect(page.get_by_role("alert")).to_contain_text("It changed since you opened the page, so nothing was decided.")
    looked = page.locator(".looked")
    expect(looked).to_contain_text("Changed since you opened the page")
    expect(looked.locator("del").first).to_contain_text("100")
    expect(looked.locator("ins").first).to_contain_text("250")
    expect(page.get_by_label("Note")).to_have_value("a good price")
    expect(page.get_by_label("Approver")).to_have_value("ann")
    assert site.answers(run_id) == []
    press(page, "Reject", note="not at 250")
    expect(page.get_by_label("Decision at review")).to_contain_text("Rejected by ann")
    assert site.answers(run_id) == [("review", False, "ann", "not at 250")]


def test_a_page_that_looks_on_shows_the_new_values_and_keeps_the_note_in_sight(site: Site, page: Page) -> None:
    run_id = site.start_run("changing")
    page.goto(site.url(run_id))
    expect(panel(page, "review")).to_contain_text("Buy at 100 EUR?")
    page.get_by_label("Note").fill("a good price")
    site.go(run_id, "market")
    expect(panel(page, "review")).to_contain_text("Buy at 250 EUR?")
    expect(panel(page, "review")).to_contain_text("visit 2")
    expect(page.locator("#kept blockquote")).to_have_text("a good price")
    assert site.answers(run_id) == []


@pytest.mark.parametrize("script", [True, False], ids=["script", "plain"])
def test_a_gate_decided_elsewhere_says_by_whom_and_gives_the_note_back(
    site: Site, people: People, script: bool
) -> None:
    run_id = site.waiting_run("Sal")
    page = people.person(script=script)
    page.goto(site.url(run_id))
    fill_in(page, note="please wait")
    if script:  # it hears nothing, as if the line were slow
        page.route(re.compile(r"[?&]v="), lambda route: route.fulfill(status=204))
    site.cli("runs", "approve", run_id, "--by", "bob", "--no-resume")
    page.get_by_role("button", name="Reject").click()
    expect(page.get_by_role("alert")).to_contain_text("Your answer did not take effect. Somebody was faster.")
    expect(page.get_by_role("alert")).to_contain_text("bob")
    expect(page.get_by_role("alert").locator("blockquote")).to_have_text("please wait")
    expect(page.get_by_label("Decision at review")).to_contain_text("Approved by bob")
    assert site.answers(run_id) == [("review", True, "bob", None)]


def test_a_run_that_was_cancelled_or_deleted_meanwhile_says_so_and_gives_the_note_back(
    site: Site, plain_page: Page
) -> None:
    run_id = site.waiting_run("Dan")
    plain_page.goto(site.url(run_id))
    fill_in(plain_page, note="looks fine")
    site.cli("runs", "cancel", run_id, "--by", "bob")
    plain_page.get_by_role("button", name="Approve").click()
    expect(plain_page.get_by_role("alert")).to_contain_text("Your answer did not take effect.")
    expect(plain_page.get_by_role("alert").locator("blockquote")).to_have_text("looks fine")
    expect(plain_page.locator("#status .chip")).to_have_text("cancelled")

    other = site.waiting_run("Don")
    plain_page.goto(site.url(other))
    fill_in(plain_page, note="looks fine, too")
    site.cli("runs", "cancel", other, "--by", "bob")
    site.cli("runs", "delete", other, "--yes")
    with plain_page.expect_response(lambda response: response.request.method == "POST") as refused:
        plain_page.get_by_role("button", name="Approve").click()
    assert refused.value.status == 410
    expect(plain_page.locator("main")).to_contain_text("was deleted by")
    expect(plain_page.locator("main")).to_contain_text("looks fine, too")


def test_a_page_whose_run_is_deleted_says_so_and_keeps_the_note_in_sight(
    site: Site, people: People, page: Page
) -> None:
    people.allow("410")
    run_id = site.waiting_run("Dina")
    page.goto(site.url(run_id))
    page.get_by_label("Note").fill("still here")
    site.cli("runs", "cancel", run_id, "--by", "bob")
    expect(page.locator("#kept")).to_contain_text("still here")

    live = site.start_run("slow")
    page.goto(site.url(live))
    site.begun(live, "first")
    expect(page.locator("#status .chip")).to_have_text("running")
    page.route(re.compile(r"[?&]v="), lambda route: route.fulfill(status=204))
    site.go(live, "first", "second", "third")
    site.settled(live)
    site.cli("runs", "delete", live, "--yes")
    page.unroute_all()
    expect(page.locator("#offline")).to_have_text("This page no longer exists. Reload it to see what happened.")
    page.reload()
    expect(page.get_by_role("heading", name="Deleted")).to_be_visible()
