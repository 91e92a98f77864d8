"""The dashboard: every run, every gate, in the browser. `create_app` is a Flask factory that any WSGI server can run."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from flask import Flask, request

from neurocore.config import NeuroCoreConfig, load_config
from neurocore.errors import UsageError
from neurocore.persistence import build_run_store
from neurocore.runtime.dispatch import ThreadDispatcher

if TYPE_CHECKING:
    from neurocore.persistence.base import RunStore
    from neurocore.runtime.dispatch import Dispatcher

__all__ = ["create_app"]

#: One module for each area; `area` in it is its Flask blueprint.
AREAS = ("home", "runs", "changing", "approvals", "blueprints", "ops")

THEMES = ("light", "dark")


def create_app(
    config: NeuroCoreConfig | None = None, *, store: RunStore | None = None, dispatcher: Dispatcher | None = None
) -> Flask:
    """The dashboard of a project: of the one here or above, unless `config` says which.

    `store` and `dispatcher` are made from the configuration when they are not given; runs are then driven on threads of
    this process. Raises ConfigError, StoreError or UsageError (persistence is disabled).
    """
    from webapp import assets, csp, csrf, failures, hosts, limits, marks, ops, permissions, previews, sessions
    from webapp.services import Leave, Services

    config = config or load_config()
    store = store or build_run_store(config)
    if store is None:
        raise UsageError("Persistence is disabled here, so there are no runs to show; set persistence.enabled: true.")
    app = Flask("webapp", static_folder=None)
    here = Services(config, store, dispatcher or Leave())
    if dispatcher is None:
        here.dispatcher = ThreadDispatcher(lambda: here.registry, config, store)
    app.extensions["neurocore"] = here

    # The order is the order of the checks: who is asked, how much is sent, from where, by whom.
    ops.init_app(app, here)
    hosts.init_app(app, config)
    limits.init_app(app)
    sessions.init_app(app, config)
    csrf.init_app(app)
    permissions.init_app(app)
    previews.init_app(app)
    csp.init_app(app)
    failures.init_app(app)
    marks.init_app(app)
    assets.init_app(app)
    _htmx(app)
    app.context_processor(lambda: _everywhere(app))
    for name in AREAS:
        app.register_blueprint(import_module(f"webapp.{name}").area)
    if find_spec("webapp.api") is not None:
        import_module("webapp.api").init_app(app)
    permissions.check(app)
    return app


def _everywhere(app: Flask) -> dict[str, Any]:
    """What the frame around every page shows."""
    from webapp.activity import icon_of, sentence
    from webapp.previews import of_run
    from webapp.services import Leave
    from webapp.sessions import remembered

    here = app.extensions["neurocore"]
    theme = request.cookies.get("theme", "")
    return {
        "project": here.config.project.name,
        "open_gates": here.store.count_open_gates(),
        "theme": theme if theme in THEMES else "",
        "me": remembered(),
        "web_dispatches": not isinstance(here.dispatcher, Leave),
        "link_preview": lambda run: of_run(run, here.config.web.link_preview),
        "activity_sentence": sentence,
        "activity_icon": icon_of,
    }


def _htmx(app: Flask) -> None:
    from htmx_flask import Htmx

    Htmx(app)
