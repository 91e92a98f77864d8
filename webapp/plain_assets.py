"""Static files as they are, where none were prepared."""

from __future__ import annotations

from pathlib import Path

from flask import Flask, Response, request, send_from_directory

FOLDER = Path(__file__).parent / "static"


def init_app(app: Flask) -> None:
    """The route `/static/…` (endpoint `static`), and `asset(name)` for templates."""

    def static(filename: str) -> Response:
        response = send_from_directory(FOLDER, filename, max_age=0)
        response.headers["Cache-Control"] = "no-cache"
        return response

    def asset(name: str) -> str:
        return f"{request.script_root}/static/{name}"

    app.add_url_rule("/static/<path:filename>", "static", static)
    app.jinja_env.globals["asset"] = asset
