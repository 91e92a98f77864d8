"""The build hook and `webapp.html.assets`: brought with integrity, named by content, served fresh in a work tree."""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import json
import shutil
from pathlib import Path

import pytest
from flask import Flask

from webapp.html import assets as module
from webapp.html.assets import Assets


@pytest.fixture(scope="session")
def hook(root):
    spec = importlib.util.spec_from_file_location("hatch_build", root / "hatch_build.py")
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


@pytest.fixture
def static(tmp_path):
    """A folder of sources: a page's script imports another, the stylesheet names a picture."""
    folder = tmp_path / "static"
    (folder / "js").mkdir(parents=True)
    (folder / "style.css").write_text("body { background: url(./dot.svg) }\n" * 20, "utf-8")
    (folder / "dot.svg").write_text("<svg/>", "utf-8")
    (folder / "js" / "app.js").write_text('import { once } from "./once.js";\nonce();\n', "utf-8")
    (folder / "js" / "once.js").write_text("export function once() {}\n", "utf-8")
    return folder


@pytest.fixture(autouse=True)
def _look_every_time(monkeypatch):
    monkeypatch.setattr(module, "LOOK_AGAIN", 0.0)


def manifest(static: Path) -> dict:
    return json.loads((static / "dist" / "manifest.json").read_text("utf-8"))["files"]


def test_a_built_file_is_named_by_its_content(hook, static):
    hook.build_static(static)
    built = static / "dist" / manifest(static)["dot.svg"]["file"]
    assert built.name == f"dot.{hashlib.sha256(b'<svg/>').hexdigest()[:12]}.svg"
    assert built.read_bytes() == b"<svg/>"


def test_a_file_that_names_another_names_the_built_one(hook, static):
    hook.build_static(static)
    files = manifest(static)
    text = (static / "dist" / files["js/app.js"]["file"]).read_text("utf-8")
    assert f'from "./{Path(files["js/once.js"]["file"]).name}"' in text
    assert f"url(./{files['dot.svg']['file']})" in (static / "dist" / files["style.css"]["file"]).read_text("utf-8")


def test_what_an_imported_file_says_changes_the_name_of_the_one_that_imports_it(hook, static):
    hook.build_static(static)
    before = manifest(static)["js/app.js"]["file"]
    (static / "js" / "once.js").write_text("export function once() { return 2 }\n", "utf-8")
    hook.build_static(static)
    assert manifest(static)["js/app.js"]["file"] != before


def test_files_that_import_each_other_in_a_ring_are_refused(hook, static):
    (static / "js" / "once.js").write_text('import "./app.js";\n', "utf-8")
    with pytest.raises(RuntimeError, match=r"imports itself by way of js/app\.js"):
        hook.build_static(static)


def test_a_file_that_names_one_that_is_not_there_is_refused(hook, static):
    (static / "js" / "once.js").write_text('import "./gone.js";\n', "utf-8")
    with pytest.raises(RuntimeError, match=r"js/once\.js names \./gone\.js, which is not there"):
        hook.build_static(static)


def test_a_compressed_twin_lies_beside_what_gets_smaller_by_it(hook, static):
    hook.build_static(static)
    files = manifest(static)
    built = static / "dist" / files["style.css"]["file"]
    assert gzip.decompress(built.with_name(f"{built.name}.gz").read_bytes()) == built.read_bytes()
    assert files["dot.svg"]["gzip"] is None


def test_building_twice_gives_the_same_bytes(hook, static):
    hook.build_static(static)
    first = {path.name: path.read_bytes() for path in (static / "dist").rglob("*") if path.is_file()}
    hook.build_static(static)
    assert {path.name: path.read_bytes() for path in (static / "dist").rglob("*") if path.is_file()} == first


def test_pages_link_the_built_file_while_the_sources_are_what_was_built(hook, static):
    hook.build_static(static)
    found = Assets(static)
    assert found.url_name("style.css") == manifest(static)["style.css"]["file"]
    assert found.find(found.url_name("style.css")).immutable


def test_pages_link_the_sources_as_soon_as_one_of_them_changes(hook, static):
    hook.build_static(static)
    found = Assets(static)
    assert found.url_name("js/app.js") != "js/app.js"
    (static / "js" / "once.js").write_text("export function once() { return 3 }\n", "utf-8")
    assert found.url_name("js/app.js") == "js/app.js", "both halves of an import must come from the sources"
    assert not found.find("js/once.js").immutable
    assert found.integrity("js/app.js") is None
    hook.build_static(static)
    assert found.url_name("js/app.js") == manifest(static)["js/app.js"]["file"], "a new build is noticed"


def test_nothing_built_yet_means_the_sources(static):
    assert Assets(static).url_name("style.css") == "style.css"


