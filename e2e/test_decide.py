"""A person opens a link, sees what will happen, decides, and watches the run go on."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from e2e.site import Site

pytestmark = pytest.mark.e2e


def test_approve_with_a_note_and_see_the_run_finish_without_a_reload(site: Site, page: Page) -> None:
    run_id = site.waiting_run()
    page.goto(f"{site.address}/runs/{run_id[:10]}")
    expect(page.get_by_role("heading", name="Send this to Ada?")).to_be_visible()
    page.get_by_label("Approver").fill("ann@example.com")
    page.get_by_label("Note").fill("looks right")
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_text("looks right").first).to_be_visible()
    expect(page.locator("main")).to_contain_text("completed")
    assert '"by": "ann@example.com"' in site.cli("runs", "inspect", run_id, "--json")


def test_a_rejection_without_a_note_comes_back_with_what_was_typed(site: Site, page: Page) -> None:
    run_id = site.waiting_run("Bob")
    page.goto(site.url(run_id))
    page.get_by_label("Approver").fill("ann")
    page.get_by_role("button", name="Reject").click()
    expect(page.get_by_text("A rejection here needs a note")).to_be_visible()
    expect(page.get_by_label("Approver")).to_have_value("ann")
    page.get_by_label("Note").fill("wrong person")
    page.get_by_role("button", name="Reject").click()
    expect(page.locator("main")).to_contain_text("rejected")
    assert '"kind": "rejected"' in site.cli("runs", "inspect", run_id, "--json")


def test_without_javascript_the_same_form_decides(site: Site, plain_page: Page) -> None:
    run_id = site.waiting_run("Cy")
    plain_page.goto(site.url(run_id))
    plain_page.get_by_label("Approver").fill("ann")
    plain_page.get_by_role("button", name="Approve").click()
    expect(plain_page.locator("main")).to_contain_text("ann")
    assert '"approved": true' in site.cli("runs", "inspect", run_id, "--json")


def test_a_typed_note_survives_refreshes_and_a_decision_made_elsewhere(site: Site, page: Page) -> None:
    run_id = site.waiting_run("Dee")
    page.goto(site.url(run_id))
    page.get_by_label("Note").fill("half a thought")
    site.cli("runs", "approve", run_id, "--by", "bob", "--no-resume")
    expect(page.locator("main")).to_contain_text("bob")
    expect(page.locator("main")).to_contain_text("half a thought")


def test_looking_decides_nothing(site: Site, page: Page) -> None:
    run_id = site.waiting_run("Eve")
    for _ in range(2):
        page.goto(site.url(run_id))
    page.goto(f"{site.address}/approvals")
    expect(page.locator("main")).to_contain_text("A letter to Eve")
    assert site.inspect(run_id)["gates"][0]["answers"] == []
