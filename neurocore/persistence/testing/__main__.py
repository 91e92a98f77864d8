"""`python -m neurocore.persistence.testing package.module:callable`: report on one backend."""

from __future__ import annotations

import importlib
import sys

from neurocore.persistence.testing import RunStoreContract, examine


def main(arguments: list[str]) -> int:
    """Print the report; return 0 when the backend passes, 1 when it does not, 2 when there is no backend."""
    if len(arguments) != 1 or ":" not in arguments[0]:
        sys.stderr.write("Usage: python -m neurocore.persistence.testing package.module:callable\n")
        return 2
    module, _, name = arguments[0].partition(":")
    sys.path.insert(0, "")
    report = examine(RunStoreContract, getattr(importlib.import_module(module), name))
    sys.stdout.write(f"{report}\n")
    return 0 if report.passes else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
