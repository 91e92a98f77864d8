"""A run is watched while it goes on: nobody touches reload, and the server is asked no more than needed."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, Request, expect

from e2e.parts import node, row
from e2e.site import Site

pytestmark = pytest.mark.e2e


@pytest.fixture
def refreshes(page: Page) -> Callable[[], int]:
    """How often the page has asked for news so far."""
    asked: list[str] = []

    def note(request: Request) -> None:
        if re.search(r"[?&]v=", request.url):
            asked.append(request.url)

    page.on("request", note)
    return lambda: len(asked)


def test_a_run_is_watched_from_its_start_to_its_end_without_a_reload(site: Site, page: Page) -> None:
    page.goto(f"{site.address}/blueprints/slow")
    page.get_by_label("who").fill("Ada")
    page.get_by_label("Your name").fill("ann")
    page.get_by_role("button", name="Start").click()
    page.wait_for_url(re.compile(r"/runs/\w{32}$"))
    run_id = page.url.rsplit("/", 1)[1]
    page.evaluate("window.stayed = true")

    site.begun(run_id, "first")
    expect(page.locator("#status .chip")).to_have_text("running")
    expect(row(page, "first")).to_have_class(re.compile("running"))
    expect(node(page, "first")).to_have_class(re.compile("running"))
    expect(node(page, "second")).to_have_class(re.compile("open"))
    counter = row(page, "first").locator(".took")
    before = counter.inner_text()
    expect(counter).not_to_have_text(before)
    expect(page.locator("#timeline")).to_contain_text("0 of 3 nodes")

    site.go(run_id, "first")
    expect(row(page, "first")).to_have_class(re.compile("completed"))
    expect(row(page, "second")).to_have_class(re.compile("running"))
    expect(node(page, "first")).to_have_class(re.compile("completed"))
    expect(node(page, "second")).to_have_class(re.compile("running"))
    expect(page.locator("#timeline")).to_contain_text("1 of 3 nodes")

    site.go(run_id, "second", "third")
    expect(page.locator("#status .chip")).to_have_text("completed")
    for name in ("first", "second", "third"):
        expect(row(page, name)).to_have_class(re.compile("completed"))
        expect(node(page, name)).to_have_class(re.compile("completed"))
    expect(page.locator("#announce")).to_have_text("The run is now: completed")
    expect(page).to_have_title(re.compile("completed"))
    expect(page.get_by_text("Delete …")).to_be_visible()
    expect(page.get_by_text("Cancel …")).to_have_count(0)
    assert page.evaluate("window.stayed"), "the page was loaded again"


def test_the_page_asks_about_once_a_second_and_no_more_after_the_end(
    site: Site, page: Page, refreshes: Callable[[], int]
) -> None:
    page.clock.install()
    run_id = site.start_run("slow")
    page.goto(site.url(run_id))
    expect(page.locator("#status .chip")).to_have_text("running")
    before = refreshes()
    for _ in range(5):
        with page.expect_response(lambda response: "v=" in response.url):
            page.clock.run_for(1000)
    assert 5 <= refreshes() - before <= 8
    site.go(run_id, "first", "second", "third")
    expect(page.locator("#status .chip")).to_have_text("completed")
    asked = refreshes()
    page.clock.run_for(120_000)
    assert refreshes() == asked


def test_a_run_that_has_ended_is_not_asked_about_at_all(site: Site, page: Page, refreshes: Callable[[], int]) -> None:
    page.clock.install()
    page.goto(site.url(site.run("greeting", name="Ada")))
    page.clock.run_for(60_000)
    assert refreshes() == 0


def test_the_refresh_of_an_unchanged_run_has_no_body_and_leaves_the_page_alone(site: Site, page: Page) -> None:
    page.goto(site.url(site.waiting_run()))
    page.evaluate("""() => {
      window.changes = 0;
      new MutationObserver((records) => {
        window.changes += records.filter((one) => !one.target.closest?.("time, #live")).length;
      }).observe(document.querySelector("main"), {childList: true, subtree: true});
    }""")
    for _ in range(2):
        with page.expect_response(lambda response: "v=" in response.url) as told:
            pass
        assert told.value.status == 204
        assert told.value.header_value("content-type") is None
        assert told.value.request.sizes()["responseBodySize"] == 0
    assert page.evaluate("window.changes") == 0


def test_a_hidden_tab_asks_nothing_and_catches_up_when_it_is_looked_at(
    site: Site, page: Page, refreshes: Callable[[], int]
) -> None:
    page.clock.install()
    run_id = site.start_run("slow")
    page.goto(site.url(run_id))
    site.begun(run_id, "first")
    expect(row(page, "first")).to_have_class(re.compile("running"))
    page.evaluate("Object.defineProperty(document, 'hidden', {configurable: true, get: () => true})")
    page.wait_for_load_state("networkidle")
    asked = refreshes()
    page.clock.run_for(60_000)
    assert refreshes() == asked
    site.go(run_id, "first")
    site.begun(run_id, "second")
    page.clock.pause_at(page.evaluate("Date.now()") + 10)
    with page.expect_response(lambda response: "v=" in response.url):
        page.evaluate(
            "Object.defineProperty(document, 'hidden', {configurable: true, get: () => false});"
            "document.dispatchEvent(new Event('visibilitychange'))"
        )
    expect(row(page, "second")).to_have_class(re.compile("running"))
    page.clock.resume()
    site.go(run_id, "second", "third")


def test_a_step_that_was_opened_while_it_ran_stays_open_and_fills_itself(site: Site, page: Page) -> None:
    run_id = site.start_run("slow")
    page.goto(site.url(run_id))
    site.begun(run_id, "first")
    row(page, "first").locator("> summary").click()
    expect(row(page, "first")).to_contain_text("What it does is recorded when it ends")
    site.go(run_id, "first")
    expect(row(page, "first")).to_have_class(re.compile("completed"))
    expect(row(page, "first")).to_have_attribute("open", "")
    expect(row(page, "first").locator(".body")).to_contain_text("visit 1, attempt 1")
    expect(row(page, "first").locator("> summary")).to_be_focused()
    site.go(run_id, "second", "third")


def test_the_context_is_that_of_the_end_when_the_run_has_ended(site: Site, page: Page) -> None:
    run_id = site.start_run("slow", who="the context")
    site.begun(run_id, "first")
    page.goto(f"{site.url(run_id)}?tab=context")
    tab = page.locator("#tab")
    expect(tab).to_contain_text("the run continues")
    site.go(run_id, "first", "second", "third")
    expect(tab).to_contain_text("The context at the end of the run: 4 keys")
    expect(tab.locator("dt")).to_contain_text(["who", "a", "b", "c"])


def test_a_node_of_the_picture_leads_to_its_step_and_opens_it(site: Site, page: Page) -> None:
    page.goto(site.url(site.run("greeting", name="Ada", mood="merry")))
    node(page, "greet").click()
    expect(row(page, "greet")).to_have_attribute("open", "")
    expect(row(page, "greet").locator(".body")).to_contain_text("Hello Ada, be merry.")


def test_a_list_of_runs_shows_what_begins_and_ends(site: Site, page: Page) -> None:
    page.goto(f"{site.address}/runs?blueprint=slow&q=Slow+work+for+the+list")
    expect(page.get_by_text("No run matches this filter")).to_be_visible()
    run_id = site.start_run("slow", who="the list")
    expect(page.get_by_role("link", name="Slow work for the list")).to_be_visible()
    expect(page.locator("#rows .chip")).to_have_text("running")
    site.go(run_id, "first", "second", "third")
    expect(page.locator("#rows .chip")).to_have_text("completed")


def test_the_home_page_shows_what_begins_and_ends_to_wait(new_site: Callable[..., Site], page: Page) -> None:
    site = new_site()  # home names the oldest of what waits, and on the other site much does
    page.goto(site.address)
    waiting = site.run("letters", name="Homer")
    expect(page.get_by_role("link", name="Send this to Homer?")).to_be_visible()
    expect(page.get_by_role("link", name="Approvals 1 waiting")).to_be_visible()
    site.cli("runs", "approve", waiting, "--by", "bob", "--no-resume")
    expect(page.get_by_role("link", name="Send this to Homer?")).to_have_count(0)
    expect(page.get_by_role("link", name="Approvals", exact=True)).to_be_visible()
