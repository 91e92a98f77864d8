"""The command line. `main` is the console script; the commands are imported only when they are called."""

from __future__ import annotations

from collections.abc import Sequence


def main(args: Sequence[str] | None = None) -> None:
    """Run `neurocore` with these arguments (the process's own by default) and leave with its exit code."""
    from neurocore.cli.app import cli

    cli.main(args, prog_name="neurocore")