def test_who_comes_while_another_looks_for_the_first_time_finds_every_file(static, monkeypatch):
    monkeypatch.setattr(module, "LOOK_AGAIN", 60)
    found = Assets(static)
    sources = found._find_sources
    met = []

    def slowly():
        if not met:
            met.append("another comes")
            met.append(found.url_name("style.css"))
        return sources()

    monkeypatch.setattr(found, "_find_sources", slowly)
    assert found.url_name("style.css") == met[1] == "style.css"


def test_an_installed_package_needs_no_sources(hook, static, tmp_path):
    hook.build_static(static)
    shutil.copytree(static / "dist", tmp_path / "installed" / "dist")
    found = Assets(tmp_path / "installed")
    assert found.names == ["dot.svg", "js/app.js", "js/once.js", "style.css"]
    assert found.find(found.url_name("js/app.js")).path.is_file()


@pytest.mark.parametrize(
    "name", ["../secret.txt", "/etc/passwd", "js/../../secret.txt", "", "dist/manifest.json", "nope.css"]
)
def test_a_name_leads_nowhere_but_to_a_static_file(hook, static, name):
    (static.parent / "secret.txt").write_text("no", "utf-8")
    hook.build_static(static)
    assert Assets(static).find(name) is None
    with pytest.raises(KeyError, match="There is no static file"):
        Assets(static).url_name(name)


@pytest.fixture
def client(hook, static, monkeypatch):
    hook.build_static(static)
    monkeypatch.setattr(module, "Assets", lambda: Assets(static))
    app = Flask(__name__, static_folder=None)
    module.init_app(app)
    return app.test_client()


def test_a_built_file_is_sent_compressed_and_kept_for_a_year(client, static):
    answer = client.get(f"/static/{manifest(static)['style.css']['file']}", headers={"Accept-Encoding": "gzip, br"})
    assert answer.status_code == 200
    assert answer.headers["Content-Encoding"] == "gzip"
    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert answer.headers["Content-Type"] == "text/css; charset=utf-8"
    assert "Accept-Encoding" in answer.headers["Vary"]
    answer.close()


def test_a_client_that_takes_no_gzip_gets_the_file_itself(client, static):
    answer = client.get(f"/static/{manifest(static)['style.css']['file']}", headers={"Accept-Encoding": "gzip;q=0"})
    assert "Content-Encoding" not in answer.headers
    assert answer.data.startswith(b"body")
    answer.close()


def test_a_file_by_its_plain_name_is_asked_for_again_each_time(client):
    answer = client.get("/static/dot.svg")
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-cache")
    answer.close()


def test_an_unknown_file_is_not_found(client):
    assert client.get("/static/nope.css").status_code == 404


# ---------------------------------------------------------------- what npm brings


@pytest.fixture
def tree(tmp_path, root):
    """A work tree with the lock and a brought copy of htmx."""
    for name in ("package.json", "package-lock.json"):
        shutil.copy(root / name, tmp_path)
    shutil.copytree(root / "webapp" / "static" / "vendor", tmp_path / "webapp" / "static" / "vendor")
    return tmp_path


def test_a_good_copy_is_used_again_without_npm(hook, tree, monkeypatch):
    monkeypatch.setattr(hook, "_npm", lambda *_: pytest.fail("npm was called although the copy is good"))
    hook.bring_vendored(tree)


def test_a_copy_with_one_changed_byte_is_brought_again(hook, tree):
    file = tree / "webapp" / "static" / "vendor" / "htmx.min.js"
    file.write_bytes(file.read_bytes() + b"\n")
    assert not hook.have_vendored(tree)


def test_a_copy_of_another_version_is_brought_again(hook, tree):
    lock = tree / "package-lock.json"
    lock.write_text(lock.read_text("utf-8").replace("sha512-oF7", "sha512-oF8"), "utf-8")
    assert not hook.have_vendored(tree)


def test_a_failing_npm_ends_the_build_with_one_sentence(hook, tree, monkeypatch):
    shutil.rmtree(tree / "webapp" / "static" / "vendor")
    npm = tree / "npm"
    npm.write_text("#!/bin/sh\necho 'npm error code EINTEGRITY' >&2\nexit 1\n", "utf-8")
    npm.chmod(0o755)
    monkeypatch.setattr(hook.shutil, "which", lambda _: str(npm))
    with pytest.raises(RuntimeError, match=r"htmx could not be brought by npm .*EINTEGRITY.*; check the network"):
        hook.bring_vendored(tree)
    assert not hook.have_vendored(tree)


def test_the_lock_pins_every_package_with_its_integrity_and_no_address(root):
    packages = json.loads((root / "package-lock.json").read_text("utf-8"))["packages"]
    for name, package in packages.items():
        assert "resolved" not in package, name
        assert not name or package["integrity"].startswith("sha512-"), name


def test_what_is_shipped_carries_its_licence(hook):
    for package, files in hook.VENDORED.items():
        assert any("LICENSE" in name for name in files), package
