"""The distribution: its metadata, what is in it, and that what it ships is what it says."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import neurocore

OURS = distribution("neurocore-ai")


def project(root: Path) -> dict:
    return tomllib.loads((root / "pyproject.toml").read_text("utf-8"))


def test_the_installed_version_is_the_one_the_package_says():
    assert OURS.version == neurocore.__version__


def test_the_distribution_has_the_name_that_published_skills_depend_on(root):
    assert project(root)["project"]["name"] == "neurocore-ai"


def test_metadata_says_who_may_use_it_and_with_what():
    about = OURS.metadata
    assert about["License-Expression"] == "Apache-2.0"
    assert about["Requires-Python"] == ">=3.11"
    assert about["Summary"]
    assert about.get_payload().lstrip().startswith("# NeuroCore")


def test_the_extras_are_there():
    extras = {"web", "team", "http", "payouts", "research", "examples", "all"}
    assert set(OURS.metadata.get_all("Provides-Extra")) == extras


def test_the_core_needs_neither_flask_nor_anything_of_the_examples():
    core = {Requirement(line).name.lower() for line in OURS.requires or () if "extra ==" not in line}
    assert core == {"click", "jinja2", "jsonschema", "msgspec", "python-dotenv", "pyyaml", "rich"}


def test_every_entry_point_can_be_loaded():
    points = {(point.group, point.name): point.load() for point in OURS.entry_points}
    assert set(points) == {("console_scripts", "neurocore"), ("neurocore.cli", "serve")}


def test_types_are_shipped(root):
    assert (root / "neurocore" / "py.typed").is_file()
    assert (root / "webapp" / "py.typed").is_file()


def test_the_changelog_has_this_version_on_top(root):
    first = re.search(r"^## (\S+)", (root / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert first is not None
    assert first[1] == neurocore.__version__


@pytest.fixture(scope="module")
def built(tmp_path_factory, root):
    """The sdist, and the wheel that is built from it with npm made to fail: the copy it brings must do."""
    folder = tmp_path_factory.mktemp("built")
    run = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder)]
    subprocess.run([*run, "--sdist", str(root)], check=True, capture_output=True, text=True)
    (sdist,) = folder.glob("*.tar.gz")
    subprocess.run(["tar", "-xzf", str(sdist), "-C", str(folder)], check=True)
    source = folder / sdist.name.removesuffix(".tar.gz")
    npm = folder / "bin" / "npm"
    npm.parent.mkdir()
    npm.write_text("#!/bin/sh\nexit 9\n", "utf-8")
    npm.chmod(0o755)
    subprocess.run(
        [*run, "--wheel", str(source)],
        check=True,
        capture_output=True,
        text=True,
        env={"PATH": f"{npm.parent}:/usr/bin:/bin"},
    )
    (wheel,) = folder.glob("*.whl")
    return source, wheel


def test_the_wheel_has_the_code_its_types_templates_and_built_files_and_nothing_else(built):
    with zipfile.ZipFile(built[1]) as wheel:
        names = wheel.namelist()
    assert {name.split("/")[0] for name in names} == {"neurocore", "webapp", f"neurocore_ai-{OURS.version}.dist-info"}
    for name in ("neurocore/py.typed", "neurocore/persistence/sql/queries/runs.sql", "webapp/templates/base.html"):
        assert name in names
    static = [name for name in names if name.startswith("webapp/static/")]
    assert static
    assert all(name.startswith("webapp/static/dist/") for name in static), static
    assert "webapp/static/dist/manifest.json" in static


def test_a_wheel_from_the_sdist_needs_no_npm(built):
    with zipfile.ZipFile(built[1]) as wheel:
        assert [name for name in wheel.namelist() if re.search(r"dist/vendor/htmx\.min\.\w{12}\.js$", name)]


def test_the_sdist_can_test_itself_and_names_no_registry(built):
    source = built[0]
    for name in ("tests", "examples", "docs", "Makefile", "package-lock.json", "LICENSE"):
        assert (source / name).exists(), name
    assert "resolved" not in (source / "package-lock.json").read_text("utf-8")
