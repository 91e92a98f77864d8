"""The data of the frame around every page, and the functions that templates can call."""

from __future__ import annotations

from typing import Any

from flask import Flask, request

from neurocore.access.permission import Action, Resource, allows, may
from neurocore.runs.actions import STOPS
from webapp.html import live
from webapp.previews import Preview, of_run
from webapp.runs import activity
from webapp.security.actors import sender
from webapp.security.identity import is_stranger, signed_in
from webapp.security.permissions import refusal
from webapp.security.sessions import remembered
from webapp.services import Services

THEMES = ("light", "dark")


def init_app(app: Flask) -> None:
    """Give project, badge, theme and name to every template."""
    here: Services = app.extensions["neurocore"]

    def link_preview(run: Any) -> Preview:
        return of_run(run, here.config.web.link_preview)

    app.jinja_env.globals.update(
        project=here.config.project.name,
        web_dispatches=here.drives,
        link_preview=link_preview,
        activity_sentence=activity.sentence,
        STOPS=STOPS,
    )

    def refused(name: str, blueprint: str) -> str | None:
        """Why whoever looks at the page may not do this; None where they may."""
        verdict = may(sender(), Action(name), Resource(blueprint=blueprint))
        return None if verdict.allowed else refusal(verdict)

    @app.context_processor
    def frame() -> dict[str, Any]:
        actor = signed_in()
        theme = request.cookies.get("theme", "")
        return {
            "open_gates": live.open_gates(),
            "stranger": is_stranger(),
            "stale": None if is_stranger() else here.stale(),
            "theme": theme if theme in THEMES else "",
            "me": remembered() if actor is None else actor.label,
            "signed_in": actor,
            "refused": refused,
            "may_administer": actor is not None and allows(actor, Action.ADMINISTER),
        }
