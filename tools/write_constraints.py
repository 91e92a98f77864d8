"""Write constraints.txt: the exact version of every package in this environment that the project did not make itself.

The Makefile installs with it, so that a fresh machine tests with what was tested here. Run by `make constraints`.
"""

from __future__ import annotations

from importlib.metadata import distributions
from pathlib import Path

TARGET = Path(__file__).resolve().parent.parent / "constraints.txt"
HEADER = "# Versions that everything was tested with; written by `make constraints`.\n"
OURS = {"neurocore-ai", "pip", "setuptools", "wheel"}


def main() -> None:
    """Write the file, sorted by name."""
    versions = {one.name.lower().replace("_", "-"): one.version for one in distributions()}
    lines = [f"{name}=={version}\n" for name, version in sorted(versions.items()) if name not in OURS]
    TARGET.write_text(HEADER + "".join(lines), "utf-8")


if __name__ == "__main__":
    main()
