"""The command line. `main` is the console script; the commands are imported only when they are called."""

from __future__ import annotations

from collections.abc import Sequence


def main(args: Sequence[str] | None = None) -> None:
    """Run `neurocore` with these arguments (default: those of the process), and exit with its exit code."""
    from neurocore.cli.app import cli

    cli.main(args, prog_name="neurocore")
