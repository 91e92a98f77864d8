"""A link from chat leads to its run, however short; and what a chat's preview bot fetches changes and tells nothing."""

from __future__ import annotations

import re
import sqlite3
import urllib.request
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from e2e.gallery import Maker, pages
from e2e.site import Site

pytestmark = pytest.mark.e2e

BOTS = {
    "Slack": "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)",
    "Slack's pictures": "Slack-ImgProxy (+https://api.slack.com/robots)",
    "Teams": "Mozilla/5.0 (Windows NT 6.1; WOW64) SkypeUriPreview Preview/0.5 skype-url-preview@microsoft.com",
    "Discord": "Mozilla/5.0 (compatible; Discordbot/2.0; +https://discordapp.com)",
    "Telegram": "TelegramBot (like TwitterBot)",
}

#: What the run says about itself, none of which a preview may tell.
SECRETS = ("Dear Kim", "Kim", "jonas", "ann@example.com", "a private note", "Send this", "review")


@pytest.fixture
def decided(site: Site) -> str:
    """A run with inputs, names, a title and a note."""
    make = Maker(site)
    run_id = make.decide(make.run("letters", name="Kim"), approved=True, note="a private note")
    make.store.close()
    return run_id


def test_the_beginning_of_an_id_leads_to_the_whole_one(site: Site, page: Page) -> None:
    run_id = site.waiting_run("Jo")
    page.goto(f"{site.address}/runs/{run_id[:12]}?tab=inputs")
    expect(page).to_have_url(f"{site.url(run_id)}?tab=inputs")
    expect(page.get_by_role("heading", name="A letter to Jo")).to_be_visible()


def test_the_copied_link_carries_the_whole_id(site: Site, page: Page) -> None:
    run_id = site.waiting_run("Lea")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(f"{site.address}/runs/{run_id[:12]}")
    page.get_by_role("button", name="Copy link").click()
    expect(page.locator("#announce")).to_have_text("Link copied")
    assert page.evaluate("navigator.clipboard.readText()") == site.url(run_id)


def test_a_beginning_of_several_ids_asks_which(site: Site, page: Page) -> None:
    path = pages(site)["ambiguous"]
    answer = page.goto(site.address + path)
    assert answer is not None
    assert answer.status == 300
    candidates = page.locator("main li a")
    expect(candidates).to_have_count(2)
    candidates.first.click()
    expect(page.get_by_role("heading", name="Greeting a twin")).to_be_visible()


def test_a_link_to_nothing_says_what_was_looked_for_and_offers_the_list(site: Site, page: Page) -> None:
    answer = page.goto(f"{site.address}/runs/f00d")
    assert answer is not None
    assert answer.status == 404
    expect(page.locator("main")).to_contain_text("f00d")
    page.get_by_role("link", name="All runs").click()
    expect(page.get_by_role("heading", name="Runs", exact=True)).to_be_visible()


def test_a_link_to_a_deleted_run_says_who_deleted_it(site: Site, page: Page) -> None:
    answer = page.goto(site.address + pages(site)["deleted"])
    assert answer is not None
    assert answer.status == 410
    expect(page.locator("main")).to_contain_text("was deleted by carla")


def test_preview_bots_change_nothing_whatever_they_fetch(site: Site, decided: str) -> None:
    paths = [
        *pages(site).values(),
        f"/runs/{decided}",
        f"/runs/{decided}/decision",
        f"/runs/{decided}/download/context",
    ]
    before = dump(site)
    for agent in BOTS.values():
        for path in paths:
            for method in ("GET", "HEAD"):
                ask(site, path, agent, method)
    assert dump(site) == before


@pytest.mark.parametrize("bot", BOTS)
def test_a_preview_bot_finds_the_name_of_the_product_only(site: Site, decided: str, bot: str) -> None:
    for path in (f"/runs/{decided}", f"/runs/{decided}/print", "/", "/approvals", "/blueprints/letters"):
        page = ask(site, path, BOTS[bot])
        assert tags(page) == {"site_name": "NeuroCore", "type": "website", "title": "NeuroCore"}
        assert not [secret for secret in SECRETS if secret in page], path


@pytest.mark.parametrize(
    ("setting", "wanted"),
    [
        ("status", {"title": "letters: completed"}),
        ("full", {"title": "letters: completed", "description": "3 of 3 nodes completed"}),
    ],
)
def test_more_only_where_the_project_allows_it(
    new_site: Callable[..., Site], setting: str, wanted: dict[str, str]
) -> None:
    site = new_site()
    site.stop()
    config = site.root / "neurocore.yaml"
    config.write_text(f"{config.read_text()}web: {{link_preview: {setting}}}\n")
    site.start()
    make = Maker(site)
    run_id = make.decide(make.run("letters", name="Kim"), approved=True, note="a private note")
    make.store.close()
    for agent in BOTS.values():
        page = ask(site, f"/runs/{run_id}", agent)
        assert tags(page) == {"site_name": "NeuroCore", "type": "website", **wanted}
        assert not [secret for secret in SECRETS if secret in page]
    person = tags(ask(site, f"/runs/{run_id}", "Mozilla/5.0"))
    assert person == {"site_name": "NeuroCore", **wanted}


def ask(site: Site, path: str, agent: str, method: str = "GET") -> str:
    """What one who says to be this agent is answered."""
    request = urllib.request.Request(site.address + path, headers={"User-Agent": agent}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as refused:
        with refused:
            if refused.code >= 500:
                raise
            return refused.read().decode()


def tags(page: str) -> dict[str, str]:
    """The page's Open Graph tags."""
    return dict(re.findall(r'<meta property="og:(\w+)" content="([^"]*)">', page))


def dump(site: Site) -> list[str]:
    """Every row of the history, as SQL."""
    (file,) = (site.root / "data").glob("*.db")
    connection = sqlite3.connect(file)
    try:
        return list(connection.iterdump())
    finally:
        connection.close()
