"""JavaScript off: every page can be read, and every form works, by the browser alone."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from e2e.gallery import STATUS, Maker, pages
from e2e.people import People
from e2e.site import Site, wait_until

pytestmark = pytest.mark.e2e


def state(site: Site, run_id: str) -> str:
    return str(site.record(run_id).status.value)


def reach(site: Site, run_id: str, status: str) -> None:
    """Wait until the run is recorded so: nothing tells a page without script."""
    wait_until(lambda: state(site, run_id) == status, f"{run_id} is {status}")


def test_every_page_is_there_and_nothing_on_it_needs_script(site: Site, people: People) -> None:
    plain_page = people.person(script=False, traced=False)
    for name, path in pages(site).items():
        answer = plain_page.goto(site.address + path)
        assert answer is not None
        assert answer.status == STATUS.get(name, 200), name
        expect(plain_page.locator("main h1")).to_be_visible()
        assert plain_page.locator(".with-script:visible").count() == 0, name
        assert plain_page.get_by_role("navigation", name="Main").get_by_role("link").count() == 4


def test_a_run_is_started_from_its_form(site: Site, plain_page: Page) -> None:
    plain_page.goto(f"{site.address}/blueprints/greeting")
    plain_page.get_by_label("name", exact=True).fill("Ada")
    plain_page.get_by_label("mood").fill("merry")
    plain_page.get_by_label("Your name").fill("ann")
    plain_page.get_by_role("button", name="Start").click()
    expect(plain_page.get_by_role("heading", name="Greeting Ada")).to_be_visible()
    run_id = plain_page.url.rpartition("/")[2].partition("?")[0]
    reach(site, run_id, "completed")
    plain_page.goto(f"{site.url(run_id)}?tab=context")
    expect(plain_page.locator("#tab")).to_contain_text("Hello Ada, be merry.")


def test_a_start_form_that_is_refused_comes_back_filled_in(site: Site, plain_page: Page) -> None:
    plain_page.goto(f"{site.address}/blueprints/everything")
    plain_page.get_by_label("text", exact=True).fill("some words")
    plain_page.get_by_label("whole").fill("twelve")
    plain_page.get_by_label("Your name").fill("ann")
    with plain_page.expect_navigation() as navigation:
        plain_page.get_by_role("button", name="Start").click()
    assert navigation.value is not None
    assert navigation.value.status == 422
    expect(plain_page.get_by_label("text", exact=True)).to_have_value("some words")
    expect(plain_page.get_by_label("whole")).to_have_attribute("aria-invalid", "true")
    expect(plain_page.locator("#main .problem").first).to_be_visible()


def test_a_gate_is_approved(site: Site, plain_page: Page) -> None:
    run_id = site.waiting_run("Abe")
    plain_page.goto(site.url(run_id))
    plain_page.get_by_label("Approver").fill("ann")
    plain_page.get_by_label("Note").fill("fine\nwith me")
    plain_page.get_by_role("button", name="Approve").click()
    expect(plain_page.get_by_text("Approved at review")).to_be_visible()
    expect(plain_page.locator("#decided blockquote")).to_have_text("fine\nwith me")
    reach(site, run_id, "completed")


def test_a_gate_is_rejected_once_the_note_is_there(site: Site, plain_page: Page) -> None:
    run_id = site.waiting_run("Bea")
    plain_page.goto(site.url(run_id))
    plain_page.get_by_label("Approver").fill("ann")
    plain_page.get_by_role("button", name="Reject").click()
    expect(plain_page.get_by_text("A rejection here needs a note")).to_be_visible()
    expect(plain_page.get_by_label("Approver")).to_have_value("ann")
    plain_page.get_by_label("Note").fill("the wrong person")
    plain_page.get_by_role("button", name="Reject").click()
    expect(plain_page.get_by_text("Rejected at review")).to_be_visible()
    reach(site, run_id, "failed")


def test_a_step_that_asks_gets_its_data(site: Site, plain_page: Page) -> None:
    run_id = site.run("asking")
    plain_page.goto(site.url(run_id))
    plain_page.get_by_label("Data").fill("account: DE66")
    plain_page.get_by_label("Approver").fill("ann")
    plain_page.get_by_role("button", name="Approve").click()
    reach(site, run_id, "completed")
    plain_page.goto(f"{site.url(run_id)}?tab=context")
    expect(plain_page.locator("#tab")).to_contain_text("DE66")


def test_a_failed_run_is_retried(site: Site, plain_page: Page) -> None:
    make = Maker(site)
    run_id = make.decide(make.run("charge"), approved=True)
    make.store.close()
    site.go(run_id, "charge")
    plain_page.goto(site.url(run_id))
    press(plain_page, "Resume")
    expect(plain_page.locator("main")).to_contain_text("The run continues")
    reach(site, run_id, "completed")


def test_a_run_is_replayed(site: Site, plain_page: Page) -> None:
    run_id = site.waiting_run("Cal")
    plain_page.goto(site.url(run_id))
    press(plain_page, "Replay")
    expect(plain_page.get_by_text("replay of")).to_be_visible()
    replay = plain_page.url.rpartition("/")[2].partition("?")[0]
    assert replay != run_id
    reach(site, replay, "suspended")


def test_a_run_is_cancelled_and_then_deleted(site: Site, plain_page: Page) -> None:
    run_id = site.waiting_run("Dot")
    plain_page.goto(site.url(run_id))
    plain_page.get_by_text("Cancel …").click()
    plain_page.locator("#menu-cancel").get_by_label("Your name").fill("ann")
    plain_page.get_by_label("Reason").fill("no longer wanted")
    plain_page.get_by_role("button", name="Cancel the run").click()
    expect(plain_page.locator("#status")).to_contain_text("cancelled")
    plain_page.get_by_text("Delete …").click()
    plain_page.get_by_role("button", name="Delete the run").click()
    expect(plain_page.get_by_role("heading", name="Runs", exact=True)).to_be_visible()
    plain_page.goto(site.url(run_id))
    expect(plain_page.locator("main")).to_contain_text("was deleted by ann")


def test_the_list_is_filtered_and_the_address_says_it_all(site: Site, plain_page: Page) -> None:
    site.waiting_run("Ezra")
    plain_page.goto(f"{site.address}/runs")
    plain_page.get_by_label("Title or id begins with").fill("A letter to Ezra")
    plain_page.get_by_label("Blueprint").select_option("letters")
    plain_page.get_by_text("more filters").click()
    plain_page.get_by_label("Since").fill("1d")
    plain_page.get_by_role("button", name="Filter").click()
    expect(plain_page.locator("#rows tbody tr")).to_have_count(1)
    address = plain_page.url
    plain_page.goto(f"{site.address}/runs")
    plain_page.goto(address)
    expect(plain_page.get_by_label("Since")).to_have_value("1d")
    expect(plain_page.locator("#rows tbody tr")).to_have_count(1)


def test_decisions_are_filtered_by_who_decided(site: Site, plain_page: Page) -> None:
    make = Maker(site)
    make.decide(make.run("letters", name="Flo"), approved=True)
    make.store.close()
    plain_page.goto(f"{site.address}/approvals")
    plain_page.get_by_label("Decided by").fill("ann@example.com")
    plain_page.get_by_role("button", name="Filter").click()
    expect(plain_page.locator("#lists").get_by_text("A letter to Flo")).to_be_visible()
    plain_page.get_by_label("Decided by").fill("nobody at all")
    plain_page.get_by_role("button", name="Filter").click()
    expect(plain_page.get_by_text("No decision matches this filter.")).to_be_visible()


def test_tabs_steps_and_two_runs_are_links(site: Site, plain_page: Page) -> None:
    make = Maker(site)
    first, second = make.run("greeting", name="Gil"), make.run("greeting", name="Hana")
    make.store.close()
    plain_page.goto(site.url(first))
    plain_page.get_by_role("link", name="Inputs").click()
    expect(plain_page.locator("#tab")).to_contain_text("Gil")
    plain_page.locator("details.step > summary").first.click()
    plain_page.get_by_role("link", name="Everything about this step").first.click()
    expect(plain_page.get_by_text("What it changed")).to_be_visible()
    plain_page.goto(f"{site.url(first)}?tab=blueprint")
    plain_page.get_by_label("Compare with run").fill(second[:10])
    plain_page.get_by_role("button", name="Compare").click()
    expect(plain_page.locator("main")).to_contain_text("Hana")


def press(page: Page, label: str) -> None:
    """Press an action that asks for a name first, the first time."""
    page.locator("summary", has_text=label).click()
    form = page.locator("details.menu[open]")
    form.get_by_label("Your name").fill("ann")
    form.get_by_role("button", name=label).click()
