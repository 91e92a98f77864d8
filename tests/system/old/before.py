"""The version before this one, as a project that is being upgraded still has it in its processes.

`fixtures/neurocore-schema-2.tar.xz` holds its package `neurocore`; nothing but upgrade tests uses it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

from filelock import FileLock

ARCHIVE = Path(__file__).resolve().parent / "fixtures" / "neurocore-schema-2.tar.xz"
ROOT = Path(__file__).resolve().parents[3]


def code_before() -> Path:
    """A folder whose package `neurocore` is the version before, unpacked once below .cache/."""
    home = ROOT / ".cache" / f"{ARCHIVE.name.partition('.')[0]}-{ARCHIVE.stat().st_size}"
    home.parent.mkdir(exist_ok=True)
    with FileLock(f"{home}.lock"):
        if not (home / "ready").exists():
            shutil.rmtree(home, ignore_errors=True)
            with tarfile.open(ARCHIVE) as archive:
                archive.extractall(home, filter="data")
            (home / "ready").touch()
    return home


def environment_before() -> dict[str, str]:
    """Our environment, in which `python -m neurocore` is the version before."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("NEUROCORE")}
    return {**kept, "PYTHONPATH": str(code_before())}


def start_before(project: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start a command of the version before in a project."""
    return subprocess.Popen(
        [sys.executable, "-m", "neurocore", *arguments], cwd=project, env=environment_before(), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def run_before(project: Path, *arguments: str, code: int = 0) -> str:
    """Run a command of the version before to its end; what it said. It must end with `code`."""
    process = start_before(project, *arguments)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == code, f"neurocore {' '.join(arguments)} ended {process.returncode}:\n{said}"
    return said
