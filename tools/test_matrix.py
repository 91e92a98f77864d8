"""Run `make test` with every Python of the machine, and once with the lowest versions that pyproject.toml allows.

Run by `make test-matrix`; arguments are the tests, all without one. Each run has an environment of its own. All of them
run, whatever fails, and the last lines say how each ended.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOWEST = Path(".cache/lowest.txt")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
OLDEST = int(PROJECT["requires-python"].removeprefix(">=3."))


def main() -> int:
    """Return the exit code: 1 where a run failed."""
    found = pythons()
    if OLDEST not in found:
        sys.exit(f"There is no Python 3.{OLDEST} here, the oldest that is supported: install it and try again.")
    write_lowest()
    runs = {f"Python 3.{minor}": [f"PYTHON={path}"] for minor, path in found.items()}
    runs["lowest versions"] = [f"PYTHON={found[OLDEST]}", "VENV=.venv-lowest", f"CONSTRAINTS={LOWEST}"]
    ended = {name: test(name, options) for name, options in runs.items()}
    print(*(f"{name}: {'passed' if code == 0 else 'failed'}" for name, code in ended.items()), sep="\n")
    return int(any(ended.values()))


def pythons() -> dict[int, Path]:
    """Return the first `python3.N` on the path or of pyenv that can be started, by N."""
    found: dict[int, Path] = {}
    for path in _candidates():
        minor = int(path.name.removeprefix("python3."))
        if minor >= OLDEST and minor not in found and _starts(path):
            found[minor] = path
    return dict(sorted(found.items()))


def _candidates() -> Iterator[Path]:
    pyenv = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser()
    folders = [*map(Path, os.get_exec_path()), *sorted(pyenv.glob("versions/*/bin"), reverse=True)]
    for folder in folders:
        yield from sorted(path for path in folder.glob("python3.*") if re.fullmatch(r"python3\.\d+", path.name))


def _starts(path: Path) -> bool:
    return subprocess.run([path, "-c", ""], capture_output=True, check=False).returncode == 0


def write_lowest() -> None:
    """Write the lower bound of each dependency as a constraint. What these depend on is as new as they allow."""
    requirements = chain(PROJECT["dependencies"], *PROJECT["optional-dependencies"].values())
    bounds = (re.fullmatch(r"([\w-]+)>=([\w.]+)", one) for one in requirements)
    text = "".join(f"{bound[1]}=={bound[2]}\n" for bound in bounds if bound)
    LOWEST.parent.mkdir(exist_ok=True)
    if not LOWEST.exists() or LOWEST.read_text("utf-8") != text:  # a new file makes the environment anew
        LOWEST.write_text(text, "utf-8")


def test(name: str, options: list[str]) -> int:
    """Run the tests and return the exit code of make."""
    print(f"\n=== {name}", flush=True)
    make = os.environ.get("MAKE", "make")
    tests = " ".join(sys.argv[1:])
    return subprocess.run([make, "--no-print-directory", "test", *options, f"TESTS={tests}"], check=False).returncode


if __name__ == "__main__":
    os.chdir(ROOT)
    sys.exit(main())
