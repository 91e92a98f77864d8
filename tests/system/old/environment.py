"""NeuroCore 0.4 from PyPI in an environment of its own, made once and kept below .cache/ (git ignores it)."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from filelock import FileLock

HERE = Path(__file__).resolve().parent / "fixtures"
ROOT = HERE.parents[3]
VERSION = "0.4.0"


def python_of_04() -> Path:
    """The interpreter of an environment that has 0.4 (it asks for Python 3.13 and runs on 3.11)."""
    home = ROOT / ".cache" / f"neurocore-{VERSION}-py{sys.version_info.major}.{sys.version_info.minor}"
    python = home / "bin" / "python"
    home.parent.mkdir(exist_ok=True)
    with FileLock(f"{home}.lock"):
        if not (home / "ready").exists():
            shutil.rmtree(home, ignore_errors=True)
            run([sys.executable, "-m", "venv", str(home)])
            wanted = f"neurocore-ai=={VERSION}"
            run([str(python), "-m", "pip", "install", "--quiet", "--no-input", "--ignore-requires-python", wanted])
            (home / "ready").touch()
    return python


def recorded(folder: Path) -> tuple[Path, dict[str, str]]:
    """A project with the runs.db that 0.4 wrote by `record.py`, and the runs' ids by name."""
    for name in ("skills", "blueprints", "data"):
        (folder / name).mkdir(parents=True)
    shutil.copy(HERE / "skills.py", folder / "skills" / "everything.py")
    (folder / "neurocore.yaml").write_text("project: {name: old}\n")
    told = run([str(python_of_04()), str(HERE / "record.py"), str(folder)], cwd=folder, env=clean_environment(folder))
    return folder, json.loads(told.splitlines()[-1])


def clean_environment(folder: Path) -> dict[str, str]:
    """Our environment without what would let 0.4 find this project, with the file that skills note their work in."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "NEUROCORE", "MENDED"))}
    return {**kept, "DONE": str(folder / "done")}


def run(command: list[str], **options: object) -> str:
    """The output of a command that must succeed."""
    told = subprocess.run(command, capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload]
    assert told.returncode == 0, f"{' '.join(command)} failed:\n{told.stdout}\n{told.stderr}"
    return str(told.stdout)
