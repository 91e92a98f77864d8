"""People sign in at a provider (OpenID Connect), decide in their own name, and sign out there too."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from e2e import project
from e2e.parts import panel
from e2e.people import People
from e2e.site import Site
from e2e.test_accessibility import look

pytestmark = pytest.mark.e2e

#: What the provider's own pages lack here.
OF_THE_PROVIDER = ("cdn.jsdelivr.net", "favicon.ico")

ANN = {"preferred_username": "ann", "name": "Ann Smith", "groups": ["finance"]}


@pytest.fixture(scope="module")
def provider() -> Iterator[str]:
    """The address of a provider that believes everybody."""
    with subprocess.Popen(
        [sys.executable, "-m", "oidc_provider_mock", "--port", "0"], stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        address = next(found[0] for found in map(re.compile(r"http://[\w.]+:\d+").search, process.stderr) if found)
        request = urllib.request.Request(
            f"{address}/users/248", json.dumps(ANN).encode(), {"Content-Type": "application/json"}, method="PUT"
        )
        urllib.request.urlopen(request, timeout=30).close()
        yield address
        process.kill()


@pytest.fixture(scope="module")
def site(provider: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site where that provider signs people in, and the group finance approves."""

    def lay_out(root: Path) -> None:
        project.write(root)
        file = root / "neurocore.yaml"
        oidc = {"issuer": provider, "client_id": "neurocore", "client_secret": "${E2E_TOKEN}", "name": "Acme"}
        auth = {"mode": "oidc", "grants": [{"role": "approver", "to": ["group:finance"]}], "oidc": oidc}
        file.write_text(f"{file.read_text()}\nauth: {json.dumps(auth)}\n")

    site = Site(tmp_path_factory.mktemp("oidc") / "project", lay_out).start()
    yield site
    site.end()


def sign_in(page: Page, provider: str, site: Site, path: str) -> None:
    """Open a page of the site, sign in at the provider, and arrive."""
    page.goto(site.address + path)
    page.get_by_role("button", name="Sign in with Acme").click()
    page.wait_for_url(re.compile(re.escape(f"{provider}/oauth2/authorize")))
    page.get_by_placeholder("sub").fill("248")


@pytest.mark.parametrize("script", [True, False])
def test_somebody_signs_in_at_the_provider_approves_and_signs_out(
    site: Site, provider: str, people: People, script: bool
) -> None:
    people.allow(*OF_THE_PROVIDER)
    run_id = site.waiting_run()
    page = people.person(script=script)
    sign_in(page, provider, site, f"/runs/{run_id}")
    site.stop()
    site.start()
    page.get_by_role("button", name="Authorize").click()
    expect(page).to_have_url(site.url(run_id))
    here = panel(page, "review")
    expect(here).to_contain_text("Answering as ann")
    here.get_by_label("Note").fill("checked")
    here.get_by_role("button", name="Approve").click()
    expect(page.get_by_label("Decision at review")).to_contain_text("Approved by ann")
    assert site.answers(run_id) == [("review", True, "ann", "checked")]
    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("button", name="End session").click()
    expect(page).to_have_url(f"{site.address}/login")
    page.goto(site.url(run_id))
    expect(page.get_by_role("button", name="Sign in with Acme")).to_be_visible()


def test_who_denies_is_told_and_may_try_again(site: Site, provider: str, people: People) -> None:
    people.allow(*OF_THE_PROVIDER)
    page = people.person()
    sign_in(page, provider, site, "/runs")
    page.get_by_role("button", name="Deny").click()
    expect(page.get_by_role("alert")).to_contain_text("sign in again")
    page.get_by_role("button", name="Sign in with Acme").click()
    page.get_by_placeholder("sub").fill("248")
    page.get_by_role("button", name="Authorize").click()
    expect(page).to_have_url(f"{site.address}/runs")


def test_when_the_provider_is_down_a_link_lets_in(site: Site, provider: str, people: People) -> None:
    people.allow(*OF_THE_PROVIDER)
    page = people.person()
    sign_in(page, provider, site, "/runs")
    page.get_by_role("button", name="Authorize").click()
    expect(page).to_have_url(f"{site.address}/runs")
    other = people.person(phone=True, dark=True)
    other.goto(site.address + site.cli("users", "link", "ann")[len("http://127.0.0.1:8321") :].strip())
    expect(other.get_by_role("heading", name="Sign in as ann")).to_be_visible()
    other.get_by_role("button", name="Sign in").click()
    other.goto(f"{site.address}/account")
    expect(other.get_by_role("heading", name="Ann Smith")).to_be_visible()


def test_axe_finds_nothing_on_the_pages_of_the_sign_in(site: Site, people: People) -> None:
    page = people.person(traced=False, phone=True)
    assert look(page, f"{site.address}/login", 200) == []
    assert look(page, f"{site.address}/login/callback?state=x", 400) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
