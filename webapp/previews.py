"""Link previews in chats: a setting says what a preview may show of a run, and a preview bot gets nothing else.

`web.link_preview` is `none` (only the name of the product), `status` (blueprint and status) or `full` (also how far the
run is). A preview never shows inputs, notes, titles or names. A GET changes nothing, so a bot decides nothing
(promise 11).
"""

from __future__ import annotations

import re

from flask import Flask, Response, make_response, render_template, request
from msgspec import Struct

from neurocore.persistence.records import RunRecord
from webapp.services import Services, services

PRODUCT = "NeuroCore"

_BOTS = re.compile(
    r"Slackbot|Slack-ImgProxy|Twitterbot|facebookexternalhit|Discordbot|TelegramBot|WhatsApp|SkypeUriPreview|"
    r"MicrosoftPreview|Microsoft-?Teams|LinkedInBot|Mattermost|Mastodon|redditbot|Google-PageRenderer|Synapse|Iframely|"
    r"Embedly|vkShare|Viber|Rocket\.Chat|Zulip",
    re.IGNORECASE,
)


class Preview(Struct, frozen=True):
    """The Open Graph tags."""

    title: str = PRODUCT
    description: str = ""


def of_run(run: RunRecord, setting: str) -> Preview:
    """Return what a preview may show of a run under this setting."""
    if setting == "none":
        return Preview()
    title = f"{run.blueprint_name[:100]}: {run.status.value}"
    if setting == "status" or not run.nodes_total:
        return Preview(title)
    return Preview(title, f"{run.nodes_done} of {run.nodes_total} nodes completed")


def init_app(app: Flask) -> None:
    """Answer bots with the tags only, before any view is called."""

    @app.before_request
    def answer_bots() -> Response | None:
        if request.method != "GET" or not _BOTS.search(request.headers.get("User-Agent", "")):
            return None
        if request.endpoint in (None, "static", "ops.healthz", "ops.metrics"):
            return None
        return make_response(render_template("preview.html", preview=_asked_for(services())))


def _asked_for(here: Services) -> Preview:
    run_id = (request.view_args or {}).get("run_id")
    run = here.store.load_summary(run_id) if isinstance(run_id, str) else None
    return of_run(run, here.config.web.link_preview) if run is not None else Preview()
