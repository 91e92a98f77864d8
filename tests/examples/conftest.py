"""The examples, each in a copy of its own, driven as people drive them."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from neurocore.config import load_config
from neurocore.persistence import RunRecord, build_run_store

LEFT_BY_RUNS = ("data", "logs", "outbox", "archive", "site", "__pycache__")


class Example:
    """A copy of an example's folder, and the command line in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def neurocore(self, *arguments: str, code: int = 0, **environment: str) -> str:
        """Run `neurocore …` in the folder; a negative `code` is the signal that must end it. Returns its stdout."""
        return self._call("-m", "neurocore", *arguments, code=code, **environment)

    def python(self, *arguments: str, code: int = 0, **environment: str) -> str:
        """Run a script of the example."""
        return self._call(*arguments, code=code, **environment)

    def runs(self) -> list[RunRecord]:
        """Every run, oldest first."""
        store = build_run_store(load_config(self.folder))
        assert store is not None
        with contextlib.closing(store):
            return list(reversed(store.list_runs()))

    def _call(self, *arguments: str, code: int, **environment: str) -> str:
        done = subprocess.run(
            [sys.executable, *arguments], cwd=self.folder, env={**os.environ, **environment}, capture_output=True,
            text=True, check=False, timeout=120,
        )  # fmt: skip
        assert done.returncode == code, (
            f"{' '.join(arguments)} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        )
        return done.stdout


def copy_of(name: str, root: Path, tmp_path: Path) -> Example:
    """The example as git has it: what runs left beside it stays behind."""
    folder = tmp_path / name
    shutil.copytree(root / "examples" / name, folder, ignore=shutil.ignore_patterns(*LEFT_BY_RUNS))
    return Example(folder)


@pytest.fixture
def payouts(root, tmp_path) -> Example:
    """The payment office, with nothing paid yet."""
    return copy_of("payouts", root, tmp_path)


@pytest.fixture
def research(root, tmp_path) -> Example:
    """The data set about cars, with nothing published yet."""
    return copy_of("research", root, tmp_path)
