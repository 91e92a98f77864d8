"""The server goes away while a page is open: nothing typed or decided is lost, and the page goes on by itself."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from e2e.parts import fill_in, press, row
from e2e.people import People
from e2e.site import Site

pytestmark = pytest.mark.e2e

#: What a browser says of a server that is not there.
GONE = r"ERR_CONNECTION_REFUSED|ERR_CONNECTION_RESET|ERR_EMPTY_RESPONSE|ERR_INCOMPLETE|Failed to fetch"


@pytest.fixture(scope="module")
def site(new_site: Callable[..., Site]) -> Site:
    """A server that may be stopped."""
    return new_site()


def test_a_stopped_server_is_a_quiet_word_and_the_page_goes_on_when_it_is_back(site: Site, people: People) -> None:
    people.allow(GONE)
    page = people.person()
    run_id = site.waiting_run()
    page.goto(site.url(run_id))
    page.get_by_label("Note").fill("half a thought")
    page.evaluate("window.stayed = true")
    expect(page.locator("#offline")).to_be_hidden()
    site.stop()
    expect(page.locator("#offline")).to_be_visible()
    expect(page.locator("#offline")).to_have_text("Reconnecting …")
    expect(page.get_by_role("heading", name="Send this to Ada?")).to_be_visible()
    page.get_by_label("Note").press_sequentially(", and the other half")
    fill_in(page)
    page.get_by_role("button", name="Approve").click()
    expect(page.locator("#offline")).to_contain_text("nothing was sent")
    expect(page.get_by_label("Note")).to_have_value("half a thought, and the other half")
    site.start()
    expect(page.locator("#offline")).to_be_hidden()
    assert page.evaluate("window.stayed"), "the page was loaded again"
    page.get_by_role("button", name="Approve").click()
    decision = page.get_by_label("Decision at review")
    expect(decision.locator("blockquote")).to_have_text("half a thought, and the other half")
    expect(page.locator("#status .chip")).to_have_text("completed")


def test_a_list_says_so_too_and_goes_on(site: Site, people: People) -> None:
    people.allow(GONE)
    page = people.person()
    page.goto(f"{site.address}/runs?q=A+letter+to+Later")
    site.stop()
    expect(page.locator("#offline")).to_be_visible()
    site.waiting_run("Later")
    site.start()
    expect(page.locator("#offline")).to_be_hidden()
    expect(page.get_by_role("link", name="A letter to Later")).to_be_visible()


def test_pressed_before_anybody_knew_that_the_server_was_gone_the_note_is_there_on_the_way_back(
    site: Site, people: People
) -> None:
    people.allow(GONE)
    page = people.person()
    run_id = site.waiting_run("Gone")
    page.goto(site.url(run_id))
    page.route(re.compile(r"[?&]v="), lambda route: route.fulfill(status=204))  # the page believes all is well
    fill_in(page, note="not lost")
    site.stop()
    with page.expect_event("requestfailed", lambda request: request.method == "POST"):
        page.get_by_role("button", name="Approve").click(no_wait_after=True)
    site.start()
    page.goto(site.url(run_id))
    expect(page.get_by_label("Note")).to_have_value("not lost")
    press(page, "Approve", note="not lost")
    expect(page.get_by_label("Decision at review").locator("blockquote")).to_have_text("not lost")


def test_a_server_killed_after_a_decision_leaves_a_run_that_ends_by_itself(site: Site, people: People) -> None:
    people.allow(GONE)
    page = people.person()
    run_id = site.run("gated")
    page.goto(site.url(run_id))
    press(page, "Approve", note="go on")
    site.begun(run_id, "work")
    expect(row(page, "work")).to_have_class(re.compile("running"))
    page.evaluate("window.stayed = true")
    site.kill()
    expect(page.locator("#offline")).to_be_visible()
    site.start()
    site.go(run_id, "work")
    expect(page.locator("#offline")).to_be_hidden()
    expect(page.locator("#status .chip")).to_have_text("completed")
    expect(page.get_by_label("Decision at review")).to_contain_text("The run continued and completed.")
    assert page.evaluate("window.stayed"), "the page was loaded again"
    assert site.answers(run_id) == [("review", True, "ann", "go on")]


def test_a_server_that_dies_in_the_moment_of_the_decision_has_recorded_it(site: Site, people: People) -> None:
    people.allow(GONE)
    page = people.person()
    run_id = site.waiting_run("Moment")
    site.stop()
    site.start(NEUROCORE_FAILPOINT="answer.after_commit")
    page.goto(site.url(run_id))
    fill_in(page, note="just in time")
    with page.expect_event("requestfailed", lambda request: request.method == "POST"):
        page.get_by_role("button", name="Approve").click(no_wait_after=True)
    site.wait_for_death()
    site.start()
    page.goto(site.url(run_id))
    expect(page.get_by_label("Decision at review")).to_contain_text("Approved by ann")
    expect(page.get_by_label("Decision at review")).to_contain_text("The run continued and completed.")
    expect(page.locator("#kept")).to_be_empty()
    assert site.answers(run_id) == [("review", True, "ann", "just in time")]
