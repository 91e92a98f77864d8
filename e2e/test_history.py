"""What is done with a run that is there: replay and compare, cancel, delete."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from e2e.site import Site

pytestmark = pytest.mark.e2e


def say_who(page: Page, menu: str, button: str) -> None:
    """Open one of the run's menus and press its button as ann."""
    page.locator(f"#menu-{menu} > summary").click()
    page.locator(f"#menu-{menu}").get_by_label("Your name").fill("ann")
    page.locator(f"#menu-{menu}").get_by_role("button", name=button).click()


def test_replay_makes_a_new_run_that_names_the_old_one_and_compares_with_it(site: Site, page: Page) -> None:
    old = site.run("greeting", name="Ada", mood="merry")
    page.goto(site.url(old))
    say_who(page, "replay", "Replay")
    page.wait_for_url(lambda url: "/runs/" in url and old not in url)
    new = page.url.rsplit("/", 1)[1]
    expect(page.locator("#status .chip")).to_have_text("completed")
    expect(page.locator("#status")).to_contain_text(f"replay of {old[:8]}")
    assert site.record(new).replay_of == old
    page.get_by_role("link", name="compare", exact=True).click()
    expect(page.get_by_role("heading", name="Compare two runs")).to_be_visible()
    expect(page.locator("main")).to_contain_text("Both runs have the same inputs.")
    expect(page.locator("main")).to_contain_text("Both runs use the same definition.")


def test_two_runs_are_compared_from_the_tab_of_one(site: Site, page: Page) -> None:
    first = site.run("greeting", name="Ada", mood="calm")
    second = site.run("greeting", name="Ada", mood="wild")
    page.goto(f"{site.url(second)}?tab=blueprint")
    page.get_by_label("Compare with run").fill(first[:12])
    page.get_by_role("button", name="Compare").click()
    expect(page).to_have_url(re.compile("/compare/"))
    expect(page.get_by_role("region", name="Inputs")).to_contain_text("mood")
    expect(page.get_by_role("region", name="Inputs").locator("ins")).to_contain_text("calm")
    expect(page.get_by_role("region", name="Steps")).to_contain_text("Hello Ada")
    page.get_by_role("link", name="Swap the runs").click()
    expect(page.get_by_role("region", name="Inputs").locator("ins")).to_contain_text("wild")


def test_a_waiting_run_is_cancelled_with_a_reason(site: Site, page: Page) -> None:
    run_id = site.waiting_run("Nobody")
    page.goto(site.url(run_id))
    page.get_by_text("Cancel …").click()
    page.get_by_label("Reason").fill("not needed")
    page.locator("#menu-cancel").get_by_label("Your name").fill("ann")
    page.get_by_role("button", name="Cancel the run").click()
    expect(page.locator("#status .chip")).to_have_text("cancelled")
    expect(page.get_by_role("button", name="Approve")).to_have_count(0)
    expect(page.locator(".activity")).to_contain_text("not needed")


def test_a_running_run_is_cancelled_after_its_step(site: Site, page: Page) -> None:
    run_id = site.start_run("slow")
    site.begun(run_id, "first")
    page.goto(site.url(run_id))
    say_who(page, "cancel", "Cancel the run")
    expect(page.get_by_text("other Python code ends its step first")).to_be_visible()
    site.go(run_id, "first")
    expect(page.locator("#status .chip")).to_have_text("cancelled")


def test_a_deleted_run_says_when_and_by_whom(site: Site, page: Page) -> None:
    run_id = site.run("greeting", name="Gone")
    page.goto(site.url(run_id))
    say_who(page, "delete", "Delete the run")
    expect(page.get_by_text(f"Run {run_id} was deleted.")).to_be_visible()
    answer = page.goto(site.url(run_id))
    assert answer is not None
    assert answer.status == 410
    expect(page.get_by_role("heading", name="Deleted")).to_be_visible()
    expect(page.locator("main")).to_contain_text("of greeting was deleted by ann")
