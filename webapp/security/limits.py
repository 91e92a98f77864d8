"""The size limits of a request. A larger request is refused with a sentence before anything reads it."""

from __future__ import annotations

from typing import Any

from flask import Flask, abort, request
from werkzeug.routing import IntegerConverter

MAX_BODY = 4 * 1024 * 1024
MAX_FORM_FIELD = 2 * 1024 * 1024
MAX_FORM_FIELDS = 500
MAX_QUERY = 8 * 1024
MAX_QUERY_FIELDS = 100
MAX_HEADERS = 32 * 1024
MAX_PATH = 2 * 1024
MAX_JSON_DEPTH = 100


class WholeNumber(IntegerConverter):
    """A number in an address: a few ASCII digits. The router's own converter accepts all scripts and any length."""

    regex = "[0-9]{1,10}"


def init_app(app: Flask) -> None:
    """Set the limits. The server (`neurocore serve`) limits headers and slow clients."""
    app.url_map.converters["int"] = WholeNumber
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY
    app.config["MAX_FORM_MEMORY_SIZE"] = MAX_FORM_FIELD
    app.config["MAX_FORM_PARTS"] = MAX_FORM_FIELDS

    @app.before_request
    def check_size() -> None:
        query = request.query_string
        if len(query) > MAX_QUERY or query.count(b"&") >= MAX_QUERY_FIELDS or len(request.path) > MAX_PATH:
            abort(414, "This address is too long; remove some of its filters.")
        length = request.content_length
        if length is not None and length > MAX_BODY:
            abort(
                413,
                f"A request may have at most {MAX_BODY // 2**20} MiB; put large data into a file and give its path.",
            )


def too_deep(value: Any, limit: int = MAX_JSON_DEPTH) -> bool:
    """Return whether lists and mappings are nested deeper than `limit`, without recursion."""
    level = [value]
    for _ in range(limit):
        level = [
            inner
            for item in level
            if isinstance(item, (dict, list))
            for inner in (item.values() if isinstance(item, dict) else item)
        ]
        if not level:
            return False
    return True
