"""The static files: which name a page links to, and which file is served for a name.

Building the package writes `static/dist/`: every file under a name with its hash, and a manifest (see
`hatch_build.py`). An installed package contains and serves only these files; browsers cache them for a year. A work
tree also contains the sources. If a source differs from the built file, pages link to the sources by their plain names,
without caching, until the next build.
"""

from __future__ import annotations

import base64
import hashlib
import json
import mimetypes
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flask import Flask, Response, abort, request, send_file

from webapp.kept_files import KeptFiles
from webapp.security.permissions import public

STATIC = Path(__file__).parents[1] / "static"
LOOK_AGAIN = 1.0  # seconds between two checks of the files of a work tree
YEAR = 365 * 24 * 3600


def init_app(app: Flask) -> None:
    """Add the route `/static/…` (endpoint `static`), and `asset(name)` for templates."""
    assets = Assets()

    def static(filename: str) -> Response:
        found = assets.find(filename)
        if found is None:
            abort(404)
        response = _sent(found)
        if not found.immutable:
            response.headers["Cache-Control"] = "no-cache"
        return response

    def asset(name: str) -> str:
        return f"{request.script_root}/static/{assets.url_name(name)}"

    app.add_url_rule("/static/<path:filename>", "static", public(static))
    app.jinja_env.globals["asset"] = asset


def _sent(asset: Asset) -> Response:
    packed = asset.gzip is not None and request.accept_encodings.quality("gzip") > 0
    response = send_file(
        asset.gzip if asset.gzip is not None and packed else asset.path, mimetype=asset.media_type, max_age=YEAR
    )
    if packed:
        response.headers["Content-Encoding"] = "gzip"
    if asset.gzip is not None:
        response.vary.add("Accept-Encoding")
    if asset.immutable:
        response.headers["Cache-Control"] = f"public, max-age={YEAR}, immutable"
    return response


@dataclass(frozen=True)
class Asset:
    """One file to serve: its path, the compressed twin where there is one, its type.

    `immutable` says that the name changes with the content, so that it can be cached for a year.
    """

    path: Path
    gzip: Path | None
    media_type: str
    immutable: bool


class Assets:
    """The static files below `static`."""

    def __init__(self, static: Path = STATIC) -> None:
        self._static = static
        self._dist = static / "dist"
        self._manifest: dict[str, dict[str, Any]] = {}
        self._by_file: dict[str, str] = {}
        self._manifests = KeptFiles(_manifest)
        self._integrities = KeptFiles(_integrity)
        self._sources: dict[str, Path] = {}
        self._from_sources = False
        self._looked_at = float("-inf")

    @property
    def names(self) -> list[str]:
        """Every logical name: `style.css`, `js/app.js`, `vendor/htmx.min.js`."""
        self._look()
        return sorted(self._manifest.keys() | self._sources.keys())

    def url_name(self, name: str) -> str:
        """Return what a page writes after `/static/` to link to `name`. Raises KeyError if there is no such file."""
        self._look()
        if self._from_sources and name in self._sources:
            return name
        if name in self._manifest:
            return str(self._manifest[name]["file"])
        raise KeyError(f"There is no static file {name!r}.")

    def integrity(self, name: str) -> str | None:
        """Return the `integrity` attribute for `name`, or None while it is served from its source."""
        self._look()
        return None if self._from_sources or name not in self._manifest else str(self._manifest[name]["integrity"])

    def find(self, served: str) -> Asset | None:
        """Return the file for a name after `/static/` in a URL, with or without its hash, or None if unknown."""
        self._look()
        if served in self._by_file:
            return self._built(self._by_file[served], immutable=True)
        source = self._sources.get(served)
        if source is not None:
            return Asset(source, None, _media_type(source), immutable=False)
        return self._built(served, immutable=False) if served in self._manifest else None

    def _built(self, name: str, *, immutable: bool) -> Asset:
        entry = self._manifest[name]
        path = self._dist / entry["file"]
        packed = path.with_name(f"{path.name}.gz") if entry["gzip"] else None
        return Asset(path, packed, _media_type(path), immutable)

    def _find_sources(self) -> dict[str, Path]:
        """Return the files in the static folder of a work tree by logical name; an installed package has none."""
        tops = [top for top in self._static.iterdir() if top != self._dist] if self._static.is_dir() else []
        paths = [path for top in tops for path in (top.rglob("*") if top.is_dir() else [top])]
        names = [(path.relative_to(self._static).as_posix(), path) for path in paths if path.is_file()]
        return {name: path for name, path in names if path.name != "sums.json" and not path.name.startswith(".")}

    def _look(self) -> None:
        """Read a new manifest, and check whether a source differs from its built file; at most once a second."""
        now = time.monotonic()
        if now - self._looked_at < LOOK_AGAIN:
            return
        try:
            self._manifest = self._manifests.get(self._dist / "manifest.json")
        except FileNotFoundError:
            self._manifest = {}
        self._by_file = {entry["file"]: name for name, entry in self._manifest.items()}
        self._sources = self._find_sources()
        self._from_sources = any(self._differs(name, path) for name, path in self._sources.items())
        self._looked_at = now  # at the end: whoever comes meanwhile looks too, and never finds nothing

    def _differs(self, name: str, path: Path) -> bool:
        return name not in self._manifest or bool(self._manifest[name]["source"] != self._integrities.get(path))


def _manifest(file: Path) -> dict[str, dict[str, Any]]:
    """Return the built files by logical name."""
    found: dict[str, dict[str, Any]] = json.loads(file.read_text("utf-8"))["files"]
    return found


def _integrity(file: Path) -> str:
    return f"sha384-{base64.b64encode(hashlib.sha384(file.read_bytes()).digest()).decode()}"


def _media_type(path: Path) -> str:
    known = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".txt": "text/plain"}
    return known.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
