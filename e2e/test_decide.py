"""A person opens a link, sees what will happen, decides, and watches the run go on."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from e2e.parts import fill_in, panel, press, row
from e2e.people import People
from e2e.site import Site

pytestmark = pytest.mark.e2e


def test_approve_with_a_note_and_see_the_run_finish_without_a_reload(site: Site, page: Page) -> None:
    run_id = site.waiting_run()
    page.goto(site.url(run_id[:10]))
    expect(page).to_have_url(site.url(run_id))
    here = panel(page, "review")
    expect(here.get_by_role("heading", name="Send this to Ada?")).to_be_visible()
    expect(here.locator(".shown")).to_contain_text("Dear Ada")
    expect(here.locator(".leads")).to_contain_text("Approve → runs send, then completed")
    expect(here.locator(".leads")).to_contain_text("Reject → the run ends failed")
    press(here, "Approve", by="ann@example.com", note="looks right")
    decision = page.get_by_label("Decision at review")
    expect(decision).to_contain_text("Approved by ann@example.com (typed, not verified) at review")
    expect(decision.locator("blockquote")).to_have_text("looks right")
    page.evaluate("window.stayed = true")
    expect(decision).to_contain_text("The run continued and completed.")
    expect(page.locator("#status .chip")).to_have_text("completed")
    expect(row(page, "send")).to_have_class(re.compile("completed"))
    expect(page.get_by_role("button", name="Approve")).to_have_count(0)
    assert page.evaluate("window.stayed"), "the page was loaded again"
    assert site.answers(run_id) == [("review", True, "ann@example.com", "looks right")]


def test_decided_and_going_on_are_two_facts(site: Site, page: Page) -> None:
    run_id = site.run("gated")
    page.goto(site.url(run_id))
    press(page, "Approve")
    site.begun(run_id, "work")
    decision = page.get_by_label("Decision at review")
    expect(decision).to_contain_text("Approved by ann")
    expect(decision).to_contain_text("The run continues: work is running")
    site.go(run_id, "work")
    expect(decision).to_contain_text("The run continued and completed.")


def test_a_rejection_without_its_note_comes_back_filled_in_with_the_sentence_beside_the_field(
    site: Site, page: Page
) -> None:
    run_id = site.waiting_run("Bob")
    page.goto(site.url(run_id))
    with page.expect_response(lambda response: response.request.method == "POST") as refused:
        press(page, "Reject")
    assert refused.value.status == 422
    note = page.get_by_label("Note")
    expect(note).to_have_accessible_description(re.compile("A rejection here needs a note"))
    expect(note).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_label("Approver")).to_have_value("ann")
    assert site.answers(run_id) == []
    press(page, "Reject", note="wrong person")
    decision = page.get_by_label("Decision at review")
    expect(decision).to_contain_text("Rejected by ann")
    expect(decision).to_contain_text("The run ended here.")
    expect(page.locator("#status .chip")).to_have_text("rejected")
    assert site.answers(run_id) == [("review", False, "ann", "wrong person")]


def test_without_a_name_nothing_is_decided(site: Site, page: Page, plain_page: Page) -> None:
    run_id = site.waiting_run("Nemo")
    page.goto(site.url(run_id))
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_label("Approver")).to_be_focused()  # the browser holds a required field
    plain_page.goto(site.url(run_id))
    press(plain_page, "Approve", by="   ", note="kept")
    expect(plain_page.get_by_label("Approver")).to_have_accessible_description(re.compile("Say who you are"))
    expect(plain_page.get_by_label("Note")).to_have_value("kept")
    assert site.answers(run_id) == []


@pytest.mark.parametrize("script", [True, False], ids=["script", "plain"])
def test_enter_in_a_field_presses_neither_button(site: Site, people: People, script: bool) -> None:
    run_id = site.waiting_run("Enid")
    page = people.person(script=script)
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url) if request.method == "POST" else None)
    page.goto(site.url(run_id))
    fill_in(page)
    page.get_by_label("Approver").press("Enter")
    page.get_by_label("Note").press("Enter")
    expect(page.get_by_label("Note")).to_have_value("\n")
    assert sent == []
    assert site.answers(run_id) == []


def test_without_javascript_the_same_form_decides(site: Site, plain_page: Page) -> None:
    run_id = site.waiting_run("Cy")
    plain_page.goto(site.url(run_id))
    press(plain_page, "Approve", note="two\nlines")
    expect(plain_page.get_by_label("Decision at review")).to_contain_text("Approved by ann")
    assert site.answers(run_id) == [("review", True, "ann", "two\nlines")]


def test_the_name_is_remembered_in_this_browser_only(site: Site, people: People, page: Page) -> None:
    page.goto(site.url(site.waiting_run("Mel")))
    press(page, "Approve", by="Mel Remembered")
    expect(page.get_by_label("Decision at review")).to_be_visible()
    page.goto(site.url(other := site.waiting_run("Nel")))
    expect(page.get_by_label("Approver")).to_have_value("Mel Remembered")
    somebody = people.person()
    somebody.goto(site.url(other))
    expect(somebody.get_by_label("Approver")).to_have_value("")


def test_parallel_gates_have_a_panel_each_and_a_note_in_one_survives_deciding_in_the_other(
    site: Site, page: Page
) -> None:
    run_id = site.start_run("parallel")
    page.goto(site.url(run_id))
    expect(panel(page, "legal")).to_contain_text("Is it lawful?")
    expect(panel(page, "money")).to_contain_text("Can we pay it?")
    panel(page, "money").get_by_label("Note").fill("half a thought about money")
    press(panel(page, "legal"), "Approve", note="it is")
    expect(page.get_by_label("Decision at legal")).to_contain_text("Approved by ann")
    expect(panel(page, "legal")).to_have_count(0)
    expect(panel(page, "money").get_by_label("Note")).to_have_value("half a thought about money")
    press(panel(page, "money"), "Reject")
    expect(page.get_by_label("Decision at money")).to_contain_text("Rejected by ann")
    expect(page.locator("#status .chip")).to_have_text("completed")
    money = ("money", False, "ann", "half a thought about money")
    assert sorted(site.answers(run_id)) == [("legal", True, "ann", "it is"), money]


def test_a_rejection_that_ends_the_run_closes_the_other_gate_and_keeps_what_was_typed_there(
    site: Site, people: People, page: Page
) -> None:
    run_id = site.start_run("parallel")
    other = people.person()
    other.goto(site.url(run_id))
    panel(other, "money").get_by_label("Note").fill("too late")
    page.goto(site.url(run_id))
    press(panel(page, "legal"), "Reject", note="it is not")
    expect(page.locator("#status .chip")).to_have_text("rejected")
    expect(other.locator("#status .chip")).to_have_text("rejected")
    expect(other.get_by_role("button", name="Approve")).to_have_count(0)
    expect(other.locator("#kept")).to_contain_text("too late")


def test_a_failure_after_the_decision_offers_a_retry_and_both_attempts_stay_visible(site: Site, page: Page) -> None:
    run_id = site.run("charge")
    page.goto(site.url(run_id))
    press(page, "Approve")
    decision = page.get_by_label("Decision at review")
    expect(decision).to_contain_text("The run continued and failed at charge.")
    expect(decision).to_contain_text("The decision remains valid")
    expect(page.locator("#status")).to_contain_text("The bank does not answer")
    page.get_by_role("link", name="Where it failed: charge").click()
    expect(row(page, "charge")).to_have_attribute("open", "")
    expect(row(page, "charge").locator(".error")).to_contain_text("ConnectionError")
    expect(row(page, "charge").locator("pre")).to_be_hidden()  # the traceback is folded
    site.go(run_id, "charge")
    decision.get_by_role("button", name="Resume").click()
    expect(page.locator("#status .chip")).to_have_text("completed")
    expect(decision).to_contain_text("The run continued and completed.")
    expect(row(page, "charge")).to_have_count(2)
    expect(row(page, "charge").nth(0)).to_have_class(re.compile("failed"))
    expect(row(page, "charge").nth(1)).to_have_class(re.compile("completed"))
    expect(row(page, "charge").nth(1)).to_contain_text("attempt 2")


def test_a_step_that_asks_is_given_its_data(site: Site, page: Page) -> None:
    run_id = site.run("asking")
    page.goto(site.url(run_id))
    expect(page.get_by_role("heading", name="Which account?")).to_be_visible()
    page.get_by_label("Data").fill("- a list")
    press(page, "Approve")
    expect(page.get_by_text("Write it as lines of")).to_be_visible()
    expect(page.get_by_label("Data")).to_have_value("- a list")
    page.get_by_label("Data").fill("account: 4711")
    press(page, "Approve", note="the usual one")
    expect(page.locator("#status .chip")).to_have_text("completed")
    expect(row(page, "question")).to_have_count(1)


def test_what_differs_from_the_last_approved_run_is_shown(site: Site, page: Page) -> None:
    first = site.waiting_run("Old Name")
    site.cli("runs", "approve", first, "--by", "bob", "--no-resume")
    site.settled(first)
    page.goto(site.url(site.waiting_run("New Name")))
    changes = page.locator(".decide .changes")
    expect(changes).to_contain_text("Since the last approved run")
    expect(changes).to_contain_text("approved by bob")
    expect(changes.locator("del")).to_contain_text("Old")
    expect(changes.locator("ins")).to_contain_text("New")


def test_looking_decides_nothing(site: Site, page: Page) -> None:
    run_id = site.waiting_run("Eve")
    for _ in range(2):
        page.goto(site.url(run_id))
    page.goto(f"{site.address}/approvals")
    expect(page.locator("main")).to_contain_text("A letter to Eve")
    assert site.answers(run_id) == []


def test_a_decision_that_nobody_drove_on_says_so_with_a_button_that_works(
    new_site: Callable[..., Site], people: People
) -> None:
    site = new_site("--interval", "3600")  # the sweep, which would take it on by itself, looks once only
    run_id = site.waiting_run()
    page = people.person()
    page.goto(site.url(run_id))
    page.get_by_label("Note").fill("mine")
    site.cli("runs", "approve", run_id, "--by", "bob", "--no-resume")
    decision = page.get_by_label("Decision at review")
    expect(decision).to_contain_text("Approved by bob (as claimed)")
    expect(decision).to_contain_text("Recorded; the run is pending.")
    decision.get_by_role("link", name="Resume").click()
    menu = page.locator("#menu-resume")
    menu.get_by_label("Your name").fill("ann")
    menu.get_by_role("button", name="Resume").click()
    expect(page.locator("#status .chip")).to_have_text("completed")
    expect(page.locator(".activity")).to_contain_text(re.compile("resumed by.*ann"))


def test_a_dashboard_that_does_not_drive_says_who_does(new_site: Callable[..., Site], people: People) -> None:
    site = new_site("--no-dispatch")
    run_id = site.waiting_run()
    page = people.person()
    page.goto(site.url(run_id))
    press(page, "Approve")
    decision = page.get_by_label("Decision at review")
    expect(decision).to_contain_text("the run is pending")
    expect(decision.get_by_role("button")).to_have_count(0)
    expect(page.get_by_role("button", name="Resume")).to_be_disabled()
    site.cli("runs", "sweep")
    expect(page.locator("#status .chip")).to_have_text("completed")
    expect(decision).to_contain_text("The run continued and completed.")
