"""A real server process over a real project, and a real browser."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

BLUEPRINT = """
name: letters
title: A letter to {{ name }}
inputs: {name: {type: string}}
components:
  - {name: write, type: template, config: {template: "Dear {{ name }}", output: letter}}
  - {name: send, type: template, config: {template: "sent: {{ letter }}", output: receipt}}
flow:
  steps:
    - component: write
    - approval: {name: review, message: "Send this to {{ name }}?", show: [letter], note: on_reject}
    - component: send
"""


class Site:
    """A running dashboard and its project."""

    def __init__(self, root: Path, address: str) -> None:
        self.root = root
        self.address = address

    def cli(self, *arguments: str) -> str:
        """Run a command in the project; its standard output."""
        done = subprocess.run(
            [sys.executable, "-m", "neurocore", *arguments], cwd=self.root, capture_output=True, text=True, timeout=60,
            check=True,
        )  # fmt: skip
        return done.stdout

    def waiting_run(self, name: str = "Ada") -> str:
        """Start a run that waits at its gate; its id."""
        found = re.search(r'"run_id": "(\w+)"', self.cli("run", "letters", "--data", f"name={name}", "--json"))
        assert found is not None
        return found.group(1)


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """`neurocore serve` on a port of its own."""
    root = tmp_path_factory.mktemp("site")
    (root / "blueprints").mkdir()
    (root / "neurocore.yaml").write_text("project: {name: letters}\n")
    (root / "blueprints" / "letters.yaml").write_text(BLUEPRINT)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NEUROCORE_")}
    server = subprocess.Popen(
        [sys.executable, "-m", "neurocore", "serve", "--port", "0"], cwd=root, env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert server.stdout is not None
    said = ""
    while (found := re.search(r"http://127\.0\.0\.1:\d+", said)) is None:
        line = server.stdout.readline()
        assert line, f"the server ended: {said}"
        said += line
    yield Site(root, found.group(0))
    server.terminate()
    server.communicate(timeout=30)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's Chromium where it is, else Playwright's own."""
    debian = "/usr/bin/chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=debian if Path(debian).exists() else None,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page of its own."""
    context = browser.new_context()
    yield context.new_page()
    context.close()
