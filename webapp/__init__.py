"""The dashboard: every run and every gate in the browser. `create_app` is a factory for any WSGI server."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from flask import Flask

from neurocore.config import NeuroCoreConfig, load_config
from neurocore.drivers.dispatch import NullDispatcher, ThreadDispatcher
from neurocore.errors import UsageError
from neurocore.persistence import build_run_store

if TYPE_CHECKING:
    from neurocore.drivers.dispatch import Dispatcher
    from neurocore.persistence.base import RunStore

__all__ = ["create_app"]

#: One module for each area; its `area` is the Flask blueprint.
AREAS = (
    "home", "runs.views", "runs.downloads", "runs.run_actions", "approvals.views", "blueprints.views", "account.views",
    "account.oidc", "account.users", "account.passkeys", "ops",
)  # fmt: skip


def create_app(
    config: NeuroCoreConfig | None = None, *, store: RunStore | None = None, dispatcher: Dispatcher | None = None
) -> Flask:
    """Make the dashboard of a project: the one in this folder or above it, unless `config` is given.

    If `store` and `dispatcher` are not given, they are made from the configuration, and threads of this process drive
    the runs. Raises ConfigError, StoreError or UsageError (persistence is disabled).
    """
    from webapp import failures, frame, ops, previews
    from webapp.html import assets, helpers
    from webapp.security import csp, csrf, foreign, hosts, identity, limits, permissions, proxies, sessions
    from webapp.services import Services

    config = config or load_config()
    store = store or build_run_store(config)
    if store is None:
        raise UsageError("Persistence is disabled, so there are no runs to show; set persistence.enabled: true.")
    app = Flask("webapp", static_folder=None)
    here = Services(config, store, dispatcher or NullDispatcher())
    if dispatcher is None:
        here.dispatcher = ThreadDispatcher(lambda: here.registry, config, store)
    app.extensions["neurocore"] = here

    # This is the order of the checks: host name, size, session, origin and token, who asks, permission.
    ops.init_app(app, here)
    proxies.init_app(app, config)
    hosts.init_app(app, config)
    limits.init_app(app)
    sessions.init_app(app, config)
    csrf.init_app(app, config)
    foreign.init_app(app)
    identity.init_app(app, here)
    permissions.init_app(app)
    previews.init_app(app)
    csp.init_app(app)
    failures.init_app(app)
    helpers.init_app(app)
    assets.init_app(app)
    _htmx(app)
    frame.init_app(app)
    for name in AREAS:
        app.register_blueprint(import_module(f"webapp.{name}").area)
    import_module("webapp.api").init_app(app)
    permissions.check(app)
    return app


def _htmx(app: Flask) -> None:
    from htmx_flask import Htmx

    Htmx(app)
