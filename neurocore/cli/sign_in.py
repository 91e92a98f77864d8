"""Where people sign in, this command line owns the files and may do everything but speak at gates."""

from __future__ import annotations

from neurocore.cli.project import Project
from neurocore.errors import Forbidden


def refuse_unless_open(project: Project, run_id: str, what: str) -> None:
    """Raise Forbidden with the page and the command for what (`answer a gate`) only somebody who signed in can do."""
    mode = project.store.auth_mode
    if mode == "open":
        return
    web = project.config.web
    server = (web.public_url or f"http://{web.host}:{web.port}").rstrip("/")
    verb = what.partition(" ")[0]
    raise Forbidden(
        f"Only somebody who signed in can {what} here (auth.mode: {mode}): {verb} at {server}/runs/{run_id}, or sign "
        f"in with `neurocore login --server {server}` and repeat this command with --server {server}."
    )
