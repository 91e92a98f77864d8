"""Somebody adds a passkey in a real browser, signs in by it, and removes it; the browser's authenticator is virtual."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import CDPSession, Page, expect

from e2e.people import People
from e2e.site import Site
from e2e.test_accessibility import look
from e2e.test_signin import PASSWORD, lay_out
from neurocore.access.actor import this_user
from neurocore.access.roles import Grant, Role
from neurocore.accounts import people as accounts
from neurocore.config import load_config
from neurocore.persistence import build_run_store

pytestmark = pytest.mark.e2e

NAMES = ("ann", "bea", "cem", "dan")
DEVICE = {
    "protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True,
    "isUserVerified": True, "automaticPresenceSimulation": True,
}  # fmt: skip


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site with a few people; browsers have no passkeys at its number, but at its name."""
    site = Site(tmp_path_factory.mktemp("keys") / "project", lay_out)
    store = build_run_store(load_config(site.root))
    assert store is not None
    for name in NAMES:
        accounts.add_person(name, store=store, actor=this_user(), grants=[Grant(Role.ADMIN)], password=PASSWORD)
    store.close()
    site.start()
    yield site
    site.end()


def here(site: Site) -> str:
    """The site by its name."""
    return f"http://localhost:{site.port}"


def with_device(page: Page, **changes: Any) -> tuple[CDPSession, str]:
    """Give a page's browser a device that keeps passkeys; the session by which it is changed, and its id."""
    session = page.context.new_cdp_session(page)
    session.send("WebAuthn.enable")
    added = session.send("WebAuthn.addVirtualAuthenticator", {"options": {**DEVICE, **changes}})
    return session, added["authenticatorId"]


def sign_in(page: Page, site: Site, name: str, path: str = "/account") -> None:
    """Sign in by a password."""
    page.goto(here(site) + path)
    page.get_by_label("User name").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page).to_have_url(here(site) + path)


def add_passkey(page: Page, name: str) -> None:
    """Fill the form on the account."""
    page.get_by_label("Name of the passkey").fill(name)
    page.get_by_role("button", name="Add passkey").click()


def test_somebody_adds_a_passkey_signs_in_by_it_and_removes_it(site: Site, page: Page) -> None:
    with_device(page)
    sign_in(page, site, "ann")
    add_passkey(page, "Blue laptop")
    expect(page.locator(".notice.ok")).to_contain_text("The passkey is added.")
    row = page.get_by_role("region", name="Passkeys").get_by_role("row").filter(has_text="Blue laptop")
    expect(row).to_contain_text("never")
    add_passkey(page, "Blue laptop again")
    expect(page.get_by_role("alert")).to_have_text("This device has a passkey for your account already.")
    page.get_by_role("button", name="Sign out").click()

    page.goto(f"{here(site)}/runs?status=failed")
    page.get_by_role("button", name="Sign in with a passkey").click()
    expect(page).to_have_url(f"{here(site)}/runs?status=failed")
    page.goto(f"{here(site)}/account")
    expect(page.get_by_role("heading", name="ann")).to_be_visible()
    expect(page.get_by_role("region", name="Sessions")).to_contain_text("by a passkey")
    expect(row).not_to_contain_text("never")

    row.get_by_role("button", name="Remove").click()
    expect(page.locator(".notice.ok")).to_contain_text("The passkey is removed.")
    expect(row).to_have_count(0)
    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("button", name="Sign in with a passkey").click()
    expect(page.get_by_role("alert")).to_have_text(
        "This passkey does not sign in here; sign in by your password, or ask an admin."
    )
    page.goto(f"{here(site)}/runs")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_who_has_no_passkey_or_is_not_verified_reads_why_nothing_was_done(site: Site, page: Page) -> None:
    session, device = with_device(page)
    page.goto(f"{here(site)}/login")
    button = page.get_by_role("button", name="Sign in with a passkey")
    button.click()
    expect(page.get_by_role("alert")).to_contain_text("Nothing was done")
    expect(button).to_be_enabled()
    sign_in(page, site, "bea")
    session.send("WebAuthn.setUserVerified", {"authenticatorId": device, "isUserVerified": False})
    add_passkey(page, "Phone")
    expect(page.get_by_role("alert")).to_contain_text("Nothing was done")
    session.send("WebAuthn.setUserVerified", {"authenticatorId": device, "isUserVerified": True})
    page.get_by_role("button", name="Add passkey").click()
    expect(page.locator(".notice.ok")).to_contain_text("The passkey is added.")


def test_a_passkey_that_is_reset_by_an_admin_signs_in_no_more(site: Site, page: Page) -> None:
    with_device(page)
    sign_in(page, site, "cem")
    add_passkey(page, "Key")
    expect(page.locator(".notice.ok")).to_contain_text("The passkey is added.")
    assert "/link/" in site.cli("users", "reset", "cem")
    page.reload()
    page.get_by_role("button", name="Sign in with a passkey").click()
    expect(page.get_by_role("alert")).to_contain_text("This passkey does not sign in here")


def test_without_javascript_a_sentence_stands_in_place_of_the_buttons(site: Site, plain_page: Page) -> None:
    page = plain_page
    page.goto(f"{here(site)}/login")
    expect(page.get_by_role("button", name="Sign in with a passkey")).to_be_hidden()
    expect(page.get_by_text("To sign in with a passkey, allow this page its JavaScript.")).to_be_visible()
    sign_in(page, site, "dan")
    expect(page.get_by_role("button", name="Add passkey")).to_be_hidden()
    expect(page.get_by_text("To add a passkey, allow this page its JavaScript.")).to_be_visible()


def test_a_browser_without_passkeys_says_so(site: Site, page: Page) -> None:
    page.add_init_script("delete window.PublicKeyCredential")
    page.goto(f"{here(site)}/login")
    expect(page.get_by_role("button", name="Sign in with a passkey")).to_be_disabled()
    expect(page.get_by_role("alert")).to_have_text("This browser has no passkeys.")


def test_at_a_number_the_page_leads_to_the_name(site: Site, page: Page) -> None:
    page.goto(f"{site.address}/login?next=/runs")
    page.get_by_role("link", name="localhost").click()
    expect(page).to_have_url(f"{here(site)}/login?next=/runs")
    expect(page.get_by_role("button", name="Sign in with a passkey")).to_be_enabled()


@pytest.mark.parametrize("look_at", [{}, {"phone": True}])
def test_axe_finds_nothing_where_passkeys_are(site: Site, people: People, look_at: dict[str, Any]) -> None:
    page = people.person(traced=False, **look_at)
    with_device(page)
    found = look(page, f"{here(site)}/login", 200)
    page.get_by_role("button", name="Sign in with a passkey").click()
    expect(page.get_by_role("alert")).to_contain_text("Nothing was done")
    sign_in(page, site, "dan")
    add_passkey(page, "A device with a rather long name, so that the table is wide")
    expect(page.locator(".notice.ok")).to_contain_text("The passkey is added.")
    found += look(page, f"{here(site)}/account", 200)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "wider than the screen"
    assert found == []
