"""Links in chat: a preview says what the setting allows, never inputs, notes, titles or names, and decides nothing."""

from __future__ import annotations

import re

import pytest

BOTS = [
    "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)",
    "Mozilla/5.0 (Windows NT 6.1; WOW64) SkypeUriPreview Preview/0.5 skype-url-preview@microsoft.com",
    "Mozilla/5.0 (compatible; Discordbot/2.0; +https://discordapp.com)",
    "TelegramBot (like TwitterBot)",
    "facebookexternalhit/1.1",
    "WhatsApp/2.23",
]


def tags(text):
    return dict(re.findall(r'<meta property="og:([a-z_]+)" content="([^"]*)">', text))


@pytest.mark.parametrize("agent", BOTS)
@pytest.mark.parametrize(
    ("setting", "title"), [("none", "NeuroCore"), ("status", "payout: suspended"), ("full", "payout: suspended")]
)
def test_a_bot_finds_the_tags_the_setting_allows_and_nothing_else(make_site, agent, setting, title):
    site = make_site(link_preview=setting)
    run_id = site.run(batch="Secret wages")
    text = site.page(f"/runs/{run_id}", headers={"User-Agent": agent})
    assert tags(text)["title"] == title
    assert ("description" in tags(text)) == (setting == "full")
    for secret in ("Secret wages", "Release", "ann", "<form"):
        assert secret not in text, secret


def test_the_page_itself_carries_the_same_tags(make_site):
    site = make_site(link_preview="none")
    run_id = site.run(batch="Secret wages")
    assert tags(site.page(f"/runs/{run_id}")) == {"site_name": "NeuroCore", "title": "NeuroCore"}


def test_a_bot_decides_nothing(site):
    run_id = site.run()
    agent = {"User-Agent": BOTS[0]}
    site.client.get(f"/runs/{run_id}/decision?decision=approve&by=bot", headers=agent)
    site.client.head(f"/runs/{run_id}", headers=agent)
    assert not site.gate(run_id).answers


def test_the_copied_link_carries_the_whole_id_under_the_public_address(make_site):
    site = make_site(public_url="https://flows.example/pay/")
    run_id = site.run()
    assert f'data-copy="https://flows.example/pay/runs/{run_id}"' in site.page(f"/runs/{run_id}")
