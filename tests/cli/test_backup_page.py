"""The commands of docs/backup.md, given in order as they stand there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Project, environment


@pytest.fixture
def page(root: Path) -> list[str]:
    """The commands of the page, block after block."""
    text = (root / "docs" / "backup.md").read_text("utf-8")
    return re.findall(r"^```sh\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def test_every_command_of_the_page_does_what_the_page_says(project: Project, page: list[str]) -> None:
    for number in range(3):
        project.script("run", "plain", "--run-id", f"r{number}", code=0)
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    said = [
        subprocess.run(
            ["sh", "-e", "-c", block], cwd=project.root, env=environment(PATH=path), capture_output=True, text=True,
            check=True, timeout=120,
        ).stdout
        for block in page
    ]  # fmt: skip
    assert said[0].startswith("Copied the history to backup.db (")
    assert re.match(r"Copied the history to runs-\d{4}-\d\d-\d\d.db", said[1])
    assert "Restored the history from backup.db: 3 runs." in said[2]
    assert "The previous history is in data/runs.db-before-" in said[2]
    assert "No problems found." in said[2]
    assert "No run is held." in said[3]
    assert "Imported 0 runs with 0 steps; 3 runs existed already." in said[4]
    assert "Deleted 0 ended runs." in said[5]
    assert "to the disk: the history took" in said[5]
    assert len(project.json("runs", "list")["runs"]) == 3


def test_the_page_names_what_lies_beside_the_history(project: Project, root: Path) -> None:
    process = project.spawn("run", "plain", "--run-id", "live", "--data", "mode=wait")
    while not (project.root / "waiting").exists():
        assert process.poll() is None
    names = sorted(one.name for one in (project.root / "data").iterdir())
    (project.root / "go").write_text("")
    process.communicate(timeout=30)
    assert names == ["runs.db", "runs.db-owners", "runs.db-shm", "runs.db-wal"]
    text = (root / "docs" / "backup.md").read_text("utf-8")
    assert all(f"`{name}`" in text for name in names if name != "runs.db")
