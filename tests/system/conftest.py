"""Projects in folders of their own, and processes that work on them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from neurocore.persistence import RunRecord, SQLiteRunStore

WORKER = Path(__file__).with_name("worker.py")


class Site:
    """A project folder, the processes that work on it, and what they left."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.store = SQLiteRunStore(root / "data" / "runs.db")

    def start(self, *arguments: str, failpoint: str | None = None) -> subprocess.Popen[str]:
        """Start a worker."""
        environment = {**os.environ, **({"NEUROCORE_FAILPOINT": failpoint} if failpoint else {})}
        return subprocess.Popen(
            [sys.executable, str(WORKER), *arguments], cwd=self.root, env=environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def work(self, *arguments: str, failpoint: str | None = None) -> dict[str, Any] | None:
        """Run a worker to its end; what it said, or None when it was killed."""
        process = self.start(*arguments, failpoint=failpoint)
        return self.ended(process)

    def ended(self, process: subprocess.Popen[str], *, patience: float = 150) -> dict[str, Any] | None:
        """What a worker said, or None when it was killed."""
        said, complaint = process.communicate(timeout=patience)
        if process.returncode == -9:
            return None
        assert process.returncode == 0, complaint
        answer: dict[str, Any] = json.loads(said.splitlines()[-1])
        return answer

    def run(self, run_id: str) -> RunRecord:
        """The run as it is stored."""
        run = self.store.load_run(run_id)
        assert run is not None
        return run

    def effects(self) -> Counter[str]:
        """How often each node had its effect."""
        file = self.root / "effects.txt"
        return Counter(line.split()[0] for line in file.read_text().splitlines()) if file.exists() else Counter()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A fresh project."""
    (tmp_path / "neurocore.yaml").write_text("project: {name: site}\n")
    made = Site(tmp_path)
    yield made
    made.store.close()
