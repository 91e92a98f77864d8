"""What docs/api.md tells people to type does what it says, and what it lists is there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from webapp.api.operations import OPERATIONS
from webapp.api.waiting import MAX_WAIT, MAX_WAITERS

PAGE = (Path(__file__).parents[2] / "docs" / "api.md").read_text("utf-8")


@pytest.mark.system
def test_the_examples_can_be_typed_one_after_the_other(site):
    (site.root / "neurocore.yaml").write_text("project: {name: tested}\n")
    process = subprocess.Popen(
        [sys.executable, "-m", "neurocore", "serve", "--port", "0"], cwd=site.root, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env={**os.environ, "NO_COLOR": "1"},
    )  # fmt: skip
    try:
        address = process.stdout.readline().strip()
        (script,) = re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL)
        script = script.replace("http://127.0.0.1:8321/", address)
        typed = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script], capture_output=True, text=True, timeout=120, check=False
        )
    finally:
        process.terminate()
        process.communicate(timeout=30)
    assert typed.returncode == 0, typed.stderr
    (run,) = site.store.list_runs()
    lines = typed.stdout.splitlines()
    assert lines[0] == "suspended"
    assert lines[-4:] == ["took_effect", "completed", "out.xml", run.run_id]
    assert site.gate(run.run_id).decision.note == "checked"


def test_every_operation_is_on_the_page():
    for one in OPERATIONS:
        path = re.sub(r"\{(\w+)\}", lambda found: {"name": "<name>", "index": "<n>"}.get(found[1], "<id>"), one.path)
        told = path in PAGE or f"`{path.removeprefix('/runs/<id>')}`" in PAGE
        assert told, f"docs/api.md does not tell of {one.method} {one.path}"


def test_the_numbers_on_the_page_are_those_of_the_code():
    assert f"{MAX_WAIT} at most" in PAGE
    assert MAX_WAITERS == 16, "the page says sixteen"
    assert "Sixteen requests may wait" in PAGE
