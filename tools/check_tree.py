"""Look through every file of the project for what must not stand in one.

That is the address of a package registry (whoever builds chooses the registry; a lock file has integrity hashes only)
and a path of somebody's own machine. Prints each finding as file:line and ends 1 where there is one.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Written in pieces, so that this file passes its own check.
REGISTRIES = [
    r"https?://[\w.-]*(?:" + "|".join(["npm" + "js", "npm" + "mirror", "py" + r"pi\b", "python" + "hosted"]) + ")",
    "--(?:extra-)?index" + "-url|PIP_(?:EXTRA_)?INDEX" + "_URL",
    '"resolved"' + r'\s*:\s*"http',
    "_auth" + "Token",
]
MACHINES = [
    r"(?<![\w./])/(?:home|Users)/[a-z][\w.-]*/",
    r"(?<![\w./])/root" + "/",
    r"[A-Z]:\\Users\\",
    re.escape(f"{ROOT}/"),
]
FORBIDDEN = {
    "names a package registry's address": re.compile("|".join(REGISTRIES), re.IGNORECASE),
    "names a path of one machine": re.compile("|".join(MACHINES)),
}


def main() -> int:
    """Check the files that git knows, or would add."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],  # noqa: S607 - git is found by PATH
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    findings = [finding for name in sorted(filter(None, listed.split("\0"))) for finding in _look_through(ROOT / name)]
    print("\n".join(findings) or "tree: clean")
    return 1 if findings else 0


def _look_through(path: Path) -> list[str]:
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return []  # deleted meanwhile, or a picture
    return [
        f"{path.relative_to(ROOT)}:{number}: {what}: {line.strip()[:100]}"
        for number, line in enumerate(lines, 1)
        for what, pattern in FORBIDDEN.items()
        if pattern.search(line)
    ]


if __name__ == "__main__":
    sys.exit(main())
