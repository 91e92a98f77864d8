"""Two at once, or one twice: one effect, and everybody is told what happened."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, Route, expect

from e2e.parts import fill_in, press
from e2e.people import People
from e2e.site import Site

pytestmark = pytest.mark.e2e


def keep_in(held: list[Route]) -> Callable[[Route], None]:
    """What holds requests back in this list until somebody lets them go."""

    def keep(route: Route) -> None:
        held.append(route)

    return keep


def test_of_two_who_decide_at_once_one_takes_effect_and_the_other_sees_who_and_keeps_the_note(
    site: Site, people: People
) -> None:
    ann, bob = people.person(), people.person()
    for turn in range(2):
        run_id = site.waiting_run(f"Race {turn}")
        held: list[Route] = []
        for person, name in ((ann, "ann"), (bob, "bob")):
            person.goto(site.url(run_id))
            person.route("**/decision", keep_in(held))
            fill_in(person, by=name, note=f"{name}'s thought")
        ann.get_by_role("button", name="Approve").click(no_wait_after=True)
        bob.get_by_role("button", name="Reject").click(no_wait_after=True)
        while len(held) < 2:
            ann.wait_for_timeout(5)  # both are on their way, and let go in one moment
        for route in held if turn % 2 else reversed(held):
            route.continue_()
        expect(ann.get_by_label("Decision at review")).to_be_visible()
        expect(bob.get_by_label("Decision at review")).to_be_visible()

        [(_, approved, by, note)] = site.answers(run_id)
        assert (approved, note) == (by == "ann", f"{by}'s thought")
        winner, loser = (ann, bob) if by == "ann" else (bob, ann)
        word = "Approved" if approved else "Rejected"
        for person in (winner, loser):
            expect(person.get_by_label("Decision at review")).to_contain_text(f"{word} by {by}")
            expect(person.get_by_label("Decision at review").locator("blockquote")).to_have_text(note or "")
        expect(winner.get_by_role("alert")).to_have_count(0)
        refusal = loser.get_by_role("alert")
        expect(refusal).to_contain_text("Your answer did not take effect. Somebody was faster.")
        expect(refusal).to_contain_text(by)
        expect(refusal.locator("blockquote")).to_have_text("bob's thought" if by == "ann" else "ann's thought")
        for person in (ann, bob):
            person.unroute_all()


def test_one_who_looks_on_sees_the_other_decide_and_keeps_the_note(site: Site, people: People) -> None:
    ann, bob = people.person(), people.person()
    run_id = site.waiting_run("Looker")
    ann.goto(site.url(run_id))
    bob.goto(site.url(run_id))
    bob.get_by_label("Note").fill("I would rather not")
    press(ann, "Approve", by="ann")
    expect(bob.get_by_label("Decision at review")).to_contain_text("Approved by ann")
    expect(bob.get_by_role("button", name="Approve")).to_have_count(0)
    expect(bob.locator("#kept")).to_contain_text("Your note was not sent. Here it is")
    expect(bob.locator("#kept blockquote")).to_have_text("I would rather not")
    assert len(site.answers(run_id)) == 1


def test_a_gate_decided_by_the_command_line_while_the_form_is_open(site: Site, page: Page) -> None:
    run_id = site.waiting_run("Cli")
    page.goto(site.url(run_id))
    page.get_by_label("Note").fill("half a thought")
    site.cli("runs", "approve", run_id, "--by", "bob", "--note", "done here")
    decision = page.get_by_label("Decision at review")
    expect(decision).to_contain_text("Approved by bob (as claimed)")
    expect(decision).to_contain_text("done here")
    expect(page.locator("#kept blockquote")).to_have_text("half a thought")
    expect(page.locator("#status .chip")).to_have_text("completed")


def test_a_note_whose_gate_was_decided_while_the_page_was_away_is_shown_when_one_comes_back(
    site: Site, page: Page
) -> None:
    run_id = site.waiting_run("Away")
    page.goto(site.url(run_id))
    page.get_by_label("Note").fill("half a thought")
    page.goto(f"{site.address}/about")
    site.cli("runs", "approve", run_id, "--by", "bob", "--no-resume")
    page.goto(site.url(run_id))
    expect(page.locator("#kept blockquote")).to_have_text("half a thought")
    page.reload()
    expect(page.get_by_label("Decision at review")).to_contain_text("Approved by bob")
    expect(page.locator("#kept")).to_be_empty()


@pytest.mark.parametrize("script", [True, False], ids=["script", "plain"])
def test_a_double_click_decides_once(site: Site, people: People, script: bool) -> None:
    run_id = site.waiting_run("Dbl")
    page = people.person(script=script)
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url) if request.method == "POST" else None)
    page.goto(site.url(run_id))
    fill_in(page, note="quick")
    page.get_by_role("button", name="Approve").dblclick()
    expect(page.get_by_label("Decision at review")).to_contain_text("Approved by ann")
    expect(page.get_by_role("alert")).to_have_count(0)
    assert site.answers(run_id) == [("review", True, "ann", "quick")]
    if script:
        assert len(sent) == 1


def test_the_same_form_in_two_tabs_decides_once_and_the_second_says_so(site: Site, page: Page) -> None:
    run_id = site.waiting_run("Tabs")
    page.goto(site.url(run_id))
    second = page.context.new_page()
    second.route(re.compile(r"[?&]v="), lambda route: route.fulfill(status=204))  # it has not heard of it yet
    second.goto(site.url(run_id))
    fill_in(second, note="the same")
    press(page, "Approve", note="the same")
    expect(page.get_by_label("Decision at review")).to_be_visible()
    second.get_by_role("button", name="Approve").click()
    expect(second.get_by_text("You had already given this answer; nothing changed.")).to_be_visible()
    assert site.answers(run_id) == [("review", True, "ann", "the same")]


@pytest.mark.parametrize("script", [True, False], ids=["script", "plain"])
def test_back_after_deciding_shows_what_was_decided_and_pressing_again_is_not_possible(
    site: Site, people: People, script: bool
) -> None:
    run_id = site.waiting_run(name := f"Back {script}")
    page = people.person(script=script)
    page.goto(f"{site.address}/approvals")
    page.get_by_role("link", name=f"Send this to {name}?").click()
    press(page, "Approve", note="once")
    expect(page.get_by_label("Decision at review")).to_be_visible()
    page.go_back()
    expect(page).to_have_url(re.compile(f"{run_id}#gate-review-1$"))
    expect(page.get_by_label("Decision at review")).to_contain_text("Approved by ann")
    expect(page.get_by_role("button", name="Approve")).to_have_count(0)
    page.go_back()
    expect(page.get_by_role("heading", name="Approvals")).to_be_visible()
    page.go_forward()
    expect(page.get_by_label("Decision at review")).to_contain_text("Approved by ann")
    assert site.answers(run_id) == [("review", True, "ann", "once")]


def test_a_form_whose_sending_was_stopped_can_be_sent_again(site: Site, page: Page) -> None:
    run_id = site.waiting_run("Stop")
    page.goto(site.url(run_id))
    fill_in(page, note="patient")
    held: list[Route] = []
    page.route("**/decision", keep_in(held))
    with page.expect_request("**/decision"):
        page.get_by_role("button", name="Approve").click(no_wait_after=True)
    page.context.new_cdp_session(page).send("Page.stopLoading")
    page.unroute_all()
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_label("Decision at review")).to_contain_text("Approved by ann")
    assert site.answers(run_id) == [("review", True, "ann", "patient")]
