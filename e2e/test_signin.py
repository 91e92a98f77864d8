"""People sign in: the first admin by a link, others by theirs, and each sees and does what they may."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from e2e import project
from e2e.parts import panel
from e2e.people import People
from e2e.site import Site
from e2e.test_accessibility import look
from neurocore.access.actor import this_user
from neurocore.access.roles import Grant, Role
from neurocore.accounts import people as accounts
from neurocore.config import load_config
from neurocore.persistence import build_run_store

pytestmark = pytest.mark.e2e

PASSWORD = "correct horse battery staple"
TEAM = {"anna": Role.APPROVER, "olaf": Role.OPERATOR, "vera": Role.VIEWER, "adam": Role.ADMIN}


def lay_out(root: Path) -> None:
    """The usual project, in which people sign in."""
    project.write(root)
    file = root / "neurocore.yaml"
    file.write_text(f"{file.read_text()}\nauth:\n  mode: local\n")


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site without any account."""
    site = Site(tmp_path_factory.mktemp("empty") / "project", lay_out).start()
    yield site
    site.end()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site with a person for each role."""
    site = Site(tmp_path_factory.mktemp("team") / "project", lay_out)
    store = build_run_store(load_config(site.root))
    assert store is not None
    for name, role in TEAM.items():
        accounts.add_person(name, store=store, actor=this_user(), grants=[Grant(role)], password=PASSWORD)
    store.close()
    site.start()
    yield site
    site.end()


def sign_in(page: Page, site: Site, name: str, path: str = "/") -> None:
    """Open a page of the site, sign in where it leads, and arrive."""
    page.goto(site.address + path)
    page.get_by_label("User name").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page).to_have_url(site.address + path)


def test_the_first_admin_comes_by_the_link_that_the_server_prints(empty: Site, page: Page) -> None:
    found = re.search(r"/link/\w+", empty.log.read_text())
    assert found, "the server prints a link"
    page.goto(empty.address + found[0])
    page.get_by_label("User name").fill("root")
    page.get_by_label("Password", exact=True).fill("password1234")
    page.get_by_label("Password again").fill("password1234")
    page.get_by_role("button", name="Save and sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("easy to guess")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_label("Password again").fill(PASSWORD)
    page.get_by_role("button", name="Save and sign in").click()
    expect(page.get_by_role("link", name="Users")).to_be_visible()
    page.goto(empty.address + found[0])
    expect(page.get_by_role("main")).to_contain_text("This link was used")


@pytest.mark.parametrize("script", [True, False])
def test_an_approver_comes_from_a_link_in_chat_and_decides_in_their_own_name(
    site: Site, people: People, script: bool
) -> None:
    run_id = site.waiting_run()
    page = people.person(script=script)
    sign_in(page, site, "anna", f"/runs/{run_id}")
    here = panel(page, "review")
    expect(here).to_contain_text("Answering as anna")
    expect(here.get_by_label("Approver")).to_have_count(0)
    here.get_by_label("Note").fill("checked")
    here.get_by_role("button", name="Approve").click()
    expect(page.get_by_label("Decision at review")).to_contain_text("Approved by anna")
    assert site.answers(run_id) == [("review", True, "anna", "checked")]


def test_who_may_not_decide_is_told_why_and_who_can(site: Site, page: Page) -> None:
    run_id = site.waiting_run()
    sign_in(page, site, "vera", f"/runs/{run_id}")
    approve = panel(page, "review").get_by_role("button", name="Approve")
    expect(approve).to_be_disabled()
    expect(approve).to_have_accessible_description(re.compile("You need the role approver .*; anna can"))
    expect(page.get_by_role("button", name="Replay")).to_be_disabled()
    page.goto(f"{site.address}/blueprints/letters")
    expect(page.get_by_role("button", name="Start")).to_be_disabled()
    assert site.answers(run_id) == []


def test_an_admin_adds_somebody_who_signs_in_by_their_link(site: Site, page: Page, people: People) -> None:
    sign_in(page, site, "adam", "/users")
    form = page.get_by_role("main").locator("form", has=page.get_by_role("button", name="Add user"))
    form.get_by_label("User name").fill("nina")
    form.get_by_label("viewer").check()
    form.get_by_role("button", name="Add user").click()
    link = page.locator("code").inner_text()
    other = people.person(phone=True, dark=True)
    other.goto(link)
    other.get_by_label("Password", exact=True).fill(PASSWORD)
    other.get_by_label("Password again").fill(PASSWORD)
    other.get_by_role("button", name="Save and sign in").click()
    other.goto(f"{site.address}/account")
    expect(other.get_by_role("heading", name="nina")).to_be_visible()
    page.goto(f"{site.address}/users")
    row = page.get_by_role("row").filter(has_text="nina")
    row.get_by_role("button", name="Disable").click()
    expect(page.locator(".notice.ok")).to_contain_text("nina is disabled")
    other.reload()
    expect(other.get_by_role("heading", name="Sign in")).to_be_visible()


def test_signing_out_ends_the_session(site: Site, page: Page) -> None:
    sign_in(page, site, "olaf", "/runs")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    page.goto(f"{site.address}/runs")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_a_token_is_shown_once_and_can_be_revoked(site: Site, page: Page) -> None:
    sign_in(page, site, "olaf", "/account")
    page.get_by_label("Name", exact=True).fill("month end")
    page.get_by_role("button", name="Create token").click()
    expect(page.locator("code")).to_contain_text("nrc_")
    page.goto(f"{site.address}/account")
    expect(page.locator("code")).to_have_count(0)
    page.get_by_role("row").filter(has_text="month end").get_by_role("button", name="Revoke").click()
    expect(page.get_by_role("row").filter(has_text="month end")).to_contain_text("revoked")


@pytest.mark.parametrize("look_at", [{}, {"phone": True}])
def test_axe_finds_nothing_on_the_pages_of_accounts(site: Site, people: People, look_at: dict[str, Any]) -> None:
    page = people.person(traced=False, **look_at)
    found = look(page, f"{site.address}/login", 200)
    sign_in(page, site, "adam")
    for path in ("/account", "/users", "/runs"):
        found += look(page, f"{site.address}{path}", 200)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{path} is wider than the screen"
    assert found == []
